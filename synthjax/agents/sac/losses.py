"""SAC's numbers: targets and losses (Haarnoja et al. 2018a, b)."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp


def soft_target(
    reward: jax.Array, discount: jax.Array, next_q: jax.Array, entropy_bonus: jax.Array
) -> jax.Array:
    """What the critics are drawn to: r + discount (min_i Q_i(s', a') + entropy bonus), a' ~ pi.

    Haarnoja et al. 2018b, equations 3 and 5, with the smaller of two critics (Fujimoto et al. 2018).  Over
    several steps only the entropy at the last one is valued, not those on the way.

    Args:
      reward: (B,) discounted sum of rewards.
      discount: (B,) of the value at its end; zero after a termination.
      next_q: (2, B) of the target critics.
      entropy_bonus: (B,) -alpha log pi(a' | s'), or zero.
    """
    chex.assert_equal_shape([reward, discount, entropy_bonus])
    return reward + discount * (jnp.min(next_q, axis=0) + entropy_bonus)


def critic_loss(td_error: jax.Array, weights: jax.Array) -> jax.Array:
    """Half the squared TD errors (2, B), weighted (B,), of both critics (equation 5).  -> ()."""
    chex.assert_equal_shape_suffix([td_error, weights], 1)
    return 0.5 * jnp.mean(weights * jnp.sum(jnp.square(td_error), axis=0))


def policy_loss(log_prob: jax.Array, q: jax.Array, alpha: jax.Array) -> jax.Array:
    """alpha log pi - min_i Q_i for actions of the policy (equation 9): (B,), (2, B), () -> ()."""
    return jnp.mean(alpha * log_prob - jnp.min(q, axis=0))


def temperature_loss(log_alpha: jax.Array, log_prob: jax.Array, target_entropy: jax.Array) -> jax.Array:
    """-alpha (log pi + target entropy) (equation 18): alpha rises while there is less entropy.  -> ()."""
    return -jnp.exp(log_alpha) * jnp.mean(jax.lax.stop_gradient(log_prob) + target_entropy)
