"""Soft actor-critic (Haarnoja et al. 2018b): store, sample, update."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from synthjax.agents.collective import mean_over
from synthjax.agents.masks import blank
from synthjax.agents.networks import Chains
from synthjax.agents.normalizer import Normalizer, init_normalizer, normalize, update_normalizer
from synthjax.agents.sac import priorities, replay
from synthjax.agents.sac.actor_critic import ActorCritic, Batch, Metrics
from synthjax.agents.sac.config import SACConfig
from synthjax.agents.sac.replay import Replay
from synthjax.agents.sac.returns import n_step_entries, update_reward_rate
from synthjax.agents.settling import settling_factor
from synthjax.errors import UserError
from synthjax.types import PyTree, Transition


@struct.dataclass
class SACState:
    """Everything that SAC learns and remembers."""

    params: dict[str, PyTree]  # "policy", "critics" (two, stacked) and "log_alpha"
    targets: PyTree  # the critics' slow copies
    average: PyTree  # moving average of the policy's parameters: what acts when it does not explore
    opt_state: optax.OptState
    normalizer: Normalizer
    replay: Replay
    reward_rate: jax.Array  # () moving average of the reward per step
    updates: jax.Array  # () int32, unrolls stored
    gradient_steps: jax.Array  # () int32
    gains: jax.Array  # (A,) share of each action that takes effect; at zero it is not the policy's to decide


class SAC:
    """SAC for a fixed observation and action size.  All methods are pure and traceable."""

    squashes = True

    def __init__(
        self,
        config: SACConfig,
        obs_dim: int,
        action_dim: int,
        num_updates: int | None = None,
        num_devices: int = 1,
        chains: Chains = (),
    ):
        """What is learned, and from what.

        Args:
          config: settings.
          obs_dim: size of an observation.
          action_dim: size of an action, each within +-1.
          num_updates: unrolls over which it settles and importance weights become exact; never if not given.
          num_devices: devices that the replay is split over.
          chains: of the body, by the indices of their actions, for a structured actor.

        Raises:
          UserError: sizes that do not fit together.
        """
        if config.capacity < config.batch_size:
            raise UserError(
                f"The replay must hold at least one unroll: raise the capacity from {config.capacity} to "
                f"{config.batch_size} or lower the number of environments."
            )
        if not 0 < config.learning_starts <= config.capacity:
            raise UserError(
                f"Choose learning_starts from 1 to the capacity {config.capacity}, so that learning starts."
            )
        if config.minibatch_size % num_devices:
            raise UserError(
                f"Choose a minibatch_size that {num_devices} devices divide, not {config.minibatch_size}."
            )
        self.config, self.obs_dim, self.action_dim = config, obs_dim, action_dim
        self.num_updates, self.num_devices = num_updates, num_devices
        self.actor_critic = ActorCritic(config, obs_dim, action_dim, chains)

    def init(self, key: jax.Array, first_obs: jax.Array) -> SACState:
        """Fresh networks and an empty replay; the normaliser starts from ``first_obs`` (B, obs_dim)."""
        params = self.actor_critic.init(key)
        return SACState(
            params=params,
            # A copy: the state is donated, and no buffer can be given away twice.
            targets=jax.tree.map(jnp.copy, params["critics"]),
            average=jax.tree.map(jnp.copy, params["policy"]),
            opt_state=self.actor_critic.optimizer.init(params),
            normalizer=update_normalizer(init_normalizer(self.obs_dim), first_obs),
            replay=replay.init_replay(self.config.capacity, self.obs_dim, self.action_dim, self.num_devices),
            reward_rate=jnp.zeros(()),
            updates=jnp.zeros((), jnp.int32),
            gradient_steps=jnp.zeros((), jnp.int32),
            gains=jnp.ones(self.action_dim),
        )

    def with_gains(self, state: SACState, gains: jax.Array) -> SACState:
        """``state`` whose actions take effect by ``gains`` (A,), within 0 and 1.

        Actions, as the environment, the replay and the critics see them, are those of the network times
        their gains: what was stored under other gains keeps its meaning.
        """
        return dataclasses.replace(state, gains=gains)

    def act(
        self, state: SACState, obs: jax.Array, key: jax.Array, deterministic: bool = False
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Actions (..., A) within +-1 for observations (..., obs_dim); the update needs nothing else.

        Deterministic actions are those of the averaged policy (Polyak & Juditsky 1992).
        """
        if deterministic:
            return state.gains * jnp.tanh(self.distribution(state, obs)[0]), {}
        normalized = self.normalize(state.normalizer, obs)
        noise = jax.random.normal(key, (*obs.shape[:-1], self.action_dim))
        action, _ = self.actor_critic.sample_action(state.params["policy"], normalized, state.gains, noise)
        if self.config.uniform_start:
            uniform = jax.random.uniform(key, action.shape, minval=-1.0, maxval=1.0)
            action = jnp.where(state.gradient_steps > 0, action, state.gains * uniform)
        return action, {}

    def distribution(self, state: SACState, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean and logarithm of the standard deviation (..., A) of the averaged policy's actions.

        Both are those before tanh and gains.
        """
        return self.actor_critic.distribution(state.average, self.normalize(state.normalizer, obs))

    def update(
        self, state: SACState, data: Transition, key: jax.Array, axis: str | None = None
    ) -> tuple[SACState, Metrics]:
        """Stores an unroll (T, N, ...) and takes ``config.gradient_steps`` steps on what is stored.

        Steps that are not valid are not stored.  Before ``learning_starts``
        transitions there are no gradient steps, and their metrics are NaN.

        Where ``data`` and the replay are split over devices along the mesh axis ``axis``, each device
        samples from its own replay and gradients are averaged: what is learned is the same on all of them.
        """
        config = self.config
        data = blank(data)
        entries = n_step_entries(data, config.gamma, config.n_step)
        entries = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), entries)
        state = dataclasses.replace(
            state,
            normalizer=update_normalizer(state.normalizer, data.obs, axis, data.valid),
            replay=replay.add(state.replay, entries, data.valid.reshape(-1)),
            # A plain average until a moving one has seen enough.
            reward_rate=update_reward_rate(
                state.reward_rate, data.reward, data.valid,
                jnp.maximum(config.reward_rate_step, 1.0 / (state.updates + 1.0)), axis, data.duration,
            ),
            updates=state.updates + 1,
        )  # fmt: skip
        learning_rate = self.learning_rate(state.updates)

        size, devices = state.replay.size[0], 1
        if axis is not None:
            size, devices = jax.lax.pmin(size, axis), jax.lax.axis_size(axis)
            key = jax.random.fold_in(key, jax.lax.axis_index(axis))
        step = functools.partial(
            self._gradient_step,
            state=state,
            learning_rate=learning_rate,
            exponent=self.importance_exponent(state.updates),
            count=config.minibatch_size // devices,
            axis=axis,
        )

        def learn(carry: tuple) -> tuple[tuple, Metrics]:
            carry, metrics = jax.lax.scan(step, carry, jax.random.split(key, config.gradient_steps))
            return carry, jax.tree.map(jnp.mean, metrics)

        def wait(carry: tuple) -> tuple[tuple, Metrics]:
            _, metrics = jax.eval_shape(learn, carry)
            return carry, jax.tree.map(lambda x: jnp.full(x.shape, jnp.nan, x.dtype), metrics)

        # Of the replay only the priorities: entries that went in and out would be copied each time.
        carry = (state.params, state.targets, state.opt_state, state.replay.masses)
        learns = size * devices >= config.learning_starts
        (params, targets, opt_state, masses), metrics = jax.lax.cond(learns, learn, wait, carry)
        new_state = dataclasses.replace(
            state,
            params=params,
            targets=targets,
            average=optax.incremental_update(params["policy"], state.average, 1.0 - config.average_decay),
            opt_state=opt_state,
            replay=dataclasses.replace(state.replay, masses=masses),
            gradient_steps=state.gradient_steps + learns * config.gradient_steps,
        )
        return new_state, metrics | {
            "alpha": jnp.exp(params["log_alpha"]),
            "learning_rate": learning_rate,
            "reward_rate": state.reward_rate,
            "replay_size": mean_over(axis, state.replay.size[0].astype(jnp.float32)) * devices,
        }

    def acting(self, state: SACState) -> SACState:
        """``state`` without its replay."""
        return dataclasses.replace(state, replay=None)  # type: ignore[arg-type]

    def placement(self, split: PyTree, copied: PyTree) -> PyTree:
        """Each device has its own part of the replay; all else is equal."""
        fields: dict[str, Any] = {field.name: copied for field in dataclasses.fields(SACState)}
        return SACState(**fields | {"replay": split})

    def working_bytes(self) -> int:
        """Memory of one update: the unroll as entries, and a minibatch in the networks' layers."""
        config = self.config
        layers = 2 * self.actor_critic.policy.units + 6 * self.actor_critic.critic.units
        per_sample = 6 * self.obs_dim + 6 * self.action_dim + layers
        return 4 * (3 * config.batch_size * self.obs_dim + config.minibatch_size * per_sample)

    def resident_bytes(self) -> int:
        """The replay: it is donated and changed in place."""
        return replay.replay_bytes(self.config.capacity, self.obs_dim, self.action_dim)

    def memory_advice(self, excess: int) -> str:
        """The capacity that fits, if the replay is what is too large."""
        per_entry = self.resident_bytes() / self.config.capacity
        # The excess is one device's, the capacity that of all.  A fiftieth of what is left stays free: other
        # programs take memory too.
        fits = int(0.98 * (self.config.capacity - self.num_devices * excess / per_entry))
        if fits < max(self.config.batch_size, self.config.learning_starts):
            return "lower --num-envs and --agent.capacity"
        return f"a replay of --agent.capacity {fits} fits"

    def importance_exponent(self, updates: jax.Array) -> jax.Array:
        """Linear from ``importance_exponent`` to 1 over the run (Schaul et al. 2016, section 3.4), ()."""
        start = self.config.importance_exponent
        if self.num_updates is None:
            return jnp.asarray(start)
        return start + (1.0 - start) * jnp.minimum(updates / self.num_updates, 1.0)

    def learning_rate(self, updates: jax.Array) -> jax.Array:
        """Step size () of all parameters after so many ``updates`` ()."""
        config = self.config
        return config.learning_rate * settling_factor(
            updates, self.num_updates, config.settle_from, config.settled_rate
        )

    def _gradient_step(
        self,
        carry: tuple,
        key: jax.Array,
        state: SACState,
        learning_rate: jax.Array,
        exponent: jax.Array,
        count: int,
        axis: str | None,
    ) -> tuple[tuple, Metrics]:
        """One step on ``count`` transitions, whose importance weights have ``exponent``.

        Of ``state`` what stays the same over all steps is used.
        """
        params, targets, opt_state, masses = carry
        sample_key, loss_key = jax.random.split(key)
        ring = dataclasses.replace(state.replay, masses=masses)
        if self.config.prioritized:
            index, entries, weights = replay.sample(ring, count, sample_key, exponent)
        else:
            entries, weights = replay.sample_uniform(ring, count, sample_key), jnp.ones(count)
        batch = Batch(
            obs=self.normalize(state.normalizer, entries.obs),
            action=entries.action,
            reward=entries.reward - entries.horizon * state.reward_rate
            if self.config.center_rewards
            else entries.reward,
            next_obs=self.normalize(state.normalizer, entries.next_obs),
            discount=entries.discount,
            weights=weights,
        )
        noise_key, next_key = jax.random.split(loss_key)
        noise = tuple(jax.random.normal(k, batch.action.shape) for k in (noise_key, next_key))
        (params, targets, opt_state), td_error, metrics = self.actor_critic.minibatch_step(
            (params, targets, opt_state), batch, state.gains, noise, learning_rate, axis
        )
        if self.config.prioritized:
            error = jnp.max(jnp.abs(td_error), axis=0)
            new = priorities.sampling_masses(error, self.config.priority_exponent)
            ring = replay.set_masses(ring, index, new)
        return (params, targets, opt_state, ring.masses), metrics

    def normalize(self, normalizer: Normalizer, obs: jax.Array) -> jax.Array:
        """Observations (..., obs_dim) as the networks see them."""
        return normalize(normalizer, obs, self.config.observation_clip)
