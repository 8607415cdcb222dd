"""What differs between agents: what is kept of a life, and how train steps learn from it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, Protocol

import numpy as np

from synthjax.deploy.tuning.config import LearningConfig
from synthjax.deploy.tuning.models import Shapes, TrainStep, Vectors
from synthjax.deploy.tuning.ppo import PPO
from synthjax.deploy.tuning.rollout import Rollout
from synthjax.deploy.tuning.sac import SAC


class Agent(Protocol):
    """Made of the manifest's ``finetune``, the shapes of the train step's inputs, settings and a generator.

    Raises UserError for settings that do not fit together.
    """

    @property
    def anchored(self) -> slice:
        """The part of the parameters that is drawn towards the shipped policy."""
        ...

    def rollout(self) -> Rollout:
        """An empty one, of as many steps as a round begins with."""
        ...

    def learn(
        self, vectors: Vectors, rollout: Any, step: TrainStep
    ) -> Generator[None, None, dict[str, np.ndarray]]:
        """What a round's train steps make of ``vectors``; gives way after each of them.

        Args:
          vectors: to go on from.
          rollout: a full one of :meth:`rollout`, the agent's from then on.
          step: one train step.
        """
        ...


Make = Callable[[Mapping[str, Any], Shapes, LearningConfig, np.random.Generator], Agent]
AGENTS: dict[str, Make] = {"ppo": PPO, "sac": SAC}
