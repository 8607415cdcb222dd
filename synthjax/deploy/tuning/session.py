"""Fine-tuning as a whole: a bundle, a body that may be another one, and a folder that keeps what is taken."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from synthjax.deploy.bundle import Bundle
from synthjax.deploy.throttle import PROFILES, Throttle
from synthjax.deploy.tuning import store
from synthjax.deploy.tuning.actor import Actor, episode_returns
from synthjax.deploy.tuning.config import BodyChange, SessionConfig
from synthjax.deploy.tuning.foreground import Foreground
from synthjax.deploy.tuning.frames import FrameLoad, Frames
from synthjax.deploy.tuning.learner import Learner
from synthjax.deploy.tuning.models import Snapshot, TunablePolicy, check_bundle, shipped, starts
from synthjax.deploy.tuning.pace import FastForward, Pace, RealTime
from synthjax.deploy.tuning.worker import BackgroundWorker, InlineWorker, Worker
from synthjax.errors import UserError

_FRAME = 1 / 60  # s, of profiles that set no budget
# s that a thread which wants Python waits for one that has it: 5 ms is a third of a frame.
_SWITCH = 2e-4


class Session:
    """One life; ``close`` it, or use it in a ``with`` statement."""

    def __init__(self, bundle: Bundle, config: SessionConfig, folder: Path, env: str | None = None):
        """Goes on from what ``folder`` holds, if anything.

        Raises:
          UserError: the bundle cannot be learned from, or is not of the environment ``env``; the state in
            ``folder`` is of another bundle or body, or damaged; settings do not fit together.
        """
        check_bundle(bundle, env)
        self.bundle, self.config, self.folder = bundle, config, folder
        change, self.shipped = dataclasses.asdict(config.change), shipped(bundle)
        self.resumed = store.load(folder, bundle, change, self.shipped)
        self.first = self.resumed or self.shipped
        rng = np.random.default_rng([config.seed, self.first.rounds])
        # Every second start is held out: the first of them judge each round, the others the whole.
        places, count = starts(bundle), config.learning.episodes
        judging, self._unseen = places[1::2][:count], places[1::2][count:]
        if not self._unseen:
            raise UserError(f"--learning.episodes is {count}: give at most {len(places[1::2]) - 1}.")
        self.learner = Learner(
            bundle, self.shipped, self.first, judging, config.change, config.learning, rng,
            accepted=lambda snapshot: store.save(folder, bundle, change, snapshot),
        )  # fmt: skip
        self.pace: Pace = FastForward() if config.fast else RealTime()
        profile = PROFILES[config.profile]
        self.frame_seconds = profile.frame_seconds or _FRAME
        self.throttle = Throttle(profile, self.pace.now())
        self.worker: Worker = (
            InlineWorker(self.learner)
            if config.fast
            else BackgroundWorker(self.learner, self.throttle, self.pace.now)
        )
        actor = Actor(bundle, TunablePolicy(bundle, self.first), config.change)
        sim_dt = bundle.manifest["timing"]["sim_dt"]
        noise = np.random.default_rng([config.seed, self.first.rounds, 1])
        self._body = Foreground(actor, self.learner, self.worker, places[::2], noise, sim_dt)
        self._load = FrameLoad()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def actions(self) -> int:
        """Control steps that the body has begun."""
        return self._body.actions

    @property
    def repeated(self) -> int:
        """Actions of the body that were repeated, because its observation was not finite."""
        return self._body.repeated

    def check_episodes(self, episodes: int) -> None:
        """Raises UserError if there are not so many starts that no round sees."""
        if not 0 < episodes <= len(self._unseen):
            raise UserError(f"--report-episodes is {episodes}: give a number from 1 to {len(self._unseen)}.")

    def close(self) -> None:
        """Ends the training once its step in flight has."""
        self.worker.stop()

    def live(
        self, goes_on: Callable[[], bool], learning: bool = True, load: Callable[[float], float] | None = None
    ) -> Frames:
        """Frame after frame as long as ``goes_on`` says so.

        Args:
          goes_on: is asked before every frame.
          learning: whether there is any beside it.
          load: share of its budget that a frame works for something else, by s since the beginning.
        """
        pace, budget = self.pace, self.frame_seconds
        frames, begin = Frames(budget), pace.now()
        self._body.learning = learning
        (self.worker.resume if learning else self.worker.pause)()
        with _quick_switches():
            due = begin
            while goes_on():
                pace.until(due)
                if load is not None:
                    self._load(load(due - begin) * budget)
                self._body.frame(budget)
                end = pace.now()
                self.worker.frame(end, end - due)
                frames.add(due, end - due, self.throttle.share, self.learner.steps)
                due += (1 + int((end - due) / budget)) * budget
        return frames

    def evaluate(self, snapshot: Snapshot, episodes: int, changed: bool = True) -> np.ndarray:
        """Returns (episodes,) of deterministic episodes from starts that no round has seen.

        Args:
          snapshot: the policy.
          episodes: how many.
          changed: on the body of the session; else on the one that the bundle is of.
        """
        change = self.config.change if changed else BodyChange()
        actor = Actor(self.bundle, TunablePolicy(self.bundle, snapshot), change)
        returns: list[float] = []
        for _ in episode_returns(actor, snapshot, self._unseen[:episodes], returns):
            pass
        return np.array(returns)


@contextmanager
def _quick_switches() -> Iterator[None]:
    """Within, Python goes from thread to thread faster than a frame would notice."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
