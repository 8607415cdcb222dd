"""What a TFLite model must be, whatever it computes, for every runtime that bundles are made for."""

from __future__ import annotations

from collections.abc import Collection

from synthjax.deploy.gates import stop
from synthjax.deploy.model import INSTALL
from synthjax.errors import UserError

# Built in since long, deterministic, and found equal to JAX.  Left out among others: FLOOR_MOD and POW, which
# stand for lax.rem and cbrt and are silently wrong on negative numbers; SCATTER and WHILE, which few runtimes
# have; everything that is random.
ALLOWED = {
    "ABS", "ADD", "ARG_MAX", "ARG_MIN", "ATAN2", "BATCH_MATMUL", "BROADCAST_TO", "CAST", "CONCATENATION",
    "COS", "DEQUANTIZE", "DIV", "ELU", "EQUAL", "EXP", "EXPAND_DIMS", "FILL", "FLOOR", "FULLY_CONNECTED",
    "GATHER", "GATHER_ND", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "LOG", "LOGICAL_AND",
    "LOGICAL_NOT", "LOGICAL_OR", "LOGISTIC", "MAXIMUM", "MEAN", "MINIMUM", "MUL", "NEG", "NOT_EQUAL",
    "PACK", "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "REDUCE_ALL", "REDUCE_ANY", "REDUCE_MAX",
    "REDUCE_MIN", "RESHAPE", "RSQRT", "SELECT", "SELECT_V2", "SIN", "SLICE", "SPLIT", "SQRT", "SQUARE",
    "SQUARED_DIFFERENCE", "SQUEEZE", "STRIDED_SLICE", "SUB", "SUM", "TANH", "TRANSPOSE", "UNPACK",
}  # fmt: skip


# Of training steps as well: Adam's decay to the power of the count of steps.
ALLOWED_IN_TRAINING = ALLOWED | {"POW"}


def check_model(name: str, content: bytes, *signatures: str, allowed: Collection[str] = ALLOWED) -> None:
    """Gates ``subgraph`` and ``operators`` for the model file ``name``.

    Args:
      name: for messages.
      content: of the file.
      signatures: that it must have, with a subgraph for each.
      allowed: operators.

    Raises:
      UserError: names the gate that fails.
    """
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError:
        raise UserError(f"The TFLite runtime is not installed: {INSTALL}.") from None
    model = schema.Model.GetRootAsModel(content, 0)
    # Some runtimes read the first subgraph only, or know nothing of a second signature.
    if model.SubgraphsLength() != len(signatures):
        stop("subgraph", f"{name} has {model.SubgraphsLength()} subgraphs instead of {len(signatures)}")
    found = [model.SignatureDefs(i).SignatureKey().decode() for i in range(model.SignatureDefsLength())]
    if sorted(found) != sorted(signatures):
        stop("subgraph", f"{name} has the signatures {found} instead of {list(signatures)}")
    graphs = [model.Subgraphs(i) for i in range(len(signatures))]
    for tensor in [
        graph.Tensors(index)
        for graph in graphs
        for index in [*graph.InputsAsNumpy().tolist(), *graph.OutputsAsNumpy().tolist()]
    ]:
        growing = tensor.ShapeSignatureLength() and -1 in tensor.ShapeSignatureAsNumpy().tolist()
        if tensor.Type() != schema.TensorType.FLOAT32 or growing:
            stop(
                "subgraph",
                f"{name} has a tensor '{tensor.Name().decode()}' that is not float32 of fixed size",
            )
    words = {value: word for word, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    codes = [model.OperatorCodes(i) for i in range(model.OperatorCodesLength())]
    # Both fields: codes beyond 127 stand in the newer one.
    used = {words[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())] for code in codes}
    if foreign := used - set(allowed):
        stop("operators", f"{name} uses {', '.join(sorted(foreign))}")
