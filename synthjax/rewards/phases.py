"""The phases of a body that falls, gets up, stands and moves.

The original project decides them anew at every step from absolute metres, so that a body at a
threshold flickers between two of them (``seed_phase``).  ``next_phase`` has two values for every
threshold, one to enter a phase and one to leave it, as fractions of the body's standing height.
"""

from __future__ import annotations

import dataclasses
import enum

import chex
import jax
import jax.numpy as jnp

from synthjax.errors import UserError

SEED_FALLEN_HEIGHT = 0.25  # m
SEED_STANDING_HEIGHT = 0.7  # m
SEED_UPRIGHT = 0.707  # z of the root's up axis
SEED_MOVING_SPEED = 0.1  # m/s


class Phase(enum.IntEnum):
    """Ordered: everything from ``STANDING`` on is on its feet."""

    FALLEN = 0
    RECOVERING = 1
    STANDING = 2
    MOVING = 3


@dataclasses.dataclass(frozen=True)
class PhaseConfig:
    """Thresholds; "heights" are standing heights of the root.

    Raises:
      UserError: a value to leave a phase lies on the wrong side of the value to enter it.
    """

    fallen_enter: float = 0.26  # fallen below this many heights
    fallen_leave: float = 0.32  # no longer fallen from this many heights on
    standing_enter: float = 0.76  # on its feet from this many heights on
    standing_leave: float = 0.70  # no longer on its feet below this many heights
    upright_enter: float = 0.78  # on its feet from this z of the up axis on
    upright_leave: float = 0.70  # no longer on its feet below this z of the up axis
    moving_enter: float = 0.12  # moving above this many heights per second
    moving_leave: float = 0.07  # no longer moving below this many heights per second

    def __post_init__(self) -> None:
        for low, high in (
            ("fallen_enter", "fallen_leave"),
            ("fallen_leave", "standing_leave"),
            ("standing_leave", "standing_enter"),
            ("upright_leave", "upright_enter"),
            ("moving_leave", "moving_enter"),
        ):
            if getattr(self, low) > getattr(self, high):
                raise UserError(f"Set the phase threshold {low} to at most {high}.")


def next_phase(
    config: PhaseConfig,
    previous: jax.Array,
    height: jax.Array,
    standing_height: jax.Array,
    up: jax.Array,
    horizontal_speed: jax.Array,
) -> jax.Array:
    """The phase at time t+1 from that at t and the body's state at t+1.

    Args:
      previous: () int, the phase at t.
      height: () root height, m.
      standing_height: () root height of the standing body, m.
      up: () z of the root's up axis in the world, [-1, 1].
      horizontal_speed: () of the root, m/s.

    Returns:
      () int32, a value of ``Phase``.
    """
    chex.assert_rank([previous, height, standing_height, up, horizontal_speed], 0)
    fraction = height / standing_height
    speed = horizontal_speed / standing_height
    was_fallen = previous == Phase.FALLEN.value
    was_on_feet = previous >= Phase.STANDING.value
    was_moving = previous == Phase.MOVING.value
    fallen = fraction < jnp.where(was_fallen, config.fallen_leave, config.fallen_enter)
    tall = fraction >= jnp.where(was_on_feet, config.standing_leave, config.standing_enter)
    upright = up >= jnp.where(was_on_feet, config.upright_leave, config.upright_enter)
    moving = speed > jnp.where(was_moving, config.moving_leave, config.moving_enter)
    return _phase(fallen, tall & upright, moving)


def seed_phase(height: jax.Array, up: jax.Array, horizontal_speed: jax.Array) -> jax.Array:
    """The original's phase of a state: root height in m, z of its up axis, speed in m/s.  -> () int32."""
    chex.assert_rank([height, up, horizontal_speed], 0)
    on_feet = (height >= SEED_STANDING_HEIGHT) & (up >= SEED_UPRIGHT)
    return _phase(height < SEED_FALLEN_HEIGHT, on_feet, horizontal_speed > SEED_MOVING_SPEED)


def _phase(fallen: jax.Array, on_feet: jax.Array, moving: jax.Array) -> jax.Array:
    upright = jnp.where(moving, Phase.MOVING.value, Phase.STANDING.value)
    risen = jnp.where(on_feet, upright, Phase.RECOVERING.value)
    return jnp.where(fallen, Phase.FALLEN.value, risen).astype(jnp.int32)
