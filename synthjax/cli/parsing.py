"""What all commands share: how options are read, and how commands are listed."""

from __future__ import annotations

import contextlib
import inspect
import io
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import tyro
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from synthjax.cli.mistakes import explain
from synthjax.errors import UserError

Options = TypeVar("Options")
Command = Callable[[list[str]], None]


def parse(
    command: Command,
    name: str,
    options: type[Options],
    args: list[str],
    default: Any = None,
    short: Iterable[str] = (),
) -> Options:
    """The options of ``synthjax NAME`` as ``args`` give them, starting from ``default``.

    ``short`` are forms of options that ``args`` no longer holds, named to whoever comes near to one.

    Raises:
      UserError: they cannot be read.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed = tyro.cli(
                options,
                prog=f"synthjax {name}",
                description=inspect.getdoc(command),
                args=args,
                default=default,
            )
    except SystemExit as stop:
        if not stop.code:  # help has been asked for
            raise
        raise explain(said.getvalue(), name, short) from None
    for option, value in vars(parsed).items():  # NaN passes comparisons, and no command wants infinity
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"--{option.replace('_', '-')} is {value}: give a finite number.")
    return parsed


def command_list(group: str, commands: Mapping[str, Command]) -> Group:
    """Help for a group of commands; ``group`` is its name and a space, or empty."""
    rows = Table.grid(padding=(0, 2))
    for name, command in commands.items():
        rows.add_row(Text(name, "bold"), (command.__doc__ or "").splitlines()[0])
    return Group(
        Text.assemble(("usage", "bold"), f": synthjax {group}COMMAND [OPTIONS]\n"),
        Text("Trains physics humanoids to move like motion clips.\n"),
        Panel(rows, title="commands", title_align="left", border_style="dim", expand=False),
        Text(f"synthjax {group}COMMAND --help   lists the options of a command"),
        Text(f"synthjax {group}COMMAND --debug  adds the traceback of an error"),
        Text("synthjax --version        prints the version"),
    )


def check_positive(options: Mapping[str, float | None]) -> None:
    """Refuses values of zero and below; None stands for an option that is not given."""
    for name, value in options.items():
        if value is not None and value <= 0:
            raise UserError(f"{name} is {value}: give a number above zero.")
