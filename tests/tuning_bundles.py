"""Bundles of small policies to fine-tune, as the command writes them, and short sessions on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthjax.deploy.bundle import Bundle, write_bundle
from synthjax.deploy.convert import convert, lower
from synthjax.deploy.export import Export
from synthjax.deploy.files import FINETUNE, INFER_SIGNATURE, PARAMS, POLICY, STEP_SIGNATURE, TRAINING
from synthjax.deploy.finetune import fine_tuning
from synthjax.deploy.manifest import describe_action
from synthjax.deploy.policy import policy_function
from synthjax.deploy.tuning import learner
from synthjax.deploy.tuning.config import LearningConfig, SessionConfig
from synthjax.deploy.tuning.ppo import PPORollout
from synthjax.deploy.tuning.rollout import Rollout
from synthjax.deploy.tuning.sac import SACRollout
from synthjax.deploy.tuning.session import Session
from synthjax.training.saved import SavedPolicy

LEARNING = LearningConfig(rollout_steps=256, epochs=1, episodes=2)
CONFIG = SessionConfig(fast=True, learning=LEARNING)


def write(export: Export, path: Path, leave_out: tuple[str, ...] = (), **changes: Any) -> Bundle:
    files = {name: data for name, data in export.files.items() if name not in leave_out}
    manifest = export.manifest | {"version": 3, "exported": "2026-01-02T03:04:05Z"} | changes
    return write_bundle(files, manifest, path, files.keys() & TRAINING)


def sac_of(recorded: Export, policy: SavedPolicy) -> Export:
    """A SAC policy in the place of the one that was exported, in the same environment."""
    tuning = fine_tuning(policy.run, policy.agent_state)
    observation = {"observation": (1, policy.run.env.obs_dim)}
    offset = policy.run.env.steering.offset
    acting = policy_function(policy.run.agent, policy.agent_state, offset)
    vectors = {name: vector.shape for name, vector in tuning.start.items()}
    learning = {
        INFER_SIGNATURE: lower(tuning.infer, {"params": vectors["params"], **observation}),
        STEP_SIGNATURE: lower(tuning.step, {**vectors, **tuning.minibatch}),
    }
    params, rows = tuning.packed()
    files = {
        POLICY: convert({INFER_SIGNATURE: lower(acting, observation)}),
        FINETUNE: convert(learning),
        PARAMS: params,
    }
    about = {"vectors": rows, "policy": tuning.policy, "settings": tuning.settings}
    about["minibatch"] = {name: list(shape) for name, shape in tuning.minibatch.items()}
    fields = {
        "agent": {"algorithm": "sac", "actor": "plain", "steps": 7},
        "action": describe_action(policy.run, policy.agent_state),
        "finetune": recorded.manifest["finetune"] | about,
    }
    return Export(recorded.files | files, recorded.manifest | fields)


def rollout_of(bundle: Bundle, size: int = 256, seed: int = 0) -> Rollout:
    """Numbers of the right shapes."""
    rng = np.random.default_rng(seed)
    kind = {"ppo": PPORollout, "sac": SACRollout}[bundle.manifest["agent"]["algorithm"]]
    rollout = kind(size, bundle.manifest["observation"]["size"], len(bundle.manifest["action"]["joints"]))
    for values in vars(rollout).values():
        if isinstance(values, np.ndarray) and values.dtype != bool:
            values[:] = 0.1 * rng.normal(size=values.shape)
    rollout.done[::50] = True
    rollout.rows = size
    return rollout


def with_learning(**changes: Any) -> SessionConfig:
    return dataclasses.replace(CONFIG, learning=dataclasses.replace(LEARNING, **changes))


def learn(session: Session, seed: int = 0) -> learner.Round:
    """A round on numbers of the right shapes."""
    for _ in session.learner.round(rollout_of(session.bundle, seed=seed)):
        pass
    return session.learner.rounds[-1]


def paid(monkeypatch: pytest.MonkeyPatch, *returns: float) -> None:
    """Held-out episodes of the policies that are judged one after another are worth this much each."""
    left = iter(returns)

    def episode_returns(actor: Any, snapshot: Any, starts: Any, got: list[float]) -> Iterator[None]:
        value = next(left)
        got.extend(value + 0.1 * index for index in range(len(starts)))
        yield

    monkeypatch.setattr(learner, "episode_returns", episode_returns)
