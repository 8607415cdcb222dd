"""``synthjax train`` as the user meets it: what it says, how it ends, and what it refuses to go on from."""

from __future__ import annotations

import os
import platform
import re
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from test_resume import StopAfter, tiny_config, trainer_of

from synthjax import cli
from synthjax.training import devices, offscreen, run_folder
from synthjax.training.build import build
from synthjax.training.imitation_evaluator import ImitationEvaluator
from synthjax.training.loop import Trainer
from synthjax.training.playback import Recording
from synthjax.training.scores import Scores


@pytest.fixture
def unused_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with an NVIDIA GPU whose JAX has no support for it."""
    monkeypatch.setattr(devices, "nvidia_driver", lambda: "570.86.10")
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")


def test_a_run_ends_well_without_a_renderer_and_tells_of_a_gpu_that_is_not_used(
    tmp_path: Path, unused_gpu: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The training and the episodes are made up; everything from there to the exit code is real."""
    figures = Scores(4, 1.0, 1.0, 20.0, 10.0, 3.0, 1.0, 0.05).as_dict()
    names = ("nominal", "start_noise")
    report: dict[str, Any] = dict.fromkeys(names, figures) | {"clips": {"walk": figures}}
    report |= {"seconds": 0.5, "mode": "deterministic", "bodies": "nominal bodies"}

    def episodes(self: ImitationEvaluator, agent_state: object) -> list[tuple[Recording, np.ndarray]]:
        qpos = np.tile(self.run.body.standing_qpos, (4, 1))
        return [(Recording("walk", qpos, 20.0), qpos)]

    monkeypatch.setattr(Trainer, "train", lambda self, state, writer: (state, True))
    monkeypatch.setattr(ImitationEvaluator, "report", lambda *args: report)
    monkeypatch.setattr(ImitationEvaluator, "_with_references", episodes)
    monkeypatch.setattr(offscreen, "backends", lambda system, environ: ())
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    offscreen.gl_module.cache_clear()
    folder = tmp_path / "run"
    run_folder.save_config(folder, tiny_config())
    assert cli.main(["train", "--resume", str(folder)]) == 0
    said = capsys.readouterr().out
    assert devices.CUDA_INSTALL in said.splitlines()[0]
    assert "No video: " in said
    assert "reached" in said
    assert "…" not in said  # headings and figures fit into 80 columns
    assert said.splitlines()[-1].endswith(f"synthjax train --resume {folder} --steps N")
    if platform.system() == "Linux":
        assert "apt-get install libegl1 libopengl0" in said
    assert (folder / "evaluation.json").exists()
    assert not (folder / "video.mp4").exists()


def test_a_run_with_all_its_steps_is_evaluated_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where that has been done, going on takes more steps, and says so."""
    monkeypatch.setattr(Trainer, "env_steps", lambda self, state: 10**9)
    monkeypatch.setattr(Trainer, "train", lambda self, state, writer: (state, False))
    run_folder.save_config(tmp_path, tiny_config())
    assert cli.main(["train", "--resume", str(tmp_path)]) == 0
    assert "what is left is its evaluation" in capsys.readouterr().out
    (tmp_path / "evaluation.json").write_text("{}")
    assert cli.main(["train", "--resume", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "is evaluated: add --steps N" in said
    assert said.count("\n") == 1
    # It has gone on since.
    newest = tmp_path / "checkpoints" / str(10**9)
    newest.mkdir(parents=True)
    os.utime(tmp_path / "evaluation.json", (0, newest.stat().st_mtime - 1.0))
    monkeypatch.setattr(Trainer, "prepare", lambda self, resume: None)
    assert cli.main(["train", "--resume", str(tmp_path)]) == 0
    assert "what is left is its evaluation" in capsys.readouterr().out


def test_doctor_tells_of_a_gpu_that_is_not_used(unused_gpu: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    assert devices.CUDA_INSTALL in " ".join(capsys.readouterr().out.split())


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with a checkpoint."""
    folder = tmp_path_factory.mktemp("stopped")
    run_folder.save_config(folder, tiny_config())
    trainer = trainer_of(build(tiny_config()), folder, StopAfter(0))
    trainer.save(trainer.prepare(resume=False))
    return folder


def shown(option: str, value: str) -> str:
    """An option's value as messages have it, without what it is enclosed in."""
    if option == "--task.curriculum.stages":  # a tuple of one word
        return f"'{value}',"
    return ", ".join(value.split())


@pytest.mark.parametrize(
    ("options", "there", "here"),
    [
        ("--task.lookahead 1 2", "observation '", "'"),
        ("--physics.n-substeps 5", "control_dt '0.050000'", "'0.041667'"),
        ("--body.actuation strong", "body '", "'"),
        ("--motion spinkick", "clips 'walk:", "'spinkick:"),
        ("--agent.unroll-length 8", "unroll_length '4'", "'8'"),
        ("--agent.actor structured", "actor 'plain'", "'structured "),
        ("--task.curriculum.stages legs", "curriculum '", "'"),
    ],
)
def test_a_refused_resumption_names_both_sides_and_leaves_the_configuration(
    options: str, there: str, here: str, stopped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(stopped, folder)
    before = (folder / run_folder.CONFIG_FILE).read_bytes()
    assert cli.main(["train", "--resume", str(folder), *options.split()]) == 2
    said = capsys.readouterr().err
    assert f"was made with {there}" in said
    assert f", this program has {here}" in said
    # Hashes say that bodies and observations differ; what of them does, only the options say.
    option, value = options.split(maxsplit=1)
    assert re.search(rf"; {option} is \S.* there and .?{re.escape(shown(option, value))}.? here: use", said)
    assert "start a new one" in said
    assert said.count("\n") == 1
    assert (folder / run_folder.CONFIG_FILE).read_bytes() == before
