"""What a tracking reward is computed from, and the distances that several of them share.

Everything is one world at time t+1, against the reference of the same time.
"""

from __future__ import annotations

from typing import Protocol

import chex
import jax
import jax.numpy as jnp
from flax import struct

from synthjax.motion import quaternions as quat
from synthjax.types import Kinematics

Terms = dict[str, jax.Array]


@struct.dataclass
class TrackingInputs:
    """The simulated body, its reference and what the penalties need; ids are static."""

    body: Kinematics
    reference: Kinematics
    action: jax.Array  # (nu,) a_t in policy units
    previous_action: jax.Array  # (nu,) a_{t-1}
    joint_range: jax.Array  # (nu, 2) rad
    undesired_contacts: jax.Array  # () number of bodies on the ground that the reference keeps off it
    foot_slip: jax.Array  # () m/s, mean horizontal speed on the floor of the feet that are on it
    root: int = struct.field(pytree_node=False)
    key_bodies: tuple[int, ...] = struct.field(pytree_node=False)
    bodies: tuple[int, ...] = struct.field(pytree_node=False)


class TrackingReward(Protocol):
    """A reward maps inputs to named, already weighted terms; their sum is the reward."""

    def __call__(self, inputs: TrackingInputs) -> Terms: ...


def joint_error(inputs: TrackingInputs) -> jax.Array:
    """Hinge angles of the body minus those of the reference, rad.  -> (nu,)."""
    return inputs.body.qpos[7:] - inputs.reference.qpos[7:]


def joint_velocity_error(inputs: TrackingInputs) -> jax.Array:
    """Hinge rates of the body minus those of the reference, rad/s.  -> (nu,)."""
    return inputs.body.qvel[6:] - inputs.reference.qvel[6:]


def root_position_error(inputs: TrackingInputs) -> jax.Array:
    """World position of the root minus that of the reference, m.  -> (3,)."""
    return inputs.body.xpos[inputs.root] - inputs.reference.xpos[inputs.root]


def root_angle(inputs: TrackingInputs) -> jax.Array:
    """Angle between the two root orientations, rad.  -> ()."""
    return quat.quat_angle(inputs.body.xquat[inputs.root], inputs.reference.xquat[inputs.root])


def root_velocity_errors(inputs: TrackingInputs) -> tuple[jax.Array, jax.Array]:
    """Linear (m/s) and angular (rad/s) velocity errors of the root, world axes.  -> (3,), (3,)."""
    i = inputs.root
    return (
        inputs.body.linvel[i] - inputs.reference.linvel[i],
        inputs.body.angvel[i] - inputs.reference.angvel[i],
    )


def key_body_offsets(inputs: TrackingInputs) -> jax.Array:
    """Key-body positions from the root, body minus reference, each in its own heading frame.

    MimicKit compares end effectors this way, so that an error of place or heading is counted in the
    root terms and not once more for every limb.  -> (K, 3) m.
    """

    def offsets(k: Kinematics) -> jax.Array:
        heading = quat.quat_heading(k.xquat[inputs.root])
        ids = jnp.asarray(inputs.key_bodies)
        return quat.quat_rotate_inverse(heading, k.xpos[ids] - k.xpos[inputs.root])

    return offsets(inputs.body) - offsets(inputs.reference)


def square(x: jax.Array) -> jax.Array:
    """Sum of squares.  (...,) -> ()."""
    return jnp.sum(jnp.square(x))


def total(terms: Terms) -> jax.Array:
    """The reward: the sum of the terms.  -> ()."""
    chex.assert_rank(list(terms.values()), 0)
    return jnp.sum(jnp.stack(list(terms.values())))
