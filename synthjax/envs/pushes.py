"""Random pushes: a horizontal force at one body for a moment, again and again.

A push is given by the speed that its impulse would give the whole body, so that the same number means the
same for a child and a grown-up (the pushes of Rudin et al. 2022 set that speed at once).
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct

from synthjax.envs.timing import steps_in
from synthjax.types import PhysicsState


@dataclasses.dataclass(frozen=True)
class Pushes:
    """How strong pushes are and how often they come."""

    speed: float = 0.5  # m/s, most that a push's impulse gives the whole body; 0 pushes nobody
    every_seconds: float = 4.0  # mean time from the end of one push to the next
    seconds: float = 0.2  # how long one lasts


@dataclasses.dataclass(frozen=True)
class PushConfig(Pushes):
    """Pushes that follow how much a body is on its feet."""

    none_below: float = 0.6  # share of time on its feet up to which nobody is pushed
    full_above: float = 0.8  # and from which on pushes have their full speed


@struct.dataclass
class PushState:
    """The push that comes next or is going on."""

    force: jax.Array  # (3,) N, world axes
    wait: jax.Array  # () int32, control steps until it begins; not above zero while it lasts


def push_force(
    config: Pushes, speed: jax.Array, angle: jax.Array, mass: float, control_dt: float | jax.Array
) -> jax.Array:
    """Force (3,) in N of a push by ``speed`` () m/s towards ``angle`` () rad from the world's x axis."""
    newtons = mass * speed / (steps_in(config.seconds, control_dt) * control_dt)
    return newtons * jnp.stack([jnp.cos(angle), jnp.sin(angle), jnp.zeros_like(angle)])


def push_strength(config: PushConfig, on_feet: jax.Array) -> jax.Array:
    """Share () of the speed that worlds which are on their feet for ``on_feet`` () of the time can stand."""
    return jnp.clip((on_feet - config.none_below) / (config.full_above - config.none_below), 0.0, 1.0)


def no_push() -> PushState:
    """Nothing comes for as long as anybody counts."""
    return PushState(force=jnp.zeros(3), wait=jnp.asarray(2**30, jnp.int32))


def next_push(
    config: Pushes, strength: jax.Array, mass: float, control_dt: float | jax.Array, key: jax.Array
) -> PushState:
    """A push in any direction by up to ``strength`` () of the configured speed, after a while.

    The time to it is exponential, so that it cannot be foreseen.
    """
    direction_key, speed_key, wait_key = jax.random.split(key, 3)
    angle = jax.random.uniform(direction_key, maxval=2.0 * jnp.pi)
    speed = strength * config.speed * jax.random.uniform(speed_key)
    wait = jax.random.exponential(wait_key) * config.every_seconds / control_dt
    return PushState(
        force=push_force(config, speed, angle, mass, control_dt),
        wait=1 + jnp.round(wait).astype(jnp.int32),
    )


def current_force(push: PushState) -> jax.Array:
    """Force (3,) in N of the coming control step."""
    return jnp.where(push.wait <= 0, push.force, 0.0)


def pushed(physics: PhysicsState, body: int, push: PushState) -> PhysicsState:
    """``physics`` with the push that goes on, at the body with the id ``body``."""
    force = physics.xfrc_applied.at[body, :3].set(current_force(push))
    return dataclasses.replace(physics, xfrc_applied=force)


def advance_push(
    config: Pushes, push: PushState, following: PushState, control_dt: float | jax.Array
) -> PushState:
    """The push after a control step; ``following`` once it is over."""
    wait = push.wait - 1
    over = wait <= -steps_in(config.seconds, control_dt)
    gone_on = dataclasses.replace(push, wait=wait)
    chosen: PushState = jax.tree.map(lambda a, b: jnp.where(over, a, b), following, gone_on)
    return chosen
