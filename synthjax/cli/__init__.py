"""The command line of synthjax."""

from synthjax.cli.app import main

__all__ = ["main"]
