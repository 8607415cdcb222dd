"""A policy as dense layers, for files that are written without the converter.

They know dense layers, activations and what stands around them in a policy, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

import numpy as np
import scipy.linalg

from synthjax.agents.networks import StructuredActor
from synthjax.agents.normalizer import MIN_STD
from synthjax.deploy.tflite_graph import TFLiteGraph
from synthjax.types import PyTree

T = TypeVar("T")
Layer = Mapping[str, np.ndarray]  # "kernel" (in, out) and "bias" (out,)


class Graph(Protocol[T]):
    """A graph in the making, whose tensors are (1, size)."""

    def input(self, name: str, size: int) -> T: ...

    def constant(self, values: Any) -> T: ...

    def arithmetic(self, sign: str, x: T, values: Any) -> T:
        """``x`` +, -, * or / constant ``values`` (size,)."""
        ...

    def clip(self, x: T, limit: float) -> T:
        """``x`` within +-``limit``."""
        ...

    def dense(self, x: T, layer: Layer) -> T: ...

    def activation(self, name: str, x: T) -> T:
        """One of those of networks, or ``sigmoid``."""
        ...


def dense_policy(
    agent: Any, agent_state: PyTree, scale: np.ndarray, limit: float | None, signature: str
) -> bytes:
    """The TFLite model of :func:`~synthjax.deploy.policy.policy_function`, which is called by ``signature``.

    Other arguments are those of :func:`build_policy`.

    Raises:
      UserError: the TFLite runtime is not installed.
    """
    graph = TFLiteGraph()
    inputs, outputs = build_policy(graph, agent, agent_state, scale, limit)
    return graph.serialized(signature, inputs, outputs)


def build_policy(
    graph: Graph[T], agent: Any, agent_state: PyTree, scale: np.ndarray, limit: float | None
) -> tuple[dict[str, T], dict[str, T]]:
    """Writes :func:`~synthjax.deploy.policy.policy_function` into ``graph``.

    Args:
      graph: that is empty.
      agent: PPO or SAC.
      agent_state: its state.
      scale: (A,) motor input per unit of action.
      limit: of the action before it is scaled, if there is one.

    Returns:
      The inputs and the outputs by name.
    """
    normalizer, config = agent_state.normalizer, agent.config
    std = np.maximum(np.sqrt(np.asarray(normalizer.variance)), MIN_STD)
    observation = graph.input("observation", agent.obs_dim)
    x = graph.arithmetic("/", graph.arithmetic("-", observation, normalizer.mean), std)
    x = graph.clip(x, config.observation_clip)

    *hidden, last = _layers(agent.actor_critic.policy, agent_state.average["params"])
    for layer in hidden:
        x = graph.activation(config.activation, graph.dense(x, layer))

    # An output of its own for the spreads, so that none has to be split.
    size = agent.action_dim
    mean = graph.dense(x, {name: values[..., :size] for name, values in last.items()})
    if agent.squashes:
        spread = graph.dense(x, {name: values[..., size:] for name, values in last.items()})
        low, high = np.log([config.min_std, config.max_std])
        share = graph.activation("sigmoid", spread)
        log_std = graph.arithmetic("*", share, np.full(size, high - low))
        log_std = graph.arithmetic("+", log_std, np.full(size, low))
        action = graph.activation("tanh", mean)
    else:
        noise = float(agent.noise(agent_state.failure_rate))
        log_std = graph.constant(np.full((1, size), np.log(noise)))
        action = mean
    action = graph.arithmetic("*", action, agent_state.gains)
    limited = action if limit is None else graph.clip(action, limit)
    offset = graph.arithmetic("*", limited, scale)
    outputs = {"action": action, "offset": offset, "mean": mean, "log_std": log_std}
    return {"observation": observation}, outputs


def _layers(actor: Any, params: PyTree) -> list[Layer]:
    """The layers of an actor, those of a structured one with zeros between its heads."""

    def dense(tree: PyTree, count: int) -> list[Layer]:
        return [
            {name: np.asarray(values) for name, values in tree[f"Dense_{i}"].items()} for i in range(count)
        ]

    if not isinstance(actor, StructuredActor):
        return dense(params, len(actor.hidden) + 1)
    layers = dense(params, len(actor.hidden))
    depth = len(actor.chain_hidden) + 1
    heads = [dense(params[f"MLP_{i}"], depth) for i in range(len(actor.chains))]
    for i, level in enumerate(zip(*heads, strict=True)):
        kernels = [layer["kernel"] for layer in level]
        # All heads see the whole trunk; then each sees itself alone.
        kernel = np.concatenate(kernels, axis=1) if i == 0 else scipy.linalg.block_diag(*kernels)
        layers.append({"kernel": kernel, "bias": np.concatenate([layer["bias"] for layer in level])})
    # A head has the first numbers of its actions, then the second ones; that is to be the order of all.
    actions = sum(map(len, actor.chains))
    order = [n * actions + np.array(chain) for chain in actor.chains for n in range(actor.per_action)]
    place = np.argsort(np.concatenate(order))
    layers[-1] = {name: values[..., place] for name, values in layers[-1].items()}
    return layers
