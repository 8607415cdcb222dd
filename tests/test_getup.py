"""The get-up rule on attempts made up by hand, and one whole evaluation."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from continuous_worlds import WORLDS, env, falls, standing, start
from jax.sharding import Mesh

from synthjax import configs
from synthjax.envs.continuous import ContinuousEnv
from synthjax.envs.curriculum import CurriculumConfig
from synthjax.training import getup
from synthjax.training.build import build
from synthjax.training.evaluator import make_evaluator
from synthjax.training.getup import (
    AttemptTrace,
    _record,
    run_attempts,
    score_attempts,
    score_pushes,
    stand_begins,
)
from synthjax.training.mesh import WORLDS as WORLDS_AXIS
from synthjax.types import EnvState


def test_a_stand_counts_from_its_first_step_once_it_has_been_held() -> None:
    stands = np.zeros((10, 4), bool)
    stands[3:6, 0] = True  # three steps on end from the fourth on
    stands[[1, 2, 4, 5], 1] = True  # never three
    stands[:, 2] = True  # from the beginning
    stands[[2, 3], 3] = stands[6:9, 3] = True  # the second time
    np.testing.assert_array_equal(stand_begins(stands, 3), [4, np.inf, 1, 7])


def trace(stands: np.ndarray) -> AttemptTrace:
    steps, attempts = stands.shape
    return AttemptTrace(
        stands=stands, lies=np.zeros_like(stands), height=np.where(stands, 1.0, 0.2),
        power=np.full(stands.shape, 30.0), bad=np.zeros_like(stands), qpos=np.zeros((steps, attempts, 7)),
    )  # fmt: skip


def test_scores_by_hand() -> None:
    """0.5 s steps: a hold of 2 s is four of them.  Attempts begin at 1.5 s, 3.5 s, 5.5 s and never."""
    stands = np.zeros((14, 4), bool)
    stands[2:, 0] = stands[6:, 1] = stands[10:, 2] = True
    stands[12:, 3] = True  # too late to be held
    power = np.tile([10.0, 30.0, 30.0, 50.0], (14, 1))  # W
    power[6:, 0] += 6.0  # once it stands: time that the mean has, and the way up has not
    scores = score_attempts(dataclasses.replace(trace(stands), power=power), control_dt=0.5, within=4.0)
    assert scores.attempts == 4
    assert scores.success == 0.5
    assert scores.seconds_to_stand == 2.5
    assert scores.energy_to_stand == pytest.approx((3 * 0.5 * 10.0 + 7 * 0.5 * 30.0) / 2.0)
    assert scores.time_standing == pytest.approx((12 + 8 + 4 + 2) / 56)
    assert scores.final_height == pytest.approx(1.0)
    assert scores.power == pytest.approx((10.0 + 30.0 + 30.0 + 50.0 + 6.0 * 8 / 14) / 4)
    never = score_attempts(trace(stands), 0.5, 4.0, np.array([False, False, False, True]))
    assert (never.attempts, never.success) == (1, 0.0)
    assert never.seconds_to_stand is never.energy_to_stand is None


def test_who_kept_its_feet_is_told_from_who_got_up_again() -> None:
    """In steps of 0.5 s: kept its feet; was on the ground; fell after it had stood; too late; never."""
    stands, lies = np.zeros((14, 5), bool), np.zeros((14, 5), bool)
    stands[2:, 0] = stands[6:, 1] = stands[:5, 2] = stands[10:, 3] = True
    lies[1:3, 1] = lies[6:, 2] = lies[:2, 3] = lies[:, 4] = True
    scores = score_pushes(dataclasses.replace(trace(stands), lies=lies), control_dt=0.5, within=4.0)
    assert (scores.kept_feet, scores.got_up) == (pytest.approx(0.4), pytest.approx(0.2))
    assert scores.success == pytest.approx(0.6)


def test_the_rule_on_bodies_put_by_hand() -> None:
    """A body at rest on its feet stands; one with a hand on the ground, or that leans or squats, does not."""
    environment = env(still=True)
    k = standing(environment)
    ground = jnp.zeros((WORLDS, environment.body.model.nbody))
    feet = [environment.body.model.body(name).id for name in environment.body.feet]
    touching = ground.at[:, feet].set(1.0)
    touching = touching.at[1, environment.body.model.body("LeftHand").id].set(1.0)
    lean = jnp.array([np.cos(0.25), 0.0, np.sin(0.25), 0.0])  # 0.5 rad: up axis at 0.88
    k = k.replace(
        xquat=k.xquat.at[2, 1].set(lean), xpos=k.xpos.at[3, 1, 2].set(0.85 * environment.body.standing_height)
    )
    state = start(environment, k)
    state = state.replace(physics=state.physics.replace(ground_contact=touching))

    def still(policy_state: object, obs: jax.Array, keys: jax.Array) -> jax.Array:
        return jnp.zeros((len(obs), environment.action_dim))

    mesh = Mesh(np.array(jax.devices()[:1]), (WORLDS_AXIS,))
    trace = run_attempts(environment, still, (), state, 3, mesh)
    np.testing.assert_array_equal(trace.stands, [[True, False, False, False]] * 3)
    np.testing.assert_array_equal(trace.lies, [[False, True, False, False]] * 3)
    np.testing.assert_allclose(trace.height[0], [1.0, 1.0, 1.0, 0.85], rtol=1e-5)


def test_nobody_is_pushed_in_an_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state of a step holds the forces that were applied in it."""
    environment = env()
    applied = []
    monkeypatch.setattr(getup, "_record", lambda env, state: applied.append(1) or _forces(env, state))
    mesh = Mesh(np.array(jax.devices()[:1]), (WORLDS_AXIS,))

    def rest(policy_state: object, obs: jax.Array, keys: jax.Array) -> jax.Array:
        return jnp.zeros((len(obs), environment.action_dim))

    trace = run_attempts(environment, rest, (), start(environment, falls(environment)), 2, mesh)
    assert applied
    np.testing.assert_array_equal(trace.power, 0.0)


def _forces(environment: ContinuousEnv, state: EnvState) -> AttemptTrace:
    """The external forces in the place of the power."""
    record = _record(environment, state)
    return dataclasses.replace(record, power=jnp.sum(jnp.abs(state.physics.xfrc_applied)))


@pytest.mark.slow
def test_an_untrained_policy_is_evaluated_and_does_not_get_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does an evaluation advance a curriculum, however little that takes."""
    config = configs.get("continuous")
    eager = CurriculumConfig(
        stages=("legs,trunk", "arms"), unlock_above=0.0, lock_below=-1.0, least_updates=1
    )
    config = dataclasses.replace(
        config,
        agent=dataclasses.replace(config.agent, num_envs=4, unroll_length=4),
        task=dataclasses.replace(config.task, falls=4, curriculum=eager),
        evaluation=dataclasses.replace(config.evaluation, seconds=0.5),
    )
    run = build(config)
    evaluator = make_evaluator(run)
    agent = run.program.start(0).agent
    monkeypatch.setattr(run.env, "update_context", lambda *args: pytest.fail("a context was updated"))
    gains = np.asarray(agent.gains)
    arms = np.isin(run.body.joints, run.body.groups["arms"])
    assert not gains[arms].any()
    assert gains.any()
    report = evaluator.report(agent, 8)
    np.testing.assert_array_equal(agent.gains, gains)
    assert report["all"]["attempts"] == 8
    assert report["all"]["success"] == 0.0
    assert {side["attempts"] for side in report["sides"].values()} == {2}
    figures = evaluator.figures(agent, 8)
    assert "0% of attempts get up" in evaluator.sentence(figures)
    # An attempt that succeeds outranks any time that one stands.
    assert evaluator.rank({"success": 0.1, "time_standing": 0.0}) > evaluator.rank(
        {"success": 0.0, "time_standing": 1.0}
    )
    again = evaluator.figures(jax.tree.map(lambda x: x, agent), 8)
    assert again == figures
