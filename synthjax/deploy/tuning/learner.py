"""Rounds of learning: an agent's train steps, the anchor, and the judgement of held-out episodes.

A round is a generator that gives way after every small piece of work, so that whoever runs it decides when
the next may begin.  The policy that acts is ``snapshot``; it is replaced, in one assignment, by a policy that
has been judged, and by no other.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from synthjax.deploy.bundle import Bundle
from synthjax.deploy.tuning.actor import Actor, Start, episode_returns
from synthjax.deploy.tuning.agents import AGENTS, Agent
from synthjax.deploy.tuning.anchor import Anchor
from synthjax.deploy.tuning.config import BodyChange, LearningConfig
from synthjax.deploy.tuning.models import Snapshot, TunablePolicy, train_step
from synthjax.deploy.tuning.rollout import Rollout

_ANCHOR_ROWS = 256  # observations of a rollout that stand for it in the KL divergence


@dataclasses.dataclass(frozen=True)
class Round:
    """What came of one round."""

    number: int
    steps: int  # train steps so far, those of rejected rounds included
    taken: bool
    reward: float | None  # mean return of the held-out episodes; None: there were none, see Learner.round
    best: float  # the same of the best policy that was taken
    kl: float  # from the shipped policy, nats per action
    shrunk: float  # share of the way from the shipped policy that the bound has left


class Learner:
    """Learns on a bundle's models in whatever thread runs its rounds."""

    def __init__(
        self,
        bundle: Bundle,
        shipped: Snapshot,
        snapshot: Snapshot,
        held_out: Sequence[Start],
        change: BodyChange,
        config: LearningConfig,
        rng: np.random.Generator,
        accepted: Callable[[Snapshot], None],
    ):
        """Goes on from ``snapshot``; ``accepted`` is told of every policy before it acts.

        Raises:
          UserError: settings that do not fit together.
        """
        self.snapshot, self.config = snapshot, config
        self.rounds: list[Round] = []
        self.steps = snapshot.steps
        self._held_out, self._rng, self._accepted = list(held_out), rng, accepted
        self._step = train_step(bundle)
        algorithm, tuning = bundle.manifest["agent"]["algorithm"], bundle.manifest["finetune"]
        self.agent: Agent = AGENTS[algorithm](tuning, self._step.inputs, config, rng)
        self._judge = Actor(bundle, TunablePolicy(bundle, snapshot), change)
        self._anchor = Anchor(bundle, shipped, self._judge.policy, self.agent.anchored, config.kl_bound)
        self._best: np.ndarray | None = None  # returns (episodes,) of the best policy that was taken

    def round(self, rollout: Rollout) -> Iterator[None]:
        """Learns from a full rollout, and takes the new policy if it is as good as the best one.

        Otherwise all that was learned is given up.  So it is without an episode if a number is not finite,
        or if the policy does not come within the bound.
        """
        if self._best is None:  # after a restart too, of the policy that goes on: the best one is not kept
            before: list[float] = []
            yield from self._episodes(self.snapshot, before)
            self._best = np.array(before)
        vectors = yield from self.agent.learn(self.snapshot.vectors, rollout, self._train)
        if not all(np.isfinite(vector).all() for vector in vectors.values()):
            self._note(self.snapshot, taken=False, share=0.0)
            return
        rows = self._rng.choice(rollout.size, min(_ANCHOR_ROWS, rollout.size), replace=False)
        bounded = yield from self._anchor.within(vectors, rollout.observation[rows])
        if bounded is None:
            self._note(self.snapshot, taken=False, share=0.0)
            return
        policy, share = bounded
        candidate = dataclasses.replace(policy, rounds=self.snapshot.rounds + 1, steps=self.steps)
        yield from self._decide(candidate, share)

    def _train(self, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        out = self._step(given)
        self.steps += 1
        return out

    def _decide(self, candidate: Snapshot, share: float) -> Iterator[None]:
        assert self._best is not None
        got: list[float] = []
        yield from self._episodes(candidate, got)
        returns = np.array(got)
        candidate = dataclasses.replace(candidate, reward=float(returns.mean()))
        difference = returns - self._best
        # A policy counts as worse if it is so by more than the error of the comparison.
        taken = float(difference.mean()) >= -float(difference.std()) / math.sqrt(len(difference))
        if taken:
            self._accepted(candidate)
            self.snapshot = candidate
            if difference.mean() > 0.0:
                self._best = returns
        self._note(candidate, taken, share, candidate.reward)

    def _note(self, policy: Snapshot, taken: bool, share: float, reward: float | None = None) -> None:
        assert self._best is not None
        best = float(self._best.mean())
        row = Round(len(self.rounds) + 1, self.steps, taken, reward, best, policy.kl, share)
        self.rounds.append(row)

    def _episodes(self, snapshot: Snapshot, returns: list[float]) -> Iterator[None]:
        """The held-out episodes, which give way every few control steps."""
        for count, _ in enumerate(episode_returns(self._judge, snapshot, self._held_out, returns), 1):
            if count % self.config.control_steps_per_turn == 0:
                yield
