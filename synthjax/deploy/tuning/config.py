"""What can be chosen about fine-tuning; free of everything that computes."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from synthjax.errors import UserError


@dataclasses.dataclass(frozen=True)
class BodyChange:
    """What is different from the body that the policy was trained on; factors, 1 for no change."""

    mass: float = 1.0  # of every body, with its inertia
    friction: float = 1.0  # of every contact with the ground
    strength: float = 1.0  # of every motor: its gains and its limit
    weak: str = ""  # body below which motors are weak, its own included, such as LeftUpperLeg
    weak_strength: float = 0.5  # of those motors

    def __post_init__(self) -> None:
        _check_positive("change", self)


@dataclasses.dataclass(frozen=True)
class LearningConfig:
    """How a round learns and what is taken of it."""

    rollout_steps: int = 2048  # control steps of a round
    epochs: int = 4  # over them; PPO
    round_kl: float = 0.1  # nats per action, from which on the policy that has acted is left no further; PPO
    samples_per_step: float = 4.0  # update-to-data ratio: transitions learned from per control step; SAC
    capacity: int = 32_768  # transitions that the replay holds, the newest ones; SAC
    kl_bound: float = 40.0  # nats per action, of the divergence from the shipped policy
    episodes: int = 16  # held out, by which a policy is judged
    control_steps_per_turn: int = 4  # of those episodes between two admissions, less than a train step's time

    def __post_init__(self) -> None:
        _check_positive("learning", self)


@dataclasses.dataclass(frozen=True)
class SessionConfig:
    """How a body lives while it learns."""

    profile: Literal["quest", "desktop"] = "quest"  # of the throttle
    fast: bool = False  # no real time and no throttle: rounds are learned between frames
    change: BodyChange = dataclasses.field(default_factory=BodyChange)  # of the body
    learning: LearningConfig = dataclasses.field(default_factory=LearningConfig)
    seed: int = 0  # of starts, noise and shuffling


def _check_positive(group: str, settings: BodyChange | LearningConfig) -> None:
    """Raises UserError if a number among the settings is not above zero, or not finite."""
    for name, value in vars(settings).items():
        if not isinstance(value, str) and not 0.0 < value < math.inf:
            raise UserError(f"--{group}.{name.replace('_', '-')} is {value}: give a number above zero.")
