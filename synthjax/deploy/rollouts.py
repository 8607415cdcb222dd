"""Rollouts in the training environment, as what a host would read and what the training makes of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from synthjax.deploy.convert import Named
from synthjax.deploy.judges import Judge
from synthjax.deploy.observers import Observer
from synthjax.training.build import Run
from synthjax.training.mesh import copied, split
from synthjax.training.policies import SEED, Policy
from synthjax.training.rollout import batch_size, rollout
from synthjax.types import EnvState, PyTree


@dataclasses.dataclass(frozen=True)
class Rollouts:
    """T steps of N worlds, (T, N, ...); row t is before step t, except for what the step led to."""

    inputs: dict[str, np.ndarray]  # of a host, but for "carried"
    start: np.ndarray  # (N, C) "carried" at the start
    heading_length: np.ndarray  # (T, N) see Observer.heading_length
    observation: np.ndarray  # (T, N, obs_dim)
    action: np.ndarray  # (T, N, A)
    control: np.ndarray  # (T, N, nu) motor input of the action
    reward: np.ndarray  # (T, N) of the step
    sensors: dict[str, np.ndarray]  # what a judge reads after the step
    memory: np.ndarray  # (N, M) of the judge at the start
    terminated: np.ndarray  # (T, N) bool, the step has ended the task
    ended: np.ndarray  # (T, N) bool, the step or one before it has ended the episode

    @property
    def returns(self) -> np.ndarray:
        """(N,) sum of the rewards up to the end of the episode."""
        before = np.concatenate([np.zeros_like(self.ended[:1]), self.ended[:-1]])
        return np.sum(np.where(before, 0.0, self.reward), axis=0)


@struct.dataclass
class _Row:
    inputs: Named
    heading_length: jax.Array
    observation: jax.Array
    action: jax.Array
    control: jax.Array
    reward: jax.Array
    sensors: Named
    terminated: jax.Array
    ended: jax.Array


def record(
    run: Run, observer: Observer, judge: Judge, policy: Policy, agent_state: PyTree, worlds: int
) -> Rollouts:
    """Whole episodes of ``run`` under ``policy``, ``worlds`` of them at least; arrays on the host.

    Starts are those of training.  A world goes on after the end of its episode, so that no row is empty.
    """
    env, mesh = run.env, run.program.mesh
    ctx = env.init_context()
    keys = jax.random.split(jax.random.key(SEED), batch_size(worlds, mesh))
    first = jax.jit(jax.vmap(env.reset, in_axes=(None, 0)))(ctx, keys)
    recorded = _recorded(run, observer, judge, policy, env.max_steps)
    before, after, start, memory = jax.device_get(recorded(copied(mesh, agent_state), split(mesh, first)))
    # What was recorded after step t is what stands before step t + 1.
    rows: Any = jax.tree.map(lambda a, b: np.concatenate([a[None], b]), before, after)
    return Rollouts(
        inputs={name: values[:-1] for name, values in rows.inputs.items()},
        start=start,
        heading_length=rows.heading_length[:-1],
        observation=rows.observation[:-1],
        action=rows.action[:-1],
        control=rows.control[:-1],
        reward=rows.reward[1:],
        sensors={name: values[1:] for name, values in rows.sensors.items()},
        memory=memory,
        terminated=rows.terminated[1:],
        ended=np.logical_or.accumulate(rows.ended[1:], axis=0),
    )


def _recorded(run: Run, observer: Observer, judge: Judge, policy: Policy, steps: int) -> Callable:
    env = run.env

    def row(agent_state: PyTree, state: EnvState) -> _Row:
        """Of all worlds (N, ...)."""
        action = policy(agent_state, state.obs, state.key)
        return _Row(
            inputs=jax.vmap(observer.inputs)(state),
            heading_length=jax.vmap(observer.heading_length)(state),
            observation=state.obs,
            action=action,
            control=jax.vmap(observer.control)(state, action),
            reward=state.reward,
            sensors=jax.vmap(judge.sensors)(state),
            terminated=state.terminated,
            ended=state.terminated | state.truncated,
        )

    @jax.jit
    def recorded(agent_state: PyTree, first: EnvState) -> tuple[_Row, _Row, jax.Array, jax.Array]:
        def keep(state: EnvState, counts: jax.Array) -> tuple[jax.Array, _Row]:
            return counts, row(agent_state, state)

        ctx, mesh = env.init_context(), run.program.mesh
        trace = rollout(env, ctx, policy, keep, agent_state, first, steps, mesh)
        starts = jax.vmap(observer.start)(first), jax.vmap(judge.start)(first)
        return row(agent_state, first), trace, *starts

    return recorded


def through_host(infer: Callable[[np.ndarray], np.ndarray], action_dim: int) -> Policy:
    """A policy that is a function of NumPy arrays: observation (obs_dim,) -> action (A,), one by one."""

    def host(observations: np.ndarray) -> np.ndarray:
        return np.stack([infer(observation) for observation in np.asarray(observations)])

    def policy(_: PyTree, observations: jax.Array, keys: jax.Array) -> jax.Array:
        shape = jax.ShapeDtypeStruct((len(observations), action_dim), jnp.float32)
        actions: jax.Array = jax.pure_callback(host, shape, observations)
        return actions

    return policy
