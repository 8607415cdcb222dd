"""Worlds that differ from one another: by hand, by MuJoCo, and against nominal ones."""

from __future__ import annotations

import copy
import dataclasses
import functools

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imitation_worlds import body
from randomized_worlds import NOMINAL, WILD, WORLDS, env, idle, nominal_start, reset, resetter, stepper

from synthjax.envs.drift import DriftConfig, tightness
from synthjax.envs.randomization import Drawn, Randomization, random_bodies, transmitted
from synthjax.envs.reset_table import pack
from synthjax.envs.sensors import SensorNoise, sensed
from synthjax.envs.timing import steps_in
from synthjax.motion.packing import unpack_row
from synthjax.types import Kinematics

KINDS = pytest.mark.parametrize("kind", ["imitation", "continuous"])

# ---------------------------------------------------------------------- late commands


@jax.jit
def sent(latency: jax.Array, control_dt: jax.Array, commands: jax.Array) -> jax.Array:
    """What the motors get in each control step in which they are told ``commands`` (T, nu)."""
    drawn = Drawn(control_dt, latency, jnp.zeros((4, commands.shape[1])))

    def step(drawn: Drawn, command: jax.Array) -> tuple[Drawn, jax.Array]:
        applied, drawn = transmitted(drawn, command)
        return drawn, applied

    return jax.lax.scan(step, drawn, commands)[1]


@settings(deadline=None, max_examples=15)
@given(latency=st.floats(0.0, 0.05), control_dt=st.floats(0.02, 0.05), seed=st.integers(0, 9))
def test_motors_get_the_mean_of_what_has_arrived(latency: float, control_dt: float, seed: int) -> None:
    """Against the late signal itself, sampled 1000 times in every control step."""
    commands = np.random.default_rng(seed).normal(size=(6, 2))
    got = sent(np.float32(latency), np.float32(control_dt), commands.astype(np.float32))
    moments = (np.arange(6)[:, None] + (np.arange(1000) + 0.5) / 1000) * control_dt
    index = np.floor((moments - latency) / control_dt).astype(int)
    expected = np.where((index >= 0)[..., None], commands[index], 0.0).mean(axis=1)
    np.testing.assert_allclose(got, expected, atol=0.01)


def test_the_memory_is_as_long_as_the_longest_delay() -> None:
    """50 ms at 20 ms a step: the command of the step itself and of the three before it."""
    assert env("imitation").randomization.num_commands == 4
    at_once = dataclasses.replace(WILD, latency=(0.0, 0.0))
    assert Randomization(at_once, body(), NOMINAL, 0).num_commands == 1


# ---------------------------------------------------------------------- sensors


@functools.cache
def standing() -> Kinematics:
    row = pack(body().model, body().standing_qpos[None], np.zeros((1, body().model.nv)))[0]
    return unpack_row(jnp.asarray(row, jnp.float32), body().model.nq, body().model.nv)


def seen_with(noise: SensorNoise) -> Kinematics:
    """The standing body as it is seen 300 times."""
    keys = jax.random.split(jax.random.key(0), 300)
    return jax.jit(jax.vmap(functools.partial(sensed, noise, standing())))(keys)


def test_noise_stays_in_its_width_and_off_what_has_no_sensor() -> None:
    noise = SensorNoise(0.1, 0.2, 0.0, 0.3, 0.4, 0.5)
    seen = seen_with(noise)
    off = jax.tree.map(lambda a, b: np.abs(np.asarray(a - b)), seen, standing())
    for part, width in (
        (off.qpos[:, 7:], 0.1), (off.qvel[:, 6:], 0.2), (off.linvel[:, 1], 0.3),
        (off.angvel[:, 1], 0.4), (off.xpos[:, 1:], 0.5),
    ):  # fmt: skip
        assert part.max() <= 1.001 * width
        assert part.mean() == pytest.approx(0.5 * width, rel=0.05)
    for part in (off.qpos[:, :7], off.qvel[:, :6], off.xpos[:, 0], off.xquat, off.linvel[:, 2:]):
        assert part.max() < 1e-6


def test_the_attitude_is_turned_by_its_noise() -> None:
    seen = seen_with(SensorNoise(attitude=0.1))
    np.testing.assert_allclose(np.linalg.norm(seen.xquat[:, 1], axis=-1), 1.0, atol=1e-6)
    angle = 2.0 * np.arccos(np.abs(np.asarray(seen.xquat[:, 1] @ standing().xquat[1])))
    assert 0.1 < angle.max() <= 0.1 * np.sqrt(3.0) + 1e-3
    np.testing.assert_array_equal(
        seen.xquat[:, 2:], np.broadcast_to(standing().xquat[2:], seen.xquat[:, 2:].shape)
    )


@KINDS
def test_only_the_policy_sees_the_noise(kind: str) -> None:
    """It is new in each step and for each key; what critics see, rewards and the world are without it."""
    environment = env(kind)
    first = reset(environment)
    one, other = (
        stepper(environment)(
            first.replace(key=jax.random.split(jax.random.key(seed), WORLDS)), idle(environment)
        )
        for seed in (0, 1)
    )
    for field in ("physics", "exact_obs", "reward", "terminated"):
        jax.tree.map(np.testing.assert_array_equal, getattr(one, field), getattr(other, field))
    target = {"imitation": "target1_joint_errors", "continuous": "guide_joint_errors"}[kind]
    angles, errors = (environment.layout.slices[name] for name in ("joint_angles", target))
    noises = [np.asarray(state.obs - state.exact_obs) for state in (first, one, other)]
    for noise in noises:
        assert np.abs(noise[:, angles]).max() < 0.0101
        assert 0.004 < np.abs(noise[:, angles]).mean() < 0.006
        # An angle and its distance to a target come from one sensor.
        np.testing.assert_allclose(noise[:, errors], -noise[:, angles], atol=1e-5)
    for a, b in ((0, 1), (1, 2)):
        assert np.abs(noises[a] - noises[b])[:, angles].mean() > 0.004


# ---------------------------------------------------------------------- bodies


def test_bodies_are_in_their_ranges_and_the_first_ones_of_any_number() -> None:
    ranges = {"mass": (0.5, 0.6), "friction": (2.0, 3.0), "strength": (0.1, 0.2)}
    few, many = (random_bodies(body(), n, 3, **ranges) for n in (4, 32))
    for name, values in few.items():
        np.testing.assert_array_equal(values, many[name][:4])
    model = body().model
    for field, (low, high) in (
        ("body_mass", ranges["mass"]), ("pair_friction", ranges["friction"]),
        ("actuator_gainprm", ranges["strength"]),
    ):  # fmt: skip
        nominal = getattr(model, field)
        factor = np.asarray(many[field])[:, nominal != 0] / nominal[nominal != 0]
        np.testing.assert_allclose(factor, np.broadcast_to(factor[:, :1], factor.shape), rtol=1e-5)
        assert low <= factor.min() < low + 0.2 * (high - low)
        assert high - 0.2 * (high - low) < factor.max() <= high


@KINDS
def test_every_world_is_another_and_stays_what_it_is(kind: str) -> None:
    environment = env(kind)
    first = reset(environment)
    mass = np.asarray(first.task.variant["body_mass"]).sum(axis=1) / body().model.body_mass.sum()
    assert len(np.unique(mass.round(4))) == WILD.bodies
    assert 0.5 <= mass.min() < 0.9 < 1.1 < mass.max() <= 1.5
    periods, latencies = np.asarray(first.task.drawn.control_dt), np.asarray(first.task.drawn.latency)
    assert 0.02 <= periods.min() < 0.025 < 0.045 < periods.max() <= NOMINAL
    assert 0.0 <= latencies.min() < 0.01 < 0.04 < latencies.max() <= 0.05
    after = stepper(environment)(first, idle(environment))
    jax.tree.map(np.testing.assert_array_equal, after.task.variant, first.task.variant)
    np.testing.assert_array_equal(after.task.drawn.control_dt, periods)
    np.testing.assert_array_equal(after.task.drawn.latency, latencies)


@KINDS
def test_a_step_is_that_of_mujoco_with_the_same_body_command_and_time(kind: str) -> None:
    """Masses, friction, strength, the late command, the push and the period, all at once."""
    environment = env(kind)
    first = reset(environment)
    if kind == "imitation":
        # At the widest limit on drift nobody is pushed yet.
        assert not np.any(first.task.push.force)
    push = first.task.push.replace(
        force=jnp.full((WORLDS, 3), 200.0, float), wait=jnp.zeros(WORLDS, jnp.int32)
    )
    first = first.replace(task=first.task.replace(push=push))
    actions = 0.5 * jax.random.normal(jax.random.key(1), (WORLDS, environment.action_dim))
    after = stepper(environment)(first, actions)
    chest = body().model.body("UpperChest").id
    for i in range(4):
        drawn = after.task.drawn
        shares = np.clip(1.0 - np.abs(np.arange(4) - drawn.latency[i] / drawn.control_dt[i]), 0.0, 1.0)
        model = copy.copy(environment.physics.model)
        for name, values in first.task.variant.items():
            getattr(model, name)[:] = values[i]
        model.opt.timestep = float(drawn.control_dt[i]) / 6
        data = mujoco.MjData(model)
        data.qpos, data.qvel = first.physics.kinematics.qpos[i], first.physics.kinematics.qvel[i]
        data.ctrl = shares @ np.asarray(drawn.commands[i], float)
        data.xfrc_applied[chest, :3] = 200.0
        for _ in range(6):
            mujoco.mj_step(model, data)
        np.testing.assert_allclose(after.physics.kinematics.qpos[i], data.qpos, atol=1e-4)
        assert np.abs(data.qpos - first.physics.kinematics.qpos[i]).max() > 1e-3


# ---------------------------------------------------------------------- time


@KINDS
def test_time_goes_by_in_seconds(kind: str) -> None:
    """Clips and guides advance by a world's own period, and a life is as long however often it acts."""
    environment = env(kind)
    state = first = reset(environment)
    if kind == "continuous":  # from its beginning, not from an age of its own
        first = state = first.replace(task=first.task.replace(age=jnp.zeros(WORLDS, jnp.int32)))
    periods = np.asarray(first.task.drawn.control_dt)
    np.testing.assert_allclose(first.duration, periods / NOMINAL, rtol=1e-5)
    ended = np.zeros(WORLDS)
    for steps in range(1, 27):
        state = stepper(environment)(state, idle(environment))
        over = np.asarray(state.task.age) * periods > 0.5 - 0.5 * periods
        if kind == "imitation":
            np.testing.assert_allclose(state.task.time - first.task.time, steps * periods, rtol=1e-4)
        else:  # a guide waits, at a fifth of its speed, for a body that does not move
            moved = np.asarray(state.task.guide.time - first.task.guide.time)
            going = ~np.asarray(state.terminated)
            assert (moved[going] <= steps * periods[going] * 1.001).all()
        done = np.asarray(state.truncated | state.terminated)
        np.testing.assert_array_equal(done | over, done)
        ended = np.where((ended == 0.0) & over, steps * periods, ended)
    assert (np.abs(ended - 0.5) <= 0.5 * periods + 1e-3).all()


@KINDS
def test_a_short_step_earns_its_share(kind: str) -> None:
    environment = env(kind)
    after = stepper(environment)(reset(environment), idle(environment))
    share = np.asarray(after.task.drawn.control_dt) / NOMINAL
    assert share.min() < 0.6
    alive = ~np.asarray(after.terminated)
    earned = np.asarray(after.metrics["reward"])  # of a whole nominal step
    assert earned[alive].min() > 0.0
    np.testing.assert_allclose(np.asarray(after.reward)[alive], (share * earned)[alive], rtol=1e-5)
    stats = environment.episode_stats(after)
    counted = stats["visits"].sum() if kind == "imitation" else stats["steps"]
    assert float(counted) == pytest.approx(share.sum(), rel=1e-4)


def test_whole_steps_in_seconds() -> None:
    assert steps_in(0.5, 0.05) == 10
    assert steps_in(0.01, 0.05) == 1
    np.testing.assert_array_equal(steps_in(0.5, jnp.array([0.02, 0.05, 2.0])), [25, 10, 1])


# ---------------------------------------------------------------------- pushes


def test_pushes_of_a_follower_grow_as_its_limit_narrows() -> None:
    config = DriftConfig(widest=0.6, narrowest=0.2)
    np.testing.assert_allclose([tightness(config, x) for x in (0.6, 0.5, 0.2)], [0.0, 0.25, 1.0], atol=1e-6)
    assert float(tightness(DriftConfig(widest=0.2, narrowest=0.2), 0.2)) == 1.0
    environment = env("imitation")
    ctx = environment.init_context().replace(drift_limit=jnp.asarray(0.2, float))
    task = resetter(environment)(ctx).task
    steps = np.maximum(1, np.round(0.2 / np.asarray(task.drawn.control_dt)))
    speed = np.linalg.norm(task.push.force, axis=1) * steps * np.asarray(task.drawn.control_dt)
    speed /= body().model.body_mass.sum()
    assert 0.8 < speed.max() <= 1.001  # m/s by the impulse, whatever the period
    assert np.asarray(task.push.wait * task.drawn.control_dt).mean() == pytest.approx(0.2, abs=0.12)


# ---------------------------------------------------------------------- nominal worlds


@KINDS
def test_evaluations_start_in_the_nominal_world(kind: str) -> None:
    state = jax.eval_shape(lambda: nominal_start(env(kind)))
    assert (state.task.variant, state.task.drawn) == ({}, None)
    assert (state.duration, state.exact_obs) == (None, None)


@pytest.mark.slow
@KINDS
def test_nominal_worlds_of_a_randomised_environment_are_those_of_any_other(kind: str) -> None:
    """Bit for bit; no draw, delay, noise or push is left in them."""
    traces = []
    for environment in (env(kind), env(kind, None)):
        state = nominal_start(environment)
        actions = 0.1 * jax.random.normal(jax.random.key(1), (4, environment.action_dim))
        state = stepper(environment)(state, actions)
        traces.append((state.physics, state.obs, state.reward, state.terminated))
    jax.tree.map(np.testing.assert_array_equal, *traces)
