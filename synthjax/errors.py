"""The one exception for mistakes that the user can put right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake of the user's, told in one sentence that says what to do (exit code 2)."""


def unknown(kind: str, given: str, known: Iterable[str]) -> UserError:
    """The error for a name that is not among ``known``: names the near matches, or all."""
    names = sorted(known)
    near = difflib.get_close_matches(given, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose one of: {', '.join(names)}."
    return UserError(f"Unknown {kind} '{given}': {hint}")
