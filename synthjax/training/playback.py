"""Rolls a policy out for looking at: every pose of the body and of its reference."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from synthjax.envs.imitation import ImitationEnv
from synthjax.types import EnvState

VIDEO_FPS = 60.0


@dataclasses.dataclass(frozen=True)
class Playback:
    """Poses at :data:`VIDEO_FPS`."""

    qpos: np.ndarray  # (T, nq)
    reference_qpos: np.ndarray  # (T, nq)
    fps: float


def play(
    env: ImitationEnv, policy: Any, policy_state: Any, start: int, seconds: float, seed: int = 0
) -> Playback:
    """One episode from start state ``start`` of the environment's table; it is not cut short by a fall.

    Poses between two control steps are interpolated on the configuration manifold.
    """

    @jax.jit
    def rollout(policy_state: Any, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        first = env.reset_at(jnp.asarray(start), key)
        ctx = env.init_context()

        def step(state: EnvState, step_key: jax.Array) -> tuple[EnvState, tuple[jax.Array, jax.Array]]:
            action = policy(policy_state, state.obs, step_key)
            state = env.step(ctx, state, action)
            reference = env.library.sample(state.task.clip, state.task.time)
            return state, (state.physics.kinematics.qpos, reference.qpos)

        _, poses = jax.lax.scan(step, first, jax.random.split(key, round(seconds / env.control_dt)))
        return poses

    qpos, reference = jax.device_get(rollout(policy_state, jax.random.key(seed)))
    rate = 1.0 / env.control_dt
    return Playback(
        resample(env.body.model, qpos, rate), resample(env.body.model, reference, rate), VIDEO_FPS
    )


def resample(model: mujoco.MjModel, qpos: np.ndarray, rate: float) -> np.ndarray:
    """``qpos`` (T, nq) at ``rate`` per second, at :data:`VIDEO_FPS` instead."""
    qpos = qpos.astype(np.float64)
    times = np.arange(int((len(qpos) - 1) / rate * VIDEO_FPS)) / VIDEO_FPS
    step = np.zeros(model.nv)
    result = np.empty((len(times), qpos.shape[1]))
    for i, time in enumerate(times):
        first = int(time * rate)
        mujoco.mj_differentiatePos(model, step, 1.0, qpos[first], qpos[first + 1])
        result[i] = qpos[first]
        mujoco.mj_integratePos(model, result[i], step, time * rate - first)
    return result
