"""The curriculum of actions: its stages by hand, and what agents, checkpoints and evaluations see of it."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthjax import configs
from synthjax.agents.ppo import PPOConfig
from synthjax.agents.sac import SACConfig
from synthjax.bodies import Body, make_body
from synthjax.cli import main
from synthjax.configs.checks import validate
from synthjax.envs.curriculum import Curriculum, CurriculumConfig, CurriculumState
from synthjax.errors import UserError
from synthjax.training.build import Run, build
from synthjax.training.checkpoint import CheckpointManager
from synthjax.training.evaluator import make_evaluator

STAGES = ("legs, trunk", "arms", "head,fine")
CONFIG = CurriculumConfig(
    stages=STAGES, unlock_above=0.7, lock_below=0.3, average_step=0.5, least_updates=2, ramp_updates=0
)


@functools.cache
def body() -> Body:
    return make_body("synth", "pd")


@functools.cache
def curriculum(steered: str = "all", **changes: Any) -> Curriculum:
    return Curriculum(dataclasses.replace(CONFIG, **changes), body(), steered)


@functools.cache
def _update(of: Curriculum) -> Any:
    return jax.jit(of.update)


def history(of: Curriculum, shares: list[float]) -> list[CurriculumState]:
    """The states after updates with these shares of 8 trials."""
    state, states = of.init(), []
    for share in shares:
        state = _update(of)(state, np.float32(8 * share), np.float32(8))
        states.append(state)
    return states


def joints(of: Curriculum, state: CurriculumState) -> set[str]:
    """Names of the joints that the policy moves."""
    return {name for name, gain in zip(body().joints, of.action_gains(state), strict=True) if gain > 0}


# ---------------------------------------------------------------------- stages


def test_stages_change_with_hysteresis_and_not_too_soon() -> None:
    shares = [1, 1, 1, 0.1, 0, 1, 0.5, 1]
    average = [0.5, 0.75, 0.875, 0.4875, 0.24375, 0.621875, 0.5609375, 0.78046875]
    # Second update: above 0.7 and old enough.  Fourth: between the thresholds.  Fifth: below 0.3.
    stage = [0, 1, 1, 1, 0, 0, 0, 1]
    age = [1, 0, 1, 2, 0, 1, 2, 0]
    states = history(curriculum(), shares)
    np.testing.assert_allclose([s.success for s in states], average)
    assert [int(s.stage) for s in states] == stage
    assert [int(s.age) for s in states] == age


def test_updates_without_trials_leave_the_average() -> None:
    state = history(curriculum(), [1.0])[0]
    after = _update(curriculum())(state, np.float32(0), np.float32(0))
    assert (float(after.success), int(after.age)) == (0.5, 2)


def test_stages_come_in_order_and_the_last_one_stays() -> None:
    assert [int(s.stage) for s in history(curriculum(), [1.0] * 8)] == [0, 1, 1, 2, 2, 2, 2, 2]
    assert [int(s.stage) for s in history(curriculum(), [0.0] * 3)] == [0, 0, 0]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0.0, 1.0), max_size=60))
def test_any_history_moves_by_single_stages_and_waits_between_them(shares: list[float]) -> None:
    of = curriculum(ramp_updates=2)
    stages = [0] + [int(state.stage) for state in history(of, shares)]
    steps = np.diff(stages)
    assert np.all(np.abs(steps) <= 1)
    assert np.all(np.diff(np.flatnonzero(steps)) >= CONFIG.least_updates)
    assert all(0 <= stage <= 2 for stage in stages)


def test_a_new_stage_takes_effect_at_once_or_along_its_ramp() -> None:
    at_once = history(curriculum(), [1.0] * 2)
    np.testing.assert_array_equal([s.gains for s in at_once], [[1, 0, 0], [1, 1, 0]])
    # Unlocked at the third update and locked at the sixth, when the average is 0.94 / 4
    slow = curriculum(least_updates=3, ramp_updates=3, stages=STAGES[:2])
    states = history(slow, [1.0] * 4 + [0.0] * 7)
    thirds = [0, 0, 1, 2, 3, 2, 1, 0, 0, 0, 0]
    np.testing.assert_allclose([s.gains[1] for s in states], np.array(thirds) / 3, atol=1e-6)
    assert {float(s.gains[1]) for s in states} >= {0.0, 1.0}  # exactly
    assert all(float(s.gains[0]) == 1.0 for s in states)


# ---------------------------------------------------------------------- joints


def test_stages_unlock_the_joints_of_their_groups() -> None:
    of, groups = curriculum(), body().groups
    unlocked = {*groups["legs"], *groups["trunk"]}
    assert joints(of, of.init()) == unlocked
    for state, more in zip(history(of, [1.0] * 4)[1::2], (("arms",), ("head", "fine")), strict=True):
        unlocked = unlocked.union(*(groups[name] for name in more))
        assert joints(of, state) == unlocked
    assert unlocked == set(body().joints)


def test_only_joints_that_are_steered_and_named_are_ever_unlocked() -> None:
    of = curriculum("main", stages=("legs", "arms"))
    last = of.init().replace(gains=jnp.ones(2))
    named = {*body().groups["legs"], *body().groups["arms"]}
    assert joints(of, last) == named & set(body().main_joints)
    assert joints(of, last) < set(body().main_joints)  # the trunk is in no stage


def test_without_stages_everything_that_is_steered_moves_and_nothing_is_shown() -> None:
    of = Curriculum(CurriculumConfig(), body(), "main")
    for state in (of.init(), *history(of, [0.0, 1.0, 0.0])):
        assert joints(of, state) == set(body().main_joints)
        assert of.metrics(state) == {}
    assert CurriculumConfig().identity == "none"


def test_the_user_sees_stages_counted_from_one() -> None:
    of = curriculum()
    shown = of.metrics(history(of, [1.0] * 2)[-1])
    groups = body().groups
    moved = sum(len(groups[name]) for name in ("legs", "trunk", "arms"))
    assert {name: float(value) for name, value in shown.items()} == {
        "curriculum_stage": 2.0, "curriculum_success": 0.75, "active_joints": moved,
    }  # fmt: skip


# ---------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("stages", "sentence"),
    [
        (("leg",), "Unknown joint group of synth in the curriculum 'leg': did you mean legs"),
        (
            ("legs", "head,fine"),
            "stage 'head,fine' .* the policy steers: add --task.steered all",
        ),
        (("legs", "arms,legs"), "name every joint group once"),
        (("legs", "arms,"), "name the joint groups of each"),
    ],
)
def test_stages_that_cannot_work_are_refused(stages: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as error:
        Curriculum(CurriculumConfig(stages=stages), body(), "main")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("env", ["imitation", "continuous"])
@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"stages": ("legs,,arms",)}, "joint groups"),
        ({"lock_below": 0.7}, "unlock-above"),
        ({"unlock_above": 1.1}, "unlock-above"),
        ({"lock_below": -0.1}, "lock-below"),
        ({"average_step": 0.0}, "average-step"),
        ({"least_updates": 0}, "least-updates"),
        ({"ramp_updates": 101}, "ramp-updates is 101: give 0 to 100"),
        ({"ramp_updates": -1}, "ramp-updates is -1"),
    ],
)
def test_numbers_that_cannot_work_are_refused(env: str, changes: dict[str, Any], option: str) -> None:
    config = configs.get(env)
    validate(config)
    task = dataclasses.replace(config.task, curriculum=CurriculumConfig(**changes))
    with pytest.raises(UserError, match=option):
        validate(dataclasses.replace(config, task=task))


def test_the_command_line_names_the_near_group(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    stages = ["--task.curriculum.stages", "legs,trunk", "arm"]
    assert main(["train", "--env", "continuous", "--run-dir", str(folder), *stages]) == 2
    said = capsys.readouterr()
    assert "did you mean arms" in " ".join(said.err.split())
    assert "Traceback" not in said.err
    assert not folder.exists()


# ---------------------------------------------------------------------- training

TINY = {
    "imitation": PPOConfig(num_envs=4, unroll_length=4, num_minibatches=2, num_epochs=1, hidden=(8,)),
    "continuous": SACConfig(
        num_envs=4, unroll_length=4, capacity=256, minibatch_size=16, learning_starts=16,
        policy_hidden=(8,), critic_hidden=(8,),
    ),
}  # fmt: skip
# Success is at least zero, so that every second update unlocks.
UNLOCKING = CurriculumConfig(
    stages=("legs,trunk", "arms"), unlock_above=0.0, lock_below=-1.0, least_updates=2, ramp_updates=2
)


def tiny_run(env: str, curriculum: CurriculumConfig) -> Run:
    config = configs.get(env, {"imitation": "ppo", "continuous": "sac"}[env])
    small = {"imitation": {"starts_per_bin": 1}, "continuous": {"falls": 4}}[env]
    return build(
        dataclasses.replace(
            config,
            agent=TINY[env],
            task=dataclasses.replace(config.task, curriculum=curriculum, **small),
            evaluation=dataclasses.replace(config.evaluation, episodes=4, seconds=0.2),
        )
    )


@pytest.mark.slow
@pytest.mark.parametrize("env", ["imitation", "continuous"])
def test_a_run_unlocks_without_compiling_and_keeps_its_stage(env: str, tmp_path: Path, monkeypatch) -> None:
    run = tiny_run(env, UNLOCKING)
    groups = {name: np.isin(run.body.joints, run.body.groups[name]) for name in ("legs", "arms")}
    main = np.isin(run.body.joints, run.body.main_joints)
    traces = []
    update_context = run.env.update_context
    monkeypatch.setattr(run.env, "update_context", lambda *args: traces.append(1) or update_context(*args))

    def moved(state: Any, name: str) -> np.ndarray:
        return np.asarray(state.env.task.previous_action)[:, groups[name] & main]

    state = run.program.start(0)
    state, report = run.program.epoch(state, 2)
    traced = len(traces)
    assert traced > 0
    # Both unrolls were of the first stage; the second update has unlocked the next one, by half.
    assert float(report.metrics["curriculum_stage"]) == 1.0
    assert np.any(moved(state, "legs"))
    assert not np.any(moved(state, "arms"))
    assert int(state.ctx.curriculum.stage) == 1
    np.testing.assert_array_equal(state.agent.gains[groups["arms"]], 0.5 * main[groups["arms"]])
    np.testing.assert_array_equal(state.agent.gains, run.env.action_gains(state.ctx))
    head = state.agent.params["policy"]["params"]["Dense_1"]
    untouched = np.asarray(head["bias"])[: run.env.action_dim][groups["arms"]]
    assert not np.any(untouched)  # as it was made: nothing was learned of them

    state, report = run.program.epoch(state, 2)
    assert len(traces) == traced
    assert float(report.metrics["curriculum_stage"]) == 2.0
    assert np.any(moved(state, "arms"))
    np.testing.assert_array_equal(state.agent.gains[groups["arms"]], main[groups["arms"]])
    assert all(np.isfinite(value) for value in report.metrics.values())
    assert np.any(np.asarray(state.agent.params["policy"]["params"]["Dense_1"]["bias"])[
        : run.env.action_dim][groups["arms"] & main])  # fmt: skip

    manager = CheckpointManager(tmp_path)
    manager.save(1, state, run.training_identity)
    template = jax.eval_shape(run.program.init, jax.random.key(0))
    restored, _ = manager.restore_latest(template, run.training_identity)
    jax.tree.map(np.testing.assert_array_equal, restored.ctx, state.ctx)
    np.testing.assert_array_equal(restored.agent.gains, state.agent.gains)
    for other, name in ((CurriculumConfig(), "none"), (CONFIG, "legs,trunk > arms > fine,head")):
        task = dataclasses.replace(run.config.task, curriculum=other)
        changed = dataclasses.replace(run, config=dataclasses.replace(run.config, task=task))
        refusal = f"curriculum 'legs,trunk > arms', this program has '{name}'"
        with pytest.raises(UserError, match=refusal):
            manager.restore_latest(template, changed.training_identity)

    # Evaluations have no context of the run's: the agent's state alone moves the joints that are unlocked.
    steady, _ = run.agent.act(state.agent, state.env.obs, jax.random.key(0), deterministic=True)
    assert np.any(np.asarray(steady)[:, groups["arms"] & main])
    if env == "imitation":  # always-on life is evaluated in test_getup: both rollouts compile for long
        before = jax.tree.map(np.asarray, (state.ctx, state.agent.gains))
        make_evaluator(run).figures(run.agent.acting(state.agent), 4)
        assert len(traces) == traced  # nothing in it updates a context
        jax.tree.map(np.testing.assert_array_equal, before, (state.ctx, state.agent.gains))
