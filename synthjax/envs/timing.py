"""Seconds in control steps, of the nominal length or of a world's own."""

from __future__ import annotations

from typing import overload

import jax
import jax.numpy as jnp


@overload
def steps_in(seconds: float, control_dt: float) -> int: ...


@overload
def steps_in(seconds: float, control_dt: jax.Array) -> jax.Array: ...


def steps_in(seconds: float, control_dt: float | jax.Array) -> int | jax.Array:
    """Whole control steps of ``control_dt`` s in ``seconds``, at least one; int32 () for a traced length."""
    steps = seconds / control_dt
    if isinstance(steps, float):
        return max(1, round(steps))
    return jnp.maximum(1, jnp.round(steps).astype(jnp.int32))
