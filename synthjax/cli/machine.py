"""The commands about the machine: ``synthjax doctor`` and ``bench``."""

from __future__ import annotations

import dataclasses
import json
import shlex
from pathlib import Path

import tyro
from rich.console import Console

from synthjax.cli.parsing import check_positive, parse
from synthjax.cli.working import working
from synthjax.errors import UserError


@dataclasses.dataclass(frozen=True)
class DoctorOptions:
    """How the report is printed."""

    json: tyro.conf.FlagCreatePairsOff[bool] = False  # as JSON


def doctor(args: list[str]) -> None:
    """Say what this machine has, what is missing and how to install it."""
    options = parse(doctor, "doctor", DoctorOptions, args)
    from synthjax.training.doctor import examine, table

    checks = examine()
    if options.json:
        print(json.dumps([dataclasses.asdict(check) for check in checks], indent=2))
    else:
        Console().print(table(checks))


@dataclasses.dataclass(frozen=True)
class BenchOptions:
    """What is measured, how long, and where the figures go."""

    engines: str = "auto"  # native, mjx, warp, or several with commas
    num_envs: str | None = None  # environments side by side, several with commas; the preset's if not given
    seconds: float = 10.0  # wall time of each measurement
    out: Path | None = None  # JSON file for the figures and the machine


def bench(args: list[str]) -> None:
    """Measure steps per second: physics, random actions, inference, training."""
    options = parse(bench, "bench", BenchOptions, args)
    sizes = [_number("--num-envs", word) for word in (options.num_envs or "").split(",") if word]
    check_positive({"--num-envs": min(sizes, default=None), "--seconds": options.seconds})
    from synthjax import configs
    from synthjax.physics.dispatch import wait_for_computations
    from synthjax.training import bench as measuring
    from synthjax.training import devices
    from synthjax.training.dataclass_json import write_json

    wait_for_computations()
    console = Console()
    with working(console, "loading") as say:
        config = configs.get("imitation", preset=devices.default_preset())
        sizes = sizes or [config.agent.num_envs]
        rows = measuring.bench(config, options.engines.split(","), sizes, options.seconds, say)
    console.print(measuring.table(rows))
    if options.out is not None:
        command = shlex.join(["synthjax", "bench", *args])
        write_json(
            options.out,
            {
                "machine": measuring.machine(command),
                "measurements": [dataclasses.asdict(row) for row in rows],
            },
        )


def _number(option: str, word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise UserError(f"{option} is '{word}': give a whole number, or several with commas.") from None
