"""Feet and hands that hold the floor: flat where they support the figure, still while they do.

Sources end at the wrist and at a rigid foot, and their stances slide.  So hands and toes are first
bent along the floor (:func:`bend_ends`); then each stance is anchored at one point of the floor and
the limbs are solved again (:func:`plant`).
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import csc_array, diags_array, eye_array
from scipy.sparse.linalg import spsolve
from scipy.spatial.transform import Rotation

from synthjax.bodies import Body
from synthjax.motion.ground import flights, floor_level, intervals, lowest_points
from synthjax.motion.inverse import refine
from synthjax.motion.kinematics import forward_kinematics
from synthjax.motion.seam import smooth_change, smoothstep
from synthjax.motion.targets import Targets

_SIDES = ("Left", "Right")
_BEND_HEIGHT = {"Hand": (0.10, 0.30), "Toes": (0.04, 0.10)}  # m, fully bent below, not at all above
_BEND_SMOOTHING = 0.05  # s, standard deviation
_BEND_RELUCTANCE = 0.05  # rad^-2, against tilt^2
_CONTACT_HEIGHT = 0.03  # m
_HAND_SPEED = 0.5  # m/s, a faster hand does not stand, in however slippery a source
# A foot that moves must clear the floor: a policy that follows feet which scrape along it slides, too.
_CLEARANCE = 0.02  # m
_CLEAR_SPEED = (0.2, 0.8)  # m/s, no clearance below, all of it above
_SWING_CUTOFF = 5.0  # Hz, of the path of a foot or hand between two contacts
_SHORTEST = 0.05  # s, of a contact or of a gap between two
_REACH = 0.97  # of the straight limb
_ROUNDS = 4
_CHANGE_SMOOTHING = 0.025  # s, standard deviation
_FLAT_TILT = (np.radians(8.0), np.radians(16.0))  # feet below are laid flat, above left as they are


def bend_ends(body: Body, qpos: np.ndarray, fps: float, loop: bool) -> np.ndarray:
    """``qpos`` (T, nq) with hands and toes bent to lie along the floor where they are close to it.

    Only the bone's widest hinge moves, within its range; a body may lack these bones or their hinges.
    """
    model = body.model
    out = qpos.copy()
    world = forward_kinematics(model, qpos, np.zeros((len(qpos), model.nv)))
    feet = body.body_ids(body.feet)
    floor = np.percentile(lowest_points(body, qpos)[:, feet].min(axis=-1), 25)
    for bone in (f"{side}{end}" for side in _SIDES for end in ("Hand", "Toes")):
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
        out[:, address] = _smooth(wanted, _BEND_SMOOTHING * fps, loop)
    return out


def plant(
    body: Body, qpos: np.ndarray, fps: float, loop_offset: np.ndarray | None, stance_speed: float
) -> np.ndarray:
    """``qpos`` (T, nq) lowered onto the floor (z = 0), with its stances anchored.

    A foot or hand stands while it is slower than ``stance_speed`` (m/s) and near the floor.  Later rounds
    take up what the first one left: turning a sole moves its lowest point.
    """
    loop = loop_offset is not None
    flight = flights(body, qpos, fps, loop)
    qpos = _lowered(body, qpos, fps, loop, flight)
    for _ in range(_ROUNDS):
        refined = refine(body, _planted_targets(body, qpos, fps, loop_offset, stance_speed), qpos)
        qpos = smooth_change(body.model, qpos, refined, _CHANGE_SMOOTHING * fps, loop)
        qpos = _lowered(body, qpos, fps, loop, flight)
    return qpos


def _lowered(body: Body, qpos: np.ndarray, fps: float, loop: bool, flight: np.ndarray) -> np.ndarray:
    out = qpos.copy()
    out[:, 2] -= floor_level(body, qpos, fps, loop, flight)
    return out


def _planted_targets(
    body: Body, qpos: np.ndarray, fps: float, loop_offset: np.ndarray | None, stance_speed: float
) -> Targets:
    model = body.model
    loop = loop_offset is not None
    world = forward_kinematics(model, qpos, np.zeros((len(qpos), model.nv)))
    lowest = lowest_points(body, qpos)
    ids = {bone: model.body(name).id for bone, name in body.bones.items()}
    positions = {"Hips": world.xpos[:, ids["Hips"]]}
    rotations = {bone: _rotation(world.xquat[:, ids[bone]]) for bone in ("Hips", "UpperChest", "Head")}
    for bone in (f"{side}{end}" for side in _SIDES for end in ("Foot", "Hand")):
        rotation = _rotation(world.xquat[:, ids[bone]])
        toes = ids.get(bone.replace("Foot", "Toes"), ids[bone])
        # The ball of the foot or the palm: what stands still while heel and wrist may turn about it.
        anchor = model.body_pos[toes] if toes != ids[bone] else model.body_ipos[toes]
        point = world.xpos[:, ids[bone]] + rotation.apply(anchor)
        height = np.minimum(lowest[:, ids[bone]], lowest[:, toes])
        speed = np.linalg.norm(_rate(point, fps, loop_offset)[:, :2], axis=-1)
        limit = stance_speed if bone.endswith("Foot") else min(stance_speed, _HAND_SPEED)
        contact = _steady((height < _CONTACT_HEIGHT) & (speed < limit), round(_SHORTEST * fps), loop)
        if bone.endswith("Foot"):
            rotation = _flatten(rotation, contact, fps, loop)
            rotations[bone] = rotation
        clearance = _CLEARANCE * smoothstep(speed, *_CLEAR_SPEED) if bone.endswith("Foot") else 0.0 * speed
        lower = np.where(lowest[:, toes] < lowest[:, ids[bone]], toes, ids[bone])
        roll = _rolling(world.xquat[np.arange(len(qpos)), lower], point[:, 2] - height, loop)
        shift = _shift(point, roll, height, clearance, contact, fps, loop_offset)
        if bone.endswith("Hand"):
            # A hand beside a lying figure need not touch; pulled down it would press the arm into the floor.
            shift[:, 2] = np.maximum(shift[:, 2], 0.0)
        shifted = point + shift
        positions[bone] = _within_reach(
            world.xpos[:, ids[bone]],
            shifted - rotation.apply(anchor),
            world.xpos[:, ids[bone.replace("Foot", "UpperLeg").replace("Hand", "UpperArm")]],
            _limb_length(body, bone),
        )
    return Targets(fps, positions, rotations, loop)


def _within_reach(before: np.ndarray, after: np.ndarray, base: np.ndarray, length: float) -> np.ndarray:
    """``after`` (T, 3) no farther from ``base`` than a slightly bent limb reaches, or than ``before`` was.

    A limb that is pulled straight snaps: close to its full length a millimetre costs ten degrees.
    """
    reach = np.maximum(np.linalg.norm(before - base, axis=-1), _REACH * length)
    distance = np.linalg.norm(after - base, axis=-1)
    return base + (after - base) * np.minimum(1.0, reach / distance)[:, None]


def _limb_length(body: Body, end: str) -> float:
    """Metres from the hip to the ankle, or from the shoulder to the wrist, of the straight limb."""
    lower = end.replace("Foot", "LowerLeg").replace("Hand", "LowerArm")
    return float(sum(np.linalg.norm(body.model.body(body.bones[bone]).pos) for bone in (lower, end)))


def _flatten(rotation: Rotation, contact: np.ndarray, fps: float, loop: bool) -> Rotation:
    """Feet that stand nearly flat, laid flat without a turn about z."""
    up = rotation.apply([0.0, 0.0, 1.0])
    axis = np.cross(up, [0.0, 0.0, 1.0])
    sine = np.linalg.norm(axis, axis=-1)
    tilt = np.arctan2(sine, up[:, 2])
    amount = _smooth(contact * (1.0 - smoothstep(tilt, *_FLAT_TILT)), 0.03 * fps, loop)
    return Rotation.from_rotvec((amount * tilt / np.maximum(sine, 1e-9))[:, None] * axis) * rotation


def _rolling(quaternions: np.ndarray, radius: np.ndarray, loop: bool) -> np.ndarray:
    """Steps (T, 2) in m of a point at height ``radius`` (T,) in a part that rolls without slipping.

    A foot that leaves over its toes turns about their tips: were its ball held still, the tips would slide.
    Step t leads from frame t - 1 to t.
    """
    rotation = _rotation(quaternions)
    before = _rotation(np.roll(quaternions, 1, axis=0))
    turn = (rotation * before.inv()).as_rotvec()
    if not loop:
        turn[0] = 0.0
    return np.stack([turn[:, 1] * radius, -turn[:, 0] * radius], axis=-1)


def _shift(
    point: np.ndarray,
    roll: np.ndarray,
    height: np.ndarray,
    clearance: np.ndarray,
    contact: np.ndarray,
    fps: float,
    loop_offset: np.ndarray | None,
) -> np.ndarray:
    """Displacement (T, 3) that keeps the part of ``point`` on the floor during contacts, rolling by ``roll``.

    Between contacts the displacement passes smoothly from one to the next, and leaves the part's lowest
    point, at ``height`` (T,) before, at least ``clearance`` (T,) above the floor.
    """
    loop, frames = loop_offset is not None, len(point)
    if not contact.any():
        return np.zeros((frames, 3)) + np.maximum(0.0, clearance - height)[:, None] * [0.0, 0.0, 1.0]
    cycles = np.array([-1, 0, 1]) if loop else np.array([0])
    offset = loop_offset if loop_offset is not None else np.zeros(3)
    points = np.concatenate([point + c * offset for c in cycles])
    heights, contacts = np.tile(height, len(cycles)), np.tile(contact, len(cycles))
    clear = np.tile(np.where(contact, 0.0, clearance), len(cycles))
    rolled = np.cumsum(np.tile(roll, (len(cycles), 1)), axis=0)
    held = np.zeros((len(points), 3))
    for start, stop in intervals(contacts):
        slide = points[start:stop, :2] - rolled[start:stop]
        held[start:stop, :2] = slide.mean(axis=0) - slide
    held[:, 2] = -heights
    times = np.flatnonzero(contacts)
    if len(times) > 1:
        shift = PchipInterpolator(times, held[times])(np.clip(np.arange(len(points)), times[0], times[-1]))
    else:
        shift = np.repeat(held[times], len(points), axis=0)
    shift[:, 2] = np.maximum(shift[:, 2], clear - heights)
    shift[:, :2] = _eased(points[:, :2] + shift[:, :2], contacts, fps) - points[:, :2]
    shift = gaussian_filter1d(shift, 0.015 * fps, axis=0, mode="nearest")
    middle = frames if loop else 0
    return shift[middle : middle + frames]


def _eased(path: np.ndarray, held: np.ndarray, fps: float) -> np.ndarray:
    """``path`` (T, 2) without jerks between the frames where it is ``held`` (T,): sources splice steps.

    Whittaker's smoother: least squares of the change and of the second differences, cut off at
    ``_SWING_CUTOFF``.
    """
    frames = len(path)
    second = diags_array([1.0, -2.0, 1.0], offsets=[0, 1, 2], shape=(frames - 2, frames))
    stiffness = (fps / (2.0 * np.pi * _SWING_CUTOFF)) ** 4
    system = csc_array(eye_array(frames) + stiffness * second.T @ second)
    free = ~held
    if not free.any():
        return path
    right = path[free] - system[free][:, held] @ path[held]
    eased = path.copy()
    eased[free] = spsolve(system[free][:, free], right).reshape(-1, 2)
    return eased


def _steady(contact: np.ndarray, shortest: int, loop: bool) -> np.ndarray:
    """Contacts without gaps and without flickers of fewer than ``shortest`` frames."""
    pad = len(contact) if loop else 0
    mask = np.pad(contact, pad, mode="wrap") if loop else contact.copy()
    for value in (False, True):
        for start, stop in intervals(mask == value):
            if stop - start < shortest and start > 0 and stop < len(mask):
                mask[start:stop] = not value
    return mask[pad : pad + len(contact)]


def _rate(point: np.ndarray, fps: float, loop_offset: np.ndarray | None) -> np.ndarray:
    """Velocity (T, 3) of a path (T, 3) by central differences, across the seam of a loop."""
    if loop_offset is None:
        return np.gradient(point, 1.0 / fps, axis=0)
    padded = np.concatenate([point[-1:] - loop_offset, point, point[:1] + loop_offset])
    return (padded[2:] - padded[:-2]) * (0.5 * fps)


def _rotation(quaternions: np.ndarray) -> Rotation:
    return Rotation.from_quat(quaternions, scalar_first=True)


def _smooth(values: np.ndarray, frames: float, loop: bool) -> np.ndarray:
    return gaussian_filter1d(values, frames, mode="wrap" if loop else "nearest")
