"""The record of a run: ``metrics.jsonl`` and TensorBoard events, one row per call."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tensorboardX import SummaryWriter

METRICS_FILE = "metrics.jsonl"


class MetricsWriter:
    """Writes the metrics of one run; a context manager.

    A row of ``metrics.jsonl`` is ``{"env_steps": int, "kind": str, name: value, ...}``, flushed as it
    is written, so that a killed run loses none but an unfinished one.  TensorBoard gets the same
    values as scalars ``kind/name`` under ``run_dir/tensorboard``.

    Args:
        run_dir: folder of the run; made if missing.
        resume_step: environment steps of the checkpoint that the run goes on from.  Rows of later
            steps are removed, because the resumed run writes them again.  A row therefore has to be
            written before the checkpoint of its step is saved.  None starts an empty record.
    """

    def __init__(self, run_dir: Path, resume_step: int | None = None) -> None:
        run_dir.mkdir(parents=True, exist_ok=True)
        self._path = run_dir / METRICS_FILE
        kept = (
            [] if resume_step is None else [r for r in read_metrics(run_dir) if r["env_steps"] <= resume_step]
        )
        _replace_lines(self._path, kept)
        self._file = self._path.open("a", encoding="utf-8")
        purge_step = None if resume_step is None else resume_step + 1
        self._tensorboard = SummaryWriter(str(run_dir / "tensorboard"), purge_step=purge_step)

    def write(self, env_steps: int, metrics: Mapping[str, Any], kind: str = "train") -> None:
        """Appends one row.

        Args:
            env_steps: environment steps taken since the run began, all worlds together.
            metrics: scalars by name; arrays of one element are taken as their value.
            kind: "train" or "eval".
        """
        values = {name: float(value) for name, value in metrics.items()}
        row = {"env_steps": env_steps, "kind": kind, **{n: _jsonable(v) for n, v in values.items()}}
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        for name, value in values.items():
            if not math.isfinite(value):
                continue  # TensorBoard's writer would warn on the screen at every one
            self._tensorboard.add_scalar(f"{kind}/{name}", value, env_steps)

    def close(self) -> None:
        """Flushes and closes both records."""
        self._file.close()
        self._tensorboard.close()

    def __enter__(self) -> MetricsWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """The rows of ``run_dir/metrics.jsonl`` in order; an unfinished last line is left out."""
    path = run_dir / METRICS_FILE
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _jsonable(value: float) -> float | None:
    """JSON has no NaN and no infinity: they become null."""
    return value if math.isfinite(value) else None


def _replace_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """Writes ``rows`` to ``path`` so that a crash leaves either the old file or the new one."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    os.replace(temporary, path)
