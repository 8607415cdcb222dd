"""A bundle of a small policy to fine-tune, as the command writes it, and short sessions on it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from synthjax.deploy.bundle import Bundle, write_bundle
from synthjax.deploy.export import Export
from synthjax.deploy.files import TRAINING
from synthjax.deploy.tuning.config import LearningConfig, SessionConfig
from synthjax.deploy.tuning.rollout import Rollout

LEARNING = LearningConfig(rollout_steps=256, epochs=1, episodes=2)
CONFIG = SessionConfig(fast=True, learning=LEARNING)


def write(export: Export, path: Path, leave_out: tuple[str, ...] = (), **changes: Any) -> Bundle:
    files = {name: data for name, data in export.files.items() if name not in leave_out}
    manifest = export.manifest | {"version": 3, "exported": "2026-01-02T03:04:05Z"} | changes
    return write_bundle(files, manifest, path, files.keys() & TRAINING)


def rollout_of(bundle: Bundle, size: int = 256, seed: int = 0) -> Rollout:
    """Numbers of the right shapes."""
    rng = np.random.default_rng(seed)
    rollout = Rollout(size, bundle.manifest["observation"]["size"], len(bundle.manifest["action"]["joints"]))
    for name in ("observation", "action", "mean", "value", "next_value", "reward"):
        values = getattr(rollout, name)
        values[:] = 0.1 * rng.normal(size=values.shape)
    rollout.done[::50] = True
    rollout.rows = size
    return rollout


def with_learning(**changes: Any) -> SessionConfig:
    return dataclasses.replace(CONFIG, learning=dataclasses.replace(LEARNING, **changes))
