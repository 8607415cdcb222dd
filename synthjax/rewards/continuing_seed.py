"""The continuing reward of the original Unity project, with its constants.

With s the stand blend between .25 m and .7 m, b = min(1, 3 s), and F = .15 (1 - max(s, .3)) the
weight that orientation leaves to height and upward velocity.  Its heights are absolute metres and
its recovery counts per control step, whatever that lasts; feed it phases of ``seed_phase``.

Two things differ from it.  It took the contact normal with the wrong sign, so that on ordinary ground
no support force ever counted; here forces that carry the body do.  And its strain was unbounded;
here it is that of ``joint_strain``.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from synthjax.rewards import continuing
from synthjax.rewards.continuing import ContinuingInputs, lerp, load_share, proximity, unit
from synthjax.rewards.phases import SEED_FALLEN_HEIGHT, SEED_STANDING_HEIGHT, Phase
from synthjax.rewards.tracking import Terms


@dataclasses.dataclass(frozen=True)
class SeedContinuingReward:
    """The original's twelve terms."""

    alive_weight: float = 0.05 * 0.05
    height_weight: float = 0.20
    orientation_weight: float = 0.15
    energy_weight: float = 0.03
    fallen_energy_weight: float = 0.01
    recovery_weight: float = 0.10
    recovery_step: float = 0.01  # m per control step that pays in full
    imitation_weight: float = 0.12
    upward_velocity_weight: float = 0.10
    comfort_weight: float = 0.10
    foot_support_weight: float = 0.15
    hand_brace_weight: float = 0.08
    active_support_weight: float = 0.07
    phase_bonus: tuple[float, float, float, float] = (0.0, 0.15, 0.40, 0.50)  # by ``Phase``

    def __call__(self, inputs: ContinuingInputs) -> Terms:
        continuing.check(inputs)
        z, standing = inputs.height, inputs.standing_height
        s = continuing.stand_blend(z, SEED_FALLEN_HEIGHT, SEED_STANDING_HEIGHT, inputs.up)
        b = unit(3.0 * s)
        boost = 1.0 + 1.5 * (1.0 - b)
        orientation_share = jnp.maximum(s, 0.3)
        freed = self.orientation_weight * (1.0 - orientation_share)
        tall = jnp.where(z < SEED_STANDING_HEIGHT, z / standing, jnp.exp(-5.0 * jnp.square(z - standing)))
        fallen = inputs.phase == Phase.FALLEN.value
        energy = jnp.where(fallen, self.fallen_energy_weight, self.energy_weight)
        feet = 0.6 * proximity(inputs.foot_height) + 0.4 * load_share(inputs.foot_force, inputs.weight)
        hands = 0.6 * proximity(inputs.hand_height) + 0.4 * load_share(inputs.hand_force, 0.3 * inputs.weight)
        upward = jnp.where(z < 0.9 * standing, unit(2.0 * inputs.velocity[2]), 0.0)
        return {
            "alive": jnp.asarray(self.alive_weight),
            "height": (self.height_weight + 0.6 * freed) * boost * tall,
            "orientation": self.orientation_weight * orientation_share * boost * 0.5 * (inputs.up + 1.0),
            "energy": energy * jnp.exp(-0.1 * jnp.mean(jnp.square(inputs.control))),
            "recovery": self.recovery_weight
            * (1.0 - s)
            * unit((z - inputs.previous_height) / self.recovery_step),
            "imitation": self.imitation_weight * jnp.maximum(s, 0.15) * jnp.exp(-2.0 * inputs.pose_distance),
            "upward_velocity": (self.upward_velocity_weight * (1.0 - s) + 0.4 * freed) * upward,
            "comfort": self.comfort_weight * lerp(0.2, 1.0, b) * jnp.exp(-2.0 * jnp.mean(inputs.strain)),
            "foot_support": self.foot_support_weight * lerp(0.15, 1.0, b) * feet,
            "hand_brace": self.hand_brace_weight * b * hands,
            "active_support": self.active_support_weight * b * unit(active_supports(inputs) / 3.0),
            "phase_bonus": jnp.asarray(self.phase_bonus)[inputs.phase],
        }


def active_supports(inputs: ContinuingInputs) -> jax.Array:
    """Number of feet, hands and knees below 5 cm or carrying more than .05 of the weight.  -> ()."""
    heights = jnp.concatenate([inputs.foot_height, inputs.hand_height, inputs.knee_height])
    forces = jnp.concatenate([inputs.foot_force, inputs.hand_force, inputs.knee_force])
    return jnp.sum((heights < 0.05) | (forces > 0.05 * inputs.weight))
