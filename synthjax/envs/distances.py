"""Distances between the bodies of a simulated figure and those of its reference, for one world."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from synthjax.motion import quaternions as quat
from synthjax.types import Kinematics

_LEVEL = (1.0, 1.0, 0.0)


def world_distances(body: Kinematics, reference: Kinematics) -> jax.Array:
    """World-frame distance of each body from its reference, m.  -> (nbody - 1,)."""
    return jnp.linalg.norm(body.xpos[1:] - reference.xpos[1:], axis=-1)


def aligned_distances(root: int, body: Kinematics, reference: Kinematics) -> jax.Array:
    """The same after aligning root xy and yaw.  -> (nbody - 1,)."""

    def local(k: Kinematics) -> jax.Array:
        return _in_heading_frame(root, k, k.xpos[root] * jnp.array(_LEVEL))

    return jnp.linalg.norm(local(body) - local(reference), axis=-1)


def root_relative_distances(root: int, body: Kinematics, reference: Kinematics) -> jax.Array:
    """The same after aligning root height too.  -> (nbody - 1,)."""

    def local(k: Kinematics) -> jax.Array:
        return _in_heading_frame(root, k, k.xpos[root])

    return jnp.linalg.norm(local(body) - local(reference), axis=-1)


def root_drift(root: int, body: Kinematics, reference: Kinematics) -> jax.Array:
    """Horizontal distance of the root from its reference, m.  -> ()."""
    return jnp.linalg.norm(body.xpos[root, :2] - reference.xpos[root, :2])


def _in_heading_frame(root: int, k: Kinematics, origin: jax.Array) -> jax.Array:
    return quat.quat_rotate_inverse(quat.quat_heading(k.xquat[root]), k.xpos[1:] - origin)
