"""The always-on environment with physics that stand still or really move."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from imitation_worlds import StillPhysics

from synthjax.bodies import Body, make_body
from synthjax.envs.continuous import ContinuousEnv
from synthjax.envs.continuous_task import ContinuousConfig
from synthjax.envs.reset_table import pack
from synthjax.motion.library import resolve_motions
from synthjax.physics.native import NativePhysics
from synthjax.types import EnvState, Kinematics

WORLDS = 4
CONFIG = ContinuousConfig(falls=8, life_seconds=0.5)


@functools.cache
def body(actuation: str = "pd", drive: str = "servo") -> Body:
    return make_body("synth", actuation, drive)


@functools.cache
def env(still: bool = False, actuation: str = "pd", **changes: Any) -> ContinuousEnv:
    kind = StillPhysics if still else NativePhysics
    clips = resolve_motions("getup_facedown,getup_faceup", body(actuation))
    physics = kind(body(actuation), 1 / 120, 6)
    return ContinuousEnv(body(actuation), physics, clips, dataclasses.replace(CONFIG, **changes))


@functools.cache
def _step(environment: ContinuousEnv) -> Any:
    return jax.jit(jax.vmap(functools.partial(environment.step, environment.init_context())))


def step(environment: ContinuousEnv, state: EnvState, action: jax.Array | float = 0.0) -> EnvState:
    return _step(environment)(state, jnp.broadcast_to(action, (WORLDS, environment.action_dim)))


@functools.cache
def _start(environment: ContinuousEnv) -> Any:
    return jax.jit(jax.vmap(environment.start_at))


def start(environment: ContinuousEnv, k: Kinematics) -> EnvState:
    """WORLDS worlds that begin at the batch ``k``."""
    k = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), k)
    return _start(environment)(k, jax.random.split(jax.random.key(0), WORLDS))


def standing(environment: ContinuousEnv) -> Kinematics:
    model = environment.body.model
    row = pack(model, environment.body.standing_qpos[None], np.zeros((1, model.nv)))
    one = environment.starts.gather(jnp.asarray(row[0], jnp.float32))
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (WORLDS, *x.shape)), one)


def falls(environment: ContinuousEnv) -> Kinematics:
    return jax.vmap(environment.starts.gather)(environment.starts.rows[:WORLDS])
