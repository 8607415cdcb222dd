"""The command line: parses, calls and prints, and loads JAX only for a command that computes."""

from __future__ import annotations

import argparse
import dataclasses
import errno
import inspect
import json
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

import synthjax
from synthjax.errors import UserError, unknown

Config = TypeVar("Config")
Options = TypeVar("Options")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code: 0, or 2 after a mistake of the user's."""
    args = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in args
    try:
        _dispatch([arg for arg in args if arg != "--debug"])
    except SystemExit as stop:  # the parser has already said why
        return stop.code if isinstance(stop.code, int) else 2
    except KeyboardInterrupt:
        return 130
    except (UserError, OSError) as error:
        sentence = str(error) if isinstance(error, UserError) else _explain(error)
        if sentence is None:
            raise
        if debug:
            traceback.print_exc()
        message = Text.assemble(("Error: ", "bold red"), sentence)
        Console(stderr=True).print(message, soft_wrap=True)
        return 2
    return 0


def _dispatch(args: list[str]) -> None:
    name, rest = (args[0], args[1:]) if args else ("--help", [])
    if name in ("-h", "--help"):
        Console().print(_help())
    elif name == "--version":
        print(synthjax.__version__)
    elif name in COMMANDS:
        COMMANDS[name](rest)
    else:
        raise unknown("command", name, COMMANDS)


def _help() -> Group:
    commands = Table.grid(padding=(0, 2))
    for name, command in COMMANDS.items():
        commands.add_row(Text(name, "bold"), _summary(command))
    return Group(
        Text.assemble(("usage", "bold"), ": synthjax COMMAND [OPTIONS]\n"),
        Text("Trains physics humanoids to move like motion clips.\n"),
        Panel(commands, title="commands", title_align="left", border_style="dim", expand=False),
        Text("synthjax COMMAND --help   lists the options of a command"),
        Text("synthjax COMMAND --debug  adds the traceback of an error"),
        Text("synthjax --version        prints the version"),
    )


def _summary(command: Callable[[list[str]], None]) -> str:
    return (command.__doc__ or "").splitlines()[0]


def _explain(error: OSError) -> str | None:
    """The sentence for a failed write that the user can put right; None for any other error."""
    place = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full{place}: make room, then go on with 'synthjax train --resume'."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"No permission to write{place}: choose another folder or change its permissions."
    return None


def _parse(command: str, options: type[Options], args: list[str], default: Any = None) -> Options:
    """The options of ``synthjax command`` as ``args`` give them, starting from ``default``."""
    return tyro.cli(
        options,
        prog=f"synthjax {command}",
        description=inspect.getdoc(COMMANDS[command]),
        args=args,
        default=default,
    )


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
    preset: str | None = None  # named settings, which the other options change
    run_dir: Path | None = None  # folder of a new run; one under runs/ if not given
    resume: _Resume = None  # go on with this run, or with the newest; other options change its settings


# Short forms of options that stand deeper in the configuration.
SHORT = {"--num-envs": "--agent.num-envs", "--physics": "--physics.engine"}


def train(args: list[str]) -> None:
    """Train a policy; ends with an evaluation and a video.

    --num-envs N and --physics ENGINE are short for --agent.num-envs and --physics.engine.
    """
    from synthjax import configs
    from synthjax.training import run_folder

    args = [_long_form(arg) for arg in args]
    # These three decide what the defaults of all the others are, so they are read first.
    first = argparse.ArgumentParser(prog="synthjax train", add_help=False, allow_abbrev=False)
    first.add_argument("--env", default="imitation")
    first.add_argument("--preset")
    first.add_argument("--resume", nargs="?", const="")
    chosen, _ = first.parse_known_args(args)
    resumed = None if chosen.resume is None else run_folder.find_run(chosen.resume)
    base = configs.get(chosen.env, chosen.preset) if resumed is None else run_folder.load_config(resumed)

    options = _parse("train", TrainOptions[configs.TrainConfig], args, TrainOptions(base))
    configs.validate(options.config)
    folder = resumed or run_folder.new_run_folder(options.config, options.run_dir)

    from synthjax.training import run

    run.train(options.config, folder, resume=resumed is not None)


def _long_form(arg: str) -> str:
    option, equals, value = arg.partition("=")
    return SHORT.get(option, option) + equals + value


@dataclasses.dataclass(frozen=True)
class DoctorOptions:
    """How the report is printed."""

    json: tyro.conf.FlagCreatePairsOff[bool] = False  # as JSON


def doctor(args: list[str]) -> None:
    """Say what this machine has, what is missing and how to install it."""
    options = _parse("doctor", DoctorOptions, args)
    from synthjax.training.doctor import examine, table

    checks = examine()
    if options.json:
        print(json.dumps([dataclasses.asdict(check) for check in checks], indent=2))
    else:
        Console().print(table(checks))


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "train": train,
    "doctor": doctor,
}
