"""Worlds split over two devices: the same rollouts, one policy, and the regulator still solved."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from imitation_worlds import WORLDS as NUM_WORLDS
from imitation_worlds import env
from jax.sharding import Mesh
from regulator import LQR, Regulator

from synthjax.agents.masks import sample_weights
from synthjax.agents.normalizer import Normalizer, init_normalizer, update_normalizer
from synthjax.agents.ppo import PPO
from synthjax.agents.ppo.losses import explained_variance, normalize_advantages
from synthjax.training.evaluation import run_episodes
from synthjax.training.mesh import COPIED, SPLIT, WORLDS, copied, over_worlds, split, worlds_mesh
from synthjax.training.program import TrainProgram, TrainState


@functools.cache
def _program(devices: int) -> TrainProgram:
    env = Regulator()
    mesh = Mesh(np.array(jax.devices()[:devices]), (WORLDS,))
    return TrainProgram(env, PPO(LQR, env.obs_dim, env.action_dim), LQR.num_envs, LQR.unroll_length, mesh)


def _run(devices: int, epochs: int, iterations: int) -> TrainState:
    state = _program(devices).start(0)
    for _ in range(epochs):
        state, _ = _program(devices).epoch(state, iterations)
    return state


def test_worlds_are_split_and_all_else_is_copied():
    state = _program(2).start(0)
    assert [s.data.shape for s in state.env.obs.addressable_shards] == [(32, 2), (32, 2)]
    kernel = state.agent.params["policy"]["params"]["Dense_0"]["kernel"]
    assert kernel.is_fully_replicated


def test_a_rollout_does_not_depend_on_the_number_of_devices():
    one, two = (jax.jit(_program(n).unroll)(_program(n).start(0)).env for n in (1, 2))
    jax.tree.map(np.testing.assert_array_equal, one.obs, two.obs)
    np.testing.assert_array_equal(jax.random.key_data(one.key), jax.random.key_data(two.key))


def test_devices_agree_on_what_they_learn():
    """Without collectives each device would learn from its own worlds alone, and the copies would part."""
    state = _run(2, 1, 5)
    for leaf in jax.tree.leaves(state.agent):
        first, second = (np.asarray(shard.data) for shard in leaf.addressable_shards)
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("devices", [1, 2])
def test_the_context_counts_the_worlds_of_all_devices(devices):
    assert float(_run(devices, 1, 5).ctx) == 5 * LQR.batch_size


def test_the_normaliser_sees_the_worlds_of_all_devices():
    one, two = (_run(n, 1, 1).agent.normalizer for n in (1, 2))
    assert float(one.count) == float(two.count)
    np.testing.assert_allclose(one.mean, two.mean, atol=1e-6)
    np.testing.assert_allclose(one.variance, two.variance, rtol=1e-5)


@pytest.mark.parametrize("held", [(), (1, 2, 5), (0, 1, 2, 3)])
def test_statistics_over_devices_are_those_of_the_whole_batch(held):
    """Whatever share of it each device has: means of the devices' means would be wrong."""
    batch = np.random.default_rng(0).normal(3.0, 2.0, size=(8, 2)).astype(np.float32)
    batch[4:] += 5.0  # the second device's half differs, so that means of deviations would be wrong
    valid = ~np.isin(np.arange(8), held)
    counted, mesh = batch[valid], _program(2).mesh

    def update(state: Normalizer, x: jax.Array, valid: jax.Array) -> Normalizer:
        return update_normalizer(state, x, WORLDS, valid)

    merged = jax.jit(over_worlds(mesh, update, (COPIED, SPLIT, SPLIT), COPIED))(
        init_normalizer(2), batch, valid
    )
    np.testing.assert_allclose(merged.mean, counted.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(merged.variance, counted.var(axis=0), rtol=1e-4)
    assert float(merged.count) == len(counted)

    def standardised(x: jax.Array, valid: jax.Array) -> jax.Array:
        return normalize_advantages(x, sample_weights(valid, WORLDS), 9.0, WORLDS)

    standard = jax.jit(over_worlds(mesh, standardised, (SPLIT, SPLIT), SPLIT))(batch[:, 0], valid)
    expected = (counted[:, 0] - counted[:, 0].mean()) / counted[:, 0].std()
    np.testing.assert_allclose(standard[valid], expected, atol=1e-4)

    def explained(x: jax.Array, y: jax.Array, valid: jax.Array) -> jax.Array:
        return explained_variance(x, y, sample_weights(valid, WORLDS), WORLDS)

    share = jax.jit(over_worlds(mesh, explained, (SPLIT, SPLIT, SPLIT), COPIED))(*batch.T, valid)
    expected = 1.0 - np.var(counted[:, 1] - counted[:, 0]) / np.var(counted[:, 1])
    assert float(share) == pytest.approx(expected, rel=1e-4)


def test_ppo_solves_the_regulator_on_two_devices():
    state = _run(2, 6, 20)
    axis = np.linspace(-0.8, 0.8, 9, dtype=np.float32)
    x = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    agent = jax.device_get(state.agent)
    action, _ = _program(2).agent.act(agent, jnp.asarray(x), jax.random.key(0), deterministic=True)
    slope, *_ = np.linalg.lstsq(x, np.asarray(action), rcond=None)
    np.testing.assert_allclose(slope, -10 / 9 * np.eye(2), atol=0.1 * 10 / 9)


def test_evaluations_are_the_same_on_two_devices():
    environment = env()
    keys = jax.random.split(jax.random.key(0), NUM_WORLDS)
    first = jax.vmap(functools.partial(environment.start_from, environment.resets))(
        jnp.array([0, 5, 11, 17]), keys
    )
    traces = []
    for devices in (1, 2):
        mesh = _program(devices).mesh
        parameters = copied(mesh, jnp.zeros(environment.action_dim))
        trace = run_episodes(environment, _constant, parameters, split(mesh, first), 3, mesh)
        assert trace.body_error.shape == (3, NUM_WORLDS)
        traces.append(jax.device_get(trace))
    jax.tree.map(np.testing.assert_array_equal, *traces)


def _constant(action: jax.Array, obs: jax.Array, keys: jax.Array) -> jax.Array:
    return jnp.broadcast_to(action, (obs.shape[0], action.shape[0]))


def test_a_cpu_counts_as_one_device():
    assert len(jax.devices()) == 2
    assert worlds_mesh(128, 128).size == 1
