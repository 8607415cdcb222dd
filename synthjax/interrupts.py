"""Ctrl-C and SIGTERM, answered at once whatever native code is doing.

Python runs the handler of a signal between two of its own instructions: a compilation keeps it waiting for
a minute.  And a program that then ends by an exception is taken down under threads in which XLA still works,
which ends in a segmentation fault.  So a thread of its own, which the signal itself wakes, says what
comes of it, and where nothing can be lost ends the process without taking anything down.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130  # exit code of a program that Ctrl-C has ended
GRACE = 1.0  # s that Python code has to end by itself
_SHOW_CURSOR = "\x1b[?25h"

_answers: list[Callable[[int], None]] = []  # the innermost one last
_watching = False


@contextmanager
def watched() -> Iterator[None]:
    """Within, signals are answered by a thread of their own; for the main thread of a program."""
    global _watching
    if threading.current_thread() is not threading.main_thread() or _watching:
        yield
        return
    woken, wake = socket.socketpair()  # Windows wakes nothing but sockets
    wake.setblocking(False)
    before = signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(woken,), name="interrupts", daemon=True).start()
    _watching = True
    try:
        yield
    finally:
        _watching = False
        signal.set_wakeup_fd(before)
        wake.close()


@contextmanager
def stops(request: Callable[[], None]) -> Iterator[None]:
    """Within, the first Ctrl-C or SIGTERM calls ``request`` from any thread; a second Ctrl-C ends all."""
    asked = False

    def answer(number: int) -> None:
        nonlocal asked
        if not asked:
            asked = True
            request()
        elif number == signal.SIGINT:
            end("Stopped at once.")

    def handler(number: int, frame: FrameType | None) -> None:
        # Not an exception: it may find this thread inside a callback of the engine's.
        if not _watching:
            answer(number)

    previous = {s: signal.signal(s, handler) for s in (signal.SIGINT, signal.SIGTERM)}
    _answers.append(answer)
    try:
        yield
    finally:
        _answers.remove(answer)
        for number, old in previous.items():
            signal.signal(number, old)


def end(said: str) -> None:
    """Ends the process with :data:`INTERRUPTED` where it stands; the terminal is left in order."""
    if sys.stdout.isatty():
        sys.stdout.write(_SHOW_CURSOR)
    print(said, flush=True)
    sys.stderr.flush()
    os._exit(INTERRUPTED)


def _watch(woken: socket.socket) -> None:
    with woken:
        while number := woken.recv(1):
            if _answers:
                _answers[-1](number[0])
            elif number[0] == signal.SIGINT:
                threading.Event().wait(GRACE)
                if _watching:
                    end("Stopped.")
