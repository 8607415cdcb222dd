"""The tracking reward of the original Unity project, with its constants.

    r = .5 exp(-2 mean Δq²) + .1 exp(-.1 mean Δq̇²) + .15 exp(-5 (Δz² + θ²))
        + .1 exp(-(|Δv|² + |Δω|²)) + .15 exp(-10 mean_k |Δp_k|²)

One thing differs from it: its key-body offsets were taken from the world's origin by mistake, which
made that term vanish as soon as the body drifted; here they are taken from the pelvis, world axes.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from synthjax.rewards import tracking
from synthjax.rewards.tracking import Terms, TrackingInputs, square


@dataclasses.dataclass(frozen=True)
class SeedReward:
    """The original's five terms."""

    pose_weight: float = 0.5
    velocity_weight: float = 0.1
    root_pose_weight: float = 0.15
    root_velocity_weight: float = 0.1
    key_body_weight: float = 0.15

    def __call__(self, inputs: TrackingInputs) -> Terms:
        body, reference, root = inputs.body, inputs.reference, inputs.root
        ids = jnp.asarray(inputs.key_bodies)
        linear, angular = tracking.root_velocity_errors(inputs)
        height = body.xpos[root, 2] - reference.xpos[root, 2]
        offsets = (body.xpos[ids] - body.xpos[root]) - (reference.xpos[ids] - reference.xpos[root])
        return {
            "pose": self.pose_weight * jnp.exp(-2.0 * jnp.mean(jnp.square(tracking.joint_error(inputs)))),
            "velocity": self.velocity_weight
            * jnp.exp(-0.1 * jnp.mean(jnp.square(tracking.joint_velocity_error(inputs)))),
            "root_pose": self.root_pose_weight
            * jnp.exp(-5.0 * (square(height) + square(tracking.root_angle(inputs)))),
            "root_velocity": self.root_velocity_weight * jnp.exp(-(square(linear) + square(angular))),
            "key_bodies": self.key_body_weight
            * jnp.exp(-10.0 * jnp.mean(jnp.sum(jnp.square(offsets), axis=-1))),
        }
