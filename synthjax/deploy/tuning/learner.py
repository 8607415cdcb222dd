"""Rounds of learning: gradient steps on a rollout, the anchor, and the judgement of held-out episodes.

A round is a generator that gives way after every small piece of work, so that whoever runs it decides when
the next may begin.  The policy that acts is ``snapshot``; it is replaced, in one assignment, by a policy that
has been judged, and by no other.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Generator, Iterator, Sequence

import numpy as np

from synthjax.deploy.bundle import Bundle
from synthjax.deploy.files import INFER_SIGNATURE, POLICY
from synthjax.deploy.model import Model
from synthjax.deploy.tuning.actor import Actor, Start, episode_returns
from synthjax.deploy.tuning.advantages import gaussian_kl, generalized_advantage, normalize_advantages
from synthjax.deploy.tuning.config import BodyChange, LearningConfig
from synthjax.deploy.tuning.models import Snapshot, frozen, train_step
from synthjax.deploy.tuning.rollout import Rollout

_ANCHOR_ROWS = 256  # observations of a rollout that stand for it in the KL divergence
_RATE, _RATE_FACTOR = "learning_rate", 1.3
_PROJECTIONS = 8  # most attempts to come back within the bound


@dataclasses.dataclass(frozen=True)
class Round:
    """What came of one round."""

    number: int
    steps: int  # train steps so far, those of rejected rounds included
    taken: bool
    reward: float | None  # mean return of the held-out episodes; None: its numbers were not finite
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
        """Goes on from ``snapshot``; ``accepted`` is told of every policy before it acts."""
        self.snapshot, self.config = snapshot, config
        self.rounds: list[Round] = []
        self.steps = snapshot.steps
        self._shipped, self._held_out, self._rng, self._accepted = shipped, list(held_out), rng, accepted
        self._step = train_step(bundle)
        self.minibatch = self._step.inputs["observation"][0]
        self._settings = bundle.manifest["finetune"]["settings"]
        self._active = np.asarray(bundle.manifest["action"]["gains"]) > 0.0
        self._judge = Actor(bundle, snapshot, change)
        self._base = Model(POLICY, bundle.files[POLICY], INFER_SIGNATURE)
        self._best: np.ndarray | None = None  # returns (episodes,) of the best policy that was taken

    def round(self, rollout: Rollout) -> Iterator[None]:
        """Learns from a full rollout, and takes the new policy if it is as good as the best one."""
        if self._best is None:  # also after a restart: episodes are the same, so are their returns
            before: list[float] = []
            yield from self._episodes(self.snapshot, before)
            self._best = np.array(before)
        vectors = dict(self.snapshot.vectors)
        batch = self._batch(rollout)
        yield
        rate, kl = vectors[_RATE], 0.0
        orders = [self._rng.permutation(rollout.size) for _ in range(self.config.epochs)]
        minibatches = np.concatenate(orders).reshape(-1, self.minibatch)
        first = self.steps
        for rows in minibatches:
            out = self._step({**vectors, **{name: values[rows] for name, values in batch.items()}})
            vectors = {name: out[f"{name}_next"] for name in vectors} | {_RATE: rate}
            kl = float(out["kl"][0])
            self.steps += 1
            yield
            if not kl <= self.config.round_kl:
                break
        vectors[_RATE] = rate * np.float32(self._faster(kl, (self.steps - first) / len(minibatches)))
        if not all(np.isfinite(vector).all() for vector in vectors.values()):
            self._note(self.snapshot, taken=False, share=0.0)
            return
        policy, share = yield from self._within_bound(vectors, rollout)
        candidate = dataclasses.replace(policy, rounds=self.snapshot.rounds + 1, steps=self.steps)
        yield from self._decide(candidate, share)

    def _faster(self, kl: float, share: float) -> float:
        """The factor on the learning rate after a round that has made ``share`` of its steps up to ``kl``.

        The step adapts the rate by itself within a round, for batches of many bodies.  Here it would
        overshoot and leave the next round to a rate near zero: it is held in a round, adapted between.
        """
        if share < 0.5:
            return 1.0 / _RATE_FACTOR
        return _RATE_FACTOR if kl < 0.5 * self.config.round_kl else 1.0

    def _batch(self, rollout: Rollout) -> dict[str, np.ndarray]:
        settings = self._settings
        advantages, targets = generalized_advantage(
            settings["reward_scale"] * rollout.reward, rollout.value, rollout.next_value,
            rollout.terminated, rollout.done, settings["gamma"], settings["gae_lambda"],
        )  # fmt: skip
        return {
            "observation": rollout.observation,
            "action": rollout.action,
            "mean": rollout.mean,
            "advantage": normalize_advantages(advantages, settings["advantage_clip"]).astype(np.float32),
            "target": targets.astype(np.float32),
        }

    def _within_bound(
        self, vectors: dict[str, np.ndarray], rollout: Rollout
    ) -> Generator[None, None, tuple[Snapshot, float]]:
        """The policy, drawn towards the shipped one until its divergence is within the bound.

        A projection of the parameters on the line between the two.  Returns the policy, and the share of its
        way from the shipped one that is left.
        """
        rows = self._rng.choice(rollout.size, min(_ANCHOR_ROWS, rollout.size), replace=False)
        observations = rollout.observation[rows]
        base = np.stack([self._base({"observation": row[None]})["mean"][0] for row in observations])
        yield
        whole, share = vectors["params"], 1.0
        for _ in range(_PROJECTIONS):
            way = self._shipped.params + np.float32(share) * (whole - self._shipped.params)
            policy = Snapshot(frozen({**vectors, "params": way}))
            kl = self._divergence(policy, observations, base)
            yield
            if kl <= self.config.kl_bound:
                return dataclasses.replace(policy, kl=kl), share
            share *= 0.97 * math.sqrt(self.config.kl_bound / kl)  # it is nearly quadratic in the share
        return self._shipped, 0.0

    def _divergence(self, policy: Snapshot, observations: np.ndarray, base: np.ndarray) -> float:
        tuned = self._judge.policy
        tuned.snapshot = policy
        outputs = [tuned.infer(row) for row in observations]
        means = np.stack([out["mean"][0] for out in outputs])
        std = np.exp(np.stack([out["log_std"][0] for out in outputs]))
        return gaussian_kl(means, base, std, self._active)

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
