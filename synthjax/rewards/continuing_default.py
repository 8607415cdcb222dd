"""The default continuing reward: every part of getting up pays, and standing pays most.

    r = alive + height + head + orientation + foot support + hand brace + imitation
        + standing (product of height, head, uprightness, stillness and foot support)
        + upward velocity - action rate - energy - comfort

The weights make it about 0.1 a step for a body that lies and 0.95 for one that stands.  All lengths and
speeds are fractions of the body's standing height and all rates are per second, so that neither the
body's size nor the control rate changes what a behaviour is worth.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from synthjax.rewards import continuing
from synthjax.rewards.continuing import ContinuingInputs, lerp, load_share, unit
from synthjax.rewards.tracking import Terms, square


@dataclasses.dataclass(frozen=True)
class DefaultContinuingReward:
    """Weights and scales; "heights" are standing heights of the root (of the head for ``head``)."""

    alive_weight: float = 0.02
    height_weight: float = 0.18
    head_weight: float = 0.10
    orientation_weight: float = 0.10
    standing_weight: float = 0.40
    foot_support_weight: float = 0.10
    hand_brace_weight: float = 0.04
    imitation_weight: float = 0.06
    upward_velocity_weight: float = 0.04
    action_rate_weight: float = 0.02
    energy_weight: float = 0.02
    comfort_weight: float = 0.02
    lying: float = 0.10  # heights that pay nothing yet
    tall: float = 0.95  # heights that pay in full
    still_speed: float = 0.5  # heights per second at which standing pays exp(-1)
    brace_load: float = 0.3  # share of the weight on the hands that pays in full
    imitation_floor: float = 0.2  # share of imitation's weight that a lying body gets
    pose_scale: float = 2.0  # 1/rad
    climb_until: float = 0.9  # heights above which rising pays nothing
    climb_speed: float = 1.0  # heights per second that pay in full
    fall_speed: float = 5.0  # heights per second up to which falling costs
    action_rate: float = 20.0  # action units per second (RMS) at which the cost is half of its weight

    def __call__(self, inputs: ContinuingInputs) -> Terms:
        continuing.check(inputs)
        fraction = inputs.height / inputs.standing_height
        blend = continuing.stand_blend(fraction, self.lying, self.tall, inputs.up)
        height = self._rise(fraction)
        head = self._rise(inputs.head_height / inputs.standing_head_height)
        upright = jnp.square(unit(0.5 * (1.0 + inputs.up)))
        still = jnp.exp(-square(inputs.velocity / (self.still_speed * inputs.standing_height)))
        feet = load_share(inputs.foot_force, inputs.weight)
        hands = load_share(inputs.hand_force, self.brace_load * inputs.weight)
        near = jnp.exp(-self.pose_scale * inputs.pose_distance)
        return {
            "alive": jnp.asarray(self.alive_weight),
            "height": self.height_weight * height,
            "head": self.head_weight * head,
            "orientation": self.orientation_weight * upright,
            "standing": self.standing_weight * height * head * upright * still * feet,
            "foot_support": self.foot_support_weight * feet,
            "hand_brace": self.hand_brace_weight * (1.0 - blend) * hands,
            "imitation": self.imitation_weight * lerp(self.imitation_floor, 1.0, blend) * near,
            "upward_velocity": self.upward_velocity_weight * self._climb(inputs),
            "action_rate": -self.action_rate_weight * self._jerkiness(inputs),
            "energy": -self.energy_weight * jnp.mean(jnp.square(inputs.motor_use)),
            "comfort": -self.comfort_weight * jnp.mean(inputs.strain),
        }

    def _rise(self, fraction: jax.Array) -> jax.Array:
        """x + x² - x³ of the way x from lying to tall: slope 1 where it starts, 0 where it is done."""
        x = unit((fraction - self.lying) / (self.tall - self.lying))
        return x + jnp.square(x) - x**3

    def _climb(self, inputs: ContinuingInputs) -> jax.Array:
        """Mean upward speed of the control step, of the part of it below ``climb_until``.

        A fall of up to ``fall_speed`` costs what the climb has paid: the sum over any way back to the
        same height is at most zero, so that neither hopping nor rocking earns.  The bound is beyond a
        free fall of a grown body and keeps a teleport from costing more.
        -> () in [-fall_speed / climb_speed, 1].
        """
        before, after = (
            jnp.clip(h / inputs.standing_height, 0.0, self.climb_until)
            for h in (inputs.previous_height, inputs.height)
        )
        speed = (after - before) / inputs.control_dt
        return jnp.clip(speed, -self.fall_speed, self.climb_speed) / self.climb_speed

    def _jerkiness(self, inputs: ContinuingInputs) -> jax.Array:
        """x / (1 + x) of the mean squared action rate x: less is better at every noise.  -> () in [0, 1]."""
        rate = (inputs.action - inputs.previous_action) / inputs.control_dt
        return 1.0 - 1.0 / (1.0 + jnp.mean(jnp.square(rate / self.action_rate)))
