"""Presets of the imitation task."""

from __future__ import annotations

from synthjax.configs.train import TrainConfig

PRESETS: dict[str, TrainConfig] = {"default": TrainConfig()}
