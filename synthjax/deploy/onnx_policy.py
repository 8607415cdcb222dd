"""Policies for ONNX Runtime: files of ONNX written straight from their layers, and what runs them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from synthjax.deploy.dense import build_policy
from synthjax.errors import UserError
from synthjax.types import PyTree
from synthjax.whole_files import replacing

ONNX = ".onnx"
INSTALL = "pip install 'synthjax[onnx]'"
MANIFEST = "manifest"  # under which a file's metadata has it, as JSON

_OPSET, _IR = 13, 7  # of 2020: Unity Sentis reads up to 15
_ARITHMETIC = {"+": "Add", "-": "Sub", "*": "Mul", "/": "Div"}


def demand_packages() -> None:
    """Raises UserError if ONNX files cannot be written or checked here."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError:
        raise UserError(f"--onnx needs the packages onnx and onnxruntime: {INSTALL}.") from None


def onnx_policy(agent: Any, agent_state: PyTree, scale: np.ndarray, limit: float | None) -> bytes:
    """The ONNX file of :func:`~synthjax.deploy.policy.policy_function`, (1, size) float32 in and out.

    Arguments are those of :func:`~synthjax.deploy.dense.build_policy`.
    """
    graph = ONNXGraph()
    return graph.serialized(*build_policy(graph, agent, agent_state, scale, limit))


def write_onnx(path: Path, content: bytes, manifest: Mapping[str, Any]) -> int:
    """Writes the ONNX file ``content``, whole or not at all, with what it needs of a bundle's ``manifest``.

    Returns:
      Its size in bytes.

    Raises:
      UserError: the place cannot be written.
    """
    import onnx

    # What is said of the bundle's other files would be wrong of this one.
    alone = {name: value for name, value in manifest.items() if name not in ("clips", "finetune", "observe")}
    model = onnx.load_from_string(content)
    metadata = json.dumps(alone | {"weights": "float32"}, allow_nan=False)
    onnx.helper.set_model_props(model, {MANIFEST: metadata})
    model.model_version = manifest["version"]
    content = model.SerializeToString()
    try:
        with replacing(path) as partial:
            partial.write_bytes(content)
    except OSError as error:
        raise UserError(
            f"Cannot write '{path}' ({error.strerror}): make room or choose another place."
        ) from error
    return len(content)


class ONNXGraph:
    """A graph in the making, a :class:`~synthjax.deploy.dense.Graph`; tensors are names."""

    def __init__(self) -> None:
        import onnx

        self._onnx: Any = onnx
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._sizes: dict[str, int] = {}

    def input(self, name: str, size: int) -> str:
        self._sizes[name] = size
        return name

    def constant(self, values: Any) -> str:
        array = np.ascontiguousarray(values, np.float32)
        name = f"constant_{len(self._constants)}"
        self._constants.append(self._onnx.numpy_helper.from_array(array, name))
        self._sizes[name] = array.shape[-1] if array.ndim else 1
        return name

    def dense(self, x: str, layer: Mapping[str, np.ndarray]) -> str:
        inputs = [x, self.constant(layer["kernel"]), self.constant(layer["bias"])]
        return self._node("Gemm", inputs, layer["bias"].size)

    def arithmetic(self, sign: str, x: str, values: Any) -> str:
        return self._node(_ARITHMETIC[sign], [x, self.constant(values)], self._sizes[x])

    def clip(self, x: str, limit: float) -> str:
        return self._node("Clip", [x, self.constant(-limit), self.constant(limit)], self._sizes[x])

    def activation(self, name: str, x: str) -> str:
        size = self._sizes[x]
        if name == "swish":
            return self._node("Mul", [x, self._node("Sigmoid", [x], size)], size)
        return self._node(name.capitalize(), [x], size)

    def serialized(self, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> bytes:
        """The file with these tensors as inputs and outputs, by name."""
        helper = self._onnx.helper
        named = [helper.make_node("Identity", [tensor], [name]) for name, tensor in outputs.items()]
        model = helper.make_model(
            helper.make_graph(
                [*self._nodes, *named],
                "policy",
                [self._declared(name, self._sizes[name]) for name in inputs],
                [self._declared(name, self._sizes[tensor]) for name, tensor in outputs.items()],
                self._constants,
            ),
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR,
            producer_name="synthjax",
        )
        self._onnx.checker.check_model(model, full_check=True)
        content: bytes = model.SerializeToString()
        return content

    def _declared(self, name: str, size: int) -> Any:
        return self._onnx.helper.make_tensor_value_info(name, self._onnx.TensorProto.FLOAT, [1, size])

    def _node(self, operator: str, inputs: list[str], size: int) -> str:
        name = f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(operator, inputs, [name]))
        self._sizes[name] = size
        return name


class ONNXModel:
    """What a gate needs of a file: a call by name on one thread, as :class:`~synthjax.deploy.model.Model`."""

    def __init__(self, content: bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self.outputs = tuple(output.name for output in self._session.get_outputs())

    def __call__(self, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        values = self._session.run(self.outputs, {name: np.float32(x) for name, x in given.items()})
        return dict(zip(self.outputs, values, strict=True))
