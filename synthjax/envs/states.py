"""States of worlds as both tasks have them: at a start, and one of two."""

from __future__ import annotations

import dataclasses
from typing import Protocol, TypeVar

import jax
import jax.numpy as jnp

from synthjax.envs.randomization import Randomization, Task, duration_of, observations
from synthjax.physics.base import Physics
from synthjax.types import EnvState, PhysicsState

TaskT = TypeVar("TaskT", bound=Task)
TaskT_contra = TypeVar("TaskT_contra", bound=Task, contravariant=True)


class StartingEnv(Protocol[TaskT_contra]):
    """What a state at its start takes of an environment."""

    randomization: Randomization | None
    control_dt: float

    def observe(self, physics: PhysicsState, task: TaskT_contra) -> dict[str, jax.Array]: ...

    def metric_names(self) -> list[str]: ...


def first_state(env: StartingEnv[TaskT], physics: PhysicsState, task: TaskT, key: jax.Array) -> EnvState:
    """A world of ``env`` before its first step."""
    return EnvState(
        physics=physics,
        **observations(env.randomization, env.observe, physics, task, key),
        reward=jnp.zeros(()),
        terminated=jnp.zeros((), bool),
        truncated=jnp.zeros((), bool),
        valid=jnp.ones((), bool),
        task=task,
        metrics={name: jnp.zeros(()) for name in env.metric_names()},
        key=key,
        duration=duration_of(task, env.control_dt),
    )


def select_state(physics: Physics, done: jax.Array, on_true: EnvState, on_false: EnvState) -> EnvState:
    """``on_true`` where ``done`` (), else ``on_false``; the physics chooses between its own states."""
    chosen: EnvState = jax.tree.map(lambda a, b: jnp.where(done, a, b), on_true, on_false)
    return dataclasses.replace(chosen, physics=physics.select(done, on_true.physics, on_false.physics))
