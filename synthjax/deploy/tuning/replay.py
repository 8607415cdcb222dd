"""A bounded memory of transitions, sampled uniformly."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


class Replay:
    """The newest ``capacity`` transitions, in arrays that are made once; observations are raw."""

    def __init__(self, capacity: int, observation_dim: int, action_dim: int):
        self.capacity, self.size = capacity, 0
        self._cursor = 0  # where the next one goes
        shapes = {
            "observation": (observation_dim,),
            "action": (action_dim,),
            "reward": (),
            "next_observation": (observation_dim,),
            "discount": (),
        }
        self._columns = {name: np.zeros((capacity, *shape), np.float32) for name, shape in shapes.items()}

    def add(self, transitions: Mapping[str, np.ndarray]) -> None:
        """Stores transitions (M, ...) by column over the oldest ones; M is at most the capacity."""
        count = len(transitions["reward"])
        rows = (self._cursor + np.arange(count)) % self.capacity
        for name, column in self._columns.items():
            column[rows] = transitions[name]
        self._cursor = (self._cursor + count) % self.capacity
        self.size = min(self.size + count, self.capacity)

    def sample(self, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """``count`` transitions by column, each of those stored equally likely every time."""
        rows = rng.integers(self.size, size=count)
        return {name: column[rows] for name, column in self._columns.items()}
