"""The one exception for mistakes that the user can put right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake of the user's, told in one sentence that says what to do (exit code 2)."""

    def __init__(self, sentence: str) -> None:
        super().__init__(printable(sentence))


def printable(text: str) -> str:
    """``text`` with a space for whatever would do something else on a terminal, as names in files may."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def unknown(kind: str, given: str, known: Iterable[str]) -> UserError:
    """The error for a name that is not among ``known``: names the near matches, or all."""
    names = sorted(known)
    near = difflib.get_close_matches(given, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose one of: {', '.join(names)}."
    return UserError(f"Unknown {kind} '{given}': {hint}")
