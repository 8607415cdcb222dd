"""The files of a run's record, and their bound: a life without end must not fill the disk.

``metrics.jsonl`` is appended to.  Once it is full it becomes ``metrics.N.jsonl`` with the next number N, in
one renaming, so that a kill loses no row; the oldest files go.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from synthjax.whole_files import replacing

METRICS_FILE = "metrics.jsonl"
TENSORBOARD = "tensorboard"
FILE_BYTES = 16_000_000  # of metrics.jsonl, after which a new one is begun
OLDER_FILES = 4  # full ones that are kept beside it
EVENT_BYTES = 128_000_000  # of all TensorBoard files but the one being written


def row_files(run_dir: Path) -> list[Path]:
    """The files that hold the rows of the metrics, oldest first; the one being written is the last."""
    older = {number: path for path in run_dir.glob("metrics.*.jsonl") if (number := _number(path))}
    current = run_dir / METRICS_FILE
    return [older[number] for number in sorted(older)] + ([current] if current.exists() else [])


def complete_lines(path: Path) -> list[str]:
    """The lines of ``path``, with their ends; one that was cut by a kill is left out."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [line for line in lines if line.endswith("\n")]


def remove_rows(run_dir: Path, after: int) -> None:
    """Removes the rows of more than ``after`` environment steps, and a row that was cut by a kill.

    Rows stand in the order of their steps, so this begins at the end.  A crash leaves each file as it was
    or as it should be.
    """
    for path in reversed(row_files(run_dir)):
        kept = [line for line in complete_lines(path) if json.loads(line)["env_steps"] <= after]
        with replacing(path) as partial:
            partial.write_bytes("".join(kept).encode())
        if kept:
            return
        path.unlink()


def set_aside_full_file(run_dir: Path) -> None:
    """Gives ``metrics.jsonl``, which nobody may hold open, the next number, and removes the oldest files."""
    *older, current = row_files(run_dir)
    number = _number(older[-1]) + 1 if older else 1
    current.rename(run_dir / f"metrics.{number}.jsonl")
    for path in row_files(run_dir)[:-OLDER_FILES]:
        path.unlink()


def trim_events(run_dir: Path) -> None:
    """Removes the oldest TensorBoard files until all together are within their bound."""
    # Their names tell when they were begun.
    files = sorted((run_dir / TENSORBOARD).glob("events.*"), reverse=True)
    total = 0
    for path in files:
        total += path.stat().st_size
        if total > EVENT_BYTES:
            path.unlink()


def _number(path: Path) -> int:
    """N of ``metrics.N.jsonl``; zero for any other name."""
    found = re.fullmatch(r"metrics\.([1-9]\d*)\.jsonl", path.name)
    return int(found[1]) if found else 0
