"""A run's agent as a policy for evaluations."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax

from synthjax.training.build import Run
from synthjax.types import PyTree

# (policy's parameters, observations (N, obs_dim), random keys (N,)) -> actions (N, A)
Policy = Callable[[PyTree, jax.Array, jax.Array], jax.Array]
SEED = 20_000  # of evaluations' noise: runs of different seeds are compared on the same starts


@functools.cache
def make_policy(run: Run, deterministic: bool) -> Policy:
    """The agent of ``run``; the same object for the same run, because it is a static argument of programs."""

    def policy(state: PyTree, obs: jax.Array, keys: jax.Array) -> jax.Array:
        act = jax.vmap(lambda o, key: run.agent.act(state, o, key, deterministic)[0])
        actions: jax.Array = act(obs, keys)
        return actions

    return policy
