"""Smaller weights for a TFLite model."""

from __future__ import annotations

import contextlib
import io
from typing import Any, Literal

from synthjax.deploy.model import INSTALL
from synthjax.errors import UserError

Format = Literal["float32", "float16", "int8"]


def with_weights(model: bytes, kind: Format) -> bytes:
    """``model`` with the matrices of its dense layers stored as ``kind``.

    float16 weights are widened when the model is loaded, so its arithmetic is that of float32.  int8 is
    dynamic: a scale for each output, and activations rounded to 8 bits layer by layer.

    Raises:
      UserError: the quantiser is not installed.
    """
    if kind == "float32":
        return model
    try:
        from ai_edge_quantizer import algorithm_manager, qtyping, quantizer
    except ImportError:
        raise UserError(f"--format {kind} needs the TFLite quantiser: {INSTALL}.") from None
    work = quantizer.Quantizer(bytearray(model))
    dense: dict[str, Any] = {"regex": ".*", "operation_name": qtyping.TFLOperationName.FULLY_CONNECTED}
    if kind == "float16":
        casting = algorithm_manager.AlgorithmName.FLOAT_CASTING
        work.add_weight_only_config(**dense, num_bits=16, algorithm_key=casting)
    else:
        work.add_dynamic_config(**dense, num_bits=8)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its own figures
        return bytes(work.quantize().quantized_model)
