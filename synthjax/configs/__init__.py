"""Run configurations and their presets."""

from synthjax.configs.registry import PRESETS, get, validate
from synthjax.configs.train import BodyConfig, EvaluationConfig, PhysicsConfig, TrainConfig

__all__ = [
    "PRESETS",
    "BodyConfig",
    "EvaluationConfig",
    "PhysicsConfig",
    "TrainConfig",
    "get",
    "validate",
]
