"""What the imitation policy sees: its own body and the next reference frames, in its heading frame.

The heading frame stands at the root, z up, x where the root faces.  In it the observation does not
depend on where the body is or which way it faces in the world.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from synthjax.motion import quaternions as quat
from synthjax.types import Kinematics

# The root's offset is seen a second time within this distance, in m: normalised by the drifts of early
# training alone, the last centimetres would be a tenth of a unit.
NEAR = 0.1
# Rates are a tenth of their SI value, so that a fresh network sees numbers near one.
RATE_SCALE = 0.1


def body_parts(body: Kinematics, root: int, bodies: jax.Array, heading: jax.Array) -> dict[str, jax.Array]:
    """The simulated body at time t.

    Args:
      body: its kinematics.
      root: id of the root body.
      bodies: (B,) ids of the bodies whose positions are seen.
      heading: (4,) rotation of the heading frame.
    """
    return {
        "root_height": body.xpos[root, 2:3],  # m
        "root_rotation": quat.quat_to_6d(quat.quat_mul(quat.quat_conj(heading), body.xquat[root])),
        "root_linear_velocity": quat.quat_rotate_inverse(heading, body.linvel[root]),  # m/s
        "root_angular_velocity": quat.quat_rotate_inverse(heading, body.angvel[root]),  # rad/s
        "joint_angles": body.qpos[7:],  # rad
        "joint_rates": RATE_SCALE * body.qvel[6:],  # 10 rad/s
        "body_positions": quat.quat_rotate_inverse(heading, body.xpos[bodies] - body.xpos[root]),  # m
    }


def target_parts(
    body: Kinematics, target: Kinematics, root: int, key_bodies: jax.Array, name: str
) -> dict[str, jax.Array]:
    """A later reference frame as seen from the simulated body at time t.

    Args:
      body: the simulated body.
      target: the reference at a later time.
      root: id of the root body.
      key_bodies: (K,) ids.
      name: prefix of the parts.
    """
    heading = quat.quat_heading(body.xquat[root])
    offset = quat.quat_rotate_inverse(heading, target.xpos[root] - body.xpos[root])
    return {
        f"{name}_root_offset": offset,
        f"{name}_root_offset_near": jnp.clip(offset, -NEAR, NEAR),
        f"{name}_root_rotation": quat.quat_to_6d(quat.quat_mul(quat.quat_conj(heading), target.xquat[root])),
        f"{name}_joint_errors": target.qpos[7:] - body.qpos[7:],
        f"{name}_key_body_errors": quat.quat_rotate_inverse(
            heading, (target.xpos[key_bodies] - body.xpos[key_bodies]) - (target.xpos[root] - body.xpos[root])
        ),
    }


def phase_parts(time: jax.Array, duration: jax.Array, loop: jax.Array) -> dict[str, jax.Array]:
    """Place in the clip as a point on the circle, or on half of it for a clip without loop.

    Args:
      time: () s since the clip's first frame.
      duration: () s.
      loop: () bool.
    """
    angle = jnp.where(loop, 2.0, 1.0) * jnp.pi * time / duration
    return {"phase": jnp.stack([jnp.sin(angle), jnp.cos(angle)])}
