"""Run folders: how they are named and found, and the configuration that each one holds."""

from __future__ import annotations

import dataclasses
import json
import re
import time
import typing
from pathlib import Path
from typing import Any, TypeVar

from synthjax.configs import TrainConfig
from synthjax.errors import UserError, unknown

RUNS = Path("runs")  # below the working folder
CONFIG_FILE = "config.json"

Config = TypeVar("Config")


def new_run_folder(config: TrainConfig) -> Path:
    """A folder under ``runs/`` that does not exist yet, named after motion and time; not made here."""
    motion = re.sub(r"\W+", "-", Path(config.motion).name).strip("-")[:40]
    name = f"{config.env}-{motion}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder, copies = RUNS / name, 1
    while folder.exists():
        copies += 1
        folder = RUNS / f"{name}-{copies}"
    return folder


def find_run(folder: Path | None) -> Path:
    """``folder``, checked to be a run, or the newest run under ``runs/`` without one.

    Raises:
      UserError: there is no such run; names the near matches.
    """
    runs = sorted(RUNS.glob(f"*/{CONFIG_FILE}"), key=lambda path: path.stat().st_mtime)
    if folder is None:
        if not runs:
            raise UserError(f"There is no run in {RUNS.absolute()}: start one with 'synthjax train'.")
        return runs[-1].parent
    if (folder / CONFIG_FILE).is_file():
        return folder
    if not runs:
        raise UserError(f"{folder} is not the folder of a run: start a run with 'synthjax train'.")
    raise unknown("run", str(folder), (str(path.parent) for path in runs))


def save_config(folder: Path, config: TrainConfig) -> None:
    """Writes ``config`` to ``folder``, which is made if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(dataclasses.asdict(config), indent=2)
    (folder / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")


def load_config(folder: Path) -> TrainConfig:
    """The configuration that the run in ``folder`` was started with.

    Raises:
      UserError: the file is damaged or was written by another version.
    """
    path = folder / CONFIG_FILE
    try:
        return _build(TrainConfig, json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{path} cannot be read ({error}): use the version of synthjax that wrote it, or start a new run."
        ) from error


def _build(cls: type[Config], values: dict[str, Any]) -> Config:
    """A dataclass from the nested dictionaries of ``dataclasses.asdict``; JSON's lists become tuples.

    Every field has to be there: a default may have changed since the file was written.
    """
    hints = typing.get_type_hints(cls)
    names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    if different := names.symmetric_difference(values):
        raise ValueError(f"differs in {', '.join(sorted(different))}")
    return cls(**{name: _convert(hints[name], value) for name, value in values.items()})


def _convert(hint: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(hint):
        return _build(hint, value)  # type: ignore[arg-type]
    return tuple(value) if isinstance(value, list) else value
