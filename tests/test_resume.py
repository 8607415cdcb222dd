"""A run that is stopped or killed and resumed equals one that was not, bit for bit."""

from __future__ import annotations

import dataclasses
import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from rich.console import Console

from synthjax import configs
from synthjax.agents.ppo import PPOConfig
from synthjax.configs import TrainConfig
from synthjax.training import run_folder
from synthjax.training.build import Run, build
from synthjax.training.checkpoint import CheckpointManager
from synthjax.training.display import TrainingDisplay
from synthjax.training.evaluator import make_evaluator
from synthjax.training.loop import Trainer
from synthjax.training.metrics import MetricsWriter, read_metrics
from synthjax.training.program import TrainProgram, TrainState

EPOCH = 2 * 8 * 4  # env steps: two iterations of 8 worlds x 4 steps


def tiny_config() -> TrainConfig:
    """Ten epochs of next to nothing, with evaluations in between and a checkpoint after every epoch."""
    default = configs.get("imitation")
    return dataclasses.replace(
        default,
        steps=10 * EPOCH,
        epoch_iterations=2,
        checkpoint_seconds=1e-9,
        agent=PPOConfig(num_envs=8, unroll_length=4, num_minibatches=2, num_epochs=1, hidden=(16,)),
        task=dataclasses.replace(default.task, starts_per_bin=2),
        evaluation=dataclasses.replace(default.evaluation, every=4 * EPOCH, episodes=4, seconds=0.5),
    )


@pytest.fixture(scope="module")
def tiny_run() -> Run:
    return build(tiny_config())


class StopAfter(TrainingDisplay):
    """A display that asks the trainer to stop once so many environment steps were logged."""

    def __init__(self, steps: int):
        super().__init__("test", 1, {}, console=Console(quiet=True))
        self.stop_at, self.trainer = steps, None

    def update(self, env_steps, metrics):
        super().update(env_steps, metrics)
        if env_steps >= self.stop_at:
            self.trainer.request_stop()


def trainer_of(run: Run, folder: Path, display: TrainingDisplay) -> Trainer:
    return Trainer(run, make_evaluator(run), folder, display)


def train(run: Run, folder: Path, resume: bool, stop_at: int = 10**9) -> tuple[TrainState, bool]:
    display = StopAfter(stop_at)
    trainer = display.trainer = trainer_of(run, folder, display)
    state = trainer.prepare(resume)
    with MetricsWriter(folder, trainer.env_steps(state) if resume else None) as writer:
        return trainer.train(state, writer)


def assert_same(one: TrainState, other: TrainState) -> None:
    def bits(leaf: jax.Array) -> np.ndarray:
        is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf)

    for (path, a), b in zip(jax.tree.leaves_with_path(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(bits(a), bits(b), err_msg=jax.tree_util.keystr(path))


def test_stopped_and_resumed_run_equals_an_uninterrupted_one(
    tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, finished = train(tiny_run, tmp_path / "whole", resume=False)
    assert finished
    for stop_at in (2 * EPOCH, 5 * EPOCH):
        _, finished = train(tiny_run, tmp_path / "cut", resume=stop_at > 2 * EPOCH, stop_at=stop_at)
        assert not finished
    resumed, finished = train(tiny_run, tmp_path / "cut", resume=True)
    assert finished
    assert_same(whole, resumed)
    assert read_metrics(tmp_path / "whole") == read_metrics(tmp_path / "cut")

    def started(self: TrainProgram, seed: int) -> None:
        raise AssertionError("A state that is read needs no other beside it, which may be as large.")

    monkeypatch.setattr(TrainProgram, "start", started)
    placed = trainer_of(tiny_run, tmp_path / "cut", StopAfter(0)).prepare(resume=True)
    for (path, there), here in zip(jax.tree.leaves_with_path(resumed), jax.tree.leaves(placed), strict=True):
        assert here.sharding.is_equivalent_to(there.sharding, here.ndim), jax.tree_util.keystr(path)


def test_resuming_without_a_checkpoint_starts_over(tiny_run: Run, tmp_path: Path) -> None:
    fresh = trainer_of(tiny_run, tmp_path, StopAfter(10**9)).prepare(resume=True)
    assert int(fresh.iteration) == 0


def test_signal_saves_and_ends_cleanly(tiny_run: Run, tmp_path: Path) -> None:
    class Terminate(StopAfter):
        def update(self, env_steps, metrics):
            os.kill(os.getpid(), signal.SIGTERM)

    display = Terminate(0)
    display.trainer = trainer = trainer_of(tiny_run, tmp_path, display)
    with MetricsWriter(tmp_path) as writer:
        state, finished = trainer.train(trainer.prepare(resume=False), writer)
    assert not finished
    assert trainer.checkpoints.latest_step() == trainer.env_steps(state)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_record_that_cannot_be_written_ends_the_run_before_its_checkpoint(
    tiny_run: Run, tmp_path: Path
) -> None:
    class Full(MetricsWriter):
        def write(self, env_steps, metrics, kind="train"):
            if env_steps > EPOCH:
                raise OSError(errno.ENOSPC, "No space left on device")
            super().write(env_steps, metrics, kind)

    trainer = trainer_of(tiny_run, tmp_path, StopAfter(10**9))
    with Full(tmp_path) as writer, pytest.raises(OSError, match="No space left"):
        trainer.train(trainer.prepare(resume=False), writer)
    assert trainer.checkpoints.steps() == [EPOCH]


@pytest.mark.slow
def test_run_killed_twenty_times_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    """SIGKILL at random moments after a new checkpoint, each time resumed by the command line.

    Both runs are made by the command line: this process has two devices, a command has one, and sums
    over other numbers of devices or threads differ in their last bits.
    """
    tiny = tiny_config()
    evaluation = dataclasses.replace(tiny.evaluation, every=50 * EPOCH)
    config = dataclasses.replace(tiny, steps=200 * EPOCH, evaluation=evaluation)
    code = "import sys; from synthjax.cli import main; sys.exit(main(sys.argv[1:]))"
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache")}

    def start(folder: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", code, "train", "--resume", str(folder)]
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for folder in (killed, whole):
        run_folder.save_config(folder, config)
    rng = random.Random(0)
    checkpoints = killed / "checkpoints"
    unfinished = 0
    for _ in range(20):
        before = set(checkpoints.glob("*")) if checkpoints.exists() else set()
        process = start(killed)
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if checkpoints.exists() and set(checkpoints.glob("*")) - before:
                time.sleep(rng.uniform(0.0, 1.0))
                break
            time.sleep(0.05)
        unfinished += process.poll() is None
        process.kill()
        process.wait()
    assert unfinished == 20  # all kills found a run that had more to do
    assert start(killed).wait() == 0
    assert start(whole).wait() == 0
    run = build(config)
    expected, actual = (
        trainer_of(run, folder, StopAfter(10**9)).prepare(resume=True) for folder in (whole, killed)
    )
    assert int(actual.iteration) * run.program.steps_per_iteration == config.steps
    assert_same(expected, actual)


def test_a_run_killed_early_and_late_equals_an_uninterrupted_one(tiny_run: Run, tmp_path: Path) -> None:
    """SIGKILL while the program compiles, before there is any checkpoint, and a moment after the first one.

    The killed processes have as many devices as this one, which goes on in their folder.
    """
    code = """
import sys
import jax
jax.config.update("jax_num_cpu_devices", 2)
from synthjax.cli import main
main(sys.argv[1:])
"""
    folder = tmp_path / "killed"
    run_folder.save_config(folder, tiny_config())
    command = [sys.executable, "-c", code, "train", "--resume", str(folder)]
    # A record is opened right before the epoch compiles.
    for sign, delay in ((folder / "metrics.jsonl", 0.3), (folder / "checkpoints" / str(EPOCH), 0.1)):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not sign.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(delay)
        assert process.poll() is None  # it had more to do
        process.kill()
        process.wait()
        saved = CheckpointManager(folder, read_only=True).steps()
        assert bool(saved) == (sign.name != "metrics.jsonl")
    whole, _ = train(tiny_run, tmp_path / "whole", resume=False)
    resumed, finished = train(tiny_run, folder, resume=True)
    assert finished
    assert_same(whole, resumed)
    assert read_metrics(tmp_path / "whole") == read_metrics(folder)


def test_the_best_checkpoint_of_a_run_may_be_its_last(tiny_run: Run, tmp_path: Path, monkeypatch) -> None:
    """Every evaluation finds the policy better than the one before."""
    figures = iter({"completion": 0.1 * n, "body_error_mm": 50.0} for n in range(10))
    monkeypatch.setattr(Trainer, "evaluate", lambda self, state: next(figures))
    train(tiny_run, tmp_path, resume=False)
    rows = [row for row in read_metrics(tmp_path) if row["kind"] == "eval"]
    assert [row["env_steps"] for row in rows] == [4 * EPOCH, 8 * EPOCH, 10 * EPOCH]
    assert CheckpointManager(tmp_path, read_only=True).best_step() == 10 * EPOCH
    train(tiny_run, tmp_path, resume=True)  # a finished run is not evaluated again
    assert len([row for row in read_metrics(tmp_path) if row["kind"] == "eval"]) == 3


def test_completion_comes_before_body_error(tiny_run: Run) -> None:
    rank = make_evaluator(tiny_run).rank
    whole = rank({"completion": 1.0, "body_error_mm": 900.0})
    assert whole > rank({"completion": 127 / 128, "body_error_mm": 1.0})
    assert whole < rank({"completion": 1.0, "body_error_mm": 899.0})
