"""PPO on a device: each rollout is learned from in a few epochs of shuffled minibatches, and forgotten."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import numpy as np

from synthjax.deploy.tuning.actor import Outcome
from synthjax.deploy.tuning.advantages import generalized_advantage, normalize_advantages
from synthjax.deploy.tuning.config import LearningConfig
from synthjax.deploy.tuning.models import Shapes, TrainStep, Vectors
from synthjax.deploy.tuning.rollout import Rollout, Seen
from synthjax.errors import UserError

_RATE, _RATE_FACTOR = "learning_rate", 1.3


class PPORollout(Rollout):
    """With what the policy that acted made of every observation."""

    def __init__(self, size: int, observation_dim: int, action_dim: int):
        super().__init__(size, observation_dim, action_dim)
        self.mean = np.zeros((size, action_dim), np.float32)
        self.value = np.zeros(size)
        self.next_value = np.zeros(size)  # of the true next observation

    def add(self, seen: Seen, action: np.ndarray, outcome: Outcome, following: Seen | None) -> None:
        row = self.rows
        self.mean[row], self.value[row] = seen.outputs["mean"][0], seen.outputs["value"][0]
        # If what follows is not known, the episode is cut here, as by a time limit.
        self.next_value[row] = (following or seen).outputs["value"][0]
        self._append(seen, action, outcome, done=outcome.done or following is None)


class PPO:
    """See :class:`synthjax.deploy.tuning.agents.Agent`."""

    anchored = slice(None)

    def __init__(
        self, tuning: Mapping[str, Any], shapes: Shapes, config: LearningConfig, rng: np.random.Generator
    ):
        self._settings, self._config, self._rng = tuning["settings"], config, rng
        self._minibatch, self._observation_dim = shapes["observation"]
        self._action_dim = shapes["action"][1]
        if config.rollout_steps % self._minibatch:
            raise UserError(
                f"--learning.rollout-steps is {config.rollout_steps}: give a multiple of "
                f"{self._minibatch}, the size of a minibatch."
            )

    def rollout(self) -> PPORollout:
        return PPORollout(self._config.rollout_steps, self._observation_dim, self._action_dim)

    def learn(
        self, vectors: Vectors, rollout: PPORollout, step: TrainStep
    ) -> Generator[None, None, dict[str, np.ndarray]]:
        """The epochs, or less: they end once the policy is ``round_kl`` from the one that has acted."""
        learned, batch = dict(vectors), self._batch(rollout)
        yield
        rate, kl, steps = vectors[_RATE], 0.0, 0
        orders = [self._rng.permutation(rollout.size) for _ in range(self._config.epochs)]
        minibatches = np.concatenate(orders).reshape(-1, self._minibatch)
        for rows in minibatches:
            out = step({**learned, **{name: values[rows] for name, values in batch.items()}})
            learned = {name: out[f"{name}_next"] for name in vectors} | {_RATE: rate}
            kl = float(out["kl"][0])
            steps += 1
            yield
            if not kl <= self._config.round_kl:
                break
        learned[_RATE] = rate * np.float32(self._faster(kl, steps / len(minibatches)))
        return learned

    def _faster(self, kl: float, share: float) -> float:
        """The factor on the learning rate after a round that has made ``share`` of its steps up to ``kl``.

        The step adapts the rate by itself within a round, for batches of many bodies.  Here it would
        overshoot and leave the next round to a rate near zero: it is held in a round, adapted between.
        """
        if share < 0.5:
            return 1.0 / _RATE_FACTOR
        return _RATE_FACTOR if kl < 0.5 * self._config.round_kl else 1.0

    def _batch(self, rollout: PPORollout) -> dict[str, np.ndarray]:
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
