"""One TFLite model with tensors by name, on ``ai-edge-litert`` and NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from synthjax.errors import UserError

INSTALL = "pip install 'synthjax[deploy]'"


class Model:
    """A model whose one signature has float32 tensors of static shape."""

    def __init__(self, name: str, content: bytes, signature: str, num_threads: int = 1):
        """Loads a model.

        Args:
          name: of its file, for messages.
          content: of its file.
          signature: that it is called by.
          num_threads: that one call may use.

        Raises:
          UserError: ``content`` is no model, lacks the signature or has tensors of another type, or the
            runtime is not installed.
        """
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise UserError(f"The TFLite runtime is not installed: {INSTALL}.") from None
        try:
            interpreter = Interpreter(model_content=content, num_threads=num_threads)
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise UserError(f"{name} is no model that this TFLite runtime can run: {error}") from error
        signatures = interpreter.get_signature_list()
        if signature not in signatures:
            found = ", ".join(signatures) or "none"
            raise UserError(f"{name} lacks the signature '{signature}' (it has {found}): export it again.")
        self.name = name
        self._runner = interpreter.get_signature_runner(signature)
        details = self._runner.get_input_details(), self._runner.get_output_details()
        for tensors in details:
            for key, tensor in tensors.items():
                if tensor["dtype"] != np.float32:
                    kind = np.dtype(tensor["dtype"]).name
                    raise UserError(f"{name}: '{key}' is {kind} instead of float32: export it again.")
        # Shapes by name.
        self.inputs, self.outputs = (
            {key: tuple(map(int, tensor["shape"])) for key, tensor in tensors.items()} for tensors in details
        )

    def __call__(self, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs by name, float32.

        Raises:
          UserError: an input is missing, not known, of another shape, or no array of numbers.
        """
        if given.keys() != self.inputs.keys():
            raise UserError(
                f"{self.name} takes {', '.join(self.inputs)}: given were {', '.join(given) or 'none'}."
            )
        out: dict[str, np.ndarray] = self._runner(**{key: self._array(key, x) for key, x in given.items()})
        return out

    def _array(self, key: str, value: np.ndarray) -> np.ndarray:
        array = np.asarray(value)
        if array.dtype.kind not in "fiu":
            raise UserError(f"{self.name}: '{key}' holds {array.dtype} instead of numbers: give float32.")
        if array.shape != self.inputs[key]:
            raise UserError(
                f"{self.name}: '{key}' has shape {array.shape}: give {self.inputs[key]}, float32."
            )
        with np.errstate(over="ignore"):  # a number that float32 cannot hold is not finite
            return np.ascontiguousarray(array, np.float32)
