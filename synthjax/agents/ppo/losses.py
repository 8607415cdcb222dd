"""PPO's numbers: advantages and losses (Schulman et al. 2016, 2017)."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp

from synthjax.agents.collective import batch_mean


def generalized_advantage(
    rewards: jax.Array,
    values: jax.Array,
    next_values: jax.Array,
    terminated: jax.Array,
    truncated: jax.Array,
    valid: jax.Array,
    gamma: float | jax.Array,
    gae_lambda: float | jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """GAE (Schulman et al. 2016, equation 16) with terminations and time limits told apart.

        delta_t = r_{t+1} + gamma (1 - terminated_{t+1}) V(s_{t+1}) - V(s_t)
        A_t     = delta_t + gamma lambda (1 - done_{t+1}) A_{t+1}

    ``next_values`` are of the true next observations, taken before any reset, so that a time limit is
    bootstrapped and nothing leaks from one episode into the next.  A step that is not valid ends what comes
    before it as a time limit does: bootstrapped from s_{t+1}, which is still the action's doing.

    Args:
      rewards: (T, N) r_{t+1}.
      values: (T, N) V(s_t).
      next_values: (T, N) V(s_{t+1}).
      terminated: (T, N) bool, at t+1.
      truncated: (T, N) bool, at t+1.
      valid: (T, N) bool, the step from t to t+1 is the action's doing.
      gamma: discount, of all steps or of each (T, N).
      gae_lambda: lambda, likewise.

    Returns:
      Advantages (T, N) and value targets A_t + V(s_t) (T, N), without meaning where not valid.
    """
    chex.assert_rank(rewards, 2)
    chex.assert_equal_shape([rewards, values, next_values, terminated, truncated, valid])
    deltas = rewards + gamma * jnp.where(terminated, 0.0, next_values) - values
    # Rolled round the end, where no advantage follows.
    ends = terminated | truncated | ~jnp.roll(valid, -1, axis=0)
    carry = gamma * gae_lambda * (1.0 - ends)

    def backward(advantage: jax.Array, step: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        delta, weight = step
        advantage = delta + weight * advantage
        return advantage, advantage

    _, advantages = jax.lax.scan(backward, jnp.zeros_like(deltas[0]), (deltas, carry), reverse=True)
    return advantages, advantages + values


def clipped_surrogate(
    log_prob: jax.Array,
    old_log_prob: jax.Array,
    advantage: jax.Array,
    weights: jax.Array,
    clip_ratio: float,
) -> tuple[jax.Array, jax.Array]:
    """PPO's policy loss (Schulman et al. 2017, equation 7), to be minimised.

    Args:
      log_prob: (B,) of the stored actions under the current policy.
      old_log_prob: (B,) under the policy that chose them.
      advantage: (B,).
      weights: (B,) of the samples; see :mod:`synthjax.agents.masks`.
      clip_ratio: epsilon.

    Returns:
      Loss () and the share of samples outside the clip range ().
    """
    chex.assert_equal_shape([log_prob, old_log_prob, advantage, weights])
    # The ratio of a sample without weight may overflow, and even its gradient would be NaN.
    ratio = jnp.exp(jnp.where(weights > 0.0, log_prob - old_log_prob, 0.0))
    clipped = jnp.clip(ratio, 1.0 - clip_ratio, 1.0 + clip_ratio)
    loss = -jnp.mean(weights * jnp.minimum(ratio * advantage, clipped * advantage))
    return loss, jnp.mean(weights * (jnp.abs(ratio - 1.0) > clip_ratio))


def normalize_advantages(
    advantages: jax.Array, weights: jax.Array, limit: float, axis: str | None = None
) -> jax.Array:
    """Zero mean and unit deviation over the whole batch, then within +-``limit``.

    Args:
      advantages: (...).
      weights: (...) of the samples; see :mod:`synthjax.agents.masks`.
      limit: of the result.
      axis: the mesh axis over which the batch is split, if it is.
    """
    chex.assert_equal_shape([advantages, weights])
    centred = advantages - batch_mean(weights * advantages, axis)
    standard = centred / (jnp.sqrt(batch_mean(weights * centred * centred, axis)) + 1e-8)
    return jnp.clip(standard, -limit, limit)


def explained_variance(
    values: jax.Array, targets: jax.Array, weights: jax.Array, axis: str | None = None
) -> jax.Array:
    """1 - Var(target - value) / Var(target); 1 is perfect, 0 as good as a constant.  -> ().

    Arguments are (...) each; weights and axis as in :func:`normalize_advantages`.
    """
    chex.assert_equal_shape([values, targets, weights])

    def variance(x: jax.Array) -> jax.Array:
        return batch_mean(weights * jnp.square(x - batch_mean(weights * x, axis)), axis)

    return 1.0 - variance(targets - values) / (variance(targets) + 1e-8)
