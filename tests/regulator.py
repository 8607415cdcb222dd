"""A linear-quadratic regulator as an environment: a control problem with a known answer."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from synthjax.agents.ppo import PPOConfig
from synthjax.physics.states import restored
from synthjax.types import EnvState, Kinematics

GAIN, EFFORT, TIME_LIMIT = 0.5, 0.3, 2
LQR = PPOConfig(
    num_envs=64, unroll_length=16, num_minibatches=4, num_epochs=4, gamma=0.9, gae_lambda=0.95,
    value_coefficient=1.0, reward_scale=1.0, learning_rate=2e-3, min_learning_rate=1e-4,
    max_learning_rate=3e-3, target_kl=0.02, max_noise=0.3, min_noise=0.1, hidden=(32, 32), activation="tanh",
)  # fmt: skip


class Regulator:
    """x' = x + u / 2 from x in [-1, 1]², reward -(|x|² + 0.3 |u|²), and a time limit of two steps.

    The reward is of the state BEFORE the action: without the value beyond the time limit the second
    action would never pay.
    """

    obs_dim = action_dim = 2
    control_dt = 1.0

    def init_context(self) -> jax.Array:
        """Counts the steps of all worlds."""
        return jnp.zeros(())

    def action_gains(self, ctx: jax.Array) -> jax.Array:
        return jnp.ones(2)

    def reset(self, ctx: jax.Array, key: jax.Array) -> EnvState:
        key, start_key = jax.random.split(key)
        x = jax.random.uniform(start_key, (2,), minval=-1.0, maxval=1.0)
        return self._state(x, jnp.zeros(()), jnp.zeros((), jnp.int32), key)

    def step(self, ctx: jax.Array, state: EnvState, action: jax.Array) -> EnvState:
        reward = -(jnp.sum(state.obs**2) + EFFORT * jnp.sum(action**2))
        return self._state(state.obs + GAIN * action, reward, state.task + 1, state.key)

    def select(self, done: jax.Array, on_true: EnvState, on_false: EnvState) -> EnvState:
        return jax.tree.map(lambda a, b: jnp.where(done, a, b), on_true, on_false)

    def episode_stats(self, state: EnvState) -> jax.Array:
        return jnp.sum(jnp.ones_like(state.reward))

    def update_context(self, ctx: jax.Array, stats: jax.Array) -> jax.Array:
        return ctx + stats

    def _state(self, x: jax.Array, reward: jax.Array, age: jax.Array, key: jax.Array) -> EnvState:
        zeros = jnp.zeros
        still = Kinematics(
            qpos=zeros(9), qvel=zeros(8), xpos=zeros((2, 3)), xquat=zeros((2, 4)), linvel=zeros((2, 3)),
            angvel=zeros((2, 3)),
        )  # fmt: skip
        return EnvState(
            physics=restored(still, nu=2), obs=x, reward=reward, terminated=jnp.zeros((), bool),
            truncated=age >= TIME_LIMIT, valid=jnp.ones((), bool), task=age, key=key,
            metrics={"reward": reward} | dict.fromkeys(("bad_world", "completed", "failed"), jnp.zeros(())),
        )  # fmt: skip
