"""Rollouts without resets, as evaluations need them, in batches of one size so that they compile once."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from synthjax.training.mesh import COPIED, SPLIT, fetched, over_worlds
from synthjax.training.policies import SEED, Policy
from synthjax.types import Env, EnvState, PyTree

Trace = TypeVar("Trace")


def rollout(
    env: Env[Any],
    ctx: PyTree,
    policy: Policy,
    record: Callable[[EnvState, jax.Array], tuple[jax.Array, Trace]],
    policy_state: PyTree,
    first: EnvState,
    num_steps: int,
    mesh: Mesh,
) -> Trace:
    """Steps worlds from ``first`` (N, ...) whatever ends in them; for use inside ``jit``.

    Args:
      env: its terminations and time limits are not used.
      ctx: the context of all worlds.
      policy: see :data:`~synthjax.training.policies.Policy`.
      record: (worlds after a step (N, ...), which counted before it (N,) bool) -> which count after it, and
        what is kept of the step.
      policy_state: the policy's parameters.
      first: states at their starts; each brings the random key of its world.
      num_steps: T.
      mesh: the devices that the worlds are split over.

    Returns:
      What ``record`` kept, (T, N, ...).
    """

    def step(policy_state: PyTree, carry: tuple[EnvState, jax.Array], _: None) -> tuple:
        state, counts = carry
        keys = jax.vmap(jax.random.split)(state.key)
        action = policy(policy_state, state.obs, keys[:, 0])
        state = dataclasses.replace(state, key=keys[:, 1])
        state = jax.vmap(env.step, in_axes=(None, 0, 0))(ctx, state, action)
        counts, kept = record(state, counts)
        return (state, counts), kept

    def local(policy_state: PyTree, first: EnvState) -> Trace:
        counts = jnp.ones(first.reward.shape[0], bool)
        return jax.lax.scan(functools.partial(step, policy_state), (first, counts), length=num_steps)[1]

    time_then_worlds = PartitionSpec(None, *SPLIT)
    return over_worlds(mesh, local, (COPIED, SPLIT), time_then_worlds)(policy_state, first)


def batch_size(episodes: int, mesh: Mesh) -> int:
    """The size of all batches of a run that evaluates ``episodes`` at a time: a multiple of its devices."""
    return mesh.size * math.ceil(episodes / mesh.size)


def in_batches(
    starts: np.ndarray, size: int, run: Callable[[np.ndarray, jax.Array], Trace], mesh: Mesh
) -> Trace:
    """A trace (T, N, ...) on the host of one rollout from each of ``starts`` (N, ...).

    Args:
      starts: one row a rollout; repeated to fill the last batch.
      size: of a batch.
      run: (starts of a batch, random keys (size,)) -> its trace.
      mesh: the devices that it runs on.
    """
    batches = math.ceil(len(starts) / size)
    padded = starts[np.resize(np.arange(len(starts)), batches * size)]
    traces = []
    for number, batch in enumerate(np.split(padded, batches)):
        key = jax.random.fold_in(jax.random.key(SEED), number)
        traces.append(fetched(mesh, run(batch, jax.random.split(key, size))))
    whole: Trace = jax.tree.map(lambda *parts: np.concatenate(parts, axis=1)[:, : len(starts)], *traces)
    return whole
