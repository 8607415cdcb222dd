"""From agents to TFLite models: what they compute, and what they must be to pass the first gates."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from deploy_models import ACTIONS, CHAINS, COMBINATIONS, OBS, SCALE, agent_of, by_hand, state_of

from synthjax.agents.sac import SAC
from synthjax.deploy.convert import convert, lower
from synthjax.deploy.dense import dense_policy
from synthjax.deploy.model import Model
from synthjax.deploy.model_checks import check_model
from synthjax.deploy.onnx_policy import ONNXModel, demand_packages, onnx_policy
from synthjax.deploy.policy import policy_function
from synthjax.deploy.quantize import with_weights
from synthjax.errors import UserError

OBSERVATIONS = np.random.default_rng(5).normal(0.0, 3.0, (1000, OBS)).astype(np.float32)


def policy_model(agent: Any, state: Any) -> bytes:
    infer = policy_function(agent, state, lambda action: SCALE * action)
    return convert({"infer": lower(infer, {"observation": (1, OBS)})})


def outputs(content: bytes) -> dict[str, np.ndarray]:
    model = Model("policy.tflite", content, "infer")
    rows = [model({"observation": row[None]}) for row in OBSERVATIONS]
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


# ---------------------------------------------------------------------- what they compute


@pytest.mark.parametrize(("algorithm", "actor"), COMBINATIONS)
def test_policy_is_what_its_parameters_say(algorithm: str, actor: str) -> None:
    agent = agent_of(algorithm, actor)
    state = state_of(agent)
    content = policy_model(agent, state)
    check_model("policy.tflite", content, "infer")
    got, expected = outputs(content), by_hand(agent, state, OBSERVATIONS)
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert got[name].shape == (1000, ACTIONS)
        np.testing.assert_allclose(got[name], value, rtol=1e-5, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("activation", ["elu", "relu", "tanh"])
def test_every_activation_converts(activation: str) -> None:
    agent = agent_of("ppo", "plain", activation)
    state = state_of(agent)
    content = policy_model(agent, state)
    check_model("policy.tflite", content, "infer")
    action, _ = agent.act(state, jnp.asarray(OBSERVATIONS), jax.random.key(0), deterministic=True)
    np.testing.assert_allclose(outputs(content)["action"], action, atol=2e-5)


@pytest.mark.parametrize(("kind", "size", "error"), [("float16", 0.6, 1e-2), ("int8", 0.45, 0.3)])
def test_smaller_weights(kind: Any, size: float, error: float) -> None:
    wide = np.random.default_rng(0).normal(0.0, 0.1, (256, 256)).astype(np.float32)
    head = np.random.default_rng(1).normal(0.0, 0.1, (256, ACTIONS)).astype(np.float32)

    def infer(given: dict[str, jax.Array]) -> dict[str, jax.Array]:
        x = jax.nn.relu(jnp.pad(given["observation"], ((0, 0), (0, 256 - OBS))) @ wide)
        return {"action": x @ head}

    whole = convert({"infer": lower(infer, {"observation": (1, OBS)})})
    small = with_weights(whole, kind)
    assert with_weights(whole, "float32") == whole
    assert len(small) < size * len(whole)
    difference = np.abs(outputs(small)["action"] - outputs(whole)["action"]).max()
    assert 1e-6 < difference < error


# ---------------------------------------------------------------------- what they must be


def model_of(function: Any) -> bytes:
    return convert({"infer": lower(lambda given: {"y": function(given["x"])}, {"x": (3,)})})


@pytest.mark.parametrize(
    ("function", "operator"),
    [
        (lambda x: jax.lax.rem(x, 2.0 * jnp.ones(3)), "FLOOR_MOD"),
        (lambda x: jnp.cbrt(x), "POW"),
        (jnp.cumsum, "CUMSUM"),
    ],
)
def test_other_operators_stop_at_a_gate(function: Any, operator: str) -> None:
    with pytest.raises(UserError, match=f"gate 'operators' and wrote nothing: m.tflite uses.* {operator}"):
        check_model("m.tflite", model_of(function), "infer")


def test_a_second_subgraph_stops_at_a_gate() -> None:
    branches = model_of(lambda x: jax.lax.cond(x[0] > 0.0, jnp.sin, jnp.cos, x))
    with pytest.raises(UserError, match=r"gate 'subgraph' and wrote nothing: m.tflite has 3 subgraphs"):
        check_model("m.tflite", branches, "infer")


def test_another_signature_stops_at_a_gate() -> None:
    with pytest.raises(UserError, match=r"gate 'subgraph' .* has the signatures \['infer'\]"):
        check_model("m.tflite", model_of(jnp.sin), "observe")


def test_other_types_stop_at_a_gate() -> None:
    with pytest.raises(UserError, match=r"gate 'subgraph' .* not float32"):
        check_model("m.tflite", model_of(lambda x: x > 0.0), "infer")


# ---------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    "package", ["litert_converter.mlir", "ai_edge_quantizer", "ai_edge_litert.interpreter"]
)
def test_a_missing_package_names_the_extra(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=r"pip install 'synthjax\[deploy\]'"):
        Model("m.tflite", with_weights(model_of(jnp.sin), "int8"), "infer")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "takes x: given were none"),
        ({"x": np.zeros(3), "y": np.zeros(3)}, "takes x: given were x, y"),
        ({"x": np.zeros(4)}, r"'x' has shape \(4,\): give \(3,\)"),
        ({"x": np.zeros((1, 3))}, r"'x' has shape \(1, 3\)"),
        ({"x": np.array(["a", "b", "c"])}, "'x' holds <U1 instead of numbers"),
        ({"x": None}, "'x' holds object"),
    ],
)
def test_wrong_inputs_are_named(given: dict[str, Any], reason: str) -> None:
    model = Model("m.tflite", model_of(jnp.sin), "infer")
    with pytest.raises(UserError, match=reason):
        model(given)


def test_a_missing_signature_is_named() -> None:
    with pytest.raises(UserError, match=r"lacks the signature 'act' \(it has infer\)"):
        Model("m.tflite", model_of(jnp.sin), "act")


def test_tensors_of_another_type_are_named() -> None:
    with pytest.raises(UserError, match=r"m.tflite: 'y' is bool instead of float32: export it again"):
        Model("m.tflite", model_of(lambda x: x > 0.0), "infer")


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x1c\x00\x00\x00TFL3" + bytes(64)])
def test_a_damaged_model_is_refused(content: bytes) -> None:
    with pytest.raises(UserError, match=r"m.tflite is no model"):
        Model("m.tflite", content, "infer")


# ---------------------------------------------------------------------- without the converter


# What is written, and run, without the converter: agents, actors and every activation.
WRITTEN = [
    *((*kind, "swish") for kind in COMBINATIONS),
    *(("ppo", "structured", a) for a in ("elu", "relu", "tanh")),
]


@pytest.mark.parametrize(("algorithm", "actor", "activation"), WRITTEN)
def test_written_directly_a_policy_is_the_converted_one(algorithm: str, actor: str, activation: str) -> None:
    agent = agent_of(algorithm, actor, activation)
    state = state_of(agent)
    direct = dense_policy(agent, state, SCALE, None, "infer")
    check_model("policy.tflite", direct, "infer")
    assert Model("p", direct, "infer").inputs == Model("p", policy_model(agent, state), "infer").inputs
    got, expected = outputs(direct), outputs(policy_model(agent, state))
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, atol=2e-5, err_msg=name)
    small = outputs(with_weights(direct, "float16"))
    np.testing.assert_allclose(small["action"], expected["action"], atol=2e-2)


def test_written_directly_torques_are_limited() -> None:
    agent = agent_of("ppo", "plain")
    got = outputs(dense_policy(agent, state_of(agent), SCALE, 1.0, "infer"))
    assert np.abs(got["action"]).max() > 2.0
    np.testing.assert_allclose(got["offset"], SCALE * np.clip(got["action"], -1.0, 1.0), atol=1e-6)


def test_written_directly_constants_are_aligned() -> None:
    from ai_edge_litert import schema_py_generated as schema

    agent = agent_of("sac", "plain")
    content = dense_policy(agent, state_of(agent), SCALE, None, "infer")
    model = schema.Model.GetRootAsModel(content, 0)
    base = np.frombuffer(content, np.uint8).ctypes.data
    data = [model.Buffers(i).DataAsNumpy() for i in range(1, model.BuffersLength())]
    assert {(array.ctypes.data - base) % 16 for array in data} == {0}


def test_heads_of_every_depth_are_written() -> None:
    """No hidden layer, and two: heads are merged level by level."""
    for depth in ((), (4, 3)):
        agent = agent_of("sac", "structured")
        agent = SAC(dataclasses.replace(agent.config, chain_hidden=depth), OBS, ACTIONS, chains=CHAINS)
        state = state_of(agent)
        got = outputs(dense_policy(agent, state, SCALE, None, "infer"))
        infer = jax.jit(policy_function(agent, state, lambda action: SCALE * action))
        expected = infer({"observation": OBSERVATIONS})
        for name, value in expected.items():
            np.testing.assert_allclose(got[name], value, atol=2e-5, err_msg=name)


# ---------------------------------------------------------------------- for ONNX Runtime


@pytest.mark.parametrize(("algorithm", "actor", "activation"), WRITTEN)
def test_onnx_runtime_computes_the_policy(algorithm: str, actor: str, activation: str) -> None:
    pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
    agent = agent_of(algorithm, actor, activation)
    state = state_of(agent)
    model = ONNXModel(onnx_policy(agent, state, SCALE, 1.0))
    rows = [model({"observation": row[None]}) for row in OBSERVATIONS]
    infer = policy_function(agent, state, lambda action: SCALE * jnp.clip(action, -1.0, 1.0))
    expected = jax.jit(infer)({"observation": OBSERVATIONS})
    assert set(model.outputs) == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(
            np.concatenate([row[name] for row in rows]), value, atol=2e-5, err_msg=name
        )


def test_without_onnx_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("onnx", "onnxruntime"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            with pytest.raises(UserError, match=r"^--onnx needs .* pip install 'synthjax\[onnx\]'\.$"):
                demand_packages()
