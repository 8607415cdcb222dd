"""Running mean and variance of observations, merged batch by batch (Chan, Golub & LeVeque 1979)."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
from flax import struct

from synthjax.agents.collective import batch_mean
from synthjax.agents.masks import count_valid, sample_weights

# Least standard deviation: a part of the observation that hardly ever changes is not blown up.
MIN_STD = 1e-2
# Beyond this many samples new ones keep a constant weight, so that the count cannot run into the
# resolution of float32 and the statistics of a life without end go on following it.
MAX_COUNT = 1e8


@struct.dataclass
class Normalizer:
    """Statistics of everything seen so far."""

    count: jax.Array  # () number of samples
    mean: jax.Array  # (dim,)
    variance: jax.Array  # (dim,) biased, as in sum of squared deviations / count


def init_normalizer(dim: int) -> Normalizer:
    """No samples yet: :func:`normalize` is then the identity."""
    return Normalizer(count=jnp.zeros(()), mean=jnp.zeros(dim), variance=jnp.ones(dim))


def update_normalizer(
    state: Normalizer, batch: jax.Array, axis: str | None = None, valid: jax.Array | None = None
) -> Normalizer:
    """Merges a batch into the statistics (Chan et al., equations 2.1a-b).

    Means and variances are kept instead of sums, which keeps float32 exact enough at any count.

    Args:
      state: statistics so far.
      batch: (..., dim), finite.
      axis: the mesh axis over which the batch is split, if it is.
      valid: (...) bool, the samples that count; all of them if not given.
    """
    chex.assert_equal_shape_suffix([state.mean, batch], 1)
    valid = jnp.ones(batch.shape[:-1], bool) if valid is None else valid
    chex.assert_shape(valid, batch.shape[:-1])
    batch, valid = batch.reshape(-1, batch.shape[-1]), valid.reshape(-1)
    count, weights = count_valid(valid, axis), sample_weights(valid, axis)[:, None]
    mean = batch_mean(weights * batch, axis, over=0)
    centred = batch - mean
    batch_variance = batch_mean(weights * centred * centred, axis, over=0)
    total = jnp.maximum(state.count + count, 1.0)
    share = count / total
    delta = mean - state.mean
    return Normalizer(
        count=jnp.minimum(state.count + count, MAX_COUNT),
        mean=state.mean + share * delta,
        variance=(1 - share) * state.variance
        + share * batch_variance
        + share * (1 - share) * jnp.square(delta),
    )


def normalize(state: Normalizer, x: jax.Array, limit: float) -> jax.Array:
    """``(x - mean) / std`` within +-``limit``.  (..., dim) -> (..., dim)."""
    std = jnp.maximum(jnp.sqrt(state.variance), MIN_STD)
    return jnp.clip((x - state.mean) / std, -limit, limit)
