"""Whole exports of every kind: each environment, agent, actor and format of weights, at tiny size.

One episode record of each environment serves all its policies: observations are those of one of them, and
actions and motor inputs what each makes of these.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from deploy_models import randomised

from synthjax import configs
from synthjax.agents.normalizer import Normalizer
from synthjax.agents.ppo import PPOConfig
from synthjax.agents.sac import SACConfig
from synthjax.deploy import export as exporting
from synthjax.deploy import gates
from synthjax.deploy.bundle import load_bundle, write_bundle
from synthjax.deploy.gates import SURE_HEADING
from synthjax.deploy.judges import JUDGES
from synthjax.deploy.observers import OBSERVERS
from synthjax.deploy.policy import policy_function
from synthjax.deploy.rollouts import Rollouts, record
from synthjax.deploy.runtime import DeployedPolicy
from synthjax.deploy.schema import check_contents
from synthjax.training.build import AGENTS, Run, build
from synthjax.training.policies import make_policy
from synthjax.training.saved import SavedPolicy

TOLERANCE = {"float32": 1e-4, "float16": 1e-2, "int8": 0.2}
WEIGHT_BYTES = {"float32": 4, "float16": 2, "int8": 1}
# The least that other tests leave out: they export imitation with PPO, and both smaller formats of it.
ALWAYS = ("continuous", "ppo", "structured", "float16")
KINDS = [
    pytest.param(*kind, marks=() if kind == ALWAYS else pytest.mark.slow, id="-".join(kind))
    for kind in itertools.product(
        ("imitation", "continuous"), ("ppo", "sac"), ("plain", "structured"), TOLERANCE
    )
]


def policy_of(run: Run, algorithm: str, actor: Any) -> SavedPolicy:
    """A random policy in the environment of ``run``, that moves every joint that it may."""
    sizes: dict[str, Any] = {"num_envs": 8, "unroll_length": 4, "actor": actor, "chain_hidden": (8,)}
    agent_config: Any = (
        PPOConfig(**sizes, num_minibatches=2, num_epochs=1, hidden=(32,))
        if algorithm == "ppo"
        else SACConfig(**sizes, policy_hidden=(32,), critic_hidden=(16,), capacity=2048, learning_starts=64)
    )
    config: Any = dataclasses.replace(run.config, algorithm=algorithm, agent=agent_config)
    agent = AGENTS[algorithm](config, run.env, run.body.chain_actuators, 1)
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(agent.init, jax.random.key(0), jnp.zeros((2, run.env.obs_dim)))
    params = jax.tree.map(lambda x: 0.25 * x, randomised(shapes.params, rng))
    state = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), agent.acting(shapes))
    fields = {
        "params": params,
        "normalizer": Normalizer(
            count=jnp.asarray(100.0),
            mean=jnp.asarray(rng.normal(0.0, 0.1, run.env.obs_dim), jnp.float32),
            variance=jnp.asarray(rng.uniform(0.5, 2.0, run.env.obs_dim), jnp.float32),
        ),
    }
    if hasattr(state, "average"):
        fields["average"] = params["policy"]
    if algorithm == "ppo":
        fields["learning_rate"] = jnp.asarray(agent_config.learning_rate)
    gains = run.env.action_gains(run.env.init_context())
    state = agent.with_gains(dataclasses.replace(state, **fields), gains)
    return SavedPolicy(dataclasses.replace(run, config=config, agent=agent), state, 7)


@functools.cache
def life() -> tuple[Run, Rollouts]:
    """A short always-on environment, and a record of it."""
    config = configs.get("continuous")
    task = dataclasses.replace(config.task, falls=16, life_seconds=2.0)
    run = build(dataclasses.replace(config, task=task))
    policy = policy_of(run, "ppo", "plain")
    observer, judge = OBSERVERS["continuous"](run.env), JUDGES["continuous"](run.env)
    return run, record(run, observer, judge, make_policy(policy.run, True), policy.agent_state, 40)


@pytest.fixture
def record_of(request: pytest.FixtureRequest) -> Any:
    """Of an environment: a run in it, and a record."""

    def found(env: str) -> tuple[Run, Rollouts]:
        if env == "continuous":
            return life()
        return request.getfixturevalue("policy").run, request.getfixturevalue("recorded")[1]

    return found


@pytest.mark.parametrize(("env", "algorithm", "actor", "weights"), KINDS)
def test_every_kind_is_exported(
    env: str,
    algorithm: str,
    actor: str,
    weights: Any,
    record_of: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, recorded = record_of(env)
    policy = policy_of(run, algorithm, actor)
    infer = jax.jit(policy_function(policy.run.agent, policy.agent_state, run.env.steering.offset))
    expected = jax.device_get(infer({"observation": recorded.observation}))
    base = recorded.control - np.asarray(run.env.steering.offset(recorded.action))
    rollouts = dataclasses.replace(recorded, action=expected["action"], control=base + expected["offset"])
    monkeypatch.setattr(exporting, "record", lambda *args: rollouts)
    # Rewards are those of the actions that were recorded, whatever policy is exported.
    reward_gate = gates.reward_gate
    monkeypatch.setattr(
        gates, "reward_gate", lambda reward, carried, _: reward_gate(reward, carried, recorded)
    )
    # And so are the bodies' ways: a bundle of another policy would go elsewhere.
    if (env, algorithm, actor, weights) != ("continuous", "ppo", "plain", "float32"):
        monkeypatch.setattr(exporting, "closed_loop_gate", lambda bundle, _: {})
    export = exporting.prepare(policy, weights, lambda message: None, onnx=has_onnx())
    write_bundle(
        export.files,
        export.manifest | {"version": 1, "exported": "2026-01-02T03:04:05Z"},
        tmp_path / "bundle.zip",
        training=exporting.TRAINING,
    )

    bundle = load_bundle(tmp_path / "bundle.zip")
    check_contents(bundle.manifest, bundle.files)
    assert (bundle.manifest["environment"], bundle.manifest["weights"]) == (env, weights)
    assert bundle.manifest["agent"] == {"algorithm": algorithm, "actor": actor, "steps": 7}
    kernels = [x.size for x in jax.tree.leaves(policy.agent_state.params["policy"]) if x.ndim == 2]
    # The matrices, and what stands around them.
    assert len(export.files["policy.tflite"]) < WEIGHT_BYTES[weights] * sum(kernels) + 20_000
    assert_acts(DeployedPolicy(bundle.manifest, bundle.files), rollouts, TOLERANCE[weights])
    parity = bundle.manifest["parity"]
    assert parity["observations"] >= 1000
    assert max(parity["train step"].values()) <= 0.01
    assert ("return" in parity) == (weights == "int8")
    if "closed loop" in parity:
        assert parity["closed loop"]["joints of the first steps"] <= 2e-3
    if has_onnx():
        assert parity["onnx"]["action"] <= 1e-4
        assert export.onnx is not None


def has_onnx() -> bool:
    import importlib.util

    return importlib.util.find_spec("onnxruntime") is not None


def assert_acts(host: DeployedPolicy, rollouts: Rollouts, tolerance: float) -> None:
    """Motor inputs of a whole episode from what a host reads, with the actions of the record before them."""
    world = int(np.argmax(rollouts.heading_length.min(axis=0)))
    host.reset(rollouts.start[world])
    sure = rollouts.heading_length[:, world] > SURE_HEADING
    for t in range(len(rollouts.reward)):
        host.action = rollouts.inputs["previous_action"][t, world]
        sensors = {name: values[t, world] for name, values in rollouts.inputs.items()}
        sensors.pop("previous_action")
        control = host.step(sensors)
        if sure[t]:
            np.testing.assert_allclose(control, rollouts.control[t, world], atol=5.0 * tolerance)
            np.testing.assert_allclose(host.action, rollouts.action[t, world], atol=5.0 * tolerance)
    assert sure.sum() > 5
    assert np.ptp(rollouts.action[:, world], axis=0).max() > 0.05
    assert host.repeated == 0
