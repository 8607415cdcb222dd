"""Data parallelism: the worlds of a run split over devices, everything else on each of them.

Gradients, statistics and metrics are averaged over the devices, so that all of them learn the same.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from synthjax.errors import UserError
from synthjax.types import PyTree

WORLDS = "worlds"  # the one axis of the mesh
SPLIT, COPIED = PartitionSpec(WORLDS), PartitionSpec()
Function = TypeVar("Function", bound=Callable[..., Any])


def worlds_mesh(num_envs: int, minibatch_size: int) -> Mesh:
    """A mesh of as many devices as divide worlds and minibatches evenly, equally many of each process.

    A CPU is one device: the native engine uses all its cores by itself, which measures faster than a
    device for each core.

    Raises:
      UserError: the processes of the run cannot share the worlds evenly.
    """
    devices, processes, shared = jax.devices(), jax.process_count(), math.gcd(num_envs, minibatch_size)
    if shared % processes:
        raise UserError(
            f"{processes} processes cannot share the {num_envs} environments evenly, or the {minibatch_size} "
            f"transitions of a minibatch: choose numbers that {processes} divides."
        )
    parts = [[device for device in devices if device.process_index == i] for i in range(processes)]
    most = 1 if devices[0].platform == "cpu" else min(map(len, parts))
    each = next(n for n in range(most, 0, -1) if shared % (n * processes) == 0)
    return Mesh(np.array([device for part in parts for device in part[:each]]), (WORLDS,))


def over_worlds(mesh: Mesh, function: Function, in_specs: PyTree, out_specs: PyTree) -> Function:
    """``function`` on every device's own worlds; specs are :data:`SPLIT` or :data:`COPIED`."""
    # Results of callbacks carry no mark of the axis that they vary over, so the check cannot pass.
    return jax.shard_map(function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)


def copied(mesh: Mesh, tree: PyTree) -> PyTree:
    """``tree``, equal in all processes, on every device of ``mesh``."""
    return _placed(tree, NamedSharding(mesh, COPIED))


def split(mesh: Mesh, tree: PyTree) -> PyTree:
    """``tree``, equal in all processes, with the leading axis of its leaves over the devices of ``mesh``."""
    return _placed(tree, NamedSharding(mesh, SPLIT))


def fetched(mesh: Mesh, tree: PyTree) -> PyTree:
    """``tree``, computed on ``mesh``, whole on the host of every process."""
    if mesh.is_multi_process:
        tree = _placed(tree, NamedSharding(mesh, COPIED))
    return jax.device_get(tree)


def _placed(tree: PyTree, sharding: NamedSharding) -> PyTree:
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)
    return _program(sharding)(tree)  # device_put would first compare every leaf between the processes


@functools.cache
def _program(sharding: NamedSharding) -> Callable[[PyTree], PyTree]:
    return jax.jit(lambda tree: tree, out_shardings=sharding)
