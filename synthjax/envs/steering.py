"""How a policy's actions become what the motors are told, the same in both environments."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from synthjax.bodies import Body


class Steering:
    """Adds actions to a reference's joint angles, or takes them as torques where a body has no servos."""

    def __init__(self, body: Body, share: float):
        """``share`` of the body's own scale of joint targets is one unit of action; torques have theirs."""
        self._servos = body.drive == "servo"
        self.scale = jnp.asarray((share if self._servos else 1.0) * body.action_scale, jnp.float32)

    def offset(self, action: jax.Array) -> jax.Array:
        """What an action (nu,) adds to the motor input of a zero action, (nu,)."""
        return self.scale * (action if self._servos else jnp.clip(action, -1.0, 1.0))
