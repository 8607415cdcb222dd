"""Pushes by hand: how hard, how long, how often, and from where."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from continuous_worlds import WORLDS, body, env, standing, start, step

from synthjax.envs.pushes import (
    PushConfig,
    PushState,
    advance_push,
    current_force,
    next_push,
    no_push,
    push_force,
    push_strength,
)
from synthjax.envs.timing import steps_in

DT, MASS = 0.05, 60.0
CONFIG = PushConfig(speed=0.8, every_seconds=2.0, seconds=0.2)


def test_a_push_gives_its_speed_to_the_whole_body() -> None:
    """60 kg by 0.5 m/s in 0.2 s: 150 N."""
    force = push_force(CONFIG, jnp.asarray(0.5), jnp.asarray(0.5 * np.pi), MASS, DT)
    np.testing.assert_allclose(force, [0.0, 150.0, 0.0], atol=1e-4)
    # A push shorter than a control step lasts one, with the same impulse.
    short = dataclasses.replace(CONFIG, seconds=0.01)
    assert steps_in(short.seconds, DT) == 1
    np.testing.assert_allclose(
        push_force(short, jnp.asarray(0.5), jnp.asarray(0.0), MASS, DT), [600.0, 0.0, 0.0]
    )


def test_a_push_waits_lasts_and_is_followed_by_the_next() -> None:
    push = PushState(force=jnp.array([1.0, 0.0, 0.0]), wait=jnp.asarray(2))
    following = PushState(force=jnp.array([0.0, 2.0, 0.0]), wait=jnp.asarray(3))
    felt = []
    for _ in range(10):
        felt.append(float(current_force(push)[0] + current_force(push)[1]))
        push = advance_push(CONFIG, push, following, DT)
    assert felt == [0, 0, 1, 1, 1, 1, 0, 0, 0, 2]


def test_pushes_come_from_everywhere_and_after_the_mean_time() -> None:
    keys = jax.random.split(jax.random.key(0), 4000)
    drawn = jax.vmap(lambda key: next_push(CONFIG, jnp.asarray(0.5), MASS, DT, key))(keys)
    speed = np.linalg.norm(drawn.force, axis=1) * 0.2 / MASS
    assert speed.max() == pytest.approx(0.4, rel=0.01)  # half the strength of 0.8 m/s
    assert speed.mean() == pytest.approx(0.2, rel=0.05)
    np.testing.assert_array_equal(drawn.force[:, 2], 0.0)
    assert np.linalg.norm(np.mean(drawn.force, axis=0)) < 0.05 * np.abs(drawn.force).max()
    assert float(jnp.mean(drawn.wait)) * DT == pytest.approx(2.0, rel=0.05)
    assert int(drawn.wait.min()) >= 1


def test_nobody_is_pushed_without_strength() -> None:
    push = next_push(CONFIG, jnp.zeros(()), MASS, DT, jax.random.key(0))
    np.testing.assert_array_equal(push.force, 0.0)
    assert int(no_push().wait) > 10**9


def test_a_pushed_body_moves_as_its_momentum_says() -> None:
    """In one control step in the air a push of one step adds its speed to the centre of mass."""
    environment = env(pushes=PushConfig(speed=1.0, seconds=0.05))
    high = standing(environment)
    high = high.replace(
        qpos=high.qpos.at[:, 2].add(1.0), xpos=high.xpos.at[:, 1:, 2].add(1.0)
    )  # nothing to hold on to
    state = start(environment, high)
    force = push_force(
        environment.config.pushes, jnp.asarray(1.0), jnp.asarray(0.0), environment.parts.mass, DT
    )
    still = PushState(force=jnp.zeros((WORLDS, 3)), wait=jnp.full(WORLDS, 5))
    pushed = PushState(force=jnp.tile(force, (WORLDS, 1)), wait=jnp.zeros(WORLDS, int))
    speeds = []
    for push in (still, pushed):
        k = step(environment, state.replace(task=state.task.replace(push=push))).physics.kinematics
        speeds.append(centre_of_mass_velocity(np.asarray(k.qpos[0]), np.asarray(k.qvel[0])))
    np.testing.assert_allclose(speeds[1] - speeds[0], [1.0, 0.0, 0.0], atol=5e-3)


def centre_of_mass_velocity(qpos: np.ndarray, qvel: np.ndarray) -> np.ndarray:
    """By MuJoCo, (3,) m/s."""
    model = body().model
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = qpos, qvel
    mujoco.mj_forward(model, data)
    mujoco.mj_subtreeVel(model, data)
    return data.subtree_linvel[0]


def test_pushes_grow_as_the_worlds_stand() -> None:
    environment = env(pushes=CONFIG)
    ctx = environment.init_context()
    assert float(ctx.push_strength) == 0.0
    # The average over time decides: from 0.7 to 0.72, which is 0.6 of the way from 0.6 to 0.8.
    stats = {"on_feet": jnp.asarray(9.0), "steps": jnp.asarray(10.0)}
    ctx = environment.update_context(ctx.replace(on_feet=jnp.asarray(0.7)), stats)
    assert float(ctx.on_feet) == pytest.approx(0.72)
    assert float(ctx.push_strength) == pytest.approx(0.6)
    for on_feet, strength in ((0.2, 0.0), (0.9, 1.0)):
        assert float(push_strength(CONFIG, jnp.asarray(on_feet))) == strength
    keys = jax.random.split(jax.random.key(3), 200)
    worlds = jax.jit(jax.vmap(environment.reset, in_axes=(None, 0)))(ctx, keys)
    assert float(jnp.max(jnp.abs(worlds.task.push.force))) > 0.0


def test_a_push_is_felt_by_the_chest_alone_and_only_while_it_lasts() -> None:
    environment = env()
    state = start(environment, standing(environment))
    push = PushState(force=jnp.tile(jnp.array([30.0, 40.0, 0.0]), (WORLDS, 1)), wait=jnp.ones(WORLDS, int))
    state = state.replace(task=state.task.replace(push=push))
    felt = []
    for _ in range(7):
        state = step(environment, state)
        felt.append(np.asarray(jnp.linalg.norm(state.physics.xfrc_applied, axis=-1)[0]))
    chest = body().model.body("UpperChest").id
    np.testing.assert_allclose(np.array(felt)[:, chest], [0, 50, 50, 50, 50, 0, 0], rtol=1e-6)
    assert np.delete(np.array(felt), chest, axis=1).max() == 0.0
