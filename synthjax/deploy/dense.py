"""TFLite models of plain policies, written straight from the file's schema.

For platforms that the converter has no wheels for.  It knows dense layers, activations and what stands around
them in a policy, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from synthjax.agents.normalizer import MIN_STD
from synthjax.deploy.model import INSTALL
from synthjax.errors import UserError
from synthjax.types import PyTree

_ALIGNMENT = 16  # bytes of constants, which the schema asks for


def dense_policy(
    agent: Any, agent_state: PyTree, scale: np.ndarray, limit: float | None, signature: str
) -> bytes:
    """The model of :func:`~synthjax.deploy.policy.policy_function` for a plain actor.

    Args:
      agent: PPO or SAC.
      agent_state: its state.
      scale: (A,) motor input per unit of action.
      limit: of the action before it is scaled, if there is one.
      signature: that the model is called by.

    Raises:
      UserError: the actor is structured, or the TFLite runtime is not installed.
    """
    if agent.config.actor != "plain":
        raise UserError(
            f"Without the TFLite converter only plain actors are exported: {INSTALL}, "
            "on Linux (x86-64) or macOS (arm64)."
        )
    graph = Graph()
    normalizer, config = agent_state.normalizer, agent.config
    std = np.maximum(np.sqrt(np.asarray(normalizer.variance)), MIN_STD)
    observation = graph.input("observation", (1, agent.obs_dim))
    x = graph.operator("SUB", [observation, graph.constant(normalizer.mean)], agent.obs_dim)
    x = graph.operator("DIV", [x, graph.constant(std)], agent.obs_dim)
    x = graph.clip(x, config.observation_clip, agent.obs_dim)

    layers = agent_state.average["params"]
    *hidden, last = (layers[f"Dense_{i}"] for i in range(len(layers)))
    for layer in hidden:
        x = graph.activation(config.activation, graph.dense(x, layer), layer["bias"].size)

    # An output of its own for the spreads, so that none has to be split.
    size = agent.action_dim
    mean = graph.dense(x, {name: values[..., :size] for name, values in last.items()})
    if agent.squashes:
        spread = graph.dense(x, {name: values[..., size:] for name, values in last.items()})
        low, high = np.log([config.min_std, config.max_std])
        share = graph.operator("LOGISTIC", [spread], size)
        log_std = graph.operator("MUL", [share, graph.constant(np.full(size, high - low))], size)
        log_std = graph.operator("ADD", [log_std, graph.constant(np.full(size, low))], size)
        action = graph.operator("TANH", [mean], size)
    else:
        noise = float(agent.noise(agent_state.failure_rate))
        log_std = graph.constant(np.full((1, size), np.log(noise)))
        action = mean
    action = graph.operator("MUL", [action, graph.constant(agent_state.gains)], size)
    limited = action if limit is None else graph.clip(action, limit, size)
    offset = graph.operator("MUL", [limited, graph.constant(scale)], size)
    outputs = {"action": action, "offset": offset, "mean": mean, "log_std": log_std}
    return graph.serialized(signature, {"observation": observation}, outputs)


class Graph:
    """One subgraph in the making; tensors are numbers, and all that an operator makes is (1, size)."""

    def __init__(self) -> None:
        try:
            from ai_edge_litert import schema_py_generated as schema
        except ImportError:
            raise UserError(f"The TFLite runtime is not installed: {INSTALL}.") from None
        self._schema: Any = schema
        self._tensors: list[Any] = []
        self._buffers: list[Any] = [schema.BufferT()]  # the first one is empty, by convention
        self._operators: list[Any] = []
        self._codes: list[str] = []

    def input(self, name: str, shape: Sequence[int]) -> int:
        return self._tensor(name, shape, 0)

    def constant(self, values: Any) -> int:
        array = np.ascontiguousarray(values, np.float32)
        self._buffers.append(_aligned_buffer(self._schema, array.tobytes()))
        return self._tensor(f"constant_{len(self._tensors)}", array.shape, len(self._buffers) - 1)

    def operator(self, code: str, inputs: Sequence[int], size: int, options: Any = None) -> int:
        """The output of an operator."""
        if code not in self._codes:
            self._codes.append(code)
        output = self._tensor(f"{code.lower()}_{len(self._tensors)}", (1, size), 0)
        operator = self._schema.OperatorT(self._codes.index(code), list(inputs), [output])
        if options is not None:  # else those of the schema's defaults hold
            name = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(self._schema.BuiltinOptions, name)
            operator.builtinOptions = options
        self._operators.append(operator)
        return output

    def dense(self, x: int, layer: Mapping[str, Any]) -> int:
        """x kernel + bias, with ``kernel`` (in, out)."""
        weights = self.constant(np.asarray(layer["kernel"]).T)
        options = self._schema.FullyConnectedOptionsT(keepNumDims=True)
        inputs = [x, weights, self.constant(layer["bias"])]
        return self.operator("FULLY_CONNECTED", inputs, layer["bias"].size, options)

    def clip(self, x: int, limit: float, size: int) -> int:
        x = self.operator("MINIMUM", [x, self.constant(np.full(size, limit))], size)
        return self.operator("MAXIMUM", [x, self.constant(np.full(size, -limit))], size)

    def activation(self, name: str, x: int, size: int) -> int:
        if name == "swish":
            return self.operator("MUL", [x, self.operator("LOGISTIC", [x], size)], size)
        return self.operator(name.upper(), [x], size)

    def serialized(self, signature: str, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> bytes:
        """The model with these tensors as the inputs and outputs of its one signature."""
        import flatbuffers

        schema = self._schema
        codes = [getattr(schema.BuiltinOperator, code) for code in self._codes]
        model = schema.ModelT(
            version=3,
            # Codes beyond 127 do not fit the older field, and none of ours is.
            operatorCodes=[schema.OperatorCodeT(deprecatedBuiltinCode=c, builtinCode=c) for c in codes],
            subgraphs=[
                schema.SubGraphT(
                    tensors=self._tensors, inputs=list(inputs.values()), outputs=list(outputs.values()),
                    operators=self._operators, name="main",
                )
            ],
            buffers=self._buffers,
            signatureDefs=[
                schema.SignatureDefT(
                    inputs=[schema.TensorMapT(*entry) for entry in inputs.items()],
                    outputs=[schema.TensorMapT(*entry) for entry in outputs.items()],
                    signatureKey=signature,
                )
            ],
        )  # fmt: skip
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _tensor(self, name: str, shape: Sequence[int], buffer: int) -> int:
        self._tensors.append(self._schema.TensorT(shape=list(shape), buffer=buffer, name=name, hasRank=True))
        return len(self._tensors) - 1


def _aligned_buffer(schema: Any, content: bytes) -> Any:
    """A buffer whose content begins at a multiple of 16 bytes; the schema's own class packs it anywhere."""

    class Aligned(schema.BufferT):
        def Pack(self, builder: Any) -> int:
            builder.StartVector(1, len(content), _ALIGNMENT)
            builder.head -= len(content)
            builder.Bytes[builder.head : builder.head + len(content)] = content
            data = builder.EndVector()
            schema.BufferStart(builder)
            schema.BufferAddData(builder, data)
            buffer: int = schema.BufferEnd(builder)
            return buffer

    return Aligned()
