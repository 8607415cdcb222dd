"""``synthjax motion list``: what clips there are, and whose they are."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from synthjax.errors import UserError
from synthjax.motion.clip_file import read_facts
from synthjax.motion.library import shipped_folder


@dataclasses.dataclass(frozen=True)
class ListOptions:
    """Where your own clips are."""

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="[FOLDER]")] = Path("clips")


def clip_table(options: ListOptions) -> Group:
    """Name, length, rate and loop of the shipped clips and of those in a folder; sources and licences below.

    A file that is no clip is listed as such.  Raises :class:`UserError` if a folder is given that is none.
    """
    if not options.folder.is_dir() and options != ListOptions():
        raise UserError(f"There is no folder '{options.folder}': check the path.")
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("--motion", overflow="fold")
    for column in ("s", "frames/s"):
        table.add_column(column, justify="right", no_wrap=True)
    for column in ("", "terms"):
        table.add_column(column)
    terms: dict[str, int] = {}  # source and licence -> number
    shipped = sorted(shipped_folder().glob("*.npz"))
    for path in (*shipped, *sorted(options.folder.glob("*.npz"))):
        name = Text(path.stem if path in shipped else str(path))
        try:
            facts = read_facts(path)
        except UserError:
            table.add_row(name, "", "", "", Text("no clip, or damaged", "red"))
            continue
        number = terms.setdefault(f"{facts.source}; licence: {facts.licence}", len(terms) + 1)
        loop = "loop" if facts.loop else ""
        table.add_row(name, f"{facts.duration:.2f}", f"{facts.fps:g}", loop, Text(f"[{number}]"))
    return Group(table, *(Text(f"[{number}] {text}") for text, number in terms.items()))
