"""Tiny agents with random parameters, and what their policies are, worked out in NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthjax.agents.normalizer import MIN_STD, Normalizer
from synthjax.agents.ppo import PPO, PPOConfig
from synthjax.agents.sac import SAC, SACConfig
from synthjax.deploy.bundle import write_bundle
from synthjax.deploy.convert import convert, lower
from synthjax.deploy.export import Export
from synthjax.deploy.rollouts import Rollouts

for package in ("litert_converter", "ai_edge_litert", "ai_edge_quantizer"):
    pytest.importorskip(package, reason="the extra 'deploy' is not installed")

OBS, ACTIONS = 7, 5
CHAINS = ((4, 1), (0, 3), (2,))
GAINS = np.array([1.0, 0.5, 0.0, 1.0, 0.25], np.float32)
SCALE = np.array([0.4, 0.2, 0.3, 0.1, 0.7], np.float32)
COMBINATIONS = [(algorithm, actor) for algorithm in ("ppo", "sac") for actor in ("plain", "structured")]


def agent_of(algorithm: str, actor: str, activation: str = "swish") -> Any:
    network: dict[str, Any] = {"actor": actor, "chain_hidden": (5,), "activation": activation}
    if algorithm == "ppo":
        return PPO(PPOConfig(**network, hidden=(16, 8)), OBS, ACTIONS, chains=CHAINS)
    sizes: dict[str, Any] = {"policy_hidden": (16, 8), "critic_hidden": (8,), "capacity": 2048}
    return SAC(SACConfig(**network, **sizes, learning_starts=64), OBS, ACTIONS, chains=CHAINS)


def randomised(tree: Any, rng: np.random.Generator) -> Any:
    return jax.tree.map(lambda x: jnp.asarray(rng.normal(0.0, 0.4, x.shape), x.dtype), tree)


def state_of(agent: Any, seed: int = 0) -> Any:
    """A state of random policy, normaliser, noise and gains."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(agent.init, jax.random.key(0), jnp.zeros((4, OBS)))
    policy = randomised(shapes.params["policy"], rng)
    state = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), agent.acting(shapes))
    normalizer = Normalizer(
        count=jnp.asarray(100.0),
        mean=jnp.asarray(rng.normal(0.0, 2.0, OBS), jnp.float32),
        variance=jnp.asarray([0.0, *rng.uniform(0.1, 4.0, OBS - 1)], jnp.float32),
    )
    # What explores is another network than what acts.
    explorer = randomised(shapes.params["policy"], rng)
    fields: dict[str, Any] = {"normalizer": normalizer, "gains": jnp.asarray(GAINS), "average": policy}
    if isinstance(agent, PPO):
        fields["failure_rate"] = jnp.asarray(3e-3)
    return state.replace(params={**state.params, "policy": explorer}, **fields)


def by_hand(agent: Any, state: Any, obs: np.ndarray) -> dict[str, np.ndarray]:
    """``action``, ``offset``, ``mean`` and ``log_std`` in float64 (agents with swish)."""

    def dense(layer: Any, x: np.ndarray) -> np.ndarray:
        return x @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"], np.float64)

    def hidden(layer: Any, x: np.ndarray) -> np.ndarray:
        y = dense(layer, x)
        return y / (1.0 + np.exp(-y))

    normalizer = state.normalizer
    std = np.maximum(np.sqrt(np.asarray(normalizer.variance, np.float64)), MIN_STD)
    limit = agent.config.observation_clip
    x = np.clip((obs - np.asarray(normalizer.mean, np.float64)) / std, -limit, limit)
    layers = state.average["params"]
    x = hidden(layers["Dense_1"], hidden(layers["Dense_0"], x))
    numbers = 1 if isinstance(agent, PPO) else 2
    if agent.config.actor == "plain":
        output = dense(layers["Dense_2"], x).reshape(-1, numbers, ACTIONS)
    else:
        output = np.zeros((len(obs), numbers, ACTIONS))
        for i, chain in enumerate(CHAINS):
            head = layers[f"MLP_{i}"]
            output[..., list(chain)] = dense(head["Dense_1"], hidden(head["Dense_0"], x)).reshape(
                -1, numbers, len(chain)
            )
    mean = output[:, 0]
    if isinstance(agent, PPO):
        action, log_std = GAINS * mean, np.full_like(mean, np.log(float(agent.noise(state.failure_rate))))
    else:
        low, high = np.log(agent.config.min_std), np.log(agent.config.max_std)
        log_std = low + (high - low) / (1.0 + np.exp(-output[:, 1]))
        action = GAINS * np.tanh(mean)
    return {"action": action, "offset": SCALE * action, "mean": mean, "log_std": log_std}


def misfits(export: Export, folder: Path) -> dict[str, Path]:
    """Whole bundles, by what is wrong with the policy's model in them."""
    signs = {"infer": lower(lambda given: {"action": given["observation"] > 0.0}, {"observation": (1, 360)})}
    models = {"lacks the signature": export.files["observe.tflite"], "not float32": convert(signs)}
    for reason, model in models.items():
        files = export.files | {"policy.tflite": model}
        head = {"version": 1, "exported": "2026-01-02T03:04:05Z"}
        write_bundle(files, export.manifest | head, folder / f"{reason}.zip")
    return {reason: folder / f"{reason}.zip" for reason in models}


def recorded_observations(rollouts: Rollouts) -> np.ndarray:
    """A thousand of training, no two alike, and three among them that are spoilt, the first one of all."""
    rows = rollouts.observation.reshape(-1, rollouts.observation.shape[-1])
    first = np.sort(np.unique(rows, axis=0, return_index=True)[1])[:1000]
    assert len(first) == 1000
    rows = np.insert(rows[first], [0, 6, 6], rows[:3], axis=0)
    rows[[0, 7, 8], [1, 3, 4]] = np.nan, np.inf, np.nan
    return rows
