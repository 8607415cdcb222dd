"""Simulated seconds per second of training: synthjax's default run against Brax PPO on its humanoid.

    python benchmarks/brax_comparison.py

Both train end to end on this machine, synthjax before and after Brax, because the speed of a host drifts.
Brax 0.14.2 does not run with JAX 0.10, so it is installed into a temporary environment.  Both rates
leave compilation out.  Writes ``benchmarks/results/brax_comparison.json``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

from synthjax import configs
from synthjax.training import devices
from synthjax.training.bench import BENCHMARKS, machine, measure
from synthjax.training.build import build
from synthjax.training.dataclass_json import write_json

RESULT = Path(__file__).parent / "results" / "brax_comparison.json"
REQUIREMENTS = ("brax==0.14.2", "jax<0.10", "mujoco>=3.17,<3.18", "mujoco-mjx>=3.17,<3.18")


def main() -> None:
    """Measures both and writes the comparison."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="of each measurement of synthjax")
    parser.add_argument(
        "--brax-num-envs", type=int, nargs="+", default=[128, 1024], help="the best one counts"
    )
    parser.add_argument("--brax-iterations", type=int, default=3, help="of each measurement of Brax")
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        python = install_brax(Path(folder))
        started = time.time()
        before = synthjax_rate(args.seconds)
        brax = [brax_rate(python, num_envs, args.brax_iterations) for num_envs in args.brax_num_envs]
        after = synthjax_rate(args.seconds)
    ours = min(before["realtime"], after["realtime"])
    theirs = max(row["realtime"] for row in brax)
    content = {
        "machine": machine(shlex.join(["python", *sys.argv])),
        "minutes": (time.time() - started) / 60.0,
        "synthjax": [before, after],
        "brax": brax,
        "ratio": ours / theirs,  # the slower of ours to the faster of theirs
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(args.out, content)
    print(f"synthjax {ours:.0f}, Brax {theirs:.0f} simulated seconds per second: {ours / theirs:.1f} times")


def install_brax(folder: Path) -> Path:
    """Makes a virtual environment with Brax in ``folder`` and returns its interpreter."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)
    return python


def synthjax_rate(seconds: float) -> dict[str, Any]:
    """The default imitation run."""
    run = build(configs.get("imitation", preset=devices.default_preset()))
    return dataclasses.asdict(measure(run, "training", BENCHMARKS["training"], seconds))


def brax_rate(python: Path, num_envs: int, iterations: int) -> dict[str, Any]:
    """Brax PPO in its own process; ``realtime`` as in synthjax's measurements."""
    script = Path(__file__).with_name("brax_ppo.py")
    command = [str(python), str(script), "--num-envs", str(num_envs), "--iterations", str(iterations)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    row: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return {**row, "realtime": row["env_steps_per_second"] * row["control_dt"]}


if __name__ == "__main__":
    main()
