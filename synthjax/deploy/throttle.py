"""How often a device may train beside its frames: a token bucket over train steps, with frame-time feedback.

A bucket holds tokens and is filled at a constant rate; a train step takes one.  So no more than
``burst + rate * T`` steps begin within any ``T`` seconds.  A frame that nearly fills its budget halves the
rate, and calm frames bring it back at a steady pace: additive increase, multiplicative decrease, as in TCP
(Chiu and Jain 1989).  The rates, the budget and where it counts as filled are those of the original Synth.

Beside frames a step begins only right after one has ended.  Then it has all of the time until the next one:
a step that fits in there is not in flight while a frame works, and no scheduler can give it a share of that.

There is no clock in here: times are handed in, in seconds of any monotonic clock.  Runs on the standard
library alone.
"""

from __future__ import annotations

import dataclasses

_SHORTEST_WAIT = 1e-6  # s; a shorter one cannot be kept, and a clock may not even resolve it
_PROMPT = 1e-3  # s after a frame's end in which a step may begin
_PAUSE = 2.0  # budgets without a frame's end, after which there is no frame to give way to


@dataclasses.dataclass(frozen=True)
class ThrottleConfig:
    """How often training may step, and how it gives way to frames."""

    steps_per_second: float  # of train steps, if no frame is busy
    frame_seconds: float | None = None  # budget of a frame; None: no feedback
    busy_above: float = 0.9  # share of the budget above which a frame is busy
    backoff: float = 0.5  # factor on the rate for each busy frame
    least_share: float = 0.1  # of the rate, which stays however busy the frames are
    recovery: float = 0.2  # of the full rate, gained per second of calm frames
    burst: float = 1.0  # tokens that the bucket holds: steps that may follow each other after a rest
    rest_seconds: float = 1e-3  # least time between steps, for whatever waits for the core


PROFILES = {
    # Half a token more than a step takes: 2.4 frames' worth would come to three frames without it.
    "quest": ThrottleConfig(steps_per_second=30.0, frame_seconds=13.9e-3, burst=1.5),
    "desktop": ThrottleConfig(steps_per_second=200.0),
}


class Throttle:
    """Says when the next train step may begin.

    One thread, the foreground, calls :meth:`frame`; one other calls :meth:`ask` and :meth:`finished`.  Each
    attribute has one of them as its only writer, so there is no lock that a frame would have to wait for.
    """

    def __init__(self, config: ThrottleConfig, now: float) -> None:
        """Begins at time ``now`` with a full bucket and the full rate."""
        self.config = config
        self._share = 1.0
        self._last_frame = now
        self._tokens = config.burst
        self._filled = now
        self._rested = now

    @property
    def share(self) -> float:
        """Of the full rate, what the frames leave at present: from ``least_share`` to 1."""
        return self._share

    def frame(self, now: float, seconds: float) -> None:
        """Takes in that a frame ended at ``now`` after ``seconds`` of work.

        Work is all that the frame did, without waiting for the display: with that wait, every frame would
        fill its budget.
        """
        config = self.config
        if config.frame_seconds is None:
            return
        calm_for, self._last_frame = now - self._last_frame, now
        if seconds <= config.busy_above * config.frame_seconds:
            self._share = min(self._share + config.recovery * calm_for, 1.0)
        else:  # NaN counts as busy
            self._share = max(self._share * config.backoff, config.least_share)

    def ask(self, now: float) -> float:
        """Seconds until a train step may begin; zero: it begins now, which takes a token.

        After a wait ask again, for frames may have become busy since; and ask at once when a frame has ended.
        """
        config = self.config
        rate = config.steps_per_second * self._share
        elapsed, self._filled = now - self._filled, now
        self._tokens = min(self._tokens + rate * elapsed, config.burst)
        wait = max((1.0 - self._tokens) / rate, self._rested - now)
        if config.frame_seconds is not None:
            ended = self._last_frame
            # What may not begin at the end of this frame waits for that of the next one.
            if wait > _SHORTEST_WAIT or now - ended > _PROMPT:
                wait = max(wait, ended + _PAUSE * config.frame_seconds - now)
        if wait > _SHORTEST_WAIT:
            return wait
        self._tokens -= 1.0
        return 0.0

    def finished(self, now: float) -> None:
        """Takes in that the train step ended, or was given up, at ``now``."""
        self._rested = now + self.config.rest_seconds
