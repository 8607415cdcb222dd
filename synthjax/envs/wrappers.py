"""Auto-reset: the one wrapper between an environment and a training program."""

from __future__ import annotations

import dataclasses
from typing import Generic

import jax
import jax.numpy as jnp

from synthjax.physics.base import Physics
from synthjax.types import Env, EnvContext, EnvState


def select_state(physics: Physics, done: jax.Array, on_true: EnvState, on_false: EnvState) -> EnvState:
    """``on_true`` where ``done`` (), else ``on_false``; the physics chooses between its own states."""
    chosen: EnvState = jax.tree.map(lambda a, b: jnp.where(done, a, b), on_true, on_false)
    return dataclasses.replace(chosen, physics=physics.select(done, on_true.physics, on_false.physics))


def masked(stepped: EnvState) -> EnvState:
    """``stepped`` with nothing in it that could poison what is learned from it.

    A world whose observation or reward is not finite is as bad as one that has blown up in the engine: it
    ends here, without a reward.  Zeros stand for what is not finite: a NaN survives even a weight of zero.
    """
    finite = jnp.isfinite(stepped.obs)
    sound = jnp.all(finite) & jnp.isfinite(stepped.reward)
    bad = stepped.physics.bad | ~sound
    return dataclasses.replace(
        stepped,
        physics=dataclasses.replace(stepped.physics, bad=bad),
        obs=jnp.where(finite, stepped.obs, 0.0),
        exact_obs=None if stepped.exact_obs is None else jnp.where(finite, stepped.exact_obs, 0.0),
        reward=jnp.where(sound, stepped.reward, 0.0),
        terminated=stepped.terminated | ~sound,
        truncated=stepped.truncated & sound,
        metrics=stepped.metrics | {"bad_world": bad.astype(jnp.float32)},
    )


class AutoReset(Generic[EnvContext]):
    """Steps an environment and starts it anew where its episode has ended."""

    def __init__(self, env: Env[EnvContext]):
        self.env = env

    def step(self, ctx: EnvContext, state: EnvState, action: jax.Array) -> tuple[EnvState, EnvState]:
        """(state to go on from, state that the step led to).

        The second holds the true final observation, from which a time limit is bootstrapped; see also
        :func:`masked`.
        """
        key, reset_key = jax.random.split(state.key)
        stepped = masked(self.env.step(ctx, dataclasses.replace(state, key=key), action))
        done = stepped.terminated | stepped.truncated
        return self.env.select(done, self.env.reset(ctx, reset_key), stepped), stepped
