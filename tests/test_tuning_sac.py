"""Fine-tuning of a SAC policy: its replay, what is bounded, and what goes back with a policy."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tuning_bundles
from test_export_kinds import policy_of
from tuning_bundles import learn, paid, rollout_of, with_learning

from synthjax import cli
from synthjax.deploy.bundle import Bundle, load_bundle
from synthjax.deploy.export import Export
from synthjax.deploy.tuning import store
from synthjax.deploy.tuning.actor import Actor
from synthjax.deploy.tuning.sac import SAC
from synthjax.deploy.tuning.session import Session
from synthjax.training.saved import SavedPolicy

SMALL = {"samples_per_step": 2.0, "capacity": 512}
CONFIG = with_learning(**SMALL)


@pytest.fixture(scope="module")
def file(policy: SavedPolicy, recorded: tuple[Export, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "small.zip"
    tuning_bundles.write(tuning_bundles.sac_of(recorded[0], policy_of(policy.run, "sac", "plain")), path)
    return path


@pytest.fixture(scope="module")
def bundle(file: Path) -> Bundle:
    return load_bundle(file)


def agent(session: Session) -> SAC:
    assert isinstance(session.learner.agent, SAC)
    return session.learner.agent


class Step:
    """In the place of the train step: adds ``way`` to everything that is learned."""

    def __init__(self, session: Session, way: float):
        self._names, self._way = session.shipped.vectors.keys(), np.float32(way)
        self.given: list[dict[str, np.ndarray]] = []

    def __call__(self, given: Any) -> dict[str, np.ndarray]:
        self.given.append(given)
        return {f"{name}_next": given[name] + self._way for name in self._names}


def stepping(monkeypatch: pytest.MonkeyPatch, session: Session, way: float) -> Step:
    step = Step(session, way)
    monkeypatch.setattr(session.learner, "_step", step)
    return step


def way(session: Session, vectors: Any) -> tuple[np.ndarray, np.ndarray]:
    """From what was shipped: the policy's parameters, and those beside it."""
    params, place = vectors["params"] - session.shipped.params, agent(session).anchored
    return params[place], np.delete(params, place)


# ---------------------------------------------------------------------- what is learned from


def test_rounds_learn_from_a_bounded_replay(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two transitions learned from for each that is new, out of all that the replay holds."""
    session = Session(bundle, CONFIG, tmp_path)
    paid(monkeypatch, *[5.0] * 5)
    step, seen = stepping(monkeypatch, session, 0.0), np.zeros((0, 1))
    for number in range(4):
        rollout: Any = rollout_of(bundle, seed=number)
        for _ in session.learner.round(rollout):
            pass
        assert len(step.given) == session.learner.steps == 2 * (number + 1)
        assert agent(session).replay.size == min(256 * (number + 1), 512)
        seen = np.concatenate([seen, rollout.observation[:, :1]])[-512:]
        drawn = np.concatenate([given["observation"][:, :1] for given in step.given[-2:]])
        assert np.isin(drawn, seen).all()
        assert len(np.unique(drawn)) > 200
        if number == 1:  # of both rollouts
            assert np.isin(drawn, seen[:256]).sum() > 100 < np.isin(drawn, seen[256:]).sum()
    for given in step.given:
        for name in ("noise", "next_noise"):
            assert (given[name].shape, given[name].dtype) == (given["action"].shape, np.float32)
            assert given[name].std() == pytest.approx(1.0, abs=0.05)
        assert not np.array_equal(given["noise"], given["next_noise"])
    assert not np.array_equal(step.given[0]["noise"], step.given[1]["noise"])


def test_transitions_are_those_of_the_rollout(bundle: Bundle, tmp_path: Path) -> None:
    """With the rewards' average taken from each of them, and from what never comes after an end."""
    session = Session(bundle, CONFIG, tmp_path)
    assert session.bundle.manifest["finetune"]["settings"] == {"gamma": 0.97, "n_step": 3, "reward_rate": 0.0}
    rollout: Any = rollout_of(bundle)
    rollout.done[:], rollout.terminated[:] = False, False
    rollout.done[4] = rollout.terminated[4] = rollout.done[8] = True
    agent(session)._settings = {"gamma": 0.5, "n_step": 3, "reward_rate": 0.25}
    parts, reward = list(agent(session)._transitions(rollout)), rollout.reward - 0.25
    got = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    np.testing.assert_array_equal(got["observation"], rollout.observation)
    np.testing.assert_array_equal(got["action"], rollout.action)
    for t, last, discount in ((0, 2, 0.125), (3, 4, 0.0), (4, 4, 0.0), (7, 8, 0.25), (255, 255, 0.5)):
        window = reward[t : last + 1]
        missed = 0.0 if discount else 0.5 ** len(window) * 0.25 / (1.0 - 0.5)
        assert got["reward"][t] == pytest.approx(np.sum(0.5 ** np.arange(len(window)) * window) - missed)
        assert got["discount"][t] == discount
        np.testing.assert_array_equal(got["next_observation"][t], rollout.next_observation[last])


def test_observations_that_are_not_finite_are_not_learned_from(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor what has led to them: what comes before ends there with the last observation that is known."""
    observe, calls, known = Actor.observe, 0, []

    def spoilt(actor: Actor) -> np.ndarray:
        nonlocal calls
        calls += 1
        observation = observe(actor)
        known.append(observation)
        return np.full_like(observation, np.nan) if calls in (1, 5) else observation

    monkeypatch.setattr(Actor, "observe", spoilt)
    with Session(bundle, CONFIG, tmp_path) as session:
        session.live(lambda: session.actions < 9, learning=False)
        assert session.repeated == 2
        assert calls == session.actions, "no episode should end so soon"
        rollout: Any = session._body._rollout
        # Chosen by the second and the third observation, and from the sixth on; the last is not over yet.
        rows = [1, 2, *range(5, calls - 1)]
        assert rollout.rows == len(rows) > 4
        for row, index in enumerate(rows):
            np.testing.assert_array_equal(rollout.observation[row], known[index])
            np.testing.assert_array_equal(rollout.next_observation[row], known[index + 1])
        np.testing.assert_array_equal(np.flatnonzero(rollout.done), [1])
        assert not rollout.terminated.any()


# ---------------------------------------------------------------------- what is taken


def test_only_the_policy_is_drawn_back_and_all_goes_back(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The policy of a round is the average over its steps; critics are as the last one has left them."""
    session = Session(bundle, with_learning(**SMALL, kl_bound=0.5), tmp_path)
    paid(monkeypatch, 5.0, 9.0, 3.0, 9.0)
    stepping(monkeypatch, session, 0.005)
    row = learn(session)
    assert row.taken
    assert 0.0 < row.shrunk < 1.0
    assert 0.2 < row.kl <= 0.5
    first = session.learner.snapshot
    policy, rest = way(session, first.vectors)
    np.testing.assert_allclose(policy, row.shrunk * (0.005 + 0.01) / 2, rtol=1e-3)
    np.testing.assert_allclose(rest, 0.01, rtol=1e-3)
    stepping(monkeypatch, session, 1e-4)
    assert not learn(session, 1).taken
    assert session.learner.snapshot is first
    kept = store.load(tmp_path, bundle, dataclasses.asdict(CONFIG.change), session.shipped)
    assert kept is not None
    np.testing.assert_array_equal(kept.params, first.params)
    step = stepping(monkeypatch, session, 0.0)
    learn(session, 2)
    for name, vector in first.vectors.items():
        np.testing.assert_array_equal(step.given[0][name], vector)


def test_a_policy_that_does_not_come_within_the_bound_is_rolled_back(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its parameters are finite, its divergence is not; no episode is played with it."""
    session = Session(bundle, CONFIG, tmp_path)
    paid(monkeypatch, 5.0)
    stepping(monkeypatch, session, 1e30)
    first = session.learner.snapshot
    row = learn(session)
    assert (row.taken, row.reward, row.kl) == (False, None, 0.0)
    assert session.learner.snapshot is first
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_finite_is_rolled_back(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(bundle, CONFIG, tmp_path)
    paid(monkeypatch, 5.0, 5.0)
    stepping(monkeypatch, session, np.nan)
    first = session.learner.snapshot
    assert not learn(session).taken
    assert session.learner.snapshot is first
    stepping(monkeypatch, session, 1e-4)
    assert learn(session, 1).taken


# ---------------------------------------------------------------------- the command


def command(*args: str) -> int:
    small = ("--learning.rollout-steps", "256", "--learning.episodes", "2", "--learning.capacity", "512")
    ratio = ("--learning.samples-per-step", "2", "--report-episodes", "3")
    return cli.main(["finetune", *args, "--fast", *small, *ratio])


def test_the_command_learns_and_goes_on(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = (str(file), "--out", str(tmp_path / "out"), "--change.strength", "0.7")
    assert command(*args, "--steps", "6") == 0
    figures = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (figures["rounds"], figures["train_steps"]) == (3, 6)
    assert 0.0 < figures["kl_largest"] <= figures["kl_bound"]
    assert figures["config"]["learning"]["samples_per_step"] == 2.0
    assert figures["taken"] > 0, "this seed should take a policy, or the rest tests nothing"
    assert command(*args, "--steps", "2") == 0
    again = json.loads((tmp_path / "out" / "report.json").read_text())
    assert again["train_steps_in_all"] > again["train_steps"] == 2
    assert again["reward"]["before"]["mean"] == pytest.approx(figures["reward"]["after"]["mean"], rel=1e-6)
    capsys.readouterr()


def test_no_jax_is_needed(file: Path, tmp_path: Path) -> None:
    code = f"""
import sys
for name in ("jax", "jaxlib", "flax", "optax", "orbax", "chex", "litert_converter", "ai_edge_quantizer"):
    sys.modules[name] = None
from synthjax.cli.app import main
sys.exit(main(["finetune", {str(file)!r}, "--fast", "--out", {str(tmp_path)!r}, "--steps", "1",
    "--report-episodes", "1", "--learning.rollout-steps", "256", "--learning.episodes", "2",
    "--learning.samples-per-step", "1"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_replay_that_is_too_small_is_told(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["--fast", "--out", str(tmp_path), "--learning.episodes", "2", "--learning.capacity", "512"]
    assert cli.main(["finetune", str(file), *args]) == 2
    said = "--learning.capacity is 512: give at least --learning.rollout-steps, 2048"
    assert said in capsys.readouterr().err.replace("\n", " ")
