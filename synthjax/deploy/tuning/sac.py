"""SAC on a device: rollouts go into a replay, and each is followed by steps on samples of all of it."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Any

import numpy as np

from synthjax.deploy.tuning.actor import Outcome
from synthjax.deploy.tuning.config import LearningConfig
from synthjax.deploy.tuning.models import Shapes, TrainStep, Vectors
from synthjax.deploy.tuning.replay import Replay
from synthjax.deploy.tuning.returns import n_step_returns
from synthjax.deploy.tuning.rollout import Rollout, Seen
from synthjax.errors import UserError


class SACRollout(Rollout):
    """With the true next observation of every step."""

    def __init__(self, size: int, observation_dim: int, action_dim: int):
        super().__init__(size, observation_dim, action_dim)
        self.next_observation = np.zeros_like(self.observation)

    def add(self, seen: Seen, action: np.ndarray, outcome: Outcome, following: Seen | None) -> None:
        if following is None and not outcome.terminated:
            # There is nothing to bootstrap from.  What came before ends as at a time limit.
            if self.rows:
                self.done[self.rows - 1] = True
            return
        # After a termination any finite observation will do, as its value does not count.
        self.next_observation[self.rows] = (following or seen).observation
        self._append(seen, action, outcome, outcome.done)


class SAC:
    """See :class:`synthjax.deploy.tuning.agents.Agent`."""

    def __init__(
        self, tuning: Mapping[str, Any], shapes: Shapes, config: LearningConfig, rng: np.random.Generator
    ):
        self._settings, self._config, self._rng = tuning["settings"], config, rng
        self._minibatch, self._observation_dim = shapes["observation"]
        self._noise = {name: shapes[name] for name in ("noise", "next_noise")}
        self._action_dim = shapes["action"][1]
        if config.capacity < config.rollout_steps:
            raise UserError(
                f"--learning.capacity is {config.capacity}: give at least --learning.rollout-steps, "
                f"{config.rollout_steps}."
            )
        self.replay = Replay(config.capacity, self._observation_dim, self._action_dim)
        policy = tuning["policy"]
        self.anchored = slice(policy["start"], policy["start"] + policy["size"])

    def rollout(self) -> SACRollout:
        return SACRollout(self._config.rollout_steps, self._observation_dim, self._action_dim)

    def learn(
        self, vectors: Vectors, rollout: SACRollout, step: TrainStep
    ) -> Generator[None, None, dict[str, np.ndarray]]:
        """Stores the rollout, and learns from ``samples_per_step`` transitions for each that is new.

        The policy is the average of those after the steps (Polyak & Juditsky 1992), as what was exported is
        an average: the last one has also gone where the noise of the gradients led it.
        """
        learned = dict(vectors)
        for transitions in self._transitions(rollout):
            self.replay.add(transitions)
            yield
        samples = self._config.samples_per_step * rollout.size
        average = np.zeros(self.anchored.stop - self.anchored.start)
        for count in range(1, max(1, round(samples / self._minibatch)) + 1):
            batch = self.replay.sample(self._minibatch, self._rng)
            noise = {
                name: self._rng.standard_normal(shape, np.float32) for name, shape in self._noise.items()
            }
            out = step({**learned, **batch, **noise})
            learned = {name: out[f"{name}_next"] for name in vectors}
            average += (learned["params"][self.anchored] - average) / count
            yield
        params = learned["params"].copy()
        params[self.anchored] = average
        return {**learned, "params": params}

    def _transitions(self, rollout: SACRollout) -> Iterator[dict[str, np.ndarray]]:
        """Those of a rollout by column, a minibatch at a time: Python waits while NumPy copies."""
        settings = self._settings
        returns, discounts, last = n_step_returns(
            rollout.reward, rollout.terminated, rollout.done,
            settings["gamma"], int(settings["n_step"]), settings["reward_rate"],
        )  # fmt: skip
        for first in range(0, rollout.size, self._minibatch):
            rows = slice(first, first + self._minibatch)
            yield {
                "observation": rollout.observation[rows],
                "action": rollout.action[rows],
                "reward": returns[rows],
                "next_observation": rollout.next_observation[last[rows]],
                "discount": discounts[rows],
            }
