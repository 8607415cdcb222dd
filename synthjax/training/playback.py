"""What a policy did, as poses, and poses at a video's frame rate."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np

VIDEO_FPS = 60.0


@dataclasses.dataclass(frozen=True)
class Recording:
    """One episode or attempt, after every control step."""

    name: str
    qpos: np.ndarray  # (T, nq)
    rate: float  # control steps a second


def captions(name: str, frames: int) -> list[str]:
    """What to write on ``frames`` frames at :data:`VIDEO_FPS`: what they show, and since how long."""
    return [f"{name}, {frame / VIDEO_FPS:.1f} s" for frame in range(frames)]


def resample(model: mujoco.MjModel, qpos: np.ndarray, rate: float) -> np.ndarray:
    """``qpos`` (T, nq) at ``rate`` per second, at :data:`VIDEO_FPS` instead.

    Poses between two control steps are interpolated on the configuration manifold.
    """
    qpos = qpos.astype(np.float64)
    times = np.arange(int((len(qpos) - 1) / rate * VIDEO_FPS)) / VIDEO_FPS
    step = np.zeros(model.nv)
    result = np.empty((len(times), qpos.shape[1]))
    for i, time in enumerate(times):
        first = int(time * rate)
        mujoco.mj_differentiatePos(model, step, 1.0, qpos[first], qpos[first + 1])
        result[i] = qpos[first]
        mujoco.mj_integratePos(model, result[i], step, time * rate - first)
    return result
