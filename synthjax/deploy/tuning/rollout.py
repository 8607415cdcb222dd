"""What the acting body has lived through since the last round of learning."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping

import numpy as np

from synthjax.deploy.tuning.actor import Outcome


@dataclasses.dataclass(frozen=True)
class Seen:
    """A finite observation, and what the policy that acts makes of it."""

    observation: np.ndarray  # (obs_dim,)
    outputs: Mapping[str, np.ndarray]  # of the policy's model by name, (1, ...) each


class Rollout(abc.ABC):
    """At most ``size`` control steps in a row, in arrays that are made once; row t is of step t.

    An agent's own holds what its train step needs beside this.
    """

    def __init__(self, size: int, observation_dim: int, action_dim: int):
        self.size, self.rows = size, 0
        self.observation = np.zeros((size, observation_dim), np.float32)
        self.action = np.zeros((size, action_dim), np.float32)
        self.reward = np.zeros(size)
        self.terminated = np.zeros(size, bool)
        self.done = np.zeros(size, bool)

    @property
    def full(self) -> bool:
        return self.rows == self.size

    @abc.abstractmethod
    def add(self, seen: Seen, action: np.ndarray, outcome: Outcome, following: Seen | None) -> None:
        """One step.

        Args:
          seen: what the policy chose the action by.
          action: (A,) that it chose.
          outcome: of the action.
          following: what was seen after it, before any reset; None where the task has ended, and where it
            is not known.
        """

    def _append(self, seen: Seen, action: np.ndarray, outcome: Outcome, done: bool) -> None:
        row = self.rows
        self.observation[row], self.action[row], self.reward[row] = seen.observation, action, outcome.reward
        self.terminated[row], self.done[row] = outcome.terminated, done
        self.rows += 1
