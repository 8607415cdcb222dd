"""What a command says while it works."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console


@contextlib.contextmanager
def working(console: Console, first: str) -> Iterator[Callable[[str], None]]:
    """Says what is being done until the block ends; yields what takes the next words for it.

    On a terminal they stand beside a spinner.  Elsewhere each is a line on standard error, so that a log says
    what takes so long and a pipe holds nothing but results.  The ``first`` is left out there: most mistakes
    are found in the meantime, and are to be the only line.
    """
    if console.is_terminal:
        with console.status(first) as status:
            yield status.update
        return
    aside = Console(stderr=True, markup=False)

    def say(words: str) -> None:
        aside.print(words, soft_wrap=True)

    yield say
