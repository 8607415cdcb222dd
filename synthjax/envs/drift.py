"""How far the body may drift from its reference: wide while episodes fail, narrow once they do not.

A runner that is a tenth too slow is half a metre behind after a second and a half, long before it has
learned to stay upright.  Ending the episode there would teach it nothing about falling; never ending
it would leave it anywhere.  So the limit follows success, as in MuscleMimic's termination curriculum.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class DriftConfig:
    """The limit on the root's horizontal distance from its reference."""

    widest: float = 0.6  # m, at first
    narrowest: float = 0.2  # m
    narrow_below: float = 0.008  # failures per environment step below which the limit shrinks
    widen_above: float = 0.02  # failures per environment step above which it grows
    rate: float = 0.01  # relative change per update


def tightness(config: DriftConfig, limit: jax.Array) -> jax.Array:
    """How far a ``limit`` () has come on its way from the widest to the narrowest, from 0 to 1.  -> ()."""
    way = config.widest - config.narrowest
    return jnp.clip((config.widest - limit) / way, 0.0, 1.0) if way > 0.0 else jnp.ones(())


def update_limit(config: DriftConfig, limit: jax.Array, failure_rate: jax.Array) -> jax.Array:
    """The limit () in metres after an update in which ``failure_rate`` () of the steps ended in failure."""
    factor = jnp.where(
        failure_rate < config.narrow_below,
        1.0 - config.rate,
        jnp.where(failure_rate > config.widen_above, 1.0 + config.rate, 1.0),
    )
    return jnp.clip(limit * factor, config.narrowest, config.widest)
