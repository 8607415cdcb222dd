"""SAC's policy, critics and temperature, and the gradient step that improves them (Haarnoja et al. 2018b)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from synthjax.agents import distributions
from synthjax.agents.collective import mean_over
from synthjax.agents.networks import MLP, Chains, make_actor
from synthjax.agents.sac import losses
from synthjax.agents.sac.config import SACConfig
from synthjax.types import PyTree

Metrics = dict[str, jax.Array]
Noise = tuple[jax.Array, ...]  # of the actions at an observation and at the next one


@struct.dataclass
class Batch:
    """One minibatch as the losses see it, (B, ...)."""

    obs: jax.Array  # normalised
    action: jax.Array
    reward: jax.Array  # sum over the window, centred if so configured
    next_obs: jax.Array  # normalised
    discount: jax.Array
    weights: jax.Array  # of the critics' errors


class ActorCritic:
    """The networks for a fixed observation and action size, as functions of their parameters.

    Observations are normalised.  Parameters are "policy", "critics" (two, stacked) and "log_alpha".
    """

    def __init__(self, config: SACConfig, obs_dim: int, action_dim: int, chains: Chains):
        """``chains``: of the body, by the indices of their actions, for a structured actor."""
        self.config, self.obs_dim, self.action_dim = config, obs_dim, action_dim
        self.policy = make_actor(config, config.policy_hidden, action_dim, per_action=2, chains=chains)
        self.critic = MLP(
            config.critic_hidden, 1, last_gain=1.0, activation=config.activation,
            layer_norm=config.critic_layer_norm,
        )  # fmt: skip
        self.optimizer = optax.scale_by_adam()

    def init(self, key: jax.Array) -> dict[str, PyTree]:
        """Fresh parameters."""
        policy_key, critic_key = jax.random.split(key)
        pair = jnp.zeros(self.obs_dim + self.action_dim)
        # Not mapped over the keys: XLA's CPU threads can wait for one another for ever in a batched QR
        # decomposition, which orthogonal weights come from.
        twins = [self.critic.init(twin_key, pair) for twin_key in jax.random.split(critic_key)]
        critics = jax.tree.map(lambda *leaves: jnp.stack(leaves), *twins)
        return {
            "policy": self.policy.init(policy_key, jnp.zeros(self.obs_dim)),
            "critics": critics,
            "log_alpha": jnp.log(jnp.asarray(self.config.initial_alpha, float)),
        }

    def distribution(self, policy: PyTree, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean and logarithm of the standard deviation (..., A) of the actions before tanh."""
        output: Any = self.policy.apply(policy, obs)
        mean, spread = jnp.split(output, 2, axis=-1)
        low, high = jnp.log(self.config.min_std), jnp.log(self.config.max_std)
        return mean, low + (high - low) * jax.nn.sigmoid(spread)

    def sample_action(
        self, policy: PyTree, obs: jax.Array, gains: jax.Array, noise: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Actions (..., A) by reparameterisation, and log-probabilities (...) of those of gains above zero.

        The densities are those before the gains: an action that has little effect yet explores as much of
        its range as any other, and the temperature does not follow a gain.
        """
        mean, log_std = self.distribution(policy, obs)
        std = jnp.exp(log_std)
        u = mean + std * noise
        log_prob = distributions.squashed_log_prob(u, mean, std, gains > 0.0)
        return gains * jnp.tanh(u), log_prob

    def q(self, critics: PyTree, obs: jax.Array, action: jax.Array) -> jax.Array:
        """Both critics' values (2, B)."""
        pair = jnp.concatenate([obs, action], axis=-1)
        values: Any = jax.vmap(self.critic.apply, in_axes=(0, None))(critics, pair)
        return values[..., 0]

    def target_entropy(self, gains: jax.Array) -> jax.Array:
        """Nats () that the policy's entropy is held at: so many for each action whose gain is not zero."""
        return self.config.target_entropy * jnp.sum(gains > 0.0)

    def loss(
        self, params: dict[str, PyTree], targets: PyTree, batch: Batch, gains: jax.Array, noise: Noise
    ) -> tuple[jax.Array, tuple[jax.Array, Metrics]]:
        """Sum of the losses of critics, policy and temperature, each with its own parameters.

        ``noise`` is what the actions at both observations are drawn with, standard normal, (B, A) each.

        Returns:
          The loss (), the TD errors (2, B), and metrics.
        """
        config = self.config
        noise_now, noise_next = noise
        frozen = jax.lax.stop_gradient(params)
        alpha = jnp.exp(frozen["log_alpha"])

        next_action, next_log_prob = self.sample_action(frozen["policy"], batch.next_obs, gains, noise_next)
        next_q = self.q(targets, batch.next_obs, next_action)
        bonus = -alpha * next_log_prob if config.entropy_in_target else jnp.zeros_like(next_log_prob)
        target = losses.soft_target(batch.reward, batch.discount, next_q, bonus)
        td_error = self.q(params["critics"], batch.obs, batch.action) - target
        critic_loss = losses.critic_loss(td_error, batch.weights)

        action, log_prob = self.sample_action(params["policy"], batch.obs, gains, noise_now)
        q = self.q(frozen["critics"], batch.obs, action)
        policy_loss = losses.policy_loss(log_prob, q, alpha)
        temperature_loss = losses.temperature_loss(params["log_alpha"], log_prob, self.target_entropy(gains))
        metrics = {
            "critic_loss": critic_loss,
            "policy_loss": policy_loss,
            "entropy": -jnp.mean(log_prob),
            "q": jnp.mean(q),
            "td_error": jnp.mean(jnp.abs(td_error)),
        }
        return critic_loss + policy_loss + temperature_loss, (td_error, metrics)

    def minibatch_step(
        self,
        carry: tuple,
        batch: Batch,
        gains: jax.Array,
        noise: Noise,
        learning_rate: jax.Array,
        axis: str | None = None,
    ) -> tuple[tuple, jax.Array, Metrics]:
        """One gradient step: (parameters, targets, optimiser's state) after it, TD errors and metrics."""
        params, targets, opt_state = carry
        grads, (td_error, metrics) = jax.grad(self.loss, has_aux=True)(params, targets, batch, gains, noise)
        grads, metrics = mean_over(axis, (grads, metrics))
        updates, opt_state = self.optimizer.update(grads, opt_state, params)
        params = jax.tree.map(lambda p, u: p - learning_rate * u, params, updates)
        targets = optax.incremental_update(params["critics"], targets, self.config.tau)
        return (params, targets, opt_state), td_error, metrics
