"""Where a motion comes back to its start: the part of it that makes the cleanest loop."""

from __future__ import annotations

import dataclasses

import numpy as np

from synthjax.motion.skeleton import SkeletonMotion

_SHORTEST, _LONGEST = 0.4, 12.0  # s
_FRAMES = 3000  # that are looked at; of longer motions every second one, third one and so on
_AHEAD = 0.1  # s, weight of velocities against places: how far the ends are apart this much later
_CLEAN = 0.06  # m, between the ends so weighted; leg lengths are brought to that of a grown-up
_HEADING = np.radians(15.0)  # that a loop, which comes back to its heading, may have turned
_AWAY = 3.0  # times as far as its ends are from one another a loop goes from its start
_LONGER = 1.15  # times the smallest seam, up to which a shorter loop is taken
_LEG = 0.85  # m


@dataclasses.dataclass(frozen=True)
class Cycle:
    """Frames ``start`` to ``end`` of a motion, the last being the first one moved along the floor."""

    start: int
    end: int
    apart: float  # m, mean distance of the bones at both ends
    slower: float  # m/s, mean difference of their velocities

    def words(self, fps: float) -> str:
        part = f"{self.start / fps:.2f} to {self.end / fps:.2f} s"
        return f"{part}; its ends are {1000.0 * self.apart:.0f} mm and {self.slower:.2f} m/s apart"


def find_cycle(motion: SkeletonMotion) -> Cycle | None:
    """The part of ``motion`` whose ends differ least in pose and velocity; None if none is clean.

    Poses are places of the bones from the hips, seen along the heading (as in motion graphs, Kovar et al.
    2002), velocities those in the world seen so.  A shorter cycle is taken before a slightly cleaner one.
    """
    step = -(-len(motion.positions) // _FRAMES)
    fps = motion.fps / step
    pose, velocity, heading = _seen_along(motion, step)
    features = np.concatenate([pose, _AHEAD * velocity], axis=-1)
    count, bones = len(features), pose.shape[1] // 3
    best: list[tuple[float, int, int]] = []
    for lag in range(max(2, round(_SHORTEST * fps)), min(count, round(_LONGEST * fps) + 1)):
        seam = np.sqrt(np.square(features[lag:] - features[:-lag]).sum(axis=-1) / bones)
        turned = np.abs((heading[lag:] - heading[:-lag] + np.pi) % (2.0 * np.pi) - np.pi)
        seam[turned > _HEADING] = np.inf
        start = int(seam.argmin())
        if seam[start] < _CLEAN and _moves(pose[start : start + lag], seam[start], bones):
            best.append((float(seam[start]), start, start + lag))
    if not best:
        return None
    least = min(best)[0]
    _, start, end = next(found for found in best if found[0] <= _LONGER * least)
    ends = [np.sqrt(np.square(x[end] - x[start]).sum() / bones) for x in (pose, velocity)]
    return Cycle(start * step, end * step, float(ends[0]), float(ends[1]))


def _moves(pose: np.ndarray, seam: float, bones: int) -> bool:
    away = np.sqrt(np.square(pose - pose[0]).sum(axis=-1) / bones).max()
    return bool(away > _AWAY * seam)


def looped(motion: SkeletonMotion, cycle: Cycle) -> SkeletonMotion:
    """The frames of ``cycle`` as a loop with its closing frame."""
    part = slice(cycle.start, cycle.end + 1)
    return dataclasses.replace(
        motion, positions=motion.positions[part], rotations=motion.rotations[part], loop=True
    )


def _seen_along(motion: SkeletonMotion, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every ``step``-th frame's places (T, 3 B) m and velocities (T, 3 B) m/s, and heading (T,) rad."""
    at = {bone: motion.rest[i] for i, bone in enumerate(motion.bones)}
    leg = np.linalg.norm(at["LeftLowerLeg"] - at["LeftUpperLeg"]) + np.linalg.norm(
        at["LeftFoot"] - at["LeftLowerLeg"]
    )
    points = motion.positions[::step] * (_LEG / leg)
    velocity = np.gradient(points, step / motion.fps, axis=0)
    across = points[:, motion.index("LeftUpperLeg")] - points[:, motion.index("RightUpperLeg")]
    heading = np.unwrap(np.arctan2(-across[:, 0], across[:, 1]))
    hips = points[:, :1].copy()
    hips[..., 2] = 0.0  # how high they are belongs to the pose
    c, s = np.cos(heading)[:, None], np.sin(heading)[:, None]

    def seen(vectors: np.ndarray) -> np.ndarray:
        x, y, z = np.moveaxis(vectors, -1, 0)
        return np.stack([c * x + s * y, c * y - s * x, z], axis=-1).reshape(len(vectors), -1)

    return seen(points - hips), seen(velocity), heading
