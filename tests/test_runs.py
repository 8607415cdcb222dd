"""Whole runs of what the other tests do not run whole: another environment and another agent."""

from __future__ import annotations

import dataclasses
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from test_resume import StopAfter, assert_same, train, trainer_of

from synthjax import configs
from synthjax.agents.sac import SACConfig
from synthjax.errors import UserError
from synthjax.training import checkpoint, devices
from synthjax.training.build import build, check_run_fits
from synthjax.training.evaluator import make_evaluator
from synthjax.training.metrics import read_metrics
from synthjax.training.run_folder import save_config
from synthjax.training.saved import load_policy

EPOCH = 2 * 8 * 4  # env steps: two iterations of 8 worlds x 4 steps


def test_a_replay_beyond_the_memory_is_refused_and_the_one_that_it_is_told_fits(monkeypatch) -> None:
    """Before anything is allocated: of sixteen gibibytes only shapes are made."""
    default = configs.get("continuous", "sac")
    monkeypatch.setattr(devices, "available_memory", lambda device: 2**30)

    def check(capacity: int) -> None:
        agent = dataclasses.replace(default.agent, capacity=capacity)
        task = dataclasses.replace(default.task, falls=4)
        check_run_fits(build(dataclasses.replace(default, agent=agent, task=task)))

    with pytest.raises(UserError, match=r"needs about \d+\.\d GiB .* has 1\.0 GiB left") as refused:
        check(4_000_000)
    fits = int(re.search(r"a replay of --agent.capacity (\d+) fits", str(refused.value))[1])
    assert 100_000 < fits < 400_000
    check(fits)
    with pytest.raises(UserError):
        check(round(1.05 * fits))


@pytest.mark.slow
def test_always_on_life_learned_by_sac_stops_resumes_and_is_evaluated(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    default = configs.get("continuous", "sac")
    config = dataclasses.replace(
        default,
        steps=4 * EPOCH,
        epoch_iterations=2,
        agent=SACConfig(
            num_envs=8, unroll_length=4, capacity=256, minibatch_size=16, learning_starts=64,
            policy_hidden=(16,), critic_hidden=(16,), center_rewards=True,
        ),
        task=dataclasses.replace(default.task, falls=4),
        evaluation=dataclasses.replace(default.evaluation, every=2 * EPOCH, episodes=4, seconds=0.3),
    )  # fmt: skip
    configs.validate(config)
    run = build(config)
    check_run_fits(run)
    whole, finished = train(run, tmp_path / "whole", resume=False)
    assert finished
    _, finished = train(run, tmp_path / "cut", resume=False, stop_at=EPOCH)
    assert not finished
    resumed, finished = train(run, tmp_path / "cut", resume=True)
    assert finished
    assert_same(whole, resumed)

    rows = read_metrics(tmp_path / "whole")
    assert [row["env_steps"] for row in rows if row["kind"] == "eval"] == [2 * EPOCH, 4 * EPOCH]
    last = [row for row in rows if row["kind"] != "eval"][-1]
    assert last["critic_loss"] > 0.0
    assert last["replay_size"] == 240.0  # 224 and 256, the mean of the epoch
    assert "NaN" not in caplog.text  # before learning starts there are no losses

    # Only the newest checkpoint has the replay; a run that goes back to an older one fills a new one.
    folders = sorted((tmp_path / "whole" / checkpoint.FOLDER).iterdir(), key=lambda path: int(path.name))
    assert len(folders) > 1
    assert [(path / "replay").exists() for path in folders] == [False] * (len(folders) - 1) + [True]
    shutil.copytree(tmp_path / "whole", tmp_path / "back")
    (tmp_path / "back" / checkpoint.FOLDER / folders[-1].name / "checksums.json").write_text("{")
    back = trainer_of(run, tmp_path / "back", StopAfter(0)).prepare(resume=True)
    assert (int(back.agent.replay.size[0]), int(back.agent.updates)) == (0, 4)
    before = np.asarray(back.agent.params["log_alpha"])
    back, _ = run.program.epoch(back, 2)  # 32 transitions each, of which learning takes 64
    assert int(back.agent.replay.size[0]) == 64
    assert back.agent.params["log_alpha"] != before

    # What is saved acts as what was trained, without the replay.
    save_config(tmp_path / "whole", config)
    saved = load_policy(tmp_path / "whole")
    assert saved.agent_state.replay is None
    evaluator = make_evaluator(run)
    report = evaluator.report(run.agent.acting(whole.agent), 4)
    assert report == evaluator.report(saved.agent_state, 4)
    assert report["all"]["attempts"] == 4
    shown = io.StringIO()
    Console(file=shown).print(evaluator.table(report))
    assert "pushed, 0.5 m/s" in shown.getvalue()
    recordings = evaluator.recordings(saved.agent_state)
    assert [each.name for each in recordings] == ["front", "back", "left", "right"]
    assert recordings[0].qpos.shape[1] == run.body.model.nq
    assert "ideo" in evaluator.render(saved.agent_state, tmp_path / "video.mp4")
