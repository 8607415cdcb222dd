"""Proximal policy optimisation (Schulman et al. 2017): collect, advantages, update."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from synthjax.agents import distributions
from synthjax.agents.collective import batch_mean, mean_over
from synthjax.agents.discounting import over_durations
from synthjax.agents.masks import blank, sample_weights
from synthjax.agents.networks import MLP, Chains, make_actor
from synthjax.agents.normalizer import Normalizer, init_normalizer, normalize, update_normalizer
from synthjax.agents.ppo import losses
from synthjax.agents.ppo.config import PPOConfig
from synthjax.agents.settling import settling_factor
from synthjax.types import PyTree, Transition

Metrics = dict[str, jax.Array]


@struct.dataclass
class PPOState:
    """Everything that PPO learns and remembers."""

    params: dict[str, PyTree]  # "policy" and "value"
    average: PyTree  # moving average of the policy's parameters: what acts when it does not explore
    opt_state: optax.OptState
    learning_rate: jax.Array  # ()
    normalizer: Normalizer
    failure_rate: jax.Array  # () moving average of failures per nominal environment step
    updates: jax.Array  # () int32, batches learned from
    gains: jax.Array  # (A,) share of each action that takes effect; at zero it is not the policy's to decide


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


class PPO:
    """PPO for a fixed observation and action size.  All methods are pure and traceable."""

    squashes = False

    def __init__(
        self,
        config: PPOConfig,
        obs_dim: int,
        action_dim: int,
        num_updates: int | None = None,
        chains: Chains = (),
    ):
        """What is learned, from what, and for how long.

        Args:
          config: settings.
          obs_dim: size of an observation.
          action_dim: size of an action.
          num_updates: batches of the whole run, towards whose end it settles; endless if not given.
          chains: of the body, by the indices of their actions, for a structured actor.
        """
        self.config, self.obs_dim, self.action_dim = config, obs_dim, action_dim
        self.num_updates = num_updates
        self.policy = make_actor(config, config.hidden, action_dim, per_action=1, chains=chains)
        self.value = MLP(config.hidden, 1, last_gain=1.0, activation=config.activation)
        self.optimizer = optax.chain(
            optax.clip_by_global_norm(config.max_grad_norm), optax.scale_by_adam(eps=1e-5)
        )

    def init(self, key: jax.Array, first_obs: jax.Array) -> PPOState:
        """Fresh networks; the normaliser starts from ``first_obs`` (B, obs_dim)."""
        policy_key, value_key = jax.random.split(key)
        params: dict[str, PyTree] = {
            "policy": self.policy.init(policy_key, jnp.zeros(self.obs_dim)),
            "value": self.value.init(value_key, jnp.zeros(self.obs_dim)),
        }
        return PPOState(
            params=params,
            # A copy: the state is donated, and no buffer can be given away twice.
            average=jax.tree.map(jnp.copy, params["policy"]),
            opt_state=self.optimizer.init(params),
            learning_rate=jnp.asarray(self.config.learning_rate, float),
            normalizer=update_normalizer(init_normalizer(self.obs_dim), first_obs),
            failure_rate=jnp.asarray(self.config.max_noise_failure, float),
            updates=jnp.zeros((), jnp.int32),
            gains=jnp.ones(self.action_dim),
        )

    def with_gains(self, state: PPOState, gains: jax.Array) -> PPOState:
        """``state`` whose actions take effect by ``gains`` (A,), within 0 and 1.

        Actions, as the environment and the update see them, are those of the networks times their gains.
        """
        return dataclasses.replace(state, gains=gains)

    def act(
        self, state: PPOState, obs: jax.Array, key: jax.Array, deterministic: bool = False
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Actions (..., A) for observations (..., obs_dim), and what the update needs to know.

        Deterministic actions are those of the averaged policy (Polyak & Juditsky 1992): single updates
        swing its tracking by a fifth from one evaluation to the next.
        """
        if deterministic:
            return state.gains * self.distribution(state, obs)[0], {}
        mean = self._mean(state.params["policy"], self.normalize(state.normalizer, obs), state.gains)
        std, active = _spread(self.noise(state.failure_rate), state.gains), state.gains > 0.0
        action = jnp.where(active, mean + std * jax.random.normal(key, mean.shape), 0.0)
        log_prob = distributions.gaussian_log_prob(action, mean, std, active)
        return action, {"log_prob": log_prob, "mean": mean}

    def distribution(self, state: PPOState, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean and logarithm of the noise (..., A) of the averaged policy's actions, before their gains."""
        mean: jax.Array = self.policy.apply(  # type: ignore[assignment]
            state.average, self.normalize(state.normalizer, obs)
        )
        return mean, jnp.broadcast_to(jnp.log(self.noise(state.failure_rate)), mean.shape)

    def update(
        self, state: PPOState, data: Transition, key: jax.Array, axis: str | None = None
    ) -> tuple[PPOState, Metrics]:
        """Learns from transitions (T, N, ...) of the current policy.

        Where ``data`` is split over devices along the mesh axis ``axis``, each device takes its minibatches
        from its own part and gradients are averaged: what is learned is the same on all of them.

        All valid steps weigh the same; without any, nothing is learned and the losses are NaN.
        """
        config = self.config
        data, weights = blank(data), sample_weights(data.valid, axis)
        obs = self.normalize(state.normalizer, data.obs)
        # Asymmetric (Pinto et al. 2018): only the policy has to do with what noisy sensors say.
        exact = None if data.exact_obs is None else self.normalize(state.normalizer, data.exact_obs)
        next_obs = data.next_obs if data.next_exact_obs is None else data.next_exact_obs
        next_obs = self.normalize(state.normalizer, next_obs)
        values = self._value(state.params, obs if exact is None else exact)
        gamma, gae_lambda = (
            over_durations(factor, data.duration) for factor in (config.gamma, config.gae_lambda)
        )
        advantages, targets = losses.generalized_advantage(
            config.reward_scale * data.reward, values, self._value(state.params, next_obs),
            data.terminated, data.truncated, data.valid, gamma, gae_lambda,
        )  # fmt: skip
        batch = Batch(
            obs=obs,
            action=data.action,
            log_prob=data.extras["log_prob"],
            mean=data.extras["mean"],
            advantage=losses.normalize_advantages(advantages, weights, config.advantage_clip, axis),
            target=targets,
            exact_obs=exact,
            weights=weights,
        )
        batch = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)

        noise, target_kl = self.noise(state.failure_rate), self.target_kl(state.updates)

        def epoch(carry: tuple, epoch_key: jax.Array) -> tuple[tuple, Metrics]:
            order = jax.random.permutation(epoch_key, batch.obs.shape[0])
            minibatches = jax.tree.map(
                lambda x: x[order].reshape(config.num_minibatches, -1, *x.shape[1:]), batch
            )
            step = functools.partial(
                self.minibatch_step, noise=noise, gains=state.gains, target_kl=target_kl, axis=axis
            )
            return jax.lax.scan(step, carry, minibatches)

        carry = (state.params, state.opt_state, state.learning_rate)
        (params, opt_state, learning_rate), metrics = jax.lax.scan(
            epoch, carry, jax.random.split(key, config.num_epochs)
        )
        failures = _failure_rate(data, weights, axis)
        known = batch_mean(weights, axis) > 0.0
        new_state = PPOState(
            params=params,
            average=optax.incremental_update(params["policy"], state.average, 1.0 - config.average_decay),
            opt_state=opt_state,
            learning_rate=learning_rate,
            # Frozen while its batch is learned from: ratios compare policies on the same inputs.
            normalizer=update_normalizer(state.normalizer, data.obs, axis, data.valid),
            failure_rate=jnp.where(
                known,
                config.failure_decay * state.failure_rate + (1.0 - config.failure_decay) * failures,
                state.failure_rate,
            ),
            updates=state.updates + 1,
            gains=state.gains,
        )
        learned = {
            **jax.tree.map(jnp.mean, metrics),
            "explained_variance": losses.explained_variance(values, targets, weights, axis),
        }
        return new_state, {
            **{name: jnp.where(known, value, jnp.nan) for name, value in learned.items()},
            "action_noise": noise,
            "learning_rate": learning_rate,
        }

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

    def values(self, state: PPOState, obs: jax.Array) -> jax.Array:
        """What the value network says of observations (..., obs_dim), scaled as rewards are.  -> (...)."""
        return self._value(state.params, self.normalize(state.normalizer, obs))

    def acting(self, state: PPOState) -> PPOState:
        """All of it: nothing is large."""
        return state

    def placement(self, split: PyTree, copied: PyTree) -> PyTree:
        """All devices hold the same state."""
        return copied

    def resident_bytes(self) -> int:
        """Nothing is so large that it had to be changed in place."""
        return 0

    def memory_advice(self, excess: int) -> str:
        """Fewer environments; how many fewer depends on the physics."""
        return "lower --num-envs"

    def working_bytes(self) -> int:
        """Memory of one update: its observations, normalised, shuffled and in the networks' layers."""
        layers = 2 * (self.policy.units + self.value.units)
        per_sample = 6 * self.obs_dim + 4 * self.action_dim + layers
        return 4 * self.config.batch_size * per_sample

    def noise(self, failure_rate: jax.Array) -> jax.Array:
        """Standard deviation of the actions: explore while episodes fail, refine once they do not.

        Log-linear in the logarithm of the failure rate () between two levels.  Annealing by samples
        would need another schedule for every motion; failures say by themselves when to begin.
        """
        config = self.config
        low, high = jnp.log(config.min_noise_failure), jnp.log(config.max_noise_failure)
        share = jnp.clip((jnp.log(jnp.maximum(failure_rate, 1e-9)) - low) / (high - low), 0.0, 1.0)
        return jnp.exp(share * jnp.log(config.max_noise) + (1.0 - share) * jnp.log(config.min_noise))

    def target_kl(self, updates: jax.Array) -> jax.Array:
        """The KL that a batch may change the policy by, () after so many ``updates`` ().

        A step that follows the KL is as long where the gradient is all noise: it has to settle.
        """
        config = self.config
        return config.target_kl * settling_factor(
            updates, self.num_updates, config.settle_from, config.settled_kl
        )

    def loss(
        self, params: dict[str, PyTree], batch: Batch, noise: jax.Array, gains: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """Policy loss + value loss on one minibatch that was acted with ``noise`` () and ``gains`` (A,).

        There is no entropy bonus: the noise follows the failures, and the gradient does not reach it.
        """
        config = self.config
        mean, std = self._mean(params["policy"], batch.obs, gains), _spread(noise, gains)
        log_prob = distributions.gaussian_log_prob(batch.action, mean, std, gains > 0.0)
        policy_loss, clip_fraction = losses.clipped_surrogate(
            log_prob, batch.log_prob, batch.advantage, batch.weights, config.clip_ratio
        )
        value_obs = batch.obs if batch.exact_obs is None else batch.exact_obs
        error = self._value(params, value_obs) - batch.target
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

    def _adapt(self, learning_rate: jax.Array, kl: jax.Array, target_kl: jax.Array) -> jax.Array:
        """KL-adaptive step size (Schulman et al. 2017, section 4, applied to the learning rate)."""
        factor = jnp.where(kl > 2.0 * target_kl, 1 / 1.2, jnp.where(kl < 0.5 * target_kl, 1.2, 1.0))
        return jnp.clip(learning_rate * factor, self.config.min_learning_rate, self.config.max_learning_rate)

    def normalize(self, normalizer: Normalizer, obs: jax.Array) -> jax.Array:
        """Observations (..., obs_dim) as the networks see them."""
        return normalize(normalizer, obs, self.config.observation_clip)

    def _mean(self, policy: PyTree, obs: jax.Array, gains: jax.Array) -> jax.Array:
        mean: jax.Array = self.policy.apply(policy, obs)  # type: ignore[assignment]
        return gains * mean

    def _value(self, params: dict[str, Any], obs: jax.Array) -> jax.Array:
        value: jax.Array = self.value.apply(params["value"], obs)  # type: ignore[assignment]
        return value[..., 0]


def _failure_rate(data: Transition, weights: jax.Array, axis: str | None) -> jax.Array:
    """Failures per nominal environment step of the valid steps of a batch, (); see :mod:`masks`."""
    rate = batch_mean(weights * data.terminated, axis)
    if data.duration is None:
        return rate
    time = batch_mean(weights * data.duration, axis)
    return rate / jnp.where(time > 0.0, time, 1.0)


def _spread(noise: jax.Array, gains: jax.Array) -> jax.Array:
    """Standard deviations (A,) of actions: ``noise`` () times ``gains`` (A,), never zero.

    Where a gain is zero the density does not count, but its gradient has to be finite.
    """
    return noise * jnp.where(gains > 0.0, gains, 1.0)
