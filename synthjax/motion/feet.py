"""How hands and feet lie on the floor: bent along it, flat under heel and ball, and without turning."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from synthjax.bodies import Body
from synthjax.motion.ground import intervals, lowest_points
from synthjax.motion.kinematics import forward_kinematics
from synthjax.motion.seam import smoothstep

SIDES = ("Left", "Right")
_BEND_HEIGHT = {"Hand": (0.10, 0.30), "Toes": (0.04, 0.10)}  # m, fully bent below, not at all above
_BEND_SMOOTHING = 0.05  # s, standard deviation
_BEND_RELUCTANCE = 0.05  # rad^-2, against tilt^2
_HOLD_SMOOTHING = 0.03  # s, standard deviation, of the passage into a held orientation
_FLAT_TILT = (np.radians(12.0), np.radians(20.0))  # feet below are laid flat, above left as they are
_PIVOT = np.radians(20.0)  # a foot that turns farther in one stance pivots


def bend_ends(
    body: Body, qpos: np.ndarray, fps: float, loop: bool, ends: tuple[str, ...] = ("Hand", "Toes")
) -> np.ndarray:
    """``qpos`` (T, nq) with hands and toes bent to lie along the floor where they are close to it.

    Only the bone's widest hinge moves, within its range; a body may lack these bones or their hinges.
    """
    model = body.model
    out = qpos.copy()
    world = forward_kinematics(model, qpos, np.zeros((len(qpos), model.nv)))
    feet = body.body_ids(body.feet)
    floor = np.percentile(lowest_points(body, qpos)[:, feet].min(axis=-1), 25)
    for bone in (f"{side}{end}" for side in SIDES for end in ends):
        if bone not in body.bones:
            continue
        part = model.body(body.bones[bone])
        if part.jntnum[0] == 0 or part.geomnum[0] == 0:
            continue
        joints = part.jntadr[0] + np.arange(part.jntnum[0])
        joint = joints[np.argmax(np.ptp(model.jnt_range[joints], axis=-1))]
        along = model.geom_pos[part.geomadr[0]] / np.linalg.norm(model.geom_pos[part.geomadr[0]])
        angles = np.linspace(model.jnt_range[joint, 0], model.jnt_range[joint, 1], 181)
        bent = Rotation.from_rotvec(angles[:, None] * model.jnt_axis[joint]).apply(along)
        up = (
            Rotation.from_quat(world.xquat[:, part.parentid[0]], scalar_first=True)
            .inv()
            .apply([0.0, 0.0, 1.0])
        )
        cost = (up @ bent.T) ** 2 + _BEND_RELUCTANCE * angles**2
        lowest, highest = _BEND_HEIGHT[bone.removeprefix("Left").removeprefix("Right")]
        near = 1.0 - smoothstep(world.xpos[:, part.id, 2] - floor, lowest, highest)
        address = model.jnt_qposadr[joint]
        wanted = near * angles[np.argmin(cost, axis=-1)] + (1.0 - near) * qpos[:, address]
        out[:, address] = gaussian_filter1d(wanted, _BEND_SMOOTHING * fps, mode="wrap" if loop else "nearest")
    return out


def held_orientations(
    body: Body, qpos: np.ndarray, fps: float, loop: bool, stances: Mapping[str, np.ndarray]
) -> dict[str, Rotation]:
    """T world orientations of each foot in ``stances``, whose values (T, 2) say when heel and ball stand."""
    world = forward_kinematics(body.model, qpos, np.zeros((len(qpos), body.model.nv)))
    frames, cycles = len(qpos), 3 if loop else 1
    out = {}
    for foot, ends in stances.items():
        quats = np.tile(world.xquat[:, body.model.body(body.bones[foot]).id], (cycles, 1))
        held = held_flat(Rotation.from_quat(quats, scalar_first=True), np.tile(ends, (cycles, 1)), fps)
        out[foot] = held[frames : 2 * frames] if loop else held
    return out


def held_flat(rotation: Rotation, ends: np.ndarray, fps: float) -> Rotation:
    """Feet that stand are kept from turning about z, unless they pivot; on heel and ball they are laid flat.

    ``ends`` (T, 2) says whether heel and ball stand.
    """
    stands = np.asarray(ends.any(axis=-1))
    if not stands.any():
        return rotation
    up = rotation.apply([0.0, 0.0, 1.0])
    axis = np.cross(up, [0.0, 0.0, 1.0])
    sine = np.linalg.norm(axis, axis=-1)
    tilt = np.arctan2(sine, up[:, 2])
    flat = _passed(ends.all(axis=-1) * (1.0 - smoothstep(tilt, *_FLAT_TILT)), fps)
    lay = Rotation.from_rotvec((flat * tilt / np.maximum(sine, 1e-9))[:, None] * axis)
    ahead = rotation.apply([1.0, 0.0, 0.0])
    yaw = np.unwrap(np.arctan2(ahead[:, 1], ahead[:, 0]))
    turn = np.zeros(len(yaw))
    for start, stop in intervals(stands):
        if np.ptp(yaw[start:stop]) < _PIVOT:
            turn[start:stop] = yaw[start:stop].mean() - yaw[start:stop]
    times = np.flatnonzero(stands)
    turn = _passed(stands, fps) * np.interp(np.arange(len(yaw)), times, turn[times])
    return Rotation.from_rotvec(turn[:, None] * [0.0, 0.0, 1.0]) * lay * rotation


def _passed(held: np.ndarray, fps: float) -> np.ndarray:
    """``held`` (T,) with smooth passages."""
    return gaussian_filter1d(held.astype(float), _HOLD_SMOOTHING * fps, mode="nearest")
