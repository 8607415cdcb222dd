"""How an agent comes to rest towards the end of a run."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def settling_factor(updates: jax.Array, num_updates: int | None, start: float, end: float) -> jax.Array:
    """What a step size is multiplied with, () after so many ``updates`` ().

    Where the gradient is all noise, steps of one length make a policy wander: from the share ``start`` of
    ``num_updates`` on the factor shrinks exponentially from 1 to ``end``, where it stays.
    """
    if num_updates is None:
        return jnp.ones(())
    share = jnp.clip((updates / num_updates - start) / (1.0 - start), 0.0, 1.0)
    return end**share
