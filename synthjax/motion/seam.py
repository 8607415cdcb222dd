"""Continuity of trajectories: loops closed in position and in velocity, jerks smoothed away."""

from __future__ import annotations

import itertools

import mujoco
import numpy as np
from scipy.ndimage import gaussian_filter1d

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
    frames, dt = len(qpos) - 1, 1.0 / fps
    offset = (qpos[-1, :3] - qpos[0, :3]) * np.array([1.0, 1.0, 0.0])
    goal = qpos[0].copy()
    goal[:3] += offset
    mismatch = differentiate(model, qpos[-1], goal, 1.0)
    share = np.arange(frames + 1) / frames - 0.5
    closed = displace(model, qpos, share[:, None] * mismatch)

    # One-sided second-order differences at both ends.
    steps = [differentiate(model, a, b, dt) for a, b in itertools.pairwise(closed)]
    jump = (1.5 * steps[0] - 0.5 * steps[1]) - (1.5 * steps[-1] - 0.5 * steps[-2])
    closed = closed[:-1]
    distance = np.minimum(np.arange(frames), frames - np.arange(frames)) * dt
    half = min(_BLEND, 0.5 * frames * dt)
    bump = 0.25 * half * np.maximum(0.0, 1.0 - distance / half) ** 2
    return displace(model, closed, bump[:, None] * jump), offset


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
