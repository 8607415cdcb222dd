"""Fine-tuning beside a running body: what is taken, what is kept, and who waits for whom."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
import tuning_bundles
from tuning_bundles import CONFIG, learn, paid, rollout_of, with_learning

from synthjax import cli
from synthjax.deploy.bundle import Bundle
from synthjax.deploy.export import Export
from synthjax.deploy.throttle import Throttle, ThrottleConfig
from synthjax.deploy.tuning import frames, report, store
from synthjax.deploy.tuning.actor import Actor
from synthjax.deploy.tuning.body import SimulatedBody
from synthjax.deploy.tuning.config import BodyChange
from synthjax.deploy.tuning.models import Snapshot, frozen, shipped
from synthjax.deploy.tuning.session import Session
from synthjax.deploy.tuning.worker import BackgroundWorker
from synthjax.errors import UserError


@pytest.fixture(scope="module")
def file(recorded: tuple[Export, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "small.zip"
    tuning_bundles.write(recorded[0], path)
    return path


@pytest.fixture(scope="module")
def bundle(file: Path) -> Bundle:
    from synthjax.deploy.bundle import load_bundle

    return load_bundle(file)


def stepping(monkeypatch: pytest.MonkeyPatch, session: Session, way: float) -> None:
    """Every train step adds ``way`` to all parameters and hardly any divergence from the acting policy."""
    inputs, names = session.learner._step.inputs, session.shipped.vectors

    class Step:
        def __call__(self, given: Any) -> dict[str, np.ndarray]:
            out = {f"{name}_next": np.array(given[name]) for name in names}
            out["params_next"] += np.float32(way)
            return out | {"kl": np.zeros(1)}

    step: Any = Step()
    step.inputs = inputs
    monkeypatch.setattr(session.learner, "_step", step)


# ---------------------------------------------------------------------- what is taken


def test_a_better_policy_is_taken_and_kept_and_a_worse_one_is_not(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(bundle, CONFIG, tmp_path)
    paid(monkeypatch, 5.0, 7.0, 3.0, 6.99)
    first = session.learner.snapshot
    taken = learn(session)
    assert (taken.taken, taken.reward, taken.best) == (True, pytest.approx(7.05), pytest.approx(7.05))
    second = session.learner.snapshot
    assert second is not first
    assert np.abs(second.params - first.params).max() > 0.0
    kept = store.load(tmp_path, bundle, dataclasses.asdict(CONFIG.change), session.shipped)
    assert kept is not None
    np.testing.assert_array_equal(kept.params, second.params)
    assert (kept.rounds, kept.steps, kept.reward) == (1, 1, second.reward)
    for seed in (1, 2):  # by much, and by little but on every episode
        assert not learn(session, seed).taken
        assert session.learner.snapshot is second
    assert store.load(tmp_path, bundle, dataclasses.asdict(CONFIG.change), session.shipped).rounds == 1  # type: ignore[union-attr]


def test_a_policy_that_is_not_finite_is_never_taken(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(bundle, CONFIG, tmp_path)
    paid(monkeypatch, 5.0, 9.0)
    stepping(monkeypatch, session, np.nan)
    first = session.learner.snapshot
    row = learn(session)
    assert (row.taken, row.reward) == (False, None)
    assert session.learner.snapshot is first
    assert list(tmp_path.iterdir()) == []


def test_the_way_from_the_shipped_policy_is_bounded(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(bundle, with_learning(kl_bound=0.5), tmp_path)
    paid(monkeypatch, 5.0, 9.0, 9.1)
    stepping(monkeypatch, session, 0.05)
    row = learn(session)
    assert row.taken
    assert 0.0 < row.shrunk < 1.0
    assert 0.2 < row.kl <= 0.5
    way = session.learner.snapshot.params - session.shipped.params
    np.testing.assert_allclose(way, row.shrunk * 0.05, rtol=1e-3)
    stepping(monkeypatch, session, 1e-6)
    free = learn(session, 1)
    assert free.kl <= 0.5


def test_snapshots_cannot_be_changed_and_act_from_the_next_action_on(bundle: Bundle, tmp_path: Path) -> None:
    session = Session(bundle, CONFIG, tmp_path)
    first = session.learner.snapshot
    with pytest.raises(ValueError, match="read-only"):
        first.params[0] = 1.0
    other = Snapshot(frozen({name: vector + 0.5 for name, vector in first.vectors.items()}))
    body, sim_dt = session._body, bundle.manifest["timing"]["sim_dt"]
    body.frame(sim_dt)
    seen = body._step[0]
    session.learner.snapshot = other
    for _ in range(4):  # the control step goes on under the policy that has begun it
        body.frame(sim_dt)
        assert body._actor.policy.snapshot is first
        assert body._step[0] is seen
    body.frame(sim_dt)
    assert body._actor.policy.snapshot is other
    assert body._step[0] is not seen


def test_a_body_that_breaks_writes_nothing(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MuJoCo's own handler would leave MUJOCO_LOG.TXT in the folder."""
    monkeypatch.chdir(tmp_path)
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(None)
    try:
        body = SimulatedBody(bundle, BodyChange())
        body.data.qvel[:] = np.nan
        body.step(1)
        assert not body.sound
        assert list(tmp_path.iterdir()) == []
    finally:
        mujoco.set_mju_user_warning(before)


# ---------------------------------------------------------------------- what is kept


def test_state_of_another_bundle_or_body_or_a_damaged_one_is_refused(
    bundle: Bundle, recorded: tuple[Export, Any], tmp_path: Path
) -> None:
    base = shipped(bundle)
    change = {"mass": 1.0}
    assert store.load(tmp_path, bundle, change, base) is None
    store.save(tmp_path, bundle, change, dataclasses.replace(base, rounds=2, steps=9, reward=1.5, kl=0.25))
    kept = store.load(tmp_path, bundle, change, base)
    assert kept is not None
    assert (kept.rounds, kept.steps, kept.reward, kept.kl) == (2, 9, 1.5, 0.25)
    with pytest.raises(UserError, match="learned on another body: give its --change"):
        store.load(tmp_path, bundle, {"mass": 1.4}, base)
    other = tuning_bundles.write(recorded[0], tmp_path / "other.zip", version=4)
    with pytest.raises(UserError, match="learned from another bundle: choose another --out"):
        store.load(tmp_path, other, change, base)
    path = tmp_path / store.STATE
    whole = path.read_bytes()
    for damaged in (b"", whole[:-200], whole[:3000] + b"\xff" + whole[3001:]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="is damaged: move it away, or choose another --out"):
            store.load(tmp_path, bundle, change, base)


def test_a_kill_leaves_the_last_policy_whole(file: Path, bundle: Bundle, tmp_path: Path) -> None:
    """A program that saves without pause, killed at random moments: each number is in every parameter."""
    code = f"""
import sys
from pathlib import Path
from synthjax.deploy.bundle import load_bundle
from synthjax.deploy.tuning import store
from synthjax.deploy.tuning.models import Snapshot, shipped
import dataclasses, numpy as np
folder, bundle = Path({str(tmp_path)!r}), load_bundle(Path({str(file)!r}))
base = shipped(bundle)
before = store.load(folder, bundle, {{}}, base)
number = 0 if before is None else before.steps
print("ready", flush=True)
while True:
    number += 1
    vectors = {{name: np.full_like(vector, number) for name, vector in base.vectors.items()}}
    store.save(folder, bundle, {{}}, Snapshot(vectors, number, number))
"""
    rng, last, base = np.random.default_rng(0), 0, shipped(bundle)
    for _ in range(6):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(float(rng.uniform(0.05, 0.25)))
            process.send_signal(signal.SIGKILL)
        kept = store.load(tmp_path, bundle, {}, base)
        if kept is None:
            continue
        assert kept.steps >= last
        last = kept.steps
        for vector in kept.vectors.values():
            assert (vector == kept.steps).all()
    assert last > 6


# ---------------------------------------------------------------------- who waits for whom


class SlowLearner:
    """Rounds of pieces that take a while; notes when each of them began and ended."""

    def __init__(self, seconds: float = 0.02, pieces: int = 10_000):
        self.seconds, self.pieces = seconds, pieces
        self.begun, self.ended = 0, 0
        self.fails_at: int | None = None

    def round(self, rollout: Any) -> Iterator[None]:
        for _ in range(self.pieces):
            self.begun += 1
            if self.begun == self.fails_at:
                raise UserError("the disk is full")
            time.sleep(self.seconds)
            self.ended += 1
            yield


def working(slow: Any, rate: float = 1e4) -> BackgroundWorker:
    throttle = Throttle(ThrottleConfig(steps_per_second=rate, rest_seconds=0.0), time.perf_counter())
    worker = BackgroundWorker(slow, throttle)
    worker.learn(rollout_of_nothing())
    return worker


def rollout_of_nothing() -> Any:
    return object()


def wait_for(slow: SlowLearner, pieces: int) -> None:
    end = time.perf_counter() + 60.0  # an idle thread waits for long on a machine that is full
    while slow.ended < pieces and time.perf_counter() < end:
        time.sleep(1e-3)
    assert slow.ended >= pieces


def test_pause_and_stop_let_the_step_in_flight_end() -> None:
    slow = SlowLearner()
    worker = working(slow)
    assert worker.busy
    if sys.platform == "linux":
        assert os.sched_getscheduler(worker._thread.native_id) == os.SCHED_IDLE  # type: ignore[arg-type]
        assert os.sched_getscheduler(0) != os.SCHED_IDLE
    for _ in range(3):
        wait_for(slow, slow.ended + 2)
        worker.pause()
        assert slow.begun == slow.ended
        done = slow.ended
        time.sleep(0.06)
        assert (slow.begun, slow.ended) == (done, done)
        worker.resume()
    wait_for(slow, slow.ended + 1)
    with worker._between:  # the thread is admitted and waits for this when the pause comes
        time.sleep(0.05)
        done = slow.begun
        worker._running.clear()
    time.sleep(0.05)
    assert slow.begun == done
    worker.stop()  # also out of a pause
    assert slow.begun == slow.ended
    assert not any(thread.name == "fine-tuning" for thread in threading.enumerate())


def test_a_round_that_ends_leaves_the_worker_free() -> None:
    slow = SlowLearner(seconds=0.0, pieces=3)
    worker = working(slow)
    wait_for(slow, 3)
    end = time.perf_counter() + 60.0  # an idle thread waits for long on a machine that is full
    while worker.busy and time.perf_counter() < end:
        time.sleep(1e-3)
    worker.learn(rollout_of_nothing())
    wait_for(slow, 6)
    worker.stop()


def test_the_throttle_admits_every_piece() -> None:
    slow = SlowLearner(seconds=0.0)
    begin = time.perf_counter()
    worker = working(slow, rate=40.0)
    time.sleep(0.4)
    worker.stop()
    assert 1 <= slow.begun <= 1 + 40.0 * (time.perf_counter() - begin)


def test_a_step_waits_for_the_end_of_a_frame() -> None:
    """On a clock that stands still between the frames, where a token is there whenever one has ended."""
    slow, now = SlowLearner(seconds=0.0), 0.05
    throttle = Throttle(ThrottleConfig(steps_per_second=100.0, frame_seconds=0.1, rest_seconds=0.0), 0.0)
    worker = BackgroundWorker(slow, throttle, lambda: now)
    worker.learn(rollout_of_nothing())
    for number in range(1, 4):
        time.sleep(0.05)
        assert slow.begun == number - 1
        now = float(number)
        worker.frame(now, 0.05)
        wait_for(slow, number)
        now += 0.05
    worker.stop()


def test_a_mistake_in_the_thread_reaches_the_foreground() -> None:
    slow = SlowLearner(seconds=0.0)
    slow.fails_at = 3
    worker = working(slow)
    worker._thread.join(60.0)
    with pytest.raises(UserError, match="the disk is full"):
        _ = worker.busy
    with pytest.raises(UserError, match="the disk is full"):
        worker.stop()


def test_real_time_trains_beside_the_frames(bundle: Bundle, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, fast=False, profile="desktop")
    with Session(bundle, config, tmp_path) as session:
        end = time.perf_counter() + 60.0
        alone = session.live(lambda: session.actions < 8, learning=False)
        assert session.learner.steps == 0
        session.worker.learn(rollout_of(bundle))  # lived, it would take 13 s
        session.live(lambda: not session.learner.rounds and time.perf_counter() < end)
        assert session.learner.steps == 1
        before = session.actions
        both = session.live(lambda: session.actions < before + 8)
    for lived in (alone, both):
        figures = lived.figures()
        assert figures["frames"] >= 10
        assert 0.0 < figures["p50_ms"] <= figures["p99_ms"] <= figures["longest_ms"]


def test_figures_of_frames_by_hand(tmp_path: Path) -> None:
    from PIL import Image

    lived = frames.Frames(budget=0.010)
    for index in range(101):
        lived.add(0.1 * index, 1e-3 * (25 if index == 7 else 4), 1.0, 3 * index)
    figures = lived.figures()
    assert figures["frames"] == 101
    assert figures["p50_ms"] == pytest.approx(4.0)
    assert figures["p99_ms"] == pytest.approx(4.0)
    assert (figures["longest_ms"], figures["lost"]) == (pytest.approx(25.0), 2.0)
    assert figures["train_steps_per_second"] == pytest.approx(30.0)
    frames.plot(lived, tmp_path / "frames.png")
    with Image.open(tmp_path / "frames.png") as image:
        assert image.size == (1090, 650)
        pixels = np.asarray(image.convert("RGB"))
    blue = np.flatnonzero((pixels == (0x22, 0x55, 0x99)).all(axis=-1).any(axis=0))
    assert (blue[0], blue[-1]) == (70, 1070)  # from edge to edge of its box
    third = np.flatnonzero((pixels[440:610] == (0x22, 0x55, 0x99)).all(axis=-1).any(axis=0))
    assert third[-1] == 1070
    lived.rows = lived.rows[:1]
    assert lived.figures()["frames"] == 1
    frames.plot(lived, tmp_path / "frame.png")
    assert (tmp_path / "frame.png").exists()


def test_frames_that_are_late_reach_the_throttle(bundle: Bundle, tmp_path: Path) -> None:
    with Session(bundle, dataclasses.replace(CONFIG, fast=False), tmp_path) as session:
        end = time.perf_counter() + 0.3
        lived = session.live(
            lambda: time.perf_counter() < end, learning=False, load=lambda seconds: 1.2 * (seconds > 0.0)
        )
    assert lived.rows[-1][2] == session.throttle.share < 1.0


def test_observations_that_are_not_finite_are_counted_and_not_learned_from(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one and the third: the episode is cut before the third, at the value of the second."""
    observe, calls = Actor.observe, 0

    def spoilt(actor: Actor) -> np.ndarray:
        nonlocal calls
        calls += 1
        observation = observe(actor)
        return np.full_like(observation, np.nan) if calls in (1, 3) else observation

    monkeypatch.setattr(Actor, "observe", spoilt)
    with Session(bundle, CONFIG, tmp_path) as session:
        session.live(lambda: session.actions < 8, learning=False)
        assert report.report(session, {}, {})["repeated"] == session.repeated == 2
        rollout = session._body._rollout
        assert rollout.rows == session.actions - 1 - 2  # the last is not over yet
        kept = slice(rollout.rows)
        assert np.isfinite(rollout.observation[kept]).all()
        assert (rollout.done[0], rollout.terminated[0]) == (True, False)
        assert rollout.next_value[0] == rollout.value[0] != 0.0
        assert rollout.done[1] == rollout.terminated[1]  # of its own


def test_what_was_regained_has_a_loss_to_be_of() -> None:
    own, changed, after = np.array([4.0, 6.0]), np.array([2.0, 2.0]), np.array([3.0, 5.0])
    share = report.regained(own, changed, after)
    assert share is not None
    assert share["share"] == pytest.approx(2.0 / 3.0)
    assert share["interval"] == pytest.approx([0.5, 0.75])  # those of the two starts by themselves
    assert report.regained(own, np.array([4.0, 2.0]), after) is None  # nothing was lost at the first


def test_a_policy_that_earns_nothing_has_a_report(bundle: Bundle, tmp_path: Path) -> None:
    with Session(bundle, CONFIG, tmp_path) as session:
        session.evaluate = lambda *_, **__: np.zeros(3)  # type: ignore[method-assign]
        figures = report.rewards(session, 3)
    assert figures["shipped"]["mean"] == 0.0
    assert not figures.keys() & {"lost_share", "regained"}


@pytest.mark.slow
def test_always_on_life_learns_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import jax
    import jax.numpy as jnp

    from synthjax import configs
    from synthjax.agents.ppo import PPOConfig
    from synthjax.deploy.export import export_policy
    from synthjax.training.build import build
    from synthjax.training.saved import SavedPolicy

    default = configs.get("continuous")
    agent = PPOConfig(num_envs=8, unroll_length=4, num_minibatches=2, num_epochs=1, hidden=(16,))
    task = dataclasses.replace(default.task, falls=8)
    run = build(dataclasses.replace(default, agent=agent, task=task))
    state = jax.jit(run.agent.init)(jax.random.key(0), jnp.zeros((2, run.env.obs_dim)))
    gains = run.env.action_gains(run.env.init_context())
    policy = SavedPolicy(run, run.agent.with_gains(state, gains), 7)
    export_policy(policy, tmp_path / "life.zip", "float32", 0, False, lambda message: None)
    args = ("--env", "continuous", "--fast", "--change.friction", "0.5", "--steps", "2")
    assert command(str(tmp_path / "life.zip"), *args) == 0
    figures = json.loads((tmp_path / "life-finetuned" / "report.json").read_text())
    assert figures["rounds"] == 2
    assert figures["reward"]["after"]["mean"] > 0.0
    capsys.readouterr()


# ---------------------------------------------------------------------- the command

SMALL = ("--learning.rollout-steps", "256", "--learning.epochs", "1", "--learning.episodes", "2")


def command(*args: str) -> int:
    return cli.main(["finetune", *args, *SMALL, "--report-episodes", "3"])


def test_the_command_learns_reports_and_goes_on(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = (str(file), "--env", "imitation", "--fast", "--out", str(tmp_path / "out"), "--change.mass", "1.2")
    assert command(*args, "--steps", "3") == 0
    said = capsys.readouterr().out
    figures = json.loads((tmp_path / "out" / "report.json").read_text())
    assert figures["rounds"] == 3 == figures["taken"] + figures["rolled_back"] == len(figures["history"])
    assert figures["train_steps"] == 3
    assert figures["config"]["change"]["mass"] == 1.2
    assert figures["frames"] == {}
    assert figures["kl_largest"] <= figures["kl_bound"]
    for name in ("shipped", "shipped on this body", "before", "after"):
        low, high = figures["reward"][name]["interval"]
        assert low <= figures["reward"][name]["mean"] <= high
    assert "round 3" in said
    assert "return shipped on this body" in said
    assert figures["taken"] > 0, "this seed should take a policy, or the rest tests nothing"
    assert command(*args, "--steps", "1") == 0
    again = json.loads((tmp_path / "out" / "report.json").read_text())
    assert again["train_steps_in_all"] > again["train_steps"] == 1
    assert again["reward"]["before"]["mean"] == pytest.approx(figures["reward"]["after"]["mean"], rel=1e-6)


def test_the_command_in_real_time(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    args = ("--profile", "desktop", "--baseline-seconds", "0.5", "--seconds", "1", "--frame-load", "0.1")
    assert command(str(file), "--out", str(tmp_path), *args) == 0
    figures = json.loads((tmp_path / "report.json").read_text())
    assert figures["frames"].keys() == {"without training", "with training"}
    assert all(lived["frames"] > 5 for lived in figures["frames"].values())
    assert figures["repeated"] == 0
    said = capsys.readouterr().out
    assert "frames with training" in said
    assert f"Frames: {tmp_path / 'frames.png'}" in said
    with Image.open(tmp_path / "frames.png") as image:
        assert image.format == "PNG"


def test_it_can_be_stopped_before_it_learns(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add, asked = frames.Frames.add, []

    def first(lived: frames.Frames, *row: Any) -> None:
        add(lived, *row)
        if not asked:  # a second Ctrl-C would end the process at once
            asked.append(signal.raise_signal(signal.SIGINT))

    monkeypatch.setattr(frames.Frames, "add", first)
    assert command(str(file), "--out", str(tmp_path)) == 0
    figures = json.loads((tmp_path / "report.json").read_text())
    assert figures["frames"].keys() == {"without training"}
    assert figures["train_steps"] == 0
    assert not (tmp_path / "frames.png").exists()


@pytest.mark.parametrize(
    ("number", "said"), [(errno.ENOSPC, "The disk is full"), (errno.EACCES, "No permission")]
)
def test_what_cannot_be_written_is_told(
    number: int,
    said: str,
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """While it learns; the policy that acts is still the last one that was kept."""

    def full(*_: Any) -> None:
        raise OSError(number, os.strerror(number), str(tmp_path / store.STATE))

    monkeypatch.setattr("synthjax.deploy.tuning.session.Session.live", full)
    assert command(str(file), "--out", str(tmp_path), "--fast") == 2
    error = capsys.readouterr().err
    assert said in error
    assert "train --resume" not in error
    assert ("give the command again, which goes on from the last policy" in error) == (number == errno.ENOSPC)


def test_a_place_that_cannot_be_written_is_told_before_it_learns(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("synthjax.deploy.bundle.load_bundle", lambda path: pytest.fail("it was too late"))
    (tmp_path / "file").touch()
    for out in ("file", "file/below"):
        assert command(str(file), "--fast", "--out", str(tmp_path / out)) == 2
        error = capsys.readouterr().err
        assert f"and '{tmp_path / 'file'}' cannot be written: choose another folder" in error


def test_neither_jax_nor_the_converter_is_needed(file: Path, tmp_path: Path) -> None:
    code = f"""
import sys
for name in ("jax", "jaxlib", "flax", "optax", "orbax", "chex", "litert_converter", "ai_edge_quantizer"):
    sys.modules[name] = None
from synthjax.cli.app import main
sys.exit(main(["finetune", {str(file)!r}, "--fast", "--out", {str(tmp_path)!r}, "--steps", "1",
    "--report-episodes", "1", *{SMALL!r}]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report.json").exists()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--env", "continuous"], "The bundle is of the environment 'imitation': leave out --env continuous"),
        (["--env", "imitaton"], "Unknown environment 'imitaton': did you mean imitation?"),
        (["--change.weak", "LeftLeg"], "Unknown body 'LeftLeg'"),
        (["--change.mass", "-1"], "--change.mass is -1.0: give a number above zero"),
        (["--learning.kl-bound", "-1"], "--learning.kl-bound is -1.0: give a number above zero"),
        (["--learning.epochs", "0"], "--learning.epochs is 0: give a number above zero"),
        (["--steps", "0"], "--steps is 0: give a number above zero"),
        (["--frame-load", "1"], "--frame-load is 1.0: give a share"),
        (["--learning.rollout-steps", "300"], "give a multiple of 256"),
        (["--learning.episodes", "256"], "--learning.episodes is 256: give at most 255"),
        (["--report-episodes", "999"], "--report-episodes is 999: give a number from 1 to 254"),
    ],
)
def test_mistakes_are_told(
    args: list[str], said: str, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["finetune", str(file), "--fast", "--out", str(tmp_path), "--learning.episodes", "2"]
    assert cli.main(given + args) == 2
    assert said in capsys.readouterr().err.replace("\n", " ")
    assert list(tmp_path.iterdir()) == []


def test_bundles_that_cannot_be_learned_from_are_refused(
    recorded: tuple[Export, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("finetune.tflite", "params.bin", "reward.tflite", "starts.bin")
    tuning_bundles.write(recorded[0], tmp_path / "acts.zip", leave_out=names)
    tuning_bundles.write(recorded[0], tmp_path / "old.zip", leave_out=names[2:])
    tuning_bundles.write(recorded[0], tmp_path / "dqn.zip", agent={"algorithm": "dqn"})
    for name, said in (
        ("acts", "The bundle has no finetune.tflite, params.bin, reward.tflite, starts.bin: install it"),
        ("old", "The bundle has no reward.tflite, starts.bin: install it"),
        ("dqn", "The bundle's policy is of dqn: only those of ppo and sac go on learning here"),
        ("none", "none.zip"),
    ):
        assert cli.main(["finetune", str(tmp_path / f"{name}.zip"), "--fast"]) == 2
        assert said in capsys.readouterr().err.replace("\n", " ")
