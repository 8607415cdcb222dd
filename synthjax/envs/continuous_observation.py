"""What the always-on policy sees: its own body, what it touches, and where its guide is.

The heading frame is that of the root with its tilt taken off, which stays sound when the body lies.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from synthjax.envs import imitation_observation
from synthjax.envs.body_parts import BodyParts
from synthjax.envs.guide import GuideState, up_in_body
from synthjax.motion import quaternions as quat
from synthjax.types import Kinematics, PhysicsState

_MOST_LOAD = 2.0  # body weights


def body_parts(physics: PhysicsState, parts: BodyParts) -> dict[str, jax.Array]:
    """The body at time t and the ground's push in the step before it."""
    body = physics.kinematics
    heading = quat.quat_twist(body.xquat[parts.root])
    seen = imitation_observation.body_parts(body, parts.root, jnp.asarray(parts.bodies), heading)
    upward = parts.contact_slots @ physics.ground_force[:, 2]
    touching = parts.contact_slots @ physics.ground_contact
    return seen | {
        "up": up_in_body(body.xquat[parts.root]),
        "contacts": (touching > 0).astype(jnp.float32),
        "loads": jnp.clip(upward / parts.weight, 0.0, _MOST_LOAD),  # body weights
    }


def guide_parts(
    body: Kinematics,
    target: Kinematics,
    root: int,
    guide: GuideState,
    progress: jax.Array,
    height: jax.Array,
) -> dict[str, jax.Array]:
    """The guide's pose of the next control step as seen from the body at time t, and where the guide is.

    Args:
      body: the simulated body.
      target: the guide's pose.
      root: id of the root body.
      guide: the guide's state at time t.
      progress: () of the guide.
      height: () of the guide's root, m.
    """
    return {
        "guide_joint_errors": target.qpos[7:] - body.qpos[7:],
        "guide_up": up_in_body(target.xquat[root]),
        "guide_height_error": (height - body.xpos[root, 2])[None],
        "guide_progress": progress[None],
        "guide_lost": guide.lost[None],
    }
