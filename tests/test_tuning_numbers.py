"""What a host computes for PPO's step in NumPy, and its body beside the training environment's."""

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
from synthjax.deploy.judges import JUDGES
from synthjax.deploy.tuning.advantages import gaussian_kl, generalized_advantage, normalize_advantages
from synthjax.deploy.tuning.body import SimulatedBody, change_model
from synthjax.deploy.tuning.config import BodyChange
from synthjax.errors import UserError


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
    std = np.full((20, 5), 0.3, np.float32)
    active = np.array([True, True, False, True, True])
    four = [x[:, active] for x in (mean, std, other, std)]
    expected = jnp.mean(distributions.gaussian_kl(*map(jnp.asarray, four)))
    assert gaussian_kl(mean, other, std, active) == pytest.approx(float(expected), rel=1e-5)


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
