"""TFLite models written straight from the file's schema, for platforms without wheels of the converter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from synthjax.deploy.model import INSTALL
from synthjax.errors import UserError

_ALIGNMENT = 16  # bytes of constants, which the schema asks for
_ARITHMETIC = {"+": "ADD", "-": "SUB", "*": "MUL", "/": "DIV"}


class TFLiteGraph:
    """One subgraph in the making, a :class:`~synthjax.deploy.dense.Graph`; tensors are numbers."""

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

    def input(self, name: str, size: int) -> int:
        return self._tensor(name, (1, size), 0)

    def constant(self, values: Any) -> int:
        array = np.ascontiguousarray(values, np.float32)
        self._buffers.append(_aligned_buffer(self._schema, array.tobytes()))
        return self._tensor(f"constant_{len(self._tensors)}", array.shape, len(self._buffers) - 1)

    def dense(self, x: int, layer: Mapping[str, Any]) -> int:
        weights = self.constant(np.asarray(layer["kernel"]).T)
        options = self._schema.FullyConnectedOptionsT(keepNumDims=True)
        inputs = [x, weights, self.constant(layer["bias"])]
        return self._operator("FULLY_CONNECTED", inputs, layer["bias"].size, options)

    def arithmetic(self, sign: str, x: int, values: Any) -> int:
        return self._operator(_ARITHMETIC[sign], [x, self.constant(values)], self._size(x))

    def clip(self, x: int, limit: float) -> int:
        size = self._size(x)
        x = self._operator("MINIMUM", [x, self.constant(np.full(size, limit))], size)
        return self._operator("MAXIMUM", [x, self.constant(np.full(size, -limit))], size)

    def activation(self, name: str, x: int) -> int:
        size = self._size(x)
        if name == "swish":
            return self._operator("MUL", [x, self._operator("LOGISTIC", [x], size)], size)
        return self._operator("LOGISTIC" if name == "sigmoid" else name.upper(), [x], size)

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

    def _operator(self, code: str, inputs: Sequence[int], size: int, options: Any = None) -> int:
        """The output (1, size) of an operator."""
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

    def _size(self, x: int) -> int:
        size: int = self._tensors[x].shape[-1]
        return size

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
