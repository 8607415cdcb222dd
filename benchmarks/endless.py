"""What a run without an end holds: its memory and its folder, minute by minute.

    python benchmarks/endless.py --minutes 15 --out benchmarks/results/endless.json

Runs ``synthjax train --env continuous --forever`` with a checkpoint every few seconds, so that minutes stand
for hours of the default, kills it with SIGKILL half way, resumes it, and stops it in the end as Ctrl-C does.
Other options go to ``train``.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from program import SYNTHJAX, machine

from synthjax.training.dataclass_json import write_json
from synthjax.training.metrics import read_metrics

EVERY = 10.0  # s between two samples
WARM = 1.0 / 3.0  # of a process's samples: compilation, first evaluations and the replay fill up


def watch(command: list[str], folder: Path, seconds: float, stop: signal.Signals) -> list[dict[str, float]]:
    """Runs ``command`` until ``stop`` ends it; its memory and the size of ``folder``, over time."""
    samples = []
    process = subprocess.Popen([*SYNTHJAX, *command])
    start = time.monotonic()
    while (passed := time.monotonic() - start) < seconds:
        time.sleep(min(EVERY, seconds - passed))
        if process.poll() is not None:
            raise SystemExit(f"train ended by itself with exit code {process.returncode}")
        samples.append(
            {
                "seconds": round(time.monotonic() - start, 1),
                "memory_mb": round(psutil.Process(process.pid).memory_info().rss / 1e6, 1),
                "folder_mb": round(_size(folder) / 1e6, 1),
            }
        )
    process.send_signal(stop)
    process.wait()
    return samples


def _size(folder: Path) -> int:
    """Bytes, of a run that goes on meanwhile and removes old checkpoints."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += (Path(place) / name).stat().st_size
    return total


def growth(samples: list[dict[str, float]]) -> float:
    """Megabytes an hour, by least squares, once warm."""
    warm = samples[round(WARM * len(samples)) :]
    hours = np.array([sample["seconds"] for sample in warm]) / 3600.0
    return float(np.polyfit(hours, [sample["memory_mb"] for sample in warm], 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--checkpoint-seconds", type=float, default=5.0)
    parser.add_argument("--out", type=Path, required=True)
    arguments, options = parser.parse_known_args()
    result: dict[str, Any] = {"machine": machine(), "options": options}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        start = ["train", "--env", "continuous", "--forever", "--run-dir", str(folder)]
        start += ["--checkpoint-seconds", str(arguments.checkpoint_seconds), *options]
        half = 30.0 * arguments.minutes
        lives = {
            "killed": watch(start, folder, half, signal.SIGKILL),
            "resumed": watch(["train", "--resume", str(folder)], folder, half, signal.SIGINT),
        }
        rows = read_metrics(folder)
        result |= {
            "checkpoint_seconds": arguments.checkpoint_seconds,
            "env_steps": max(row["env_steps"] for row in rows),
            "memory_mb_an_hour": {name: round(growth(samples), 1) for name, samples in lives.items()},
            "evaluations": [row for row in rows if row["kind"] == "eval"],
            "lives": lives,
        }
    write_json(arguments.out, result)


if __name__ == "__main__":
    main()
