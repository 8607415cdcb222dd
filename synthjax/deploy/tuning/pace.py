"""The time that the frames of a foreground loop go by."""

from __future__ import annotations

import time
from typing import Protocol


class Pace(Protocol):
    """A clock with a way to wait for it, s."""

    def now(self) -> float: ...

    def until(self, moment: float) -> None:
        """Returns at ``moment``, at once if it is over."""
        ...


class RealTime:
    """The clock on the wall."""

    def now(self) -> float:
        return time.perf_counter()

    def until(self, moment: float) -> None:
        time.sleep(max(moment - time.perf_counter(), 0.0))


class FastForward:
    """A clock that is moved on by whoever waits for it: frames follow one another without a rest."""

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        return self._now

    def until(self, moment: float) -> None:
        self._now = max(self._now, moment)
