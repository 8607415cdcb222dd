"""The command line: parses, calls and prints, and loads JAX only for a command that computes."""

from __future__ import annotations

import dataclasses
import errno
import json
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import tyro
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

import synthjax
from synthjax.errors import UserError, unknown


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code: 0, or 2 after a mistake of the user's."""
    args = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in args
    try:
        _dispatch([arg for arg in args if arg != "--debug"])
    except SystemExit as stop:  # tyro has already said why
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
        tyro.cli(COMMANDS[name], prog=f"synthjax {name}", args=rest, config=(tyro.conf.FlagCreatePairsOff,))
    else:
        raise unknown("command", name, COMMANDS)


def _help() -> Group:
    commands = Table.grid(padding=(0, 2))
    for name, command in COMMANDS.items():
        commands.add_row(Text(name, "bold"), (command.__doc__ or "").splitlines()[0])
    return Group(
        Text.assemble(("usage", "bold"), ": synthjax COMMAND [OPTIONS]\n"),
        Text("Trains physics humanoids to move like motion clips.\n"),
        Panel(commands, title="commands", title_align="left", border_style="dim", expand=False),
        Text("synthjax COMMAND --help   lists the options of a command"),
        Text("synthjax COMMAND --debug  adds the traceback of an error"),
        Text("synthjax --version        prints the version"),
    )


def _explain(error: OSError) -> str | None:
    """The sentence for a failed write that the user can put right; None for any other error."""
    place = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full{place}: make room, then go on with 'synthjax train --resume'."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"No permission to write{place}: choose another folder or change its permissions."
    return None


def doctor(as_json: Annotated[bool, tyro.conf.arg(name="json")] = False) -> None:
    """Say what this machine has, what is missing and how to install it.

    Args:
        as_json: Print the report as JSON.
    """
    from synthjax.training.doctor import examine, table

    checks = examine()
    if as_json:
        print(json.dumps([dataclasses.asdict(check) for check in checks], indent=2))
    else:
        Console().print(table(checks))


COMMANDS: dict[str, Callable[..., Any]] = {
    "doctor": doctor,
}
