"""PPO's policy and value network, and the gradient step that improves them (Schulman et al. 2017)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from flax import struct

from synthjax.agents import distributions
from synthjax.agents.collective import batch_mean, mean_over
from synthjax.agents.networks import MLP, Chains, make_actor
from synthjax.agents.ppo import losses
from synthjax.agents.ppo.config import PPOConfig
from synthjax.types import PyTree

Metrics = dict[str, jax.Array]


@struct.dataclass
class Batch:
    """One minibatch of samples, (B, ...)."""

    obs: jax.Array  # normalised
    action: jax.Array
    log_prob: jax.Array  # under the policy that acted
    mean: jax.Array  # of that policy
    advantage: jax.Array
    target: jax.Array  # value target
    exact_obs: jax.Array | None  # normalised, what the value is of; None: obs
    weights: jax.Array  # zero where the step is not valid, with a mean of one over the whole batch


class ActorCritic:
    """The networks for a fixed observation and action size, as functions of their parameters.

    Observations are normalised.  Parameters are "policy" and "value".
    """

    def __init__(self, config: PPOConfig, obs_dim: int, action_dim: int, chains: Chains):
        """``chains``: of the body, by the indices of their actions, for a structured actor."""
        self.config, self.obs_dim = config, obs_dim
        self.policy = make_actor(config, config.hidden, action_dim, per_action=1, chains=chains)
        self.value = MLP(config.hidden, 1, last_gain=1.0, activation=config.activation)
        self.optimizer = optax.chain(
            optax.clip_by_global_norm(config.max_grad_norm), optax.scale_by_adam(eps=1e-5)
        )

    def init(self, key: jax.Array) -> dict[str, PyTree]:
        """Fresh parameters."""
        policy_key, value_key = jax.random.split(key)
        return {
            "policy": self.policy.init(policy_key, jnp.zeros(self.obs_dim)),
            "value": self.value.init(value_key, jnp.zeros(self.obs_dim)),
        }

    def mean(self, policy: PyTree, obs: jax.Array) -> jax.Array:
        """Means (..., A) of the actions, before their gains."""
        mean: jax.Array = self.policy.apply(policy, obs)  # type: ignore[assignment]
        return mean

    def values(self, params: dict[str, PyTree], obs: jax.Array) -> jax.Array:
        """What the value network says of observations (..., obs_dim).  -> (...)."""
        value: jax.Array = self.value.apply(params["value"], obs)  # type: ignore[assignment]
        return value[..., 0]

    def loss(
        self, params: dict[str, PyTree], batch: Batch, noise: jax.Array, gains: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """Policy loss + value loss on one minibatch that was acted with ``noise`` () and ``gains`` (A,).

        There is no entropy bonus: the noise follows the failures, and the gradient does not reach it.
        """
        config = self.config
        mean, std = gains * self.mean(params["policy"], batch.obs), spread(noise, gains)
        log_prob = distributions.gaussian_log_prob(batch.action, mean, std, gains > 0.0)
        policy_loss, clip_fraction = losses.clipped_surrogate(
            log_prob, batch.log_prob, batch.advantage, batch.weights, config.clip_ratio
        )
        value_obs = batch.obs if batch.exact_obs is None else batch.exact_obs
        error = self.values(params, value_obs) - batch.target
        value_loss = 0.5 * jnp.mean(batch.weights * error * error)
        loss = policy_loss + config.value_coefficient * value_loss
        kl = jnp.mean(batch.weights * distributions.gaussian_kl(batch.mean, std, mean, std))
        metrics = {
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "kl": kl,
            "clip_fraction": clip_fraction,
        }
        return loss, metrics

    def minibatch_step(
        self,
        carry: tuple,
        batch: Batch,
        noise: jax.Array,
        gains: jax.Array,
        target_kl: jax.Array,
        axis: str | None = None,
    ) -> tuple[tuple, Metrics]:
        """One gradient step: (parameters, optimiser's state, learning rate) after it, and metrics."""
        params, opt_state, learning_rate = carry
        grads, metrics = mean_over(axis, jax.grad(self.loss, has_aux=True)(params, batch, noise, gains))
        known = batch_mean(batch.weights, axis) > 0.0
        updates, opt_state = self.optimizer.update(grads, opt_state, params)
        params = jax.tree.map(lambda p, u: p - learning_rate * u, params, updates)
        learning_rate = self._adapt(learning_rate, metrics["kl"], target_kl)
        # Adam's momentum and the step size would go on without a valid step to learn from.
        carry = jax.tree.map(
            lambda new, old: jnp.where(known, new, old), (params, opt_state, learning_rate), carry
        )
        return carry, metrics | {"grad_norm": optax.tree.norm(grads)}

    def _adapt(self, learning_rate: jax.Array, kl: jax.Array, target_kl: jax.Array) -> jax.Array:
        """KL-adaptive step size (Schulman et al. 2017, section 4, applied to the learning rate)."""
        factor = jnp.where(kl > 2.0 * target_kl, 1 / 1.2, jnp.where(kl < 0.5 * target_kl, 1.2, 1.0))
        return jnp.clip(learning_rate * factor, self.config.min_learning_rate, self.config.max_learning_rate)


def spread(noise: jax.Array, gains: jax.Array) -> jax.Array:
    """Standard deviations (A,) of actions: ``noise`` () times ``gains`` (A,), never zero.

    Where a gain is zero the density does not count, but its gradient has to be finite.
    """
    return noise * jnp.where(gains > 0.0, gains, 1.0)
