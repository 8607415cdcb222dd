"""Diagonal Gaussian action distributions, plain and squashed by tanh."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp


def gaussian_log_prob(
    action: jax.Array, mean: jax.Array, std: jax.Array, active: jax.Array | bool = True
) -> jax.Array:
    """Log-density of ``action`` (..., A) under N(mean, diag(std²)), summed over A.  -> (...).

    ``active`` (A,) bool leaves out dimensions that are not the policy's to decide.
    """
    chex.assert_equal_shape([action, mean])
    z = (action - mean) / std
    per_dim = -0.5 * jnp.square(z) - jnp.log(std) - 0.5 * jnp.log(2.0 * jnp.pi)
    return jnp.sum(jnp.where(active, per_dim, 0.0), axis=-1)


def squashed_log_prob(
    u: jax.Array, mean: jax.Array, std: jax.Array, active: jax.Array | bool = True
) -> jax.Array:
    """Log-density of ``tanh(u)`` where u (..., A) is drawn from N(mean, diag(std²)).  -> (...).

    The Gaussian's density over the slope of tanh (Haarnoja et al. 2018a, appendix C, equation 21), with
    log(1 - tanh²(u)) = 2 (log 2 - u - softplus(-2 u)), which stays exact where tanh saturates.
    ``active`` (A,) bool leaves out dimensions that are not the policy's to decide.
    """
    log_slope = 2.0 * (jnp.log(2.0) - u - jax.nn.softplus(-2.0 * u))
    return gaussian_log_prob(u, mean, std, active) - jnp.sum(jnp.where(active, log_slope, 0.0), axis=-1)


def gaussian_kl(mean_p: jax.Array, std_p: jax.Array, mean_q: jax.Array, std_q: jax.Array) -> jax.Array:
    """KL(p || q) of two diagonal Gaussians, summed over the last axis.  (..., A) x 4 -> (...)."""
    chex.assert_equal_shape([mean_p, mean_q])
    per_dim = (
        jnp.log(std_q / std_p)
        + (jnp.square(std_p) + jnp.square(mean_p - mean_q)) / (2.0 * jnp.square(std_q))
        - 0.5
    )
    return jnp.sum(jnp.broadcast_to(per_dim, mean_p.shape), axis=-1)
