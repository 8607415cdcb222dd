"""How far a simulated figure is from its reference and how its feet hold the ground, for one world."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from synthjax.motion import quaternions as quat
from synthjax.types import Kinematics, PhysicsState

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


def foot_skate(feet: jax.Array, physics: PhysicsState) -> tuple[jax.Array, jax.Array]:
    """Horizontal speed of the feet that are on the ground.

    The speed is that of the material point of the foot on the ground below its frame: zero for a foot
    that rolls without slipping.

    Args:
      feet: (F,) body ids.
      physics: after the step.

    Returns:
      Sum of the speeds in m/s () and the number of feet on the ground ().
    """
    body = physics.kinematics
    down = physics.ground_contact[feet] > 0
    lever = jnp.stack([jnp.zeros(len(feet)), jnp.zeros(len(feet)), -body.xpos[feet, 2]], axis=-1)
    velocity = body.linvel[feet] + jnp.cross(body.angvel[feet], lever)
    speed = jnp.linalg.norm(velocity[:, :2], axis=-1)
    return jnp.sum(jnp.where(down, speed, 0.0)), jnp.sum(down)


def _in_heading_frame(root: int, k: Kinematics, origin: jax.Array) -> jax.Array:
    return quat.quat_rotate_inverse(quat.quat_heading(k.xquat[root]), k.xpos[1:] - origin)
