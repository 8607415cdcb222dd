"""``synthjax motion list``: what clips there are, and whose they are."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro
from rich.table import Table
from rich.text import Text

from synthjax.errors import UserError
from synthjax.motion.clip_file import read_facts
from synthjax.motion.library import shipped_folder


@dataclasses.dataclass(frozen=True)
class ListOptions:
    """Where your own clips are."""

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="[FOLDER]")] = Path("clips")


def clip_table(options: ListOptions) -> Table:
    """Name, length, rate, loop, source and licence of the shipped clips and of those in a folder.

    A file that is no clip is listed as such.  Raises :class:`UserError` if a folder is given that is none.
    """
    table = Table()
    table.add_column("--motion", overflow="fold")
    for column in ("s", "frames/s", "loop", "source", "licence"):
        table.add_column(column, no_wrap=True)
    for path in sorted(shipped_folder().glob("*.npz")):
        table.add_row(path.stem, *map(Text, _columns(path)))
    if not options.folder.is_dir() and options != ListOptions():
        raise UserError(f"There is no folder '{options.folder}': check the path.")
    own = sorted(options.folder.glob("*.npz"))
    if own:
        table.add_section()
    for path in own:
        try:
            columns = _columns(path)
        except UserError:
            columns = ("", "", "", "no clip, or damaged", "")
        table.add_row(Text(str(path)), *map(Text, columns))
    return table


def _columns(path: Path) -> tuple[str, str, str, str, str]:
    facts = read_facts(path)
    return (
        f"{facts.duration:.2f}",
        f"{facts.fps:g}",
        "yes" if facts.loop else "no",
        facts.source,
        facts.licence,
    )
