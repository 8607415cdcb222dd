"""Run configurations and their presets."""

from synthjax.configs.checks import validate
from synthjax.configs.registry import PRESETS, get, missing_preset, type_of
from synthjax.configs.train import BodyConfig, EvaluationConfig, PhysicsConfig, TrainConfig

__all__ = [
    "PRESETS",
    "BodyConfig",
    "EvaluationConfig",
    "PhysicsConfig",
    "TrainConfig",
    "get",
    "missing_preset",
    "type_of",
    "validate",
]
