"""Means over the devices that share a batch."""

from __future__ import annotations

from typing import TypeVar

import jax
import jax.numpy as jnp

Tree = TypeVar("Tree")


def mean_over(axis: str | None, tree: Tree) -> Tree:
    """Leaf-wise mean over the devices along ``axis`` of ``shard_map``; ``tree`` itself without one.

    Every device holds equally many samples, so that the mean of their means is the mean of all; other
    figures of the devices, such as a share of explained variance, are averaged as they are.
    """
    averaged: Tree = tree if axis is None else jax.lax.pmean(tree, axis)
    return averaged


def batch_mean(x: jax.Array, axis: str | None, over: int | None = None) -> jax.Array:
    """``jnp.mean(x, over)`` of the samples on all devices along ``axis``."""
    return mean_over(axis, jnp.mean(x, axis=over))
