"""The DeepMimic tracking reward (Peng et al. 2018, section 5.2) with MimicKit's numbers.

    r = Σ_i w_i exp(-k_i e_i)

over pose, joint velocity, root pose, root velocity and end effectors ("key bodies").
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from synthjax.rewards import tracking
from synthjax.rewards.tracking import Terms, TrackingInputs, square


@dataclasses.dataclass(frozen=True)
class DeepMimicReward:
    """Weights and scales of the five terms; the defaults are those of MimicKit's DeepMimic agent."""

    pose_weight: float = 0.5  # hinge angles
    pose_scale: float = 0.25  # 1/rad²
    velocity_weight: float = 0.1  # hinge rates
    velocity_scale: float = 0.01  # s²/rad²
    root_pose_weight: float = 0.15  # root position and orientation
    root_pose_scale: float = 5.0  # 1/m²
    root_velocity_weight: float = 0.1  # root linear and angular velocity
    root_velocity_scale: float = 1.0  # s²/m²
    key_body_weight: float = 0.15  # end effectors relative to the root
    key_body_scale: float = 10.0  # 1/m²
    rotation_share: float = 0.1  # m²/rad², weight of angles against lengths in the root terms

    def __call__(self, inputs: TrackingInputs) -> Terms:
        linear, angular = tracking.root_velocity_errors(inputs)
        root_pose = square(tracking.root_position_error(inputs)) + self.rotation_share * square(
            tracking.root_angle(inputs)
        )
        root_velocity = square(linear) + self.rotation_share * square(angular)
        errors = {
            "pose": (self.pose_weight, self.pose_scale, square(tracking.joint_error(inputs))),
            "velocity": (
                self.velocity_weight,
                self.velocity_scale,
                square(tracking.joint_velocity_error(inputs)),
            ),
            "root_pose": (self.root_pose_weight, self.root_pose_scale, root_pose),
            "root_velocity": (self.root_velocity_weight, self.root_velocity_scale, root_velocity),
            "key_bodies": (
                self.key_body_weight,
                self.key_body_scale,
                square(tracking.key_body_offsets(inputs)),
            ),
        }
        return {name: weight * jnp.exp(-scale * error) for name, (weight, scale, error) in errors.items()}
