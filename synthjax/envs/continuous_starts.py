"""Where lives begin: settled falls, frames of the get-up clips, and standing."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from synthjax.bodies import Body
from synthjax.envs.falls import settled_falls
from synthjax.envs.reset_table import pack
from synthjax.motion.clip import Clip


def start_table(
    body: Body, clips: list[Clip], falls: int, fallen_share: float, clip_share: float, seed: int
) -> tuple[jax.Array, jax.Array]:
    """Start states with their kinematics, so that a reset is a gather.

    Args:
      body: the body that lives.
      clips: its get-up clips; every frame is a start.
      falls: number of settled falls.
      fallen_share: of the starts that are falls.
      clip_share: of the starts that are frames; the others stand.
      seed: of the falls.

    Returns:
      Packed states (S, F), and the probability of each (S,).
    """
    model = body.model
    frames = [np.concatenate(rows) for rows in zip(*((c.qpos, c.qvel) for c in clips), strict=True)]
    frames[0][:, :2] = 0.0
    standing = body.standing_qpos[None], np.zeros((1, model.nv))
    parts = (
        (settled_falls(body, falls, seed), fallen_share),
        (frames, clip_share),
        (standing, max(0.0, 1.0 - fallen_share - clip_share)),  # rounding must not make it negative
    )
    rows = [pack(model, qpos, qvel) for (qpos, qvel), _ in parts]
    weights = [np.full(len(qpos), share / len(qpos)) for (qpos, _), share in parts]
    return jnp.asarray(np.concatenate(rows), jnp.float32), jnp.asarray(np.concatenate(weights))
