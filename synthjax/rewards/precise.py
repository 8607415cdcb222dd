"""The default tracking reward: DeepMimic's with narrower kernels and two terms of its own.

DeepMimic's kernels are nearly flat within a few centimetres.  More weight on the limbs and the root and
narrower widths keep small errors worth correcting; a narrow term pulls the root onto its place, which
the wide one does from afar; and feet that are on the ground are worth keeping still, which the
reference's own do not do when they land.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from synthjax.rewards import tracking
from synthjax.rewards.deepmimic import DeepMimicReward
from synthjax.rewards.tracking import Terms, TrackingInputs, square


@dataclasses.dataclass(frozen=True)
class PreciseReward(DeepMimicReward):
    """The weights and scales that differ from DeepMimic's, and those of the two new terms."""

    pose_weight: float = 0.25
    pose_scale: float = 0.5
    root_pose_weight: float = 0.1
    root_pose_scale: float = 10.0
    key_body_weight: float = 0.2
    place_weight: float = 0.15  # root position, near
    place_scale: float = 100.0  # 1/m²
    still_feet_weight: float = 0.1  # feet that are on the ground
    still_feet_scale: float = 3.0  # s/m

    def __call__(self, inputs: TrackingInputs) -> Terms:
        place = square(tracking.root_position_error(inputs))
        return super().__call__(inputs) | {
            "place": self.place_weight * jnp.exp(-self.place_scale * place),
            "still_feet": self.still_feet_weight * jnp.exp(-self.still_feet_scale * inputs.foot_slip),
        }
