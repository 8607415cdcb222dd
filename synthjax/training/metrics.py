"""The record of a run: ``metrics.jsonl`` and TensorBoard events, one row per call."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tensorboardX import SummaryWriter

from synthjax.training import record_files
from synthjax.training.record_files import METRICS_FILE, TENSORBOARD


class MetricsWriter:
    """Writes the metrics of one run; a context manager.

    A row of ``metrics.jsonl`` is ``{"env_steps": int, "kind": str, name: value, ...}``, flushed as it
    is written, so that a killed run loses none but an unfinished one.  TensorBoard gets the same
    values as scalars ``kind/name`` under ``run_dir/tensorboard``.  Both are bounded: new files are
    begun in time and the oldest removed (:mod:`synthjax.training.record_files`).

    Args:
        run_dir: folder of the run; made if missing.
        resume_step: environment steps of the checkpoint that the run goes on from.  Rows of later
            steps are removed, because the resumed run writes them again.  A row therefore has to be
            written before the checkpoint of its step is saved.  None starts an empty record.
    """

    def __init__(self, run_dir: Path, resume_step: int | None = None) -> None:
        run_dir.mkdir(parents=True, exist_ok=True)
        self._run_dir = run_dir
        record_files.remove_rows(run_dir, after=-1 if resume_step is None else resume_step)
        self._open(None if resume_step is None else resume_step + 1)

    def write(self, env_steps: int, metrics: Mapping[str, Any], kind: str = "train") -> None:
        """Appends one row.

        Args:
            env_steps: environment steps taken since the run began, all worlds together.
            metrics: scalars by name; arrays of one element are taken as their value.
            kind: "train" or "eval".
        """
        values = {name: float(value) for name, value in metrics.items()}
        row = {"env_steps": env_steps, "kind": kind, **{n: _jsonable(v) for n, v in values.items()}}
        self._file.write(json.dumps(row).encode() + b"\n")
        self._file.flush()
        for name, value in values.items():
            if not math.isfinite(value):
                continue  # TensorBoard's writer would warn on the screen at every one
            self._tensorboard.add_scalar(f"{kind}/{name}", value, env_steps)
        if self._file.tell() > record_files.FILE_BYTES:
            self.close()
            record_files.set_aside_full_file(self._run_dir)
            self._open(None)

    def _open(self, purge_step: int | None) -> None:
        """Goes on with rows, and begins a file of events that takes back those from ``purge_step`` on."""
        self._file = (self._run_dir / METRICS_FILE).open("ab")
        record_files.trim_events(self._run_dir)
        folder = self._run_dir / TENSORBOARD
        # The writer names its file by the second, and would overwrite another that was begun in the same one.
        suffix = f".{time.time_ns()}"
        self._tensorboard = SummaryWriter(str(folder), purge_step=purge_step, filename_suffix=suffix)

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
    """The rows of a run's metrics in order, older files included; an unfinished last line is left out."""
    files = record_files.row_files(run_dir)
    return [json.loads(line) for path in files for line in record_files.complete_lines(path)]


def _jsonable(value: float) -> float | None:
    """JSON has no NaN and no infinity: they become null."""
    return value if math.isfinite(value) else None
