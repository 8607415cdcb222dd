"""The leaves of a training state by name, in the form in which they can be stored, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from synthjax.types import PyTree


def named_leaves(tree: PyTree) -> dict[str, Any]:
    """The leaves of ``tree`` by path, such as ``agent.params.Dense_0.kernel``; None is no leaf."""
    paths = jax.tree_util.tree_flatten_with_path(tree)[0]
    leaves = {jax.tree_util.keystr(path, simple=True, separator=".") or "value": leaf for path, leaf in paths}
    if len(leaves) != len(paths):
        raise ValueError(
            "Two leaves of the state have the same path: rename a dictionary key that holds a dot."
        )
    return leaves


def _is_key(leaf: Any) -> bool:
    return jax.dtypes.issubdtype(getattr(leaf, "dtype", np.void), jax.dtypes.prng_key)


def describe(leaf: Any) -> str:
    """Type and shape of a leaf, such as ``float32[8,3]`` or ``key<fry>[8]``."""
    array = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
    if not _is_key(array) and array.dtype.kind not in "biufcV":  # V: bfloat16 and its like
        raise TypeError(f"A state holds arrays and numbers, not {leaf!r}: keep it in the metadata.")
    return f"{array.dtype}[{','.join(map(str, array.shape))}]"


def storable(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """What Orbax can store of ``leaves``: plain arrays of at least one element.

    An array without elements is all in its layout.  A state without arrays still needs one to be stored.
    """
    arrays = {name: _plain(leaf) for name, leaf in leaves.items()}
    return {name: array for name, array in arrays.items() if array.size > 0} or {"": np.zeros(1)}


def _plain(leaf: Any) -> Any:
    if isinstance(leaf, jax.ShapeDtypeStruct):
        plain = jax.eval_shape(jax.random.key_data, leaf) if _is_key(leaf) else leaf
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        return jax.ShapeDtypeStruct(plain.shape, plain.dtype, sharding=leaf.sharding or device)
    if isinstance(leaf, jax.Array):
        return jax.random.key_data(leaf) if _is_key(leaf) else leaf
    return np.asarray(leaf)


def as_template(stored: Any, leaf: Any) -> Any:
    """``stored`` in the type of the template's ``leaf``; None stands for an array without elements."""
    if stored is None:
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        return jax.numpy.zeros(leaf.shape, leaf.dtype, device=leaf.sharding)
    if _is_key(leaf):
        impl = jax.random.key_impl(jax.numpy.empty((), leaf.dtype))  # the leaf itself may be abstract
        return jax.random.wrap_key_data(stored, impl=impl)
    if isinstance(leaf, bool | int | float | complex):
        return type(leaf)(stored.item())
    return leaf.dtype.type(stored) if isinstance(leaf, np.generic) else stored
