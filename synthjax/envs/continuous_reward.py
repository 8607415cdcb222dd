"""What the continuing rewards are computed from: one control step of a simulated body."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from synthjax.bodies.synth import TORQUE_CTRL_LIMIT
from synthjax.envs.body_parts import BodyParts
from synthjax.rewards import ContinuingInputs, joint_strain, motor_use, nearest_pose_distance
from synthjax.types import Kinematics, PhysicsState


def reward_inputs(
    parts: BodyParts,
    before: PhysicsState,
    physics: PhysicsState,
    *,
    standing_height: float,
    poses: jax.Array,
    action: jax.Array,
    previous_action: jax.Array,
    phase: jax.Array,
    control_dt: float | jax.Array,
) -> ContinuingInputs:
    """The inputs of the step from ``before`` at time t to ``physics`` at t+1.

    Args:
      parts: of the body.
      before: at time t.
      physics: at time t+1; its forces are those of the step.
      standing_height: of the root, m.
      poses: (P, nu) rad, reference poses of which the nearest counts.
      action: (nu,) at time t.
      previous_action: (nu,) at time t-1; ``action`` itself where there was none.
      phase: () at time t+1.
      control_dt: s.
    """
    body = physics.kinematics
    torque = parts.gear * physics.actuator_force
    upward = physics.ground_force[:, 2]
    return ContinuingInputs(
        height=body.xpos[parts.root, 2],
        previous_height=before.kinematics.xpos[parts.root, 2],
        standing_height=jnp.asarray(standing_height),
        head_height=body.xpos[parts.head, 2],
        standing_head_height=jnp.asarray(parts.standing_head_height),
        up=up_z(body, parts.root),
        velocity=body.linvel[parts.root],
        # The original's motors give all that they may at this control.
        control=TORQUE_CTRL_LIMIT * torque / parts.torque_limit,
        motor_use=motor_use(torque, parts.torque_limit),
        strain=strain(parts, physics),
        pose_distance=nearest_pose_distance(body.qpos[7:], poses),
        foot_height=body.xpos[parts.feet, 2],
        hand_height=body.xpos[parts.hands, 2],
        knee_height=body.xpos[parts.knees, 2],
        foot_force=parts.sole_of_body @ upward,
        hand_force=upward[parts.hands],
        knee_force=upward[parts.knees],
        weight=jnp.asarray(parts.weight),
        action=action,
        previous_action=previous_action,
        phase=phase,
        control_dt=control_dt,
    )


def strain(parts: BodyParts, physics: PhysicsState) -> jax.Array:
    """How hard each hinge is held against its stop or its motor's limit, (nu,) in [0, 1]."""
    torque = parts.gear * physics.actuator_force
    return joint_strain(physics.kinematics.qpos[7:], parts.joint_range, torque, parts.torque_limit)


def up_z(body: Kinematics, root: int) -> jax.Array:
    """How upright the root is: z of its up axis in the world, [-1, 1].  -> ()."""
    _, x, y, _ = body.xquat[root]
    return 1.0 - 2.0 * (x * x + y * y)
