"""The body that lives while its policy is learned: it moves in every frame and acts now and then."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthjax.deploy.tuning.actor import Actor, Start
from synthjax.deploy.tuning.learner import Learner
from synthjax.deploy.tuning.models import TunablePolicy
from synthjax.deploy.tuning.rollout import Seen
from synthjax.deploy.tuning.worker import Worker


class Foreground:
    """Explores at the control rate and gathers rollouts; each is handed to the worker once it is full."""

    def __init__(
        self,
        actor: Actor[TunablePolicy],
        learner: Learner,
        worker: Worker,
        starts: Sequence[Start],
        rng: np.random.Generator,
        sim_dt: float,
    ):
        self._actor, self._learner, self._worker = actor, learner, worker
        self._starts, self._rng, self._sim_dt = starts, rng, sim_dt
        self.learning = True  # whether full rollouts are learned from
        self.actions = 0
        self._rollout = learner.agent.rollout()
        self._owed = 0.0  # s of simulation
        self._left = 0  # substeps of the control step that goes on
        # What its action was chosen by, and the action; None if it is one that was repeated.
        self._step: tuple[Seen, np.ndarray] | None
        self._begin()

    @property
    def repeated(self) -> int:
        """Actions that were repeated, because the observation was not finite."""
        return self._actor.policy.repeated

    def frame(self, seconds: float) -> None:
        """Lives on for ``seconds``."""
        self._owed += seconds
        count = int(self._owed / self._sim_dt + 1e-6)
        self._owed -= count * self._sim_dt
        while count > 0:
            now = min(count, self._left)
            self._actor.body.step(now)
            count -= now
            self._left -= now
            if self._left == 0:
                self._next_action()

    def _begin(self) -> None:
        self._actor.begin(self._starts[int(self._rng.integers(len(self._starts)))])
        self._act(self._actor.observe())

    def _next_action(self) -> None:
        outcome, step, following = self._actor.judge(), self._step, None
        if outcome.terminated:
            self._begin()
        elif outcome.truncated:
            observation = self._actor.observe()
            if np.isfinite(observation).all():
                following = Seen(observation, self._actor.policy.infer(observation))
            self._begin()
        else:
            self._act(self._actor.observe())
            following = None if self._step is None else self._step[0]
        if step is None:
            return
        self._rollout.add(*step, outcome, following)
        if self._rollout.full:
            self._hand_over()

    def _act(self, observation: np.ndarray) -> None:
        policy = self._actor.policy
        policy.snapshot = self._learner.snapshot
        noise, repeated = self._rng.standard_normal(policy.action_dim), policy.repeated
        action = self._actor.act(observation, noise)
        # Of an action that is only repeated nothing is learned: the policy has not chosen it.
        self._step = (Seen(observation, policy.outputs), action) if policy.repeated == repeated else None
        self._left = self._actor.substeps
        self.actions += 1

    def _hand_over(self) -> None:
        # While the worker is busy, or nothing is to be learned, what is newest counts.
        if self.learning and not self._worker.busy:
            self._worker.learn(self._rollout)
        self._rollout = self._learner.agent.rollout()
