"""Feet and hands that hold the floor: flat where they support the figure, still while they do.

Sources end at the wrist and at a rigid foot, and their stances slide, more so on limbs of other
proportions.  Each stance is anchored at one point of the floor, and the limbs are solved again.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import binary_dilation
from scipy.sparse import csc_array, diags_array, eye_array
from scipy.sparse.linalg import spsolve
from scipy.spatial.transform import Rotation

from synthjax.bodies import Body
from synthjax.motion.feet import SIDES, bend_ends, held_orientations, path_rate, turning_about_heel
from synthjax.motion.ground import flights, floor_level, intervals, lowest_points
from synthjax.motion.inverse import refine
from synthjax.motion.kinematics import forward_kinematics
from synthjax.motion.rolling import rolling, rolling_foot
from synthjax.motion.seam import smoothstep
from synthjax.motion.stances import steady
from synthjax.motion.straight_legs import limb_length, with_feet_of, within_reach, without_snaps
from synthjax.motion.targets import Targets

_CONTACT_HEIGHT = 0.03  # m, of a hand
_HAND_SPEED = 0.5  # m/s, a faster hand does not stand, in however slippery a source
# A foot that moves must clear the floor: a policy that follows feet which scrape along it slides, too.
_CLEARANCE = 0.02  # m
_CLEAR_SPEED = (0.2, 0.8)  # m/s, no clearance below, all of it above
_LEAST_CLEARANCE, _LEAST_SPEED = 0.01, (0.05, 0.2)  # m and m/s, of a foot that slides instead of standing
_SWING_CUTOFF = 10.0  # Hz, of the path of a foot or hand between two contacts
_LOCK = 0.02  # s, by which a foot stands still before it touches the floor, and after it has left it
_SHORTEST = 0.05  # s, of a hand's contact or of a gap between two
_UNREACHED = 0.01  # m, a foot that is left so high does not stand
_SETTLED = 2  # rounds after which that is judged
_ROUNDS = 4


def plant(
    body: Body,
    qpos: np.ndarray,
    fps: float,
    loop_offset: np.ndarray | None,
    stances: Mapping[str, np.ndarray],
    pivots: Mapping[str, np.ndarray],
    hand_speed: float,
) -> np.ndarray:
    """``qpos`` (T, nq) lowered onto the floor (z = 0), with its stances anchored.

    Later rounds take up what the first one left: turning a sole moves its lowest point.

    Args:
      body: whose motion it is.
      qpos: hands and toes bent already.
      fps: frames a second.
      loop_offset: (3,) of a loop.
      stances: foot -> (T, 2) bool, whether its heel and its ball stand.
      pivots: foot -> (T,) from 0 to 1, how far it pivots there.
      hand_speed: m/s, a hand near the floor that is slower stands.
    """
    loop = loop_offset is not None
    unsupported = _unsupported(body, qpos, fps, loop, stances)
    qpos = _lowered(body, qpos, fps, loop, unsupported)
    heels = turning_about_heel(body, qpos, fps, loop_offset, stances)
    feet = held_orientations(body, qpos, fps, loop, stances, pivots, heels)
    for turn in range(_ROUNDS):
        if turn >= _SETTLED:
            stances = _reached(body, qpos, stances)
        targets = _planted_targets(body, qpos, fps, loop_offset, stances, feet, hand_speed)
        qpos = bend_ends(body, refine(body, targets, qpos), fps, loop, ("Toes",))
        qpos = _lowered(body, qpos, fps, loop, unsupported)
    smoothed = _lowered(body, without_snaps(body, qpos, fps, loop_offset), fps, loop, unsupported)
    return with_feet_of(body, qpos, smoothed, fps, loop=loop)


def _reached(body: Body, qpos: np.ndarray, stances: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """``stances`` that the legs reach: others, lowered in each round, would pull their swings down."""
    lowest, out = lowest_points(body, qpos), {}
    for foot, ends in stances.items():
        parts = [body.bones[bone] for bone in (foot, foot.replace("Foot", "Toes")) if bone in body.bones]
        height = lowest[:, body.body_ids(tuple(parts))].min(axis=-1)
        out[foot] = ends & (height < _UNREACHED)[:, None]
    return out


def _unsupported(
    body: Body, qpos: np.ndarray, fps: float, loop: bool, stances: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Frames (T,) bool whose lowest point tells nothing of the floor: flights, and feet that only pass."""
    feet = np.isin(lowest_points(body, qpos).argmin(axis=-1), body.body_ids(body.feet))
    stands = np.any([*stances.values()], axis=(0, 2))
    flight = flights(body, qpos, fps, loop, edge=0.0)  # the stances say when the feet leave and land
    unsupported = (flight | feet) & ~stands
    return flight if unsupported.all() else unsupported


def _lowered(body: Body, qpos: np.ndarray, fps: float, loop: bool, unsupported: np.ndarray) -> np.ndarray:
    out = qpos.copy()
    out[:, 2] -= floor_level(body, qpos, fps, loop, unsupported)
    return out


def _planted_targets(
    body: Body,
    qpos: np.ndarray,
    fps: float,
    loop_offset: np.ndarray | None,
    stances: Mapping[str, np.ndarray],
    feet: Mapping[str, Rotation],
    hand_speed: float,
) -> Targets:
    model = body.model
    loop = loop_offset is not None
    world = forward_kinematics(model, qpos, np.zeros((len(qpos), model.nv)))
    lowest = lowest_points(body, qpos)
    ids = {bone: model.body(name).id for bone, name in body.bones.items()}
    positions = {"Hips": world.xpos[:, ids["Hips"]]}
    rotations = {bone: _rotation(world.xquat[:, ids[bone]]) for bone in ("Hips", "UpperChest", "Head")}
    rotations |= feet
    for bone in (f"{side}{end}" for side in SIDES for end in ("Foot", "Hand")):
        rotation = rotations[bone] if bone in feet else _rotation(world.xquat[:, ids[bone]])
        toes = ids.get(bone.replace("Foot", "Toes"), ids[bone])
        # The ball of the foot or the palm: what stands still while heel and wrist may turn about it.
        anchor = model.body_pos[toes] if toes != ids[bone] else model.body_ipos[toes]
        point = world.xpos[:, ids[bone]] + rotation.apply(anchor)
        height = np.minimum(lowest[:, ids[bone]], lowest[:, toes])
        speed = np.linalg.norm(path_rate(point, fps, loop_offset)[:, :2], axis=-1)
        if bone in feet:
            contact = np.asarray(stances[bone].any(axis=-1))
            clearance = np.maximum(
                _CLEARANCE * smoothstep(speed, *_CLEAR_SPEED),
                _LEAST_CLEARANCE * smoothstep(speed, *_LEAST_SPEED),
            )
            end = bone.replace("Foot", "Toes") if toes != ids[bone] else bone
            bent = _rotation(world.xquat[:, ids[bone]]).inv() * _rotation(world.xquat[:, toes])
            # Outside a stance toes swing freely.
            roll = rolling_foot(body, (bone, end), (rotation, rotation * bent), anchor, contact, loop)
        else:
            contact = (height < _CONTACT_HEIGHT) & (speed < min(hand_speed, _HAND_SPEED))
            contact = steady(contact, round(_SHORTEST * fps), loop)
            clearance = np.zeros(len(qpos))
            roll = rolling(rotation, (point[:, 2] - height)[:, None] * [0.0, 0.0, 1.0], loop)
        shift = _shift(point, roll, height, clearance, contact, fps, loop_offset)
        if bone not in feet:
            # A hand beside a lying figure need not touch; pulled down it would press the arm into the floor.
            shift[:, 2] = np.maximum(shift[:, 2], 0.0)
        positions[bone] = within_reach(
            world.xpos[:, ids[bone]],
            point + shift - rotation.apply(anchor),
            world.xpos[:, ids[bone.replace("Foot", "UpperLeg").replace("Hand", "UpperArm")]],
            limb_length(body, bone),
        )
    return Targets(fps, positions, rotations, loop)


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
    locked = binary_dilation(contacts, iterations=max(1, round(_LOCK * fps)))
    held = np.zeros((len(points), 2))
    for start, stop in intervals(locked):
        slide = points[start:stop, :2] - rolled[start:stop]
        held[start:stop] = slide[contacts[start:stop]].mean(axis=0) - slide
    along = _between(held, locked)
    path = _eased(points[:, :2] + along, locked, fps) - points[:, :2]
    up = np.maximum(_between(-heights[:, None], contacts), (clear - heights)[:, None])
    middle = frames if loop else 0
    return np.concatenate([path, up], axis=-1)[middle : middle + frames]


def _between(values: np.ndarray, held: np.ndarray) -> np.ndarray:
    """``values`` (T, K) where they are ``held`` (T,), passing from one to the next without overshoot."""
    times = np.flatnonzero(held)
    if len(times) == 1:
        return np.repeat(values[times], len(values), axis=0)
    inside = np.clip(np.arange(len(values)), times[0], times[-1])
    return np.asarray(PchipInterpolator(times, values[times])(inside))


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


def _rotation(quaternions: np.ndarray) -> Rotation:
    return Rotation.from_quat(quaternions, scalar_first=True)
