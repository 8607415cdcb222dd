"""Who runs the rounds of learning: a thread beside the frames, or the caller between two of its own steps."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from synthjax.deploy.throttle import Throttle
from synthjax.deploy.tuning.learner import Learner
from synthjax.deploy.tuning.rollout import Rollout

_LEAST_WAIT, _NICE = 1e-3, 19


class Worker(Protocol):
    """Runs one round at a time."""

    @property
    def busy(self) -> bool:
        """Whether a rollout would be turned down."""
        ...

    def learn(self, rollout: Rollout) -> None:
        """Begins a round; the rollout is the worker's from then on."""
        ...

    def frame(self, now: float, seconds: float) -> None:
        """Takes in that a frame ended at ``now`` after ``seconds`` of work, see :meth:`Throttle.frame`."""
        ...

    def pause(self) -> None:
        """Returns once the step in flight has ended; no other begins before :meth:`resume`."""
        ...

    def resume(self) -> None:
        """Goes on where it was paused."""
        ...

    def stop(self) -> None:
        """Ends once the step in flight has; what the round has learned so far is given up."""
        ...


class InlineWorker:
    """Runs a round to its end in the caller's thread, however long it takes."""

    busy = False

    def __init__(self, learner: Learner):
        self._learner = learner

    def learn(self, rollout: Rollout) -> None:
        for _ in self._learner.round(rollout):
            pass

    def frame(self, now: float, seconds: float) -> None:
        pass

    def pause(self) -> None:
        pass

    def resume(self) -> None:
        pass

    def stop(self) -> None:
        pass


class BackgroundWorker:
    """Runs rounds in a thread of the lowest priority, each piece of them when the throttle admits it.

    ``pause``, ``resume`` and ``stop`` may be called from any thread, ``frame`` from one.
    """

    def __init__(self, learner: Learner, throttle: Throttle, clock: Callable[[], float] = time.perf_counter):
        """``clock`` is the one that the throttle was made with, s."""
        self._learner, self._throttle, self._clock = learner, throttle, clock
        self._waiting: queue.SimpleQueue[Rollout | None] = queue.SimpleQueue()
        self._idle = threading.Event()
        self._idle.set()
        self._running = threading.Event()  # cleared while paused
        self._running.set()
        self._between = threading.Lock()  # held by the thread while a step is in flight
        self._stopped = threading.Event()
        # Held unless there is something new to ask the throttle for.  Letting go of it takes no other lock:
        # a frame never waits for the thread, which may have been interrupted anywhere.
        self._asleep = threading.Lock()
        self._asleep.acquire()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="fine-tuning", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        self._raise()
        return not self._idle.is_set()

    def learn(self, rollout: Rollout) -> None:
        self._idle.clear()
        self._waiting.put(rollout)

    def frame(self, now: float, seconds: float) -> None:
        self._throttle.frame(now, seconds)
        self._wake()

    def pause(self) -> None:
        self._running.clear()
        with self._between:
            pass

    def resume(self) -> None:
        self._running.set()

    def stop(self) -> None:
        self._stopped.set()
        self._running.set()
        self._wake()
        self._waiting.put(None)
        self._thread.join()
        self._raise()

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # it is awake
            self._asleep.release()

    def _raise(self) -> None:
        """What has gone wrong in the thread goes wrong in the one that asks."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        lower_priority()
        try:
            while (rollout := self._waiting.get()) is not None:
                pieces = self._learner.round(rollout)
                while self._admitted() and self._advance(pieces):
                    pass
                self._idle.set()
                if self._stopped.is_set():
                    return
        except BaseException as error:
            self._error = error

    def _admitted(self) -> bool:
        """Waits for the throttle and for the end of a pause; False: stop instead."""
        while not self._stopped.is_set():
            self._running.wait()
            wait = self._throttle.ask(self._clock())
            if wait == 0.0:
                return True
            self._asleep.acquire(timeout=max(wait, _LEAST_WAIT))
        return False

    def _advance(self, pieces: Iterator[None]) -> bool:
        """One piece of a round; False once there is none left.  A pause that came meanwhile comes first."""
        with self._between:
            if not self._running.is_set():
                return True
            more = next(pieces, self) is not self
        self._throttle.finished(self._clock())
        return more


def lower_priority() -> None:
    """Lets this thread run only when no other wants its core, as far as the system has such a thing."""
    if sys.platform == "linux":  # where priorities are those of threads
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, _NICE)
        # A nice thread still has a share of the core; an idle one gives way at once.
        os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))
