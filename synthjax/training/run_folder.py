"""Run folders: how they are named and found, and the configuration that each one holds."""

from __future__ import annotations

import json
import re
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from synthjax.configs import TrainConfig, get, type_of
from synthjax.errors import UserError, unknown
from synthjax.motion.library import shipped_names
from synthjax.training import processes
from synthjax.training.dataclass_json import from_json, write_json
from synthjax.whole_files import unwritable

RUNS = Path("runs")  # below the working folder
CONFIG_FILE = "config.json"
_SHARED_SECONDS = 10.0  # in which a file of one machine shows on the others


def new_run_folder(config: TrainConfig, wanted: Path | None = None) -> Path:
    """A folder without a run, not made here: ``wanted``, or one under ``runs/`` named by motion and time.

    Raises:
      UserError: ``wanted`` already holds a run.
    """
    if wanted is not None:
        if (wanted / CONFIG_FILE).exists():
            raise UserError(
                f"{wanted} holds a run: go on with --resume {wanted}, or choose another --run-dir."
            )
        return wanted
    motion = re.sub(r"\W+", "-", Path(config.motion).name).strip("-")[:40]
    name = f"{config.env}-{motion}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder, copies = RUNS / name, 1
    while folder.exists():
        copies += 1
        folder = RUNS / f"{name}-{copies}"
    return folder


def check_writable(folder: Path) -> None:
    """Refuses a ``folder`` that no run can be written to, before anything is computed.

    Raises:
      UserError: names what is in the way.
    """
    if (there := unwritable(folder)) is not None:
        raise UserError(
            f"{folder} cannot hold the run, because '{there}' cannot be written: give yourself permission or "
            "choose another --run-dir."
        )


def check_shared(folder: Path) -> None:
    """Refuses a folder that is not the same for all processes of a run; it is made if missing.

    Raises:
      UserError: a process sees another one.
    """
    if not processes.several():
        return

    def mark() -> str:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix=".shared-", dir=folder, delete=False) as file:
            return Path(file.name).name

    def sees(name: str) -> bool:
        deadline = time.monotonic() + _SHARED_SECONDS
        while not (folder / name).exists():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    name = processes.from_first(mark)
    try:
        with processes.together():
            if not sees(name):
                raise UserError(
                    f"{folder.absolute()} is not the folder that process 0 sees there: give a --run-dir on "
                    "storage that all processes share."
                )
    finally:
        if processes.leads():
            (folder / name).unlink(missing_ok=True)


def anchored(config: TrainConfig) -> TrainConfig:
    """``config`` with whole paths to the files and folders that it names, to be found from anywhere.

    Names of shipped clips stay names, whatever stands beside them in the working folder.
    """

    def whole(name: str) -> str:
        path = str(Path(name).absolute())
        return path if Path(name).exists() and "," not in path else name

    known = (*shipped_names(), "all")
    entries = [entry for part in config.motion.split(",") if (entry := part.strip())]
    motion = ",".join(entry if entry in known else whole(entry) for entry in entries)
    body = config.body if config.body.name == "synth" else replace(config.body, name=whole(config.body.name))
    return replace(config, motion=motion, body=body)


def find_run(folder: str) -> Path:
    """``folder``, checked to hold a run; the newest run under ``runs/`` for an empty name.

    Raises:
      UserError: there is no such run; names the near matches.
    """
    runs = sorted(RUNS.glob(f"*/{CONFIG_FILE}"), key=lambda path: path.stat().st_mtime)
    if folder and (Path(folder) / CONFIG_FILE).is_file():
        return Path(folder)
    if folder and Path(folder).is_dir():
        raise UserError(f"The folder '{folder}' holds no run: give one with a {CONFIG_FILE}.")
    if not runs:
        where = f"{folder} is not the folder of a run" if folder else f"There is no run in {RUNS.absolute()}"
        raise UserError(f"{where}: start one with 'synthjax train'.")
    if folder:
        raise unknown("run", folder, (str(path.parent) for path in runs))
    return runs[-1].parent


def save_config(folder: Path, config: TrainConfig) -> None:
    """Writes ``config`` to ``folder``, which is made if missing; a kill leaves no half file."""
    write_json(folder / CONFIG_FILE, config)


def load_config(folder: Path) -> TrainConfig:
    """The configuration that the run in ``folder`` was started with.

    Raises:
      UserError: the file is damaged or was written by another version.
    """
    path = folder / CONFIG_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        names = values if isinstance(values, dict) else {}
        # The two names say of which types the other settings are; from_json tells if they are missing.
        base = get(str(names.get("env", "imitation")), str(names.get("algorithm", "ppo")))
        return from_json(type_of(base), values)
    except (ValueError, UserError) as error:
        raise UserError(
            f"{path} cannot be read ({error}): use the version of synthjax that wrote it, or start a new run."
        ) from error
