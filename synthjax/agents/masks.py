"""Steps that are not learned from: what an action did not bring about says nothing about it.

Every sample of a batch has a weight: zero if its step is not valid, else such that all weights of the batch
have a mean of one.  Means of weighted samples are then means over the valid ones, on however many devices.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from synthjax.types import Transition


def blank(data: Transition) -> Transition:
    """``data`` with zeros in every step that is not valid, whatever was there.

    What has no weight must still be finite: NaN times zero is NaN.
    """

    def kept(x: jax.Array) -> jax.Array:
        valid = jnp.expand_dims(data.valid, tuple(range(data.valid.ndim, x.ndim)))
        return jnp.where(valid, x, jnp.zeros_like(x))

    blanked: Transition = jax.tree.map(kept, data)
    return blanked


def count_valid(valid: jax.Array, axis: str | None = None) -> jax.Array:
    """Number () of the valid samples among ``valid`` (...) bool, those of all devices along ``axis``."""
    count = jnp.sum(valid, dtype=float)
    return count if axis is None else jax.lax.psum(count, axis)


def sample_weights(valid: jax.Array, axis: str | None = None) -> jax.Array:
    """Weights (...) of samples ``valid`` (...) bool, with a mean of one over all devices along ``axis``.

    They are exactly one where every sample is valid, and all zero where none is.
    """
    size = valid.size * (1 if axis is None else jax.lax.axis_size(axis))
    return jnp.where(valid, size / jnp.maximum(count_valid(valid, axis), 1.0), 0.0)
