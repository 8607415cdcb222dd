"""The training program: one jitted epoch of collecting and learning, for any agent and environment."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.sharding import Mesh, NamedSharding

from synthjax.envs.wrappers import AutoReset
from synthjax.training import blowups
from synthjax.training.blowups import Blowup, Trail
from synthjax.training.mesh import COPIED, SPLIT, WORLDS, over_worlds
from synthjax.types import Agent, Env, EnvState, PyTree, Transition

Metrics = dict[str, jax.Array]
# Reset states that the observation normaliser starts from.
SEED_OBSERVATIONS = 4096


@struct.dataclass
class TrainState:
    """All that a run needs to go on: what a checkpoint holds."""

    agent: PyTree  # parameters, optimiser, normaliser, counters
    env: EnvState  # (num_envs, ...) the worlds between two steps
    ctx: PyTree  # the environment's context
    key: jax.Array  # random key of the next iteration
    iteration: jax.Array  # () int32, updates so far


@struct.dataclass
class EpochReport:
    """What an epoch leaves beside the state."""

    metrics: Metrics
    blowup: Blowup  # (devices, ...) the first world on each that became non-finite


class TrainProgram:
    """Collects ``unroll_length`` steps of ``num_envs`` worlds, learns from them, and repeats."""

    def __init__(
        self,
        env: Env[Any],
        agent: Agent,
        num_envs: int,
        unroll_length: int,
        mesh: Mesh | None = None,
    ):
        """``mesh``: the devices that the worlds are split over; the first one if not given."""
        self.env, self.agent = env, agent
        self.num_envs, self.unroll_length = num_envs, unroll_length
        self.mesh = Mesh(np.array(jax.devices()[:1]), (WORLDS,)) if mesh is None else mesh
        self._worlds = AutoReset(env)
        # What is split over devices: the worlds, and what the agent says.
        parts: dict[str, Any] = {field.name: COPIED for field in dataclasses.fields(TrainState)}
        self.specs = TrainState(**parts | {"env": SPLIT, "agent": agent.placement(SPLIT, COPIED)})

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps of one iteration."""
        return self.num_envs * self.unroll_length

    def start(self, seed: int) -> TrainState:
        """:meth:`init`, on the devices of the mesh."""
        return jax.jit(self.init, out_shardings=self._shardings)(jax.random.key(seed))

    def template(self) -> TrainState:
        """What :meth:`start` gives as types, shapes and shardings, without its memory."""

        def placed(sharding: NamedSharding, part: PyTree) -> PyTree:
            return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), part)

        return jax.tree.map(placed, self._shardings, jax.eval_shape(self.init, jax.random.key(0)))

    @property
    def _shardings(self) -> TrainState:
        return jax.tree.map(lambda spec: NamedSharding(self.mesh, spec), self.specs)

    def init(self, key: jax.Array) -> TrainState:
        """Worlds at their first starts and a fresh agent."""
        agent_key, env_key, key = jax.random.split(key, 3)
        ctx = self.env.init_context()
        count = max(SEED_OBSERVATIONS, self.num_envs)
        starts = jax.vmap(self.env.reset, in_axes=(None, 0))(ctx, jax.random.split(env_key, count))
        return TrainState(
            agent=self.agent.with_gains(self.agent.init(agent_key, starts.obs), self.env.action_gains(ctx)),
            env=jax.tree.map(lambda x: x[: self.num_envs], starts),
            ctx=ctx,
            key=key,
            iteration=jnp.zeros((), jnp.int32),
        )

    def collect(self, state: TrainState) -> tuple[EnvState, Transition, Metrics, PyTree, Trail]:
        """One unroll of one device's worlds with the current policy.

        Returns:
          The worlds after it, transitions (T, N, ...), mean metrics, summed episode statistics, and where the
          worlds have been.
        """
        act = jax.vmap(self.agent.act, in_axes=(None, 0, 0))
        step = jax.vmap(self._worlds.step, in_axes=(None, 0, 0))

        def one_step(env_state: EnvState, _: None) -> tuple[EnvState, tuple]:
            # Every world brings its own key, so that it does not matter which device it is on.
            keys = jax.vmap(jax.random.split)(env_state.key)
            action, extras = act(state.agent, env_state.obs, keys[:, 0])
            next_state, stepped = step(state.ctx, dataclasses.replace(env_state, key=keys[:, 1]), action)
            transition = Transition(
                obs=env_state.obs,
                action=action,
                reward=stepped.reward,
                next_obs=stepped.obs,
                terminated=stepped.terminated,
                truncated=stepped.truncated,
                valid=stepped.valid,
                extras=extras,
                duration=stepped.duration,
                exact_obs=env_state.exact_obs,
                next_exact_obs=stepped.exact_obs,
            )
            # A world that blew up may have terms of the reward that are not finite.
            metrics = jax.tree.map(jnp.nanmean, stepped.metrics)
            trail = blowups.trail_of(env_state, action, stepped)
            return next_state, (transition, metrics, self.env.episode_stats(stepped), trail)

        env_state, (data, metrics, stats, trail) = jax.lax.scan(
            one_step, state.env, length=self.unroll_length
        )
        total_stats = jax.tree.map(lambda x: jnp.sum(x, axis=0), stats)
        return env_state, data, jax.tree.map(jnp.nanmean, metrics), total_stats, trail

    def unroll(self, state: TrainState) -> TrainState:
        """:meth:`collect` on all devices, without learning."""

        def local(state: TrainState) -> TrainState:
            return dataclasses.replace(state, env=self.collect(state)[0])

        return over_worlds(self.mesh, local, (self.specs,), self.specs)(state)

    def iterate(self, state: TrainState) -> tuple[TrainState, Metrics]:
        """Collect, update the agent, update the context."""

        def local(state: TrainState) -> tuple[TrainState, Metrics]:
            return self._iterate(state)[:2]

        return over_worlds(self.mesh, local, (self.specs,), (self.specs, COPIED))(state)

    @functools.partial(jax.jit, static_argnums=(0, 2), donate_argnums=1)
    def epoch(self, state: TrainState, iterations: int) -> tuple[TrainState, EpochReport]:
        """``iterations`` iterations without returning to the host.

        Metrics are the means of those iterations that have them: NaN stands for none, as of an agent that
        still waits for its first transitions, and is the mean only if no iteration has any.
        """

        Carry = tuple[TrainState, Trail, Blowup]

        def iteration(carry: Carry, _: None) -> tuple[Carry, Metrics]:
            state, before, blowup = carry
            state, metrics, trail = self._iterate(state)
            return (state, trail, blowups.first_blowup(blowup, before, trail)), metrics

        def local(state: TrainState) -> tuple[TrainState, EpochReport]:
            trail = blowups.no_trail(state.env, self.env.action_dim, self.unroll_length)
            carry = (state, trail, blowups.no_blowup(trail))
            (state, _, blowup), metrics = jax.lax.scan(iteration, carry, length=iterations)
            return state, EpochReport(jax.tree.map(jnp.nanmean, metrics), blowup)

        report = EpochReport(metrics=COPIED, blowup=SPLIT)  # type: ignore[arg-type]
        return over_worlds(self.mesh, local, (self.specs,), (self.specs, report))(state)

    def _iterate(self, state: TrainState) -> tuple[TrainState, Metrics, Trail]:
        """One iteration as one device sees it."""
        key, update_key = jax.random.split(state.key)
        env_state, data, env_metrics, stats, trail = self.collect(state)
        env_metrics, stats = jax.lax.pmean(env_metrics, WORLDS), jax.lax.psum(stats, WORLDS)
        agent_state, agent_metrics = self.agent.update(state.agent, data, update_key, WORLDS)
        ctx = self.env.update_context(state.ctx, stats)
        new_state = TrainState(
            agent=self.agent.with_gains(agent_state, self.env.action_gains(ctx)),
            env=env_state,
            ctx=ctx,
            key=key,
            iteration=state.iteration + 1,
        )
        return new_state, env_metrics | agent_metrics, trail
