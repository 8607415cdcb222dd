"""How hands and feet lie on the floor: bent along it, flat under heel and ball, and without turning."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.ndimage import binary_dilation, gaussian_filter1d
from scipy.spatial.transform import Rotation

from synthjax.bodies import Body
from synthjax.motion.ground import intervals, lowest_points
from synthjax.motion.kinematics import forward_kinematics
from synthjax.motion.seam import smoothstep
from synthjax.motion.stances import headings, sole_ends

SIDES = ("Left", "Right")
_BEND_HEIGHT = {"Hand": (0.10, 0.30), "Toes": (0.04, 0.10)}  # m, fully bent below, not at all above
_BEND_SMOOTHING = 0.05  # s, standard deviation
_BEND_RELUCTANCE = 0.05  # rad^-2, against tilt^2
_HOLD_SMOOTHING = 0.03  # s, standard deviation, of the passage into a held orientation or another pivot
_HOLD_EDGE = 0.05  # s, before a foot stands, and after, in the middle of that passage
_STILL = 0.03  # s, by which its heading is that of the stance before it stands, and after
_STEP = 0.1  # s, a foot that stands again so soon has no time for that
_FLAT_TILT = (np.radians(12.0), np.radians(20.0))  # feet below are laid flat, above left as they are
_PIVOT_TILT = np.radians(4.0)  # of a pivoting foot, so that only one of its ends touches


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
    body: Body,
    qpos: np.ndarray,
    fps: float,
    loop: bool,
    stances: Mapping[str, np.ndarray],
    pivots: Mapping[str, np.ndarray],
    heels: Mapping[str, np.ndarray],
) -> dict[str, Rotation]:
    """T world orientations of each foot in ``stances``, whose values (T, 2) say when heel and ball stand.

    ``pivots`` (T,) says how far each foot pivots, see :func:`synthjax.motion.stances.pivoting`, and
    ``heels`` (T,) how far about its heel, see :func:`turning_about_heel`.
    """
    world = forward_kinematics(body.model, qpos, np.zeros((len(qpos), body.model.nv)))
    frames, cycles = len(qpos), 3 if loop else 1
    out = {}
    for foot, ends in stances.items():
        quats = np.tile(world.xquat[:, body.model.body(body.bones[foot]).id], (cycles, 1))
        held = held_flat(
            Rotation.from_quat(quats, scalar_first=True),
            np.tile(ends, (cycles, 1)),
            fps,
            np.tile(pivots[foot], cycles),
            np.tile(heels[foot], cycles),
        )
        out[foot] = held[frames : 2 * frames] if loop else held
    return out


def turning_about_heel(
    body: Body,
    qpos: np.ndarray,
    fps: float,
    loop_offset: np.ndarray | None,
    stances: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """For each foot in ``stances`` (T,) from 0, where it turns about its ball, to 1, about its heel.

    What is slower bears.  The values of ``stances`` (T, 2) say when heel and ball stand.
    """
    world = forward_kinematics(body.model, qpos, np.zeros((len(qpos), body.model.nv)))
    edges = "nearest" if loop_offset is None else "wrap"
    out = {}
    for foot, ends in stances.items():
        part = body.model.body(body.bones[foot]).id
        rotation = Rotation.from_quat(world.xquat[:, part], scalar_first=True)
        paths = (world.xpos[:, part] + rotation.apply(end) for end in sole_ends(body, foot))
        heel, ball = (np.square(path_rate(path, fps, loop_offset)[:, :2]).sum(axis=-1) for path in paths)
        share = np.where(ends.all(axis=-1), ball / np.maximum(heel + ball, 1e-9), ends @ [1.0, 0.0])
        out[foot] = np.asarray(gaussian_filter1d(share, _HOLD_SMOOTHING * fps, mode=edges))
    return out


def path_rate(point: np.ndarray, fps: float, loop_offset: np.ndarray | None) -> np.ndarray:
    """Velocity (T, 3) of a path (T, 3) by central differences, across the seam of a loop."""
    if loop_offset is None:
        return np.gradient(point, 1.0 / fps, axis=0)
    padded = np.concatenate([point[-1:] - loop_offset, point, point[:1] + loop_offset])
    return (padded[2:] - padded[:-2]) * (0.5 * fps)


def held_flat(
    rotation: Rotation, ends: np.ndarray, fps: float, pivots: np.ndarray, heel: np.ndarray
) -> Rotation:
    """Feet that stand are kept from turning about z, unless they pivot; on heel and ball they are laid flat.

    A foot that pivots lifts the end about which it does not turn, in whatever attitude it stands.

    Args:
      rotation: T orientations.
      ends: (T, 2) bool, whether heel and ball stand.
      fps: frames a second.
      pivots: (T,) as of :func:`synthjax.motion.stances.pivoting`.
      heel: (T,) as of :func:`turning_about_heel`.
    """
    stands = np.asarray(ends.any(axis=-1))
    if not stands.any():
        return rotation
    up = rotation.apply([0.0, 0.0, 1.0])
    axis = np.cross(up, [0.0, 0.0, 1.0])
    sine = np.linalg.norm(axis, axis=-1)
    tilt = np.arctan2(sine, up[:, 2])
    flat = _passed(ends.all(axis=-1) * (1.0 - smoothstep(tilt, *_FLAT_TILT)), fps)
    laid = Rotation.from_rotvec((flat * tilt / np.maximum(sine, 1e-9))[:, None] * axis) * rotation
    turn = _passed(_widened(stands, fps, _HOLD_EDGE), fps) * _held_turn(rotation, stands, pivots, fps)
    nose = np.arcsin(np.clip(laid.apply([1.0, 0.0, 0.0])[:, 2], -1.0, 1.0))
    on_ball, on_heel = np.maximum(nose + _PIVOT_TILT, 0.0), np.minimum(nose - _PIVOT_TILT, 0.0)
    pitch = _passed(pivots, fps) * ((1.0 - heel) * on_ball + heel * on_heel)
    return (
        Rotation.from_rotvec(turn[:, None] * [0.0, 0.0, 1.0])
        * laid
        * Rotation.from_rotvec(pitch[:, None] * [0.0, 1.0, 0.0])
    )


def _held_turn(rotation: Rotation, stands: np.ndarray, pivots: np.ndarray, fps: float) -> np.ndarray:
    """Angles (T,) in rad about z that keep each stance without a pivot at its mean heading."""
    yaw = headings(rotation)
    still = _widened(stands, fps, _STILL)
    for start, stop in intervals(~stands):
        if start > 0 and stop < len(stands) and stop - start < _STEP * fps:
            still[start:stop] = False
    turn = np.zeros(len(yaw))
    for start, stop in intervals(still):
        stance = np.arange(start, stop)[stands[start:stop]]
        if not pivots[stance].any():
            turn[start:stop] = yaw[stance].mean() - yaw[start:stop]
    times = np.flatnonzero(still)
    return np.interp(np.arange(len(yaw)), times, turn[times])


def _widened(held: np.ndarray, fps: float, seconds: float) -> np.ndarray:
    """``held`` (T,) bool begun earlier and ended later: a foot that lands has ceased to turn."""
    return np.asarray(binary_dilation(held, iterations=max(1, round(seconds * fps))))


def _passed(held: np.ndarray, fps: float) -> np.ndarray:
    """``held`` (T,) with smooth passages."""
    return gaussian_filter1d(held.astype(float), _HOLD_SMOOTHING * fps, mode="nearest")
