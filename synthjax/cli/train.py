"""The command ``synthjax train``."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar, cast

import tyro

from synthjax.cli.parsing import parse
from synthjax.errors import UserError
from synthjax.training.rendezvous import DistributedConfig

if TYPE_CHECKING:
    from synthjax.configs import TrainConfig

Config = TypeVar("Config")


def _run_or_newest(words: list[str]) -> str:
    if len(words) > 1:
        raise ValueError("takes one run")
    return words[0] if words else ""


_Resume = Annotated[
    str | None,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs="*",
        metavar="[RUN]",
        instance_from_str=_run_or_newest,
        is_instance=lambda value: value is None or isinstance(value, str),
        str_from_instance=lambda value: [] if value is None else [value],
    ),
]


@dataclasses.dataclass(frozen=True)
class TrainOptions(Generic[Config]):
    """What ``train`` takes beside the configuration."""

    config: Annotated[Config, tyro.conf.arg(name="")]
    preset: str | None = None  # named settings, which the other options change; as found if not given
    run_dir: Path | None = None  # folder of a new run; one under runs/ if not given
    resume: _Resume = None  # go on with this run, or with the newest; other options change its settings
    # train in several processes, on one machine or many
    distributed: DistributedConfig = dataclasses.field(default_factory=DistributedConfig)


# Short forms of options that stand deeper in the configuration.
SHORT = {
    "--num-envs": "--agent.num-envs",
    "--physics": "--physics.engine",
    "--distributed": "--distributed.auto",
}


def train(args: list[str]) -> None:
    """Train a policy; ends with an evaluation and a video.

    --num-envs N, --physics ENGINE and --distributed are short for --agent.num-envs, --physics.engine and
    --distributed.auto.
    """
    from synthjax.physics.dispatch import wait_for_computations
    from synthjax.training import processes

    wait_for_computations()
    args = [_long_form(arg) for arg in args]
    with processes.joined(_distributed(args)):
        with processes.together():
            config, folder, resume = _planned(args)

        from synthjax.training import run

        run.train(config, folder, resume)


def _distributed(args: list[str]) -> DistributedConfig:
    """How the processes find one another: read before anything else, so that a mistake in it can end all."""
    if "-h" in args or "--help" in args:
        return DistributedConfig()
    parser = argparse.ArgumentParser(prog="synthjax train", add_help=False, allow_abbrev=False)
    parser.add_argument("--distributed.auto", dest="auto", action="store_true")
    for name, kind in (("coordinator", str), ("processes", int), ("process", int), ("timeout", float)):
        parser.add_argument(f"--distributed.{name}", dest=name, type=kind, default=argparse.SUPPRESS)
    return DistributedConfig(**vars(parser.parse_known_args(args)[0]))


def _planned(args: list[str]) -> tuple[TrainConfig, Path, bool]:
    """What ``train`` is to do: the configuration, the folder, and whether to resume."""
    from synthjax import configs
    from synthjax.training import devices, run_folder

    # These five decide what the defaults of all the others are, so they are read first.
    first = argparse.ArgumentParser(prog="synthjax train", add_help=False, allow_abbrev=False)
    first.add_argument("--env", default="imitation")
    first.add_argument("--agent")
    first.add_argument("--preset")
    first.add_argument("--body.actuation", dest="actuation", default="pd")
    first.add_argument("--resume", nargs="?", const="")
    chosen, _ = first.parse_known_args(args)
    resumed = None if chosen.resume is None else run_folder.find_run(chosen.resume)
    if resumed is None:
        preset = chosen.preset or devices.default_preset()
        base = configs.get(chosen.env, chosen.agent, preset=preset, actuation=chosen.actuation)
    else:
        base = run_folder.load_config(resumed)

    kind = cast(Any, TrainOptions)[configs.type_of(base)]  # a generic of types that are known only now
    options: TrainOptions[configs.TrainConfig] = parse(train, "train", kind, args, TrainOptions(base), SHORT)
    if resumed is not None and (options.preset is not None or options.run_dir is not None):
        raise UserError(
            "--resume goes on in its own folder with its own settings: leave out --preset and --run-dir."
        )
    config = options.config
    if resumed is not None and (config.env, config.algorithm) != (base.env, base.algorithm):
        raise UserError(f"{resumed} is a run of --env {base.env} --agent {base.algorithm}: start a new one.")
    configs.validate(config)
    if options.distributed.wanted and resumed is None and options.run_dir is None:
        raise UserError("Several processes need one folder: give all the same --run-dir, on shared storage.")
    folder = resumed or run_folder.new_run_folder(config, options.run_dir)
    run_folder.check_writable(folder)
    return run_folder.anchored(config), folder, resumed is not None


def _long_form(arg: str) -> str:
    option, equals, value = arg.partition("=")
    return SHORT.get(option, option) + equals + value
