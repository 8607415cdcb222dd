"""Both environments with worlds that differ, and what a test wants to know of them."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import continuous_worlds
import imitation_worlds
import jax
import jax.numpy as jnp

from synthjax.envs.continuous import ContinuousEnv
from synthjax.envs.imitation import ImitationEnv
from synthjax.envs.pushes import Pushes
from synthjax.envs.randomization import RandomizationConfig
from synthjax.motion.library import resolve_motions
from synthjax.physics.native import NativePhysics

WORLDS = 32
NOMINAL = 0.05  # s
WILD = RandomizationConfig(
    bodies=8, mass=(0.5, 1.5), friction=(0.5, 1.5), strength=(0.5, 1.5), latency=(0.0, 0.05),
    pushes=Pushes(speed=1.0, every_seconds=0.2),
)  # fmt: skip
Env = ImitationEnv | ContinuousEnv
# Compiles in half of the time; what little is computed here takes none.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


@functools.cache
def env(kind: str, worlds: RandomizationConfig | None = WILD) -> Env:
    physics = NativePhysics(imitation_worlds.body(), imitation_worlds.SIM_DT, imitation_worlds.SUBSTEPS)
    if kind == "imitation":
        config = dataclasses.replace(imitation_worlds.CONFIG, max_episode_seconds=0.5)
        clips = list(imitation_worlds.clips()[:1])
        return ImitationEnv(imitation_worlds.body(), physics, clips, config, randomization=worlds)
    clips = resolve_motions("getup_facedown", continuous_worlds.body())
    return ContinuousEnv(
        continuous_worlds.body(), physics, clips, continuous_worlds.CONFIG, randomization=worlds
    )


@functools.cache
def resetter(environment: Env) -> Any:
    """(context) -> WORLDS worlds at their start."""
    keys = jax.random.split(jax.random.key(7), WORLDS)
    start = jax.jit(jax.vmap(environment.reset, in_axes=(None, 0)), compiler_options=QUICK)
    return lambda ctx: start(ctx, keys)


@functools.cache
def reset(environment: Env) -> Any:
    """WORLDS worlds at their start, before anything is learned."""
    return resetter(environment)(environment.init_context())


def nominal_start(environment: Env) -> Any:
    """Four worlds as evaluations start them."""
    keys = jax.random.split(jax.random.key(0), 4)
    if isinstance(environment, ImitationEnv):
        start = functools.partial(environment.start_from, environment.resets)
        return jax.jit(jax.vmap(start))(jnp.arange(4), keys)
    bodies = jax.vmap(environment.starts.gather)(environment.starts.rows[:4])
    return jax.jit(jax.vmap(environment.start_at))(bodies, keys)


@functools.cache
def stepper(environment: Env) -> Any:
    """(worlds, actions) -> the worlds after a control step with new keys."""

    def one(state: Any, action: jax.Array) -> Any:
        key = jax.random.split(state.key)[0]
        return environment.step(environment.init_context(), state.replace(key=key), action)

    return jax.jit(jax.vmap(one), compiler_options=QUICK)


def idle(environment: Env, count: int = WORLDS) -> jax.Array:
    return jnp.zeros((count, environment.action_dim))
