"""What a host computes for a train step in NumPy, and its body beside the training environment's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import continuous_worlds
import imitation_worlds
import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from synthjax.agents import distributions
from synthjax.agents.ppo import losses
from synthjax.agents.sac.returns import n_step_entries
from synthjax.deploy.judges import JUDGES
from synthjax.deploy.tuning.advantages import generalized_advantage, normalize_advantages
from synthjax.deploy.tuning.anchor import gaussian_kl
from synthjax.deploy.tuning.body import SimulatedBody, change_model
from synthjax.deploy.tuning.config import BodyChange
from synthjax.deploy.tuning.replay import Replay
from synthjax.deploy.tuning.returns import n_step_returns
from synthjax.errors import UserError
from synthjax.types import Transition


def test_advantages_by_hand() -> None:
    """Half each of gamma and lambda: a step, a termination, a time limit, and the last step of a rollout."""
    advantages, targets = generalized_advantage(
        rewards=np.array([1.0, 2.0, 3.0, 4.0]), values=np.array([1.0, 1.0, 2.0, 2.0]),
        next_values=np.array([1.0, 99.0, 4.0, 6.0]), terminated=np.array([False, True, False, False]),
        done=np.array([False, True, True, False]), gamma=0.5, gae_lambda=0.5,
    )  # fmt: skip
    # 4 + 3 - 2; 3 + 2 - 2 with nothing after it; 2 - 1; and 1 + 0.5 - 1 with a quarter of what follows.
    np.testing.assert_allclose(advantages, [0.5 + 0.25 * 1.0, 1.0, 3.0, 5.0])
    np.testing.assert_allclose(targets, [1.75, 2.0, 5.0, 7.0])


def test_advantages_are_those_of_the_training() -> None:
    rng = np.random.default_rng(0)
    steps = 300
    rewards, values, next_values = rng.normal(size=(3, steps)).astype(np.float32)
    terminated = rng.random(steps) < 0.05
    truncated = (rng.random(steps) < 0.05) & ~terminated
    theirs, targets = losses.generalized_advantage(
        *(jnp.asarray(x)[:, None] for x in (rewards, values, next_values, terminated, truncated)),
        jnp.ones((steps, 1), bool), 0.95, 0.9,
    )  # fmt: skip
    ours, ours_targets = generalized_advantage(
        rewards, values, next_values, terminated, terminated | truncated, 0.95, 0.9
    )
    np.testing.assert_allclose(ours, theirs[:, 0], atol=1e-5)
    np.testing.assert_allclose(ours_targets, targets[:, 0], atol=1e-5)
    standard = losses.normalize_advantages(theirs, jnp.ones_like(theirs), 1.5)[:, 0]
    np.testing.assert_allclose(normalize_advantages(ours, 1.5), standard, atol=1e-5)


def test_divergence_is_that_of_the_training() -> None:
    rng = np.random.default_rng(0)
    mean, other = rng.normal(size=(2, 20, 5)).astype(np.float32)
    std, other_std = rng.uniform(0.1, 0.5, size=(2, 20, 5)).astype(np.float32)
    active = np.array([True, True, False, True, True])
    four = [mean, std, other, other_std]
    expected = jnp.mean(distributions.gaussian_kl(*(jnp.asarray(x[:, active]) for x in four)))
    assert gaussian_kl(*four, active) == pytest.approx(float(expected), rel=1e-5)
    assert gaussian_kl(mean, std, mean, std, active) == pytest.approx(0.0, abs=1e-6)


def test_n_step_returns_by_hand() -> None:
    """Half of gamma, windows of three: a termination, a time limit, and the end of the rollout."""
    returns, discounts, last = n_step_returns(
        rewards=np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]),
        terminated=np.array([False, True, *[False] * 6]),
        done=np.array([False, True, False, True, *[False] * 4]), gamma=0.5, n=3, rate=0.0,
    )  # fmt: skip
    np.testing.assert_allclose(returns, [1 + 1, 2, 3 + 2, 4, 5 + 3 + 1.75, 6 + 3.5 + 2, 7 + 4, 8])
    np.testing.assert_allclose(discounts, [0, 0, 0.25, 0.5, 0.125, 0.125, 0.25, 0.5])
    np.testing.assert_array_equal(last, [1, 1, 3, 3, 6, 7, 7, 7])


@pytest.mark.parametrize(("n", "rate"), [(1, 0.0), (3, 0.7), (10, 0.7)])
def test_n_step_returns_are_those_of_the_training(n: int, rate: float) -> None:
    rng = np.random.default_rng(0)
    steps = 300
    reward = rng.normal(size=steps).astype(np.float32)
    terminated = rng.random(steps) < 0.05
    truncated = (rng.random(steps) < 0.05) & ~terminated
    place = jnp.arange(steps, dtype=jnp.float32)[:, None, None]
    data = Transition(
        obs=place, action=place, next_obs=place, extras={}, valid=jnp.ones((steps, 1), bool),
        **{name: jnp.asarray(x)[:, None] for name, x in (
            ("reward", reward), ("terminated", terminated), ("truncated", truncated),
        )},
    )  # fmt: skip
    theirs = n_step_entries(data, 0.95, n)
    returns, discounts, last = n_step_returns(reward, terminated, terminated | truncated, 0.95, n, rate)
    np.testing.assert_allclose(returns, (theirs.reward - rate * theirs.horizon)[:, 0], atol=1e-5)
    np.testing.assert_allclose(discounts, theirs.discount[:, 0], atol=1e-6)
    np.testing.assert_array_equal(last, theirs.next_obs[:, 0, 0])


def transitions(*numbers: float) -> dict[str, np.ndarray]:
    """Of which every entry is the number of the transition."""
    flat = np.array(numbers, np.float32)
    wide = {name: np.tile(flat[:, None], 3) for name in ("observation", "next_observation")}
    return {**wide, "action": np.tile(flat[:, None], 2), "reward": flat, "discount": flat}


def test_replay_holds_the_newest_and_no_more() -> None:
    replay, rng = Replay(5, 3, 2), np.random.default_rng(0)
    memory = sum(column.nbytes for column in replay._columns.values())
    replay.add(transitions(1, 2, 3))
    assert replay.size == 3
    assert set(replay.sample(100, rng)["reward"]) == {1, 2, 3}
    for first in (4, 8, 12):
        replay.add(transitions(*range(first, first + 4)))
        assert replay.size == 5
    drawn = replay.sample(5000, rng)
    counts = np.bincount(drawn["reward"].astype(int))
    np.testing.assert_array_equal(np.flatnonzero(counts), [11, 12, 13, 14, 15])
    assert counts[11:].min() > 900  # a thousand, and three deviations are 85
    for column in drawn.values():  # of one transition each
        np.testing.assert_array_equal(column.reshape(5000, -1)[:, 0], drawn["reward"])
    assert sum(column.nbytes for column in replay._columns.values()) == memory


@pytest.mark.parametrize("name", ["imitation", "continuous"])
def test_a_host_reads_what_the_environment_has(name: str) -> None:
    """A body in native MuJoCo under the same motor inputs: every sensor, those of forces included."""
    worlds: Any = imitation_worlds if name == "imitation" else continuous_worlds
    env = imitation_worlds.env(still=False) if name == "imitation" else continuous_worlds.env()
    physics = env.physics
    options = physics.model.opt
    timing = {"sim_dt": physics.sim_dt, "n_substeps": physics.n_substeps}
    solver = {"iterations": int(options.iterations), "solver": mujoco.mjtSolver(options.solver).name[6:]}
    bundle: Any = SimpleNamespace(
        manifest={"timing": timing, "physics": solver}, files={"body.xml": env.body.xml.encode()}
    )
    body, judge = SimulatedBody(bundle, BodyChange()), JUDGES[name](env)
    if name == "imitation":
        state = worlds.reset_at(env, [0, 1, 2, 3])
    else:
        state = worlds.start(env, worlds.falls(env))
    kinematics = jax.tree.map(lambda x: np.asarray(x)[0], state.physics.kinematics)
    body.begin({"qpos": kinematics.qpos, "qvel": kinematics.qvel})
    ctrl = kinematics.qpos[7:]
    step = jax.jit(lambda physics_state: env.physics.step({}, physics_state, jnp.asarray(ctrl)))
    one = jax.tree.map(lambda x: x[0], state)
    touched = 0.0
    for _ in range(4):
        one = one.replace(physics=step(one.physics))
        body.data.ctrl[:] = ctrl
        body.step(physics.n_substeps)
        sensors, expected = body.sensors(), jax.device_get(judge.sensors(one))
        for key, value in expected.items():
            got = sensors[key] > 0 if key == "ground_contact" else sensors[key]
            value = value > 0 if key == "ground_contact" else value
            scale = max(1.0, float(np.abs(value).max()))
            np.testing.assert_allclose(got / scale, value / scale, atol=5e-3, err_msg=key)
        touched += sensors["ground_contact"].sum()
    assert touched > 0
    assert body.sound
    body.data.qpos[3] = np.nan
    assert not body.sound


def assert_close(got: np.ndarray, expected: np.ndarray) -> None:
    """But for the digits of the body's file."""
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_a_changed_body_is_changed_and_nothing_else() -> None:
    before = imitation_worlds.body().model
    model = mujoco.MjModel.from_xml_string(imitation_worlds.body().xml)
    change = BodyChange(mass=1.5, friction=0.5, strength=0.9, weak="LeftUpperLeg", weak_strength=0.5)
    change_model(model, mujoco.MjData(model), change)
    assert_close(model.body_mass, 1.5 * before.body_mass)
    assert_close(model.body_subtreemass[1], 1.5 * before.body_subtreemass[1])
    assert_close(model.pair_friction, 0.5 * before.pair_friction)
    names = [model.joint(int(joint)).name for joint in model.actuator_trnid[:, 0]]
    leg = ("LeftUpperLeg", "LeftLowerLeg", "LeftFoot", "LeftToes")
    factors = np.array([0.45 if name.startswith(leg) else 0.9 for name in names])
    assert 0 < np.sum(factors < 0.5) < len(names)
    assert_close(model.actuator_gainprm[:, 0], factors * before.actuator_gainprm[:, 0])
    assert_close(model.actuator_biasprm[:, 1], factors * before.actuator_biasprm[:, 1])
    assert_close(model.actuator_forcerange, factors[:, None] * before.actuator_forcerange)
    with pytest.raises(UserError, match=r"Unknown body 'LeftLeg': did you mean"):
        change_model(model, mujoco.MjData(model), BodyChange(weak="LeftLeg"))
    with pytest.raises(UserError, match=r"--change.mass is 0.0: give a number above zero"):
        BodyChange(mass=0.0)
