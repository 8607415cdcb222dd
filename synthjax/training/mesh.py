"""Data parallelism: the worlds of a run split over devices, everything else on each of them.

Gradients, statistics and metrics are averaged over the devices, so that all of them learn the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from synthjax.types import PyTree

WORLDS = "worlds"  # the one axis of the mesh
SPLIT, COPIED = PartitionSpec(WORLDS), PartitionSpec()
Function = TypeVar("Function", bound=Callable[..., Any])


def worlds_mesh(*counts: int) -> Mesh:
    """A mesh of as many devices as divide all ``counts`` of worlds evenly.

    A CPU is one device: the native engine uses all its cores by itself, which measures faster than a
    device for each core.
    """
    devices = jax.devices()
    if devices[0].platform == "cpu":
        devices = devices[:1]
    while math.gcd(*counts) % len(devices):
        devices = devices[:-1]
    return Mesh(np.array(devices), (WORLDS,))


def over_worlds(mesh: Mesh, function: Function, in_specs: PyTree, out_specs: PyTree) -> Function:
    """``function`` on every device's own worlds; specs are :data:`SPLIT` or :data:`COPIED`."""
    # Results of callbacks carry no mark of the axis that they vary over, so the check cannot pass.
    return jax.shard_map(function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)


def copied(mesh: Mesh, tree: PyTree) -> PyTree:
    """``tree`` on every device of ``mesh``."""
    return jax.device_put(tree, NamedSharding(mesh, COPIED))


def split(mesh: Mesh, tree: PyTree) -> PyTree:
    """``tree`` with the leading axis of its leaves over the devices of ``mesh``."""
    return jax.device_put(tree, NamedSharding(mesh, SPLIT))
