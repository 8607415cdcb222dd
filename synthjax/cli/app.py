"""The command line: parses, calls and prints, and loads JAX only for a command that computes."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from rich.console import Console
from rich.text import Text

import synthjax
from synthjax import interrupts
from synthjax.cli.bundle import bundle
from synthjax.cli.finetune import finetune
from synthjax.cli.machine import bench, doctor
from synthjax.cli.motion import motion
from synthjax.cli.parsing import Command, command_list
from synthjax.cli.policies import evaluate, export, play
from synthjax.cli.train import train
from synthjax.errors import UserError, unknown

COMMANDS: dict[str, Command] = {
    "train": train,
    "eval": evaluate,
    "play": play,
    "export": export,
    "bundle": bundle,
    "finetune": finetune,
    "motion": motion,
    "bench": bench,
    "doctor": doctor,
}


def run() -> NoReturn:
    """The program ``synthjax``: :func:`main`, but that Ctrl-C takes nothing down under threads that work."""
    code = main()
    if code == interrupts.INTERRUPTED:
        interrupts.end("Stopped.")
    sys.exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code: 0, 1 for a bad clip, or 2 after a mistake of the user's."""
    args = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in args
    args = [arg for arg in args if arg != "--debug"]
    try:
        with interrupts.watched():
            _dispatch(args)
    except SystemExit as stop:  # the parser has already said why
        return stop.code if isinstance(stop.code, int) else 2
    except KeyboardInterrupt:
        return interrupts.INTERRUPTED
    except (UserError, OSError, RuntimeError) as error:
        sentence = str(error) if isinstance(error, UserError) else _explain(error, args[:1])
        if sentence is None:
            raise
        if debug:
            traceback.print_exc()
        message = Text.assemble(("Error: ", "bold red"), sentence)
        Console(stderr=True).print(message, soft_wrap=True)
        return 2
    return 0


def _dispatch(args: list[str]) -> None:
    # Native libraries greet, and XLA's alarm at a compilation of minutes reads like a crash; whatever is an
    # error is raised as well.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    name, rest = (args[0], args[1:]) if args else ("--help", [])
    if name in ("-h", "--help", "help"):
        Console().print(command_list("", COMMANDS))
    elif name == "--version":
        print(synthjax.__version__)
    elif name in COMMANDS:
        COMMANDS[name](rest)
    else:
        raise unknown("command", name, COMMANDS)


def _explain(error: OSError | RuntimeError, command: list[str]) -> str | None:
    """The sentence for a failed write, or a device, that the user can put right; None for any other error."""
    if isinstance(error, RuntimeError):
        if not str(error).startswith("Unable to initialize backend"):
            return None
        wanted = os.environ.get("JAX_PLATFORMS", "")
        return f"JAX has no device for JAX_PLATFORMS={wanted}: unset it or install its support."
    place = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        again = "go on with 'synthjax train --resume'" if command == ["train"] else "give the command again"
        kept = ", which goes on from the last policy that was taken" if command == ["finetune"] else ""
        return f"The disk is full{place}: make room, then {again}{kept}."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"No permission to write{place}: choose another folder or change its permissions."
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return f"A part of the path is a file, not a folder{place}: choose another path."
    if error.errno == errno.ENAMETOOLONG:
        return f"The name is too long{place}: choose a shorter one."
    return None
