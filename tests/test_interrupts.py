"""Ctrl-C is answered at once, even while native code keeps Python from running."""

import os
import signal
import subprocess
import sys
import time

from synthjax import interrupts

_PROGRAM = """
import hashlib, signal, sys, time
from synthjax import interrupts

signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background are born deaf to it

def native():
    # Like a compilation it lets other threads run, and sees no signal before it is back, in a minute or so.
    print("native", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 100_000_000)
"""


def _interrupted(code: str, times: int = 1, pause: float = 0.2) -> tuple[int, str, float]:
    """(exit code, output, seconds from the first signal to the end) of a program that is interrupted."""
    command = [sys.executable, "-c", _PROGRAM + code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "native\n"
        time.sleep(pause)
        start = time.monotonic()
        for _ in range(times):
            process.send_signal(signal.SIGINT)
            time.sleep(pause)
        output = process.stdout.read()
    return process.returncode, output, time.monotonic() - start


def test_native_code_does_not_delay_the_end() -> None:
    code, output, seconds = _interrupted("with interrupts.watched():\n    native()")
    assert (code, output) == (interrupts.INTERRUPTED, "Stopped.\n")
    assert seconds < 15


def test_a_request_is_answered_while_native_code_runs_and_a_second_one_ends_all() -> None:
    asking = "with interrupts.watched(), interrupts.stops(lambda: print('asked', flush=True)):\n    native()"
    code, output, seconds = _interrupted(asking, times=2)
    assert (code, output) == (interrupts.INTERRUPTED, "asked\nStopped at once.\n")
    assert seconds < 15


def test_what_ends_by_itself_is_let_end() -> None:
    python = """
try:
    with interrupts.watched():
        print("native", flush=True)
        while True:
            time.sleep(0.01)
except KeyboardInterrupt:
    time.sleep(1.5 * interrupts.GRACE)
    print("cleaned up", flush=True)
    sys.exit(7)
"""
    assert _interrupted(python)[:2] == (7, "cleaned up\n")


def test_without_a_watcher_the_handler_asks() -> None:
    asked: list[int] = []
    before = signal.getsignal(signal.SIGTERM)
    with interrupts.stops(lambda: asked.append(1)):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
    assert asked == [1]
    assert signal.getsignal(signal.SIGTERM) is before
