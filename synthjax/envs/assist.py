"""A hand under the chest while a body learns to get up, taken away as it succeeds.

HoST (Huang et al. 2025, section on the force curriculum) pulls a robot up by its torso and lowers the force
once it stands.  Here the force is in proportion to what the chest lacks of its standing height, so that a
body that stands feels none of it, and its share follows the time that all worlds spend on their feet.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

_NONE_BELOW = 0.01  # a share this small is none


@dataclasses.dataclass(frozen=True)
class AssistConfig:
    """How strong the help is, and when it becomes less."""

    most: float = 0.6  # body weights, upward at the chest of a body that lies flat
    ease_above: float = 0.4  # share of time on its feet above which the help shrinks
    raise_below: float = 0.2  # share below which it grows again
    rate: float = 0.01  # relative change per update


def assist_force(
    config: AssistConfig, share: jax.Array, height: jax.Array, standing_height: float, weight: float
) -> jax.Array:
    """Upward force in N at the chest.

    Args:
      config: of the help.
      share: () of the help that is left.
      height: () of the chest, m.
      standing_height: of the chest, m.
      weight: of the body, N.

    Returns:
      ().
    """
    lacking = jnp.clip(1.0 - height / standing_height, 0.0, 1.0)
    return share * config.most * weight * lacking


def update_share(config: AssistConfig, share: jax.Array, on_feet: jax.Array) -> jax.Array:
    """The share () after an update in which worlds were on their feet for ``on_feet`` () of the time."""
    factor = jnp.where(
        on_feet > config.ease_above,
        1.0 - config.rate,
        jnp.where(on_feet < config.raise_below, 1.0 + config.rate, 1.0),
    )
    share = jnp.minimum(share * factor, 1.0)
    return jnp.where(share < _NONE_BELOW, 0.0, share)
