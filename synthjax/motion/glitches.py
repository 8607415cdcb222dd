"""Faults of a recording that a retargeted clip no longer shows: frames that are held, and bones that jump."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.spatial.transform import Rotation

from synthjax.motion.ground import intervals
from synthjax.motion.skeleton import SkeletonMotion

_SAME = 1e-7  # m and rad, closer poses are the same frame
_HELD = 0.2  # s, a longer rest may be meant
_MOVING = 0.05  # m/s, mean over the bones, before and after a frame that is held
# A jump is at least so far from the median of the steps around it, in m and rad, and asks for so much
# acceleration, in m/s² and rad/s²: at few frames a second steps differ without a fault.
_LEAST = (0.05, np.radians(30.0))
_ACCELERATION = (100.0, 1000.0)
_AROUND = 2  # steps before and after
_FAR = 4.0  # times the median distance from that median


@dataclasses.dataclass(frozen=True)
class Glitches:
    """How often each occurs in a motion of so many ``frames``."""

    frames: int
    held: int  # frames that equal the one before them, while the figure moves before and after
    jumps: int  # frames, or neighbouring ones, to which a bone jumps; out and back counts once
    first: str  # the first jump, for people; empty if there is none

    @property
    def words(self) -> str:
        """What was found, for people; empty if nothing was."""
        held = f"{self.held} of {self.frames} frames repeat the one before" if self.held else ""
        jumps = f"{self.jumps} jump{'' if self.jumps == 1 else 's'}, the first of {self.first}"
        return "; ".join(part for part in (held, jumps if self.jumps else "") if part)


def find_glitches(motion: SkeletonMotion) -> Glitches:
    """The frames of ``motion`` that are held, and those to which a bone jumps.

    A jump is a step or a turn that stands out from those around it by Hampel's rule: it is farther from their
    median than so many times their median distance from it.  Whoever strikes or lands is fast, or slow from
    then on, for more than one frame.
    """
    steps, turns = np.diff(motion.positions, axis=0), _turns(motion.rotations)
    least = np.maximum(_LEAST, np.array(_ACCELERATION) / motion.fps**2)
    jumped = _outliers(steps, least[0]) | _outliers(turns, least[1])
    jumps = intervals(jumped.any(axis=-1))
    first = ""
    if jumps:
        frame = jumps[0][0]
        first = f"{motion.bones[int(jumped[frame].argmax())]} at {(frame + 1) / motion.fps:.2f} s"
    return Glitches(len(motion.positions), _held(steps, turns, motion.fps), len(jumps), first)


def _turns(quats: np.ndarray) -> np.ndarray:
    """Rotation vectors (T - 1, B, 3) from each frame to the next, rad."""
    frames = [Rotation.from_quat(part.reshape(-1, 4), scalar_first=True) for part in (quats[:-1], quats[1:])]
    return np.asarray((frames[0].inv() * frames[1]).as_rotvec().reshape(-1, quats.shape[1], 3))


def _outliers(steps: np.ndarray, least: float) -> np.ndarray:
    """Which of ``steps`` (T - 1, B, 3) stand out from those around them, and by at least so much, bool."""
    out = np.zeros(steps.shape[:2], dtype=bool)
    for bone in range(steps.shape[1]):  # one by one, as the windows take five times the memory
        padded = np.pad(steps[:, bone], ((_AROUND, _AROUND), (0, 0)), mode="reflect")
        window = np.lib.stride_tricks.sliding_window_view(padded, 2 * _AROUND + 1, axis=0)  # (T - 1, 3, 5)
        apart = np.linalg.norm(window - np.median(window, axis=-1, keepdims=True), axis=1)
        own = apart[:, _AROUND]
        out[:, bone] = (own > least) & (own > _FAR * np.median(apart, axis=-1))
    return out


def holds(same: np.ndarray, fps: float) -> list[tuple[int, int]]:
    """Half-open ranges of steps that lead to the same frame (T - 1,) bool: short ones, with others around."""
    return [
        (start, stop)
        for start, stop in intervals(same)
        if start > 0 and stop < len(same) and stop - start <= _HELD * fps
    ]


def _held(steps: np.ndarray, turns: np.ndarray, fps: float) -> int:
    lengths = np.linalg.norm(steps, axis=-1)
    moving = lengths.mean(axis=-1) * fps > _MOVING
    same = np.maximum(lengths, np.linalg.norm(turns, axis=-1)).max(axis=-1) < _SAME
    return sum(stop - start for start, stop in holds(same, fps) if moving[[start - 1, stop]].all())
