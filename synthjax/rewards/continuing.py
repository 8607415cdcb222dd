"""What a continuing reward is computed from, and the shapes that several of them share.

A continuing task has no episodes: the body stands, falls and gets up in one life.  Everything is
one world at time t+1, after the action of time t; forces belong to the last substep.  Ground forces
are those of the ground ON the body and count upward: a foot that carries weight has a positive one.
"""

from __future__ import annotations

from typing import Protocol

import chex
import jax
import jax.numpy as jnp
from flax import struct

from synthjax.rewards.tracking import Terms

_LEAST_HALF_RANGE = 0.01  # rad
_LEAST_TORQUE_LIMIT = 1e-3  # N m
_BEND_SHARE = 0.8  # of the strain; the rest is the motor's


@struct.dataclass
class ContinuingInputs:
    """A body on the ground at t+1; pairs are (left, right)."""

    height: jax.Array  # () root above the ground, m
    previous_height: jax.Array  # () the same at t, m
    standing_height: jax.Array  # () root above the ground when standing, m
    head_height: jax.Array  # () head above the ground, m
    standing_head_height: jax.Array  # () head above the ground when standing, m
    up: jax.Array  # () z of the root's up axis in the world, [-1, 1]
    velocity: jax.Array  # (3,) of the root, world axes, m/s
    control: jax.Array  # (nu,) of the original's motors, whose whole torque is 0.4
    motor_use: jax.Array  # (nu,) motor torque as a fraction of its limit, [0, 1]
    strain: jax.Array  # (nu,) of each hinge, [0, 1]
    pose_distance: jax.Array  # () to the nearest reference pose, RMS over hinges, rad
    foot_height: jax.Array  # (2,) above the ground, m
    hand_height: jax.Array  # (2,) m
    knee_height: jax.Array  # (2,) m
    foot_force: jax.Array  # (2,) vertical normal force of the ground on foot and toes, N
    hand_force: jax.Array  # (2,) N
    knee_force: jax.Array  # (2,) N
    weight: jax.Array  # () of the body, N
    action: jax.Array  # (nu,) a_t in policy units
    previous_action: jax.Array  # (nu,) a_{t-1}
    phase: jax.Array  # () int, a value of ``phases.Phase``
    # s between t and t+1, of a reward's own trace where steps differ in length
    control_dt: float | jax.Array = struct.field(pytree_node=False)


class ContinuingReward(Protocol):
    """A reward maps inputs to named, already weighted terms; their sum is the reward."""

    def __call__(self, inputs: ContinuingInputs) -> Terms: ...


def check(inputs: ContinuingInputs) -> None:
    """Stops a batch or a limb too many where one world is expected.

    Raises:
      AssertionError: an input has another shape than ``ContinuingInputs`` says.
    """
    scalars = (
        inputs.height,
        inputs.previous_height,
        inputs.standing_height,
        inputs.head_height,
        inputs.standing_head_height,
        inputs.up,
        inputs.pose_distance,
        inputs.weight,
        inputs.phase,
    )
    heights = (inputs.foot_height, inputs.hand_height, inputs.knee_height)
    forces = (inputs.foot_force, inputs.hand_force, inputs.knee_force)
    hinges = (inputs.control, inputs.motor_use, inputs.strain, inputs.action, inputs.previous_action)
    chex.assert_rank(scalars, 0)
    chex.assert_shape(inputs.velocity, (3,))
    chex.assert_shape([*heights, *forces], (2,))
    chex.assert_rank(hinges, 1)
    chex.assert_equal_shape(hinges)


def unit(x: jax.Array) -> jax.Array:
    """``x`` held between 0 and 1."""
    return jnp.clip(x, 0.0, 1.0)


def lerp(low: float, high: float, share: jax.Array) -> jax.Array:
    """From ``low`` at share 0 to ``high`` at share 1."""
    return low + (high - low) * share


def stand_blend(height: jax.Array, low: float, high: float, up: jax.Array) -> jax.Array:
    """How far the root is between lying (0) and standing (1): height between two levels, times uprightness.

    The levels have the unit of ``height``.  Uprightness is 0 up to z of the up axis = .3 and 1 from
    the original's limit of .707 on.  (), () -> ().
    """
    return unit((height - low) / (high - low)) * unit((up - 0.3) / 0.407)


def proximity(heights: jax.Array) -> jax.Array:
    """``mean exp(-10 max(0, z))`` of heights in m: 1 on the ground, .37 at 10 cm.  (n,) -> ()."""
    return jnp.mean(jnp.exp(-10.0 * jnp.maximum(heights, 0.0)))


def load_share(forces: jax.Array, weight: jax.Array) -> jax.Array:
    """Share of ``weight`` that upward ``forces`` carry together, at most 1.  (n,) N, () N -> ()."""
    return unit(jnp.sum(forces) / weight)


def motor_use(torque: jax.Array, torque_limit: jax.Array) -> jax.Array:
    """Motor torque as a fraction of its limit.  (nu,) N m, (nu,) N m -> (nu,) in [0, 1].

    The limit is the motor's force range on position-controlled bodies.  Motors of torque-controlled
    ones are limited by their control: ``ctrlrange * gear`` (and their torque is ``force * gear``).
    """
    chex.assert_equal_shape([torque, torque_limit])
    return unit(jnp.abs(torque) / jnp.maximum(torque_limit, _LEAST_TORQUE_LIMIT))


def joint_strain(
    angle: jax.Array, joint_range: jax.Array, torque: jax.Array, torque_limit: jax.Array
) -> jax.Array:
    """How uncomfortable each hinge is: bent away from the middle of its range, or working hard.

        s = .8 min(1, ((q - mid) / half)²) + .2 motor_use²

    The original adds squares of raw newton-metres, which saturates as soon as the body works.  Its
    weights of these two parts, .4 and .1, are kept in proportion; the bend stands for its passive
    and limit torques too, which grow with it.

    Args:
      angle: (nu,) rad.
      joint_range: (nu, 2) lower and upper limit, rad.
      torque: (nu,) of the motors, N m.
      torque_limit: (nu,) as for ``motor_use``, N m.

    Returns:
      (nu,) in [0, 1].
    """
    chex.assert_equal_shape([angle, torque, torque_limit])
    chex.assert_shape(joint_range, (angle.shape[0], 2))
    lower, upper = joint_range[:, 0], joint_range[:, 1]
    half = jnp.maximum(0.5 * (upper - lower), _LEAST_HALF_RANGE)
    bend = unit(jnp.abs(angle - 0.5 * (lower + upper)) / half)
    use = motor_use(torque, torque_limit)
    return _BEND_SHARE * jnp.square(bend) + (1.0 - _BEND_SHARE) * jnp.square(use)


def nearest_pose_distance(angles: jax.Array, poses: jax.Array) -> jax.Array:
    """RMS over hinges to the nearest of ``poses``.  (nu,) rad, (P, nu) rad -> () rad."""
    chex.assert_rank(poses, 2)
    chex.assert_shape(angles, (poses.shape[1],))
    return jnp.sqrt(jnp.min(jnp.mean(jnp.square(poses - angles), axis=-1)))
