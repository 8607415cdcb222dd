"""Bundles that can learn, minibatches for them, and what ten gradient steps make of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import bundles
import jax
import numpy as np
from deploy_models import ACTIONS, GAINS, OBS, SCALE, agent_of
from test_deploy_finetune import fresh, tuning_of

from synthjax.agents.ppo import PPO
from synthjax.deploy.bundle import write_bundle
from synthjax.deploy.convert import convert, lower
from synthjax.deploy.finetune import FineTuning
from synthjax.deploy.model import Model

STEPS = 10
Vectors = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Learning:
    """A bundle with nothing in it but what learns, and what a host is to make of it."""

    bundle: Path
    minibatches: list[dict[str, np.ndarray]]  # one for each step, by name in the manifest's order
    observations: np.ndarray  # (1000, OBS)
    tuning: FineTuning
    by_python: Vectors  # the vectors after the steps, by the TFLite model
    by_jax: Vectors  # the same by JAX
    actions: np.ndarray  # (1000, ACTIONS) of the policy after the steps

    @property
    def rows(self) -> np.ndarray:
        """(STEPS, ...) the minibatches as the rows of a file."""
        return np.stack([np.concatenate([x.ravel() for x in batch.values()]) for batch in self.minibatches])

    def vectors(self, packed: np.ndarray) -> Vectors:
        """``packed`` as params.bin, by name."""
        assert packed.size == sum(start.size for start in self.tuning.start.values())
        ends = np.cumsum([start.size for start in self.tuning.start.values()])[:-1]
        return dict(zip(self.tuning.start, np.split(packed, ends), strict=True))

    def errors(self, got: Vectors, expected: Vectors) -> dict[str, float]:
        """Distance of each vector as a share of the way that it has gone in the steps."""
        ways = {name: np.linalg.norm(expected[name] - start) for name, start in self.tuning.start.items()}
        assert all(way > 1e-3 for name, way in ways.items() if name != "learning_rate")
        return {
            name: float(np.linalg.norm(got[name] - expected[name]) / max(way, 1e-6))
            for name, way in ways.items()
        }


def learning(algorithm: str, actor: str, folder: Path) -> Learning:
    """A tiny agent's, with random networks."""
    agent = agent_of(algorithm, actor)
    tuning, rng = tuning_of(agent, fresh(agent)), np.random.default_rng(3)
    content = convert(
        {
            "infer": lower(tuning.infer, {"params": tuning.start["params"].shape, "observation": (1, OBS)}),
            "train_step": lower(tuning.step, {**shapes_of(tuning.start), **tuning.minibatch}),
        }
    )
    params, rows = tuning.packed()
    files = {"finetune.tflite": content, "params.bin": params, "body.xml": b"<mujoco/>"}
    fields = {
        "observation": {"size": OBS},
        "observe": None,
        "timing": {"control_dt": 0.05},
        "action": {
            "joints": [f"joint{i}" for i in range(ACTIONS)],
            "gains": GAINS.tolist(),
            "scale": SCALE.tolist(),
            "squash": "tanh" if agent.squashes else "none",
            "limit": None,
        },
        "finetune": {"vectors": rows, "minibatch": {k: list(v) for k, v in tuning.minibatch.items()}},
    }
    write_bundle(files, bundles.head(**fields), folder / "learning.zip", bundles.TRAINING)
    infer, policy, jax_step = Model("f", content, "infer"), jax.jit(tuning.infer), jax.jit(tuning.step)
    minibatches = []
    for _ in range(STEPS):
        batch = {name: rng.normal(0.0, 1.0, shape) for name, shape in tuning.minibatch.items()}
        if isinstance(agent, PPO):  # near the policy, or its clip would leave nothing to learn
            given = {"params": tuning.start["params"], "observation": batch["observation"].astype(np.float32)}
            batch["mean"] = policy(given)["mean"]
            batch["action"] = batch["mean"] + 0.05 * batch["action"]
        minibatches.append({name: np.asarray(x, np.float32) for name, x in batch.items()})
    by_python = steps(Model("f", content, "train_step"), tuning, minibatches)
    by_jax = steps(lambda given: jax.device_get(jax_step(given)), tuning, minibatches)
    observations = rng.normal(0.0, 2.0, (1000, OBS)).astype(np.float32)
    actions = [
        infer({"params": by_python["params"], "observation": row[None]})["action"] for row in observations
    ]
    assert np.concatenate(actions).shape == (1000, ACTIONS)
    return Learning(
        folder / "learning.zip", minibatches, observations, tuning, by_python, by_jax, np.concatenate(actions)
    )


def steps(
    step: Callable[[Vectors], Vectors], tuning: FineTuning, minibatches: list[dict[str, np.ndarray]]
) -> Vectors:
    """The vectors after a step on each of the minibatches."""
    vectors = dict(tuning.start)
    for batch in minibatches:
        out = step({**vectors, **batch})
        vectors = {name: out[f"{name}_next"] for name in vectors}
    return vectors


def shapes_of(vectors: Vectors) -> dict[str, tuple[int, ...]]:
    return {name: vector.shape for name, vector in vectors.items()}
