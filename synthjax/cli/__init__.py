"""The command line of synthjax."""

from synthjax.cli.app import COMMANDS, main, run

__all__ = ["COMMANDS", "main", "run"]
