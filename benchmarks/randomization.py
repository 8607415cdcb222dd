"""What random worlds are good for: scores with and without ``--randomize``, on one body and on others.

    python benchmarks/randomization.py --env imitation --out benchmarks/results/randomization_walk.json
    python benchmarks/randomization.py --env continuous --out benchmarks/results/randomization_getup.json

Runs ``synthjax train`` once without and once with the switch, with the same seed and steps, and evaluates
both runs by the fixed rule on the nominal body and on bodies changed by up to 20 %.  Other options go to
``train``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from program import SYNTHJAX, machine

from synthjax.training.dataclass_json import write_json
from synthjax.training.metrics import read_metrics

BODIES = {"nominal": [], "changed": ["--changed-bodies"]}


def measure(env: str, seed: int, randomize: bool, episodes: int, options: list[str]) -> dict[str, Any]:
    """One run from scratch and its scores on both kinds of bodies."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        switch = ["--randomize"] if randomize else []
        start = time.monotonic()
        train = ["train", "--env", env, "--seed", str(seed), "--run-dir", str(folder), *switch, *options]
        subprocess.run([*SYNTHJAX, *train], check=True)
        seconds = time.monotonic() - start
        scores = {}
        for bodies, flag in BODIES.items():
            out = Path(scratch) / f"{bodies}.json"
            score = ["eval", str(folder), "--no-video", "--episodes", str(episodes), "--out", str(out), *flag]
            subprocess.run([*SYNTHJAX, *score], check=True)
            scores[bodies] = json.loads(out.read_text())
        return {
            "seed": seed,
            "randomize": randomize,
            "train_seconds": round(seconds, 1),
            "curve": [row for row in read_metrics(folder) if row["kind"] == "eval"],
            "scores": scores,
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--env", default="imitation")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--episodes", type=int, default=256)
    parser.add_argument("--out", type=Path, required=True)
    arguments, options = parser.parse_known_args()
    result: dict[str, Any] = {
        "machine": machine(),
        "env": arguments.env,
        "options": options,
        "runs": [],
    }
    for seed in arguments.seeds:
        for randomize in (False, True):
            result["runs"].append(measure(arguments.env, seed, randomize, arguments.episodes, options))
            write_json(arguments.out, result)


if __name__ == "__main__":
    main()
