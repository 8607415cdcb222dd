"""Continuity of trajectories: loops closed in position and in velocity, jerks smoothed away."""

from __future__ import annotations

import itertools

import mujoco
import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from synthjax.motion.kinematics import differentiate

# Half of the time over which a velocity jump at the seam is blended away (s).
_BLEND = 0.15


def close_cycle(model: mujoco.MjModel, qpos: np.ndarray, fps: float) -> tuple[np.ndarray, np.ndarray]:
    """One cycle (T, nq) without its closing frame, and the root's displacement per cycle (3,).

    ``qpos`` (T + 1, nq) ends with the closing frame.  What keeps the last frame from being the first
    one moved in xy is spread evenly over the cycle.  The velocity jump that is left at the seam is
    taken out by a bump c(t) of half width h, c = jump h/4 (1 - |t|/h)^2, whose slope jumps by
    -jump at t = 0 and which meets zero smoothly: half of the jump is borne by either side.
    """
    offset = (qpos[-1, :3] - qpos[0, :3]) * np.array([1.0, 1.0, 0.0])
    goal = qpos[0].copy()
    goal[:3] += offset
    mismatch = differentiate(model, qpos[-1], goal, 1.0)
    closed = displace(model, qpos, _share(len(qpos)) * mismatch)
    steps = np.stack([differentiate(model, a, b, 1.0 / fps) for a, b in itertools.pairwise(closed)])
    return displace(model, closed, _bump(len(qpos), fps) * _jump(steps))[:-1], offset


def close_path(path: np.ndarray, fps: float) -> np.ndarray:
    """``path`` (T + 1, K) closed as by :func:`close_cycle`: its last row becomes the first one."""
    closed = path + _share(len(path)) * (path[0] - path[-1])
    return np.asarray(closed + _bump(len(path), fps) * _jump(np.diff(closed, axis=0) * fps))


def close_turns(rotation: Rotation, fps: float) -> Rotation:
    """T + 1 orientations closed as by :func:`close_cycle`: the last one becomes the first one."""
    frames = len(rotation)
    closed = rotation * Rotation.from_rotvec(_share(frames) * (rotation[-1].inv() * rotation[0]).as_rotvec())
    steps = (closed[:-1].inv() * closed[1:]).as_rotvec() * fps
    return closed * Rotation.from_rotvec(_bump(frames, fps) * _jump(steps))


def _share(frames: int) -> np.ndarray:
    """(T + 1, 1) of what is spread over a cycle, its closing frame included."""
    return np.linspace(-0.5, 0.5, frames)[:, None]


def _jump(steps: np.ndarray) -> np.ndarray:
    """(K,) velocity at the start less that at the end, by one-sided differences of ``steps`` (T, K)."""
    return np.asarray((1.5 * steps[0] - 0.5 * steps[1]) - (1.5 * steps[-1] - 0.5 * steps[-2]))


def _bump(frames: int, fps: float) -> np.ndarray:
    """(T + 1, 1) seconds by which a velocity jump at the seam displaces."""
    distance = np.minimum(np.arange(frames), np.arange(frames)[::-1]) / fps
    half = min(_BLEND, 0.5 * (frames - 1) / fps)
    return np.asarray(0.25 * half * np.maximum(0.0, 1.0 - distance / half)[:, None] ** 2)


def displace(model: mujoco.MjModel, qpos: np.ndarray, tangent: np.ndarray) -> np.ndarray:
    """``qpos`` (T, nq) displaced by ``tangent`` (T, nv) on the configuration manifold."""
    out = qpos.copy()
    for q, v in zip(out, tangent, strict=True):
        mujoco.mj_integratePos(model, q, v, 1.0)
    return out


def smooth(qpos: np.ndarray, frames: float, loop_offset: np.ndarray | None) -> np.ndarray:
    """``qpos`` (T, nq) under a Gaussian of standard deviation ``frames``, across the seam of a loop."""
    out = qpos.copy()
    turn = np.where((qpos[1:, 3:7] * qpos[:-1, 3:7]).sum(axis=-1) < 0.0, -1.0, 1.0)
    out[1:, 3:7] *= np.cumprod(turn)[:, None]
    if loop_offset is None:
        out = gaussian_filter1d(out, frames, axis=0, mode="nearest")
    else:
        before, after = out.copy(), out.copy()
        before[:, :3] -= loop_offset
        after[:, :3] += loop_offset
        # After a whole turn per cycle the same orientation comes back with the other sign.
        seam = 1.0 if out[-1, 3:7] @ out[0, 3:7] >= 0.0 else -1.0
        before[:, 3:7] *= seam
        after[:, 3:7] *= seam
        out = gaussian_filter1d(np.concatenate([before, out, after]), frames, axis=0)[
            len(qpos) : 2 * len(qpos)
        ]
    out[:, 3:7] /= np.linalg.norm(out[:, 3:7], axis=-1, keepdims=True)
    return out


def smoothstep(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """From 0 at ``low`` to 1 at ``high`` with no slope at either, of any shape."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)
