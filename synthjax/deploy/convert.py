"""From JAX functions to TFLite models: what crosses the seam is ``jax.export`` bytes and names.

The converter has no wheels for some platforms and its interface is young, so nothing else knows it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.export
import jax.numpy as jnp

from synthjax.deploy.model import INSTALL
from synthjax.errors import UserError

Named = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Program:
    """A function as StableHLO, with the names of its arguments and results in order."""

    serialized: bytes  # MLIR bytecode of the portable dialect, as jax.export writes it
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def installed() -> bool:
    """Whether the converter can be imported."""
    try:
        import litert_converter.mlir  # noqa: F401
    except ImportError:
        return False
    return True


def lower(function: Callable[[Named], Named], shapes: Mapping[str, Sequence[int]]) -> Program:
    """``function`` of named float32 arrays, traced for these ``shapes``."""
    names = tuple(shapes)
    results: list[str] = []

    def flat(*values: jax.Array) -> tuple[jax.Array, ...]:
        named = function(dict(zip(names, values, strict=True)))
        results[:] = named
        return tuple(named.values())

    specs = [jax.ShapeDtypeStruct(tuple(shapes[name]), jnp.float32) for name in names]
    # Kept, so that a host feeds every name whatever the function makes of it.
    exported = jax.export.export(jax.jit(flat, keep_unused=True), platforms=["cpu"])(*specs)
    return Program(exported.mlir_module_serialized, names, tuple(results))


def convert(programs: Mapping[str, Program]) -> bytes:
    """The TFLite model whose signatures are these programs, each of them a subgraph.

    Raises:
      UserError: the converter is not installed.
    """
    try:
        from litert_converter.mlir import ir, passmanager
        from litert_converter.mlir._mlir_libs import converter_api_ext as converter
    except ImportError:
        raise UserError(f"The TFLite converter is not installed: {INSTALL}.") from None
    with ir.Context() as context:
        converter.prepare_mlir_context(context)
        modules = []
        for signature, program in programs.items():
            module = ir.Module.parse(program.serialized)
            passes = "vhlo-legalize-stablehlo,reconcile-unrealized-casts,inline,symbol-dce"
            passmanager.PassManager.parse(f"builtin.module({passes})").run(module.operation)
            converter.set_signature(module.operation, signature, program.inputs, program.outputs)
            for operation in module.body.operations:
                if operation.attributes["sym_name"].value == "main":  # as it is called in every module
                    operation.attributes["sym_name"] = ir.StringAttr.get(signature)
            modules.append(module)
        merged = converter.merge_modules(modules)
        manager = passmanager.PassManager()
        converter.run_convert_to_tfl_passes(merged, manager, converter.ConvertToTFLConfig())
        content: bytes = converter.export_flatbuffer_to_bytes(merged.operation)
    return content
