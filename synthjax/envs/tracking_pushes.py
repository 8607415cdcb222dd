"""Pushes of a body that follows a reference: the better it follows, the stronger they are."""

from __future__ import annotations

import jax

from synthjax.bodies import Body
from synthjax.envs.body_parts import chest_of
from synthjax.envs.drift import DriftConfig, tightness
from synthjax.envs.pushes import Pushes, PushState, advance_push, next_push, pushed
from synthjax.types import PhysicsState


class TrackingPushes:
    """Pushes at the chest of one body.

    They have the share of their speed that the limit on drift has of its way to the narrowest: a body that
    fails gets more room and is pushed less.
    """

    def __init__(self, config: Pushes, drift: DriftConfig, body: Body):
        self.config, self.drift = config, drift
        self.chest, self.mass = chest_of(body), float(body.model.body_mass.sum())

    def strength(self, drift_limit: jax.Array) -> jax.Array:
        """Share () of the speed under a limit of ``drift_limit`` () m."""
        return tightness(self.drift, drift_limit)

    def next(self, drift_limit: jax.Array, control_dt: float | jax.Array, key: jax.Array) -> PushState:
        """The push that comes after now."""
        return next_push(self.config, self.strength(drift_limit), self.mass, control_dt, key)

    def felt(self, physics: PhysicsState, push: PushState) -> PhysicsState:
        """``physics`` with the force of the coming control step."""
        return pushed(physics, self.chest, push)

    def after(
        self, push: PushState, drift_limit: jax.Array, control_dt: float | jax.Array, key: jax.Array
    ) -> PushState:
        """The push after a control step."""
        return advance_push(self.config, push, self.next(drift_limit, control_dt, key), control_dt)
