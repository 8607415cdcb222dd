"""Auto-reset: the one wrapper between an environment and a training program."""

from __future__ import annotations

import dataclasses
from typing import Generic

import jax
import jax.numpy as jnp

from synthjax.types import Env, EnvContext, EnvState


def masked(stepped: EnvState) -> EnvState:
    """``stepped`` with a step that nobody learns from where its world has lost its numbers.

    A world whose observation or reward is not finite is as bad as one that has blown up in the engine: it
    ends here, and what came of the step is not the action's doing.
    """
    sound = jnp.all(jnp.isfinite(stepped.obs)) & jnp.isfinite(stepped.reward)
    bad = stepped.physics.bad | ~sound
    return dataclasses.replace(
        stepped,
        physics=dataclasses.replace(stepped.physics, bad=bad),
        terminated=stepped.terminated | bad,
        truncated=stepped.truncated & ~bad,
        valid=stepped.valid & ~bad,
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
