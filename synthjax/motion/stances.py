"""When the feet of a source stand, heel and ball apart, judged at the size of the body.

What stands is the point of the sole that bears: a runner's ankle passes over a standing ball at a metre
a second.  So the body's sole is carried by the source's ankle and by the orientation of its foot.
Limbs of other proportions have not moved it yet, as they will in the retargeted motion.
"""

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import numpy as np
from scipy.ndimage import binary_erosion, gaussian_filter1d
from scipy.spatial.transform import Rotation

from synthjax.bodies import Body
from synthjax.motion.ground import ground_geoms, intervals, surface_points
from synthjax.motion.seam import smoothstep
from synthjax.motion.skeleton import SkeletonMotion
from synthjax.motion.targets import body_scale, resample_motion

FEET = ("LeftFoot", "RightFoot")
_SOLE = 0.02  # m above the lowest point of a foot in the rest pose
_FLOOR = 10.0  # percentile of the heights of slow soles
_HEIGHT = (0.03, 0.045)  # m over the floor, for a stance to begin and to end
_FASTER = 1.5  # times the speed below which a stance begins, it ends
_UPRIGHT = 0.3  # cosine between the foot and the vertical; the feet of a crawling figure lie on their backs
_SHORTEST = 0.05  # s, of a stance or of a gap between two
_SLIDES = 0.3  # m/s, a foot that slides faster does not hold the floor if the other one does
_SLIDE_SMOOTHING = 0.03  # s, standard deviation, of that speed
_HANDOVER = 0.03  # s, by which the other one stands before and after
_PIVOT = np.radians(30.0)  # a foot that turns farther in one stance pivots
_PIVOT_RATE = (0.2, 0.6)  # rad/s, at which it begins to, and wholly does


def find_stances(motion: SkeletonMotion, body: Body, fps: float) -> dict[str, np.ndarray]:
    """Foot -> (T, 2) bool, whether its heel and its ball stand, at ``fps`` and with both ends of the motion.

    A stance begins and ends at two heights and two speeds of its own, so that noise does not split it.
    """
    soles, rotations = sole_paths(motion, body, fps)
    height, speed = {}, {}
    for foot, sole in soles.items():
        height[foot] = sole[..., 2]
        speed[foot] = np.linalg.norm(np.gradient(sole, 1.0 / fps, axis=0)[..., :2], axis=-1)
    slow = np.concatenate(
        [height[foot].min(axis=-1)[speed[foot].min(axis=-1) < motion.stance_speed] for foot in FEET]
    )
    floor = float(np.percentile(slow, _FLOOR)) if len(slow) else 0.0
    stances = {}
    for foot in FEET:
        upright = rotations[foot].apply([0.0, 0.0, 1.0])[:, 2:] > _UPRIGHT
        begin, go_on = (
            upright & (height[foot] < floor + most) & (speed[foot] < times * motion.stance_speed)
            for most, times in zip(_HEIGHT, (1.0, _FASTER), strict=True)
        )
        ends = [hysteresis(begin[:, i], go_on[:, i]) for i in (0, 1)]
        stances[foot] = np.stack([steady(end, round(_SHORTEST * fps), loop=False) for end in ends], axis=-1)
    return stances


def holding(
    stances: Mapping[str, np.ndarray], soles: Mapping[str, np.ndarray], fps: float
) -> dict[str, np.ndarray]:
    """``stances`` without what slides past a foot that holds the floor better.

    Of two feet that slide only one can be held without pulling the figure apart; the other one is lifted.
    ``soles`` are the paths of :func:`sole_paths` without drift (:mod:`synthjax.motion.drift`).
    """
    slides = {}
    for foot, ends in stances.items():
        speed = np.linalg.norm(np.gradient(soles[foot], 1.0 / fps, axis=0)[..., :2], axis=-1)
        speed = gaussian_filter1d(speed, _SLIDE_SMOOTHING * fps, axis=0, mode="nearest")
        slides[foot] = np.where(ends, speed, np.inf).min(axis=-1)
    shortest = round(_SHORTEST * fps)
    held = {}
    for foot, other in (FEET, FEET[::-1]):
        stands = binary_erosion(
            stances[other].any(axis=-1), iterations=max(1, round(_HANDOVER * fps)), border_value=1
        )
        lifted = stands & (slides[foot] > _SLIDES) & (slides[foot] > slides[other])
        ends = stances[foot] & ~steady(lifted, shortest, loop=False)[:, None]
        held[foot] = np.stack([steady(end, shortest, loop=False) for end in ends.T], axis=-1)
    return held


def pivoting(
    stances: Mapping[str, np.ndarray], rotations: Mapping[str, Rotation], fps: float
) -> dict[str, np.ndarray]:
    """Foot -> (T,) from 0, where it does not turn, to 1, where it pivots on the floor.

    ``rotations`` are those of the source (:func:`sole_paths`): the closing of a loop turns feet, too.
    """
    pivots = {}
    for foot, ends in stances.items():
        yaw = headings(rotations[foot])
        turns = smoothstep(np.abs(np.gradient(yaw, 1.0 / fps)), *_PIVOT_RATE)
        pivots[foot] = np.zeros(len(yaw))
        for start, stop in intervals(np.asarray(ends.any(axis=-1))):
            if np.ptp(yaw[start:stop]) > _PIVOT:
                pivots[foot][start:stop] = turns[start:stop]
    return pivots


def headings(rotation: Rotation) -> np.ndarray:
    """Where the x axis of T orientations points on the floor, (T,) rad without jumps."""
    ahead = rotation.apply([1.0, 0.0, 0.0])
    return np.asarray(np.unwrap(np.arctan2(ahead[:, 1], ahead[:, 0])))


def sole_paths(
    motion: SkeletonMotion, body: Body, fps: float
) -> tuple[dict[str, np.ndarray], dict[str, Rotation]]:
    """Foot -> paths (T, 2, 3) in m of heel and ball at the size of ``body``, and T orientations."""
    points, rotations = resample_motion(motion, fps, FEET)
    scale = body_scale(motion, body)
    paths = {}
    for foot in FEET:
        ends = [scale * points[foot] + rotations[foot].apply(end) for end in sole_ends(body, foot)]
        paths[foot] = np.stack(ends, axis=1)
    return paths, rotations


def sole_ends(body: Body, foot: str) -> list[np.ndarray]:
    """Heel and ball in the axes of the foot, m; the ball is below the joint of the toes, or the tip."""
    model, data = body.model, mujoco.MjData(body.model)
    mujoco.mj_kinematics(model, data)
    toes = body.bones.get(foot.replace("Foot", "Toes"))
    parts = [model.body(name).id for name in (body.bones[foot], toes) if name is not None]
    surface = [surface_points(model, data, g) for g in ground_geoms(body) if model.geom_bodyid[g] in parts]
    if not surface:
        return [np.zeros(3)] * 2
    points = np.concatenate(surface) - data.xpos[parts[0]]
    sole = points[points[:, 2] < points[:, 2].min() + _SOLE]
    ball = sole[:, 0].max() if toes is None else data.xpos[parts[1], 0] - data.xpos[parts[0], 0]
    return [np.array([x, sole[:, 1].mean(), sole[:, 2].min()]) for x in (sole[:, 0].min(), ball)]


def hysteresis(begin: np.ndarray, go_on: np.ndarray) -> np.ndarray:
    """(T,) bool: from the first ``begin`` (T,) in each stretch of ``go_on`` (T,) to its end."""
    out = np.zeros(len(begin), dtype=bool)
    for start, stop in intervals(go_on):
        if begin[start:stop].any():
            out[start + int(begin[start:stop].argmax()) : stop] = True
    return out


def steady(contact: np.ndarray, shortest: int, loop: bool) -> np.ndarray:
    """Contacts (T,) without gaps and without flickers of fewer than ``shortest`` frames."""
    pad = len(contact) if loop else 0
    mask = np.pad(contact, pad, mode="wrap") if loop else contact.copy()
    for value in (False, True):
        for start, stop in intervals(mask == value):
            if stop - start < shortest and start > 0 and stop < len(mask):
                mask[start:stop] = not value
    return mask[pad : pad + len(contact)]
