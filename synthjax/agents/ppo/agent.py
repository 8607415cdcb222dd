"""Proximal policy optimisation (Schulman et al. 2017): collect, advantages, update."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import optax
from flax import struct

from synthjax.agents import distributions
from synthjax.agents.collective import batch_mean
from synthjax.agents.discounting import over_durations
from synthjax.agents.masks import blank, sample_weights
from synthjax.agents.networks import Chains
from synthjax.agents.normalizer import Normalizer, init_normalizer, normalize, update_normalizer
from synthjax.agents.ppo import losses
from synthjax.agents.ppo.actor_critic import ActorCritic, Batch, Metrics, spread
from synthjax.agents.ppo.config import PPOConfig
from synthjax.agents.settling import settling_factor
from synthjax.types import PyTree, Transition


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
          num_updates: batches over which it settles; never if not given.
          chains: of the body, by the indices of their actions, for a structured actor.
        """
        self.config, self.obs_dim, self.action_dim = config, obs_dim, action_dim
        self.num_updates = num_updates
        self.actor_critic = ActorCritic(config, obs_dim, action_dim, chains)

    def init(self, key: jax.Array, first_obs: jax.Array) -> PPOState:
        """Fresh networks; the normaliser starts from ``first_obs`` (B, obs_dim)."""
        params = self.actor_critic.init(key)
        return PPOState(
            params=params,
            # A copy: the state is donated, and no buffer can be given away twice.
            average=jax.tree.map(jnp.copy, params["policy"]),
            opt_state=self.actor_critic.optimizer.init(params),
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
        mean = state.gains * self.actor_critic.mean(
            state.params["policy"], self.normalize(state.normalizer, obs)
        )
        std, active = spread(self.noise(state.failure_rate), state.gains), state.gains > 0.0
        action = jnp.where(active, mean + std * jax.random.normal(key, mean.shape), 0.0)
        log_prob = distributions.gaussian_log_prob(action, mean, std, active)
        return action, {"log_prob": log_prob, "mean": mean}

    def distribution(self, state: PPOState, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean and logarithm of the noise (..., A) of the averaged policy's actions, before their gains."""
        mean = self.actor_critic.mean(state.average, self.normalize(state.normalizer, obs))
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
        values = self.actor_critic.values(state.params, obs if exact is None else exact)
        gamma, gae_lambda = (
            over_durations(factor, data.duration) for factor in (config.gamma, config.gae_lambda)
        )
        advantages, targets = losses.generalized_advantage(
            config.reward_scale * data.reward, values, self.actor_critic.values(state.params, next_obs),
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
                self.actor_critic.minibatch_step,
                noise=noise,
                gains=state.gains,
                target_kl=target_kl,
                axis=axis,
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

    def values(self, state: PPOState, obs: jax.Array) -> jax.Array:
        """What the value network says of observations (..., obs_dim), scaled as rewards are.  -> (...)."""
        return self.actor_critic.values(state.params, self.normalize(state.normalizer, obs))

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
        layers = 2 * (self.actor_critic.policy.units + self.actor_critic.value.units)
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

    def normalize(self, normalizer: Normalizer, obs: jax.Array) -> jax.Array:
        """Observations (..., obs_dim) as the networks see them."""
        return normalize(normalizer, obs, self.config.observation_clip)


def _failure_rate(data: Transition, weights: jax.Array, axis: str | None) -> jax.Array:
    """Failures per nominal environment step of the valid steps of a batch, (); see :mod:`masks`."""
    rate = batch_mean(weights * data.terminated, axis)
    if data.duration is None:
        return rate
    time = batch_mean(weights * data.duration, axis)
    return rate / jnp.where(time > 0.0, time, 1.0)
