"""Seconds in control steps, of the nominal length or of a world's own."""

from __future__ import annotations

from typing import overload

import jax
import jax.numpy as jnp

MOST_STEPS = 2**30


@overload
def steps_in(seconds: float, control_dt: float) -> int: ...


@overload
def steps_in(seconds: float, control_dt: jax.Array) -> jax.Array: ...


def steps_in(seconds: float, control_dt: float | jax.Array) -> int | jax.Array:
    """Whole control steps of ``control_dt`` s in ``seconds``; int32 () for a traced length.

    At least one, and at most what int32 can count with room to spare: an endless life has so many.
    """
    steps = seconds / control_dt
    if isinstance(steps, float):
        return round(min(max(steps, 1.0), MOST_STEPS))
    return jnp.clip(jnp.round(steps), 1.0, MOST_STEPS).astype(jnp.int32)
