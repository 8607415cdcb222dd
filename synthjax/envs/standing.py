"""The fixed rule of what standing is, for attempts to get up and for what motors weaken by."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from synthjax.envs.body_parts import BodyParts
from synthjax.envs.continuous_reward import up_z
from synthjax.types import PhysicsState

HEIGHT, UP = 0.9, 0.9  # least, of the standing height and of the up axis
HOLD_SECONDS = 2.0  # on end


def lies(parts: BodyParts, physics: PhysicsState) -> jax.Array:
    """Whether something else than the feet is on the ground, () bool."""
    feet = jnp.sum(parts.sole_of_body, axis=0) > 0
    return jnp.any((physics.ground_contact > 0) & ~feet)


def stands(parts: BodyParts, physics: PhysicsState, standing_height: float) -> jax.Array:
    """Whether the root is high and upright and nothing but the feet on the ground, () bool."""
    body = physics.kinematics
    high = body.xpos[parts.root, 2] >= HEIGHT * standing_height
    return high & (up_z(body, parts.root) >= UP) & ~lies(parts, physics)
