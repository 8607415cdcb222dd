"""Hard-negative sampling over clip x time bins: start more often where episodes fail.

BeyondMimic (Liao et al. 2025, adaptive sampling) keeps a moving average of failures per time bin and
draws starts from it with a uniform share.  Here a bin's average is a failure *rate* per visit, so that
a bin is not hard merely because it is visited often, and the floor keeps mastered bins alive.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct


@dataclasses.dataclass(frozen=True)
class SamplerConfig:
    """How starts are drawn."""

    uniform_share: float = 0.5  # probability of a start drawn uniformly over all bins
    failure_decay: float = 0.98  # of the moving sums of failures and visits, per update
    lookback_seconds: float = 0.5  # a failure counts for the bins up to this long before it
    floor: float = 0.01  # least hardness of a bin, as a share of the greatest failure rate


@struct.dataclass
class SamplerState:
    """Moving sums over all worlds and the probabilities that follow from them."""

    failures: jax.Array  # (num_bins,)
    visits: jax.Array  # (num_bins,)
    probabilities: jax.Array  # (num_bins,)


def init_sampler(num_bins: int) -> SamplerState:
    """Uniform probabilities."""
    return SamplerState(
        failures=jnp.zeros(num_bins),
        visits=jnp.zeros(num_bins),
        probabilities=jnp.full(num_bins, 1.0 / num_bins, float),
    )


def update_sampler(
    config: SamplerConfig, state: SamplerState, failures: jax.Array, visits: jax.Array, lookback: jax.Array
) -> SamplerState:
    """Folds one epoch's counts in.

    Args:
      config: settings.
      state: before.
      failures: (num_bins,) episodes that failed in each bin.
      visits: (num_bins,) steps spent in each bin.
      lookback: (num_bins, num_bins) row-stochastic, see :func:`lookback_matrix`.
    """
    failures = config.failure_decay * state.failures + failures
    visits = config.failure_decay * state.visits + visits
    rate = failures / jnp.maximum(visits, 1.0)
    hardness = jnp.maximum(lookback @ rate, config.floor * jnp.maximum(jnp.max(rate), 1e-6))
    uniform = 1.0 / failures.shape[0]
    probabilities = config.uniform_share * uniform + (1.0 - config.uniform_share) * hardness / jnp.sum(
        hardness
    )
    return SamplerState(failures=failures, visits=visits, probabilities=probabilities)


def draw_index(key: jax.Array, weights: jax.Array) -> jax.Array:
    """An index () int32, as likely as its share of ``weights`` (S,), which are not negative.

    One random number and a search: every world draws at every step, whether its life ends or not, and one
    number for each of a thousand starts would be most of what a reset costs.
    """
    ends = jnp.cumsum(weights)
    # Below the last end even if rounded, as a uniform number is below 1 by one part in 2^23 at least.
    return jnp.searchsorted(ends, ends[-1] * jax.random.uniform(key), side="right").astype(jnp.int32)


def lookback_matrix(
    bins_in_clip: list[int], bin_seconds: list[float], loops: list[bool], seconds: float
) -> jax.Array:
    """Averages a per-bin quantity over the bin itself and the bins within ``seconds`` after it.

    A fall is decided before it is seen: to practise what led to it, episodes must start earlier.
    Looping clips wrap around.  -> (num_bins, num_bins), rows sum to 1.
    """
    total = sum(bins_in_clip)
    matrix = np.zeros((total, total), np.float32)
    start = 0
    for count, length, loop in zip(bins_in_clip, bin_seconds, loops, strict=True):
        reach = min(count - 1, round(seconds / length))
        for i in range(count):
            later = [i + k for k in range(reach + 1)]
            inside = [start + (j % count) for j in later if loop or j < count]
            matrix[start + i, inside] = 1.0 / len(inside)
        start += count
    return jnp.asarray(matrix)
