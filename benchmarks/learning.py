"""How fast the default command learns: wall time from pressing Enter, over several seeds.

    python benchmarks/learning.py --motion walk --seeds 0 1 2 --out benchmarks/results/walk_cpu.json
    python benchmarks/learning.py --env continuous --out benchmarks/results/getup_cpu.json

Runs ``synthjax train`` as a user would, notes when each evaluation line appears, and adds the figures
that the run itself has logged and those of an evaluation in finer physics.  With ``--minutes`` a run is
stopped after so long, as Ctrl-C stops it: for the time to the bar, and without the figures of its end.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from program import SYNTHJAX, machine

from synthjax.training.metrics import read_metrics

EVALUATION = re.compile(r"([\d,]+) steps: \d+% of")
FIRST_PROGRESS = re.compile(r"\d+%.* steps/s")
# The bar by the fixed rule: the first evaluation that meets it ends the learning time.
# Each figure with its least and its most.
Bar = dict[str, tuple[float, float]]
WALK_BAR: Bar = {
    "completion": (0.95, 1.0),
    "body_error_mm": (0.0, 60.0),
    "distance_ratio": (0.9, 1.1),
    "foot_skate": (0.0, 0.1),
}
OTHER_CLIPS_BAR: Bar = {"completion": (0.90, 1.0)}
GETUP_BAR: Bar = {"success": (0.80, 1.0)}


def bar_of(env: str, motion: str | None) -> Bar:
    """The bar of a run."""
    if env == "continuous":
        return GETUP_BAR
    return WALK_BAR if motion in (None, "walk") else OTHER_CLIPS_BAR


def measure(
    env: str, motion: str | None, seed: int, minutes: float | None, options: list[str]
) -> dict[str, Any]:
    """One run from scratch with an empty compilation cache, and what MuJoCo's finer physics makes of it."""
    bar = bar_of(env, motion)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        command = [*SYNTHJAX, "train", "--env", env, *(("--motion", motion) if motion else ())]
        command += ["--seed", str(seed), "--run-dir", str(folder), *options]
        seconds: dict[int, float] = {}
        first = None
        start = time.monotonic()
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=_environment(Path(scratch) / "cache")
        )
        assert process.stdout is not None
        if minutes is not None:
            alarm = threading.Timer(60.0 * minutes, process.send_signal, [signal.SIGINT])
            alarm.daemon = True
            alarm.start()
        for line in process.stdout:
            now = time.monotonic() - start
            sys.stdout.write(f"[{now:6.1f} s] {line}")
            if first is None and FIRST_PROGRESS.search(line):
                first = now
            if found := EVALUATION.search(line):
                seconds[int(found[1].replace(",", ""))] = now
        ended = process.wait() == 0 and (folder / "evaluation.json").exists()
        if not ended and (minutes is None or time.monotonic() - start < 60.0 * minutes):
            raise SystemExit(f"the run with seed {seed} failed or was stopped")
        curve = [
            {"seconds": round(seconds[row["env_steps"]], 1), **row}
            for row in read_metrics(folder)
            if row["kind"] == "eval"
        ]
        total = time.monotonic() - start
        passed = next((row for row in curve if passes(row, bar)), None)
        result = {
            "seed": seed,
            "seconds_to_first_progress": first,
            "seconds_to_bar": passed and passed["seconds"],
            "steps_to_bar": passed and passed["env_steps"],
            "holds_after_bar": passed is not None
            and all(passes(row, bar) for row in curve[curve.index(passed) :]),
            "total_seconds": round(total, 1),
            "curve": curve,
        } | _motors(folder)
        if not ended:
            return result | {"stopped_after_minutes": minutes}
        fine = folder / "fine.json"
        subprocess.run(
            [*SYNTHJAX, "eval", str(folder), "--fine", "--no-video", "--out", str(fine)], check=True
        )
        return result | {
            "final": json.loads((folder / "evaluation.json").read_text()),
            "final_in_finer_physics": json.loads(fine.read_text()),
        }


def passes(row: dict[str, Any], bar: Bar) -> bool:
    """Whether an evaluation meets the bar."""
    return all(least <= row[name] <= most for name, (least, most) in bar.items())


def _motors(folder: Path) -> dict[str, Any]:
    """How motors weakened, guides got faster and lives succeeded, every tenth time; else nothing."""
    names = ("env_steps", "motor_strength", "guide_speed", "skill", "on_feet")
    rows = [row for row in read_metrics(folder) if "motor_strength" in row]
    return {"motors": [{name: round(row[name], 4) for name in names} for row in rows[::10]]} if rows else {}


def _environment(cache: Path) -> dict[str, str]:
    return os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache), "COLUMNS": "120"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--env", default="imitation")
    parser.add_argument("--motion")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--minutes", type=float, help="stop each run after so long; by default it ends by itself"
    )
    arguments, options = parser.parse_known_args()
    result: dict[str, Any] = {
        "machine": machine(),
        "env": arguments.env,
        "motion": arguments.motion,
        "bar": bar_of(arguments.env, arguments.motion),
        "runs": [],
    }
    for seed in arguments.seeds:
        result["runs"].append(measure(arguments.env, arguments.motion, seed, arguments.minutes, options))
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
