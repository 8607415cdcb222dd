"""Run folders: found by name or age, and a configuration that comes back as it was."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest

from synthjax import configs
from synthjax.errors import UserError
from synthjax.training import run_folder


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make_run(name: str, age: float = 0.0) -> Path:
    folder = run_folder.RUNS / name
    run_folder.save_config(folder, configs.get("imitation"))
    stamp = 1_700_000_000 - age
    os.utime(folder / run_folder.CONFIG_FILE, (stamp, stamp))
    return folder


def test_configuration_comes_back_as_it_was() -> None:
    config = configs.get("imitation")
    config = dataclasses.replace(config, agent=dataclasses.replace(config.agent, hidden=(64, 32, 16)), seed=7)
    run_folder.save_config(Path("run"), config)
    assert run_folder.load_config(Path("run")) == config


@pytest.mark.parametrize("change", ["missing", "extra", "no json", "no table", "agent"])
def test_configuration_of_another_version_is_refused(change: str) -> None:
    folder = make_run("run")
    path = folder / run_folder.CONFIG_FILE
    values = json.loads(path.read_text())
    if change == "missing":
        del values["agent"]["gamma"]
    if change == "extra":
        values["agent"]["momentum"] = 0.9
    values["algorithm"] = "dqn" if change == "agent" else "ppo"
    contents = {"no json": '{"env": "imi', "no table": "[1]"}
    path.write_text(contents.get(change, json.dumps(values)))
    with pytest.raises(UserError, match="start a new run") as raised:
        run_folder.load_config(folder)
    named = {"missing": "gamma", "extra": "momentum", "agent": "dqn", "no table": "table of fields"}
    assert named.get(change, "") in str(raised.value)


def test_newest_run_is_found_without_a_name() -> None:
    make_run("old", age=20)
    newest = make_run("new", age=10)
    make_run("oldest", age=30)
    assert run_folder.find_run("") == newest
    assert run_folder.find_run("runs/old") == Path("runs/old")


def test_missing_run_names_the_near_one() -> None:
    with pytest.raises(UserError, match="synthjax train"):
        run_folder.find_run("")
    make_run("imitation-walk-1")
    with pytest.raises(UserError, match=r"did you mean runs.imitation-walk-1"):
        run_folder.find_run("runs/imitation-wlak-1")


def test_run_is_not_overwritten() -> None:
    folder = make_run("walk")
    config = configs.get("imitation")
    assert run_folder.new_run_folder(config, Path("elsewhere")) == Path("elsewhere")
    with pytest.raises(UserError, match=r"--resume runs.walk"):
        run_folder.new_run_folder(config, folder)


def test_new_folder_never_meets_an_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder.time, "strftime", lambda form: "20260102-030405")
    config = dataclasses.replace(configs.get("imitation"), motion="some where/my clips/")
    first = run_folder.new_run_folder(config)
    assert first == Path("runs/imitation-my-clips-20260102-030405")
    first.mkdir(parents=True)
    assert run_folder.new_run_folder(config) == Path("runs/imitation-my-clips-20260102-030405-2")


def test_a_run_finds_its_files_from_any_folder(tmp_path: Path) -> None:
    """Names of shipped clips stay names, even beside folders of the same names."""
    for path in ("my clips/walk.npz", "robot.toml", "run/x.npz", "all/x.npz"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    config = configs.get("imitation")
    body = dataclasses.replace(config.body, name="robot.toml")
    config = run_folder.anchored(
        dataclasses.replace(config, motion="run, my clips,wlak,,all", body=body)
    )  # fmt: skip
    assert config.motion == f"run,{tmp_path / 'my clips'},wlak,all"
    assert config.body.name == str(tmp_path / "robot.toml")
    assert run_folder.anchored(configs.get("imitation")) == configs.get("imitation")
    assert run_folder.anchored(dataclasses.replace(config, motion="")).motion == ""
