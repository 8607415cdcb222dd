"""What the acting body has lived through since the last round of learning."""

from __future__ import annotations

import numpy as np

from synthjax.deploy.tuning.actor import Outcome


class Rollout:
    """``size`` control steps in a row, in arrays that are made once; row t is of step t."""

    def __init__(self, size: int, observation_dim: int, action_dim: int):
        self.size, self.rows = size, 0
        self.observation = np.zeros((size, observation_dim), np.float32)
        self.action = np.zeros((size, action_dim), np.float32)
        self.mean = np.zeros((size, action_dim), np.float32)  # of the policy that acted
        self.value = np.zeros(size)  # by its value network
        self.next_value = np.zeros(size)  # of the true next observation
        self.reward = np.zeros(size)
        self.terminated = np.zeros(size, bool)
        self.done = np.zeros(size, bool)

    @property
    def full(self) -> bool:
        return self.rows == self.size

    def add(
        self,
        observation: np.ndarray,
        action: np.ndarray,
        mean: np.ndarray,
        value: float,
        outcome: Outcome,
        next_value: float,
    ) -> None:
        """One step; ``next_value`` is of no account where the task has ended."""
        row = self.rows
        self.observation[row], self.action[row], self.mean[row] = observation, action, mean
        self.value[row], self.next_value[row], self.reward[row] = value, next_value, outcome.reward
        self.terminated[row], self.done[row] = outcome.terminated, outcome.done
        self.rows += 1
