"""The BeyondMimic tracking reward (Liao et al. 2025, table of rewards; whole_body_tracking's numbers).

    r = Σ_i w_i exp(-e_i / σ_i²) - penalties

Body terms compare with the reference after it is moved to the simulated root in xy and yaw.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from synthjax.motion import quaternions as quat
from synthjax.rewards import tracking
from synthjax.rewards.tracking import Terms, TrackingInputs, square


@dataclasses.dataclass(frozen=True)
class BeyondMimicReward:
    """Weights and widths of the six tracking terms, and the weights of the three penalties."""

    anchor_position_weight: float = 0.5
    anchor_position_sigma: float = 0.3  # m
    anchor_orientation_weight: float = 0.5
    anchor_orientation_sigma: float = 0.4  # rad
    body_position_weight: float = 1.0
    body_position_sigma: float = 0.3  # m
    body_orientation_weight: float = 1.0
    body_orientation_sigma: float = 0.4  # rad
    linear_velocity_weight: float = 1.0
    linear_velocity_sigma: float = 1.0  # m/s
    angular_velocity_weight: float = 1.0
    angular_velocity_sigma: float = 3.14  # rad/s
    action_rate_weight: float = 0.1
    joint_limit_weight: float = 10.0
    undesired_contact_weight: float = 0.1

    def __call__(self, inputs: TrackingInputs) -> Terms:
        body, reference = inputs.body, inputs.reference
        ids = jnp.asarray(inputs.bodies)
        aligned_pos, aligned_quat = align_to_anchor(inputs)
        angles = quat.quat_angle(body.xquat[ids], aligned_quat)

        def kernel(weight: float, sigma: float, squared_error: jax.Array) -> jax.Array:
            return weight * jnp.exp(-squared_error / sigma**2)

        def mean_square(difference: jax.Array) -> jax.Array:
            return jnp.mean(jnp.sum(jnp.square(difference), axis=-1))

        lower, upper = inputs.joint_range[:, 0], inputs.joint_range[:, 1]
        q = body.qpos[7:]
        beyond = jnp.sum(jnp.maximum(lower - q, 0.0) + jnp.maximum(q - upper, 0.0))
        return {
            "anchor_position": kernel(
                self.anchor_position_weight,
                self.anchor_position_sigma,
                square(tracking.root_position_error(inputs)),
            ),
            "anchor_orientation": kernel(
                self.anchor_orientation_weight,
                self.anchor_orientation_sigma,
                square(tracking.root_angle(inputs)),
            ),
            "body_position": kernel(
                self.body_position_weight, self.body_position_sigma, mean_square(body.xpos[ids] - aligned_pos)
            ),
            "body_orientation": kernel(
                self.body_orientation_weight, self.body_orientation_sigma, jnp.mean(jnp.square(angles))
            ),
            "linear_velocity": kernel(
                self.linear_velocity_weight,
                self.linear_velocity_sigma,
                mean_square(body.linvel[ids] - reference.linvel[ids]),
            ),
            "angular_velocity": kernel(
                self.angular_velocity_weight,
                self.angular_velocity_sigma,
                mean_square(body.angvel[ids] - reference.angvel[ids]),
            ),
            "action_rate": -self.action_rate_weight * square(inputs.action - inputs.previous_action),
            "joint_limit": -self.joint_limit_weight * beyond,
            "undesired_contact": -self.undesired_contact_weight * inputs.undesired_contacts,
        }


def align_to_anchor(inputs: TrackingInputs) -> tuple[jax.Array, jax.Array]:
    """Reference bodies moved to the simulated root's xy and yaw.  -> (B, 3) m, (B, 4)."""
    body, reference, root = inputs.body, inputs.reference, inputs.root
    ids = jnp.asarray(inputs.bodies)
    turn = quat.quat_mul(
        quat.quat_heading(body.xquat[root]), quat.quat_conj(quat.quat_heading(reference.xquat[root]))
    )
    origin = body.xpos[root].at[2].set(reference.xpos[root, 2])
    positions = origin + quat.quat_rotate(turn, reference.xpos[ids] - reference.xpos[root])
    return positions, quat.quat_mul(turn, reference.xquat[ids])
