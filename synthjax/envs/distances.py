"""How far a simulated figure is from its reference and how its feet hold the ground, for one world."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from synthjax.motion import quaternions as quat
from synthjax.motion.ground import floor_speed
from synthjax.types import Kinematics, PhysicsState

_LEVEL = (1.0, 1.0, 0.0)


def world_distances(body: Kinematics, reference: Kinematics) -> jax.Array:
    """World-frame distance of each body from its reference, m.  -> (nbody - 1,)."""
    return jnp.linalg.norm(body.xpos[1:] - reference.xpos[1:], axis=-1)


def aligned_distances(root: int, body: Kinematics, reference: Kinematics) -> jax.Array:
    """The same after aligning root xy and yaw.  -> (nbody - 1,)."""
    level = jnp.array(_LEVEL)
    return _distances(root, body, level * body.xpos[root], reference, level * reference.xpos[root])


def root_relative_distances(root: int, body: Kinematics, reference: Kinematics) -> jax.Array:
    """The same after aligning root height too.  -> (nbody - 1,)."""
    return _distances(root, body, body.xpos[root], reference, reference.xpos[root])


def root_drift(root: int, body: Kinematics, reference: Kinematics) -> jax.Array:
    """Horizontal distance of the root from its reference, m.  -> ()."""
    return jnp.linalg.norm(body.xpos[root, :2] - reference.xpos[root, :2])


def foot_skate(feet: jax.Array, physics: PhysicsState) -> tuple[jax.Array, jax.Array]:
    """Horizontal speed on the floor (:func:`floor_speed`) of the feet that are on the ground.

    Args:
      feet: (F,) body ids.
      physics: after the step.

    Returns:
      Sum of the speeds in m/s () and the number of feet on the ground ().
    """
    body = physics.kinematics
    down = physics.ground_contact[feet] > 0
    speed = floor_speed(body.xpos[feet], body.linvel[feet], body.angvel[feet])
    return jnp.sum(jnp.where(down, speed, 0.0)), jnp.sum(down)


def _distances(
    root: int, body: Kinematics, body_origin: jax.Array, reference: Kinematics, reference_origin: jax.Array
) -> jax.Array:
    """Distances of the bodies from their origins (3,), the reference turned by the yaw between the roots.

    That is the yaw of the rotation from the one root to the other.  The difference of the two headings
    would be arbitrary for a figure whose pelvis lies face up or down.
    """
    turn = quat.quat_heading(quat.quat_mul(body.xquat[root], quat.quat_conj(reference.xquat[root])))
    expected = quat.quat_rotate(turn, reference.xpos[1:] - reference_origin)
    return jnp.linalg.norm(body.xpos[1:] - body_origin - expected, axis=-1)
