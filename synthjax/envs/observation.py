"""Observation layouts: named parts with slices and a hash that checkpoints and bundles carry."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class ObservationLayout:
    """Order and size of the named parts of a flat observation."""

    sizes: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, parts: Mapping[str, jax.Array | jax.ShapeDtypeStruct]) -> ObservationLayout:
        """The layout of a mapping from names to arrays; the order is the mapping's."""
        return cls(tuple((name, part.size) for name, part in parts.items()))

    @property
    def dim(self) -> int:
        return sum(size for _, size in self.sizes)

    @property
    def slices(self) -> dict[str, slice]:
        """Name -> slice of the flat vector."""
        result, start = {}, 0
        for name, size in self.sizes:
            result[name] = slice(start, start + size)
            start += size
        return result

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that change with any name, size or order."""
        return hashlib.sha256(json.dumps(self.sizes).encode()).hexdigest()[:12]


def flatten(parts: Mapping[str, jax.Array]) -> jax.Array:
    """The parts one after another as one float32 vector.  -> (obs_dim,)."""
    return jnp.concatenate([jnp.ravel(part).astype(jnp.float32) for part in parts.values()])
