"""A run without an end: it passes its steps, is bounded, and goes on where a kill has left it."""

from __future__ import annotations

import dataclasses
import gc
import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from rich.console import Console
from test_resume import EPOCH, StopAfter, assert_same, tiny_config, train, trainer_of

from synthjax import configs
from synthjax.agents.sac import SACConfig
from synthjax.configs import TrainConfig
from synthjax.training import run_folder
from synthjax.training.build import Run, build
from synthjax.training.checkpoint import CheckpointManager
from synthjax.training.display import TrainingDisplay
from synthjax.training.loop import Trainer
from synthjax.training.metrics import MetricsWriter, read_metrics
from synthjax.training.program import TrainState


def endless_config(**changes) -> TrainConfig:
    config = dataclasses.replace(tiny_config(), steps=3 * EPOCH, forever=True)
    return dataclasses.replace(config, **changes)


@pytest.fixture(scope="module")
def endless() -> Run:
    return build(endless_config())


def uninterrupted(run: Run, epochs: int) -> TrainState:
    state = run.program.start(run.config.seed)
    for _ in range(epochs):
        state, _ = run.program.epoch(state, run.config.epoch_iterations)
    return state


def test_learning_settles_over_the_steps_and_stays_so(endless: Run) -> None:
    assert endless.agent.num_updates == 6
    targets = [float(endless.agent.target_kl(jnp.asarray(n))) for n in (0, 5, 6, 600)]
    assert targets[0] > targets[1] > targets[2] == targets[3] > 0.0


def test_it_passes_its_steps_and_resumes_beyond_them(endless: Run, tmp_path: Path, monkeypatch) -> None:
    figures = {"completion": 0.5, "body_error_mm": 50.0}
    monkeypatch.setattr(Trainer, "evaluate", lambda self, state: figures)
    for resume, stop_at in ((False, 5 * EPOCH), (True, 9 * EPOCH)):
        state, finished = train(endless, tmp_path, resume, stop_at=stop_at)
        assert not finished
        assert trainer_of(endless, tmp_path, StopAfter(0)).env_steps(state) == stop_at
    assert_same(state, uninterrupted(endless, 9))
    rows = read_metrics(tmp_path)
    assert [row["env_steps"] for row in rows if row["kind"] == "train"] == [n * EPOCH for n in range(1, 10)]
    # Evaluations, and no last one at its steps.
    assert [row["env_steps"] for row in rows if row["kind"] == "eval"] == [4 * EPOCH, 8 * EPOCH]
    checkpoints = CheckpointManager(tmp_path, read_only=True)
    newest = [n * EPOCH for n in (7, 8, 9)]
    assert checkpoints.steps() == sorted({checkpoints.best_step(), *newest})


class Census(TrainingDisplay):
    """Counts the objects of the program after every so many epochs, and stops it after some counts."""

    def __init__(self, epochs: int, counts: int):
        super().__init__("test", None, {}, console=Console(quiet=True))
        self.every, self.left, self.logged, self.objects = epochs, counts, 0, []
        self.trainer = None

    def update(self, env_steps, metrics):
        super().update(env_steps, metrics)
        self.logged += 1
        if self.logged % self.every == 0:
            gc.collect()
            self.objects.append(len(gc.get_objects()))
            self.left -= 1
            if self.left == 0:
                self.trainer.request_stop()


def test_nothing_grows_with_the_epochs(endless: Run, tmp_path: Path) -> None:
    """Not even by one object each; evaluations are among them.  Of checkpoints see the next test."""
    config = endless_config(
        checkpoint_seconds=1e9, evaluation=dataclasses.replace(endless.config.evaluation, every=20 * EPOCH)
    )
    display = Census(epochs=40, counts=3)
    run = dataclasses.replace(endless, config=config)
    trainer = display.trainer = trainer_of(run, tmp_path, display)
    trainer.save = lambda state, figures=None: None
    with MetricsWriter(tmp_path) as writer:
        trainer.train(trainer.prepare(resume=False), writer)
    warm, middle, end = display.objects
    assert end - middle < 20
    assert abs(middle - warm) < 2000  # the first evaluations fill caches


def test_checkpoints_leave_little_behind(tmp_path: Path) -> None:
    """TensorStore loses the strings that it hands to Python, some for each array; nothing else may grow."""
    manager, state = CheckpointManager(tmp_path), {f"leaf{i}": jax.numpy.ones(3) for i in range(20)}
    counts = []
    for step in range(24):
        manager.save(step, state, {"step": step}, score=0.0)
        if step % 8 == 7:
            gc.collect()
            counts.append(len(gc.get_objects()))
    assert counts[2] - counts[1] < 8 * 60


def life_config() -> TrainConfig:
    default = configs.get("continuous", "sac")
    return dataclasses.replace(
        default,
        forever=True,
        epoch_iterations=2,
        checkpoint_seconds=0.5,
        agent=SACConfig(
            num_envs=8, unroll_length=4, capacity=256, minibatch_size=16, learning_starts=64,
            policy_hidden=(16,), critic_hidden=(16,), center_rewards=True,
        ),
        task=dataclasses.replace(default.task, falls=4),
        evaluation=dataclasses.replace(default.evaluation, every=10**9),
    )  # fmt: skip


@pytest.mark.slow
def test_an_endless_life_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """SIGKILL after a checkpoint, three times; worlds, replay, help and keys are as they would be."""
    folder, config = tmp_path / "run", life_config()
    run_folder.save_config(folder, config)
    code = "import sys; from synthjax.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "train", "--resume", str(folder)]
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache")}
    for number in range(3):
        before = CheckpointManager(folder, read_only=True).latest_step() or 0
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while (CheckpointManager(folder, read_only=True).latest_step() or 0) <= before:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(0.2 * number)
        process.kill()
        process.wait()
    run = build(config)
    trainer = trainer_of(run, folder, StopAfter(0))
    state = trainer.prepare(resume=True)
    epochs = trainer.env_steps(state) // EPOCH
    assert epochs >= 3
    assert_same(state, uninterrupted(run, epochs))
