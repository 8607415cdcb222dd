"""What noisy sensors make of a body: the policy sees it, rewards and terminations do not."""

from __future__ import annotations

import dataclasses

import jax

from synthjax.motion import quaternions as quat
from synthjax.types import Kinematics

_ROOT = 1  # the body of the free joint


@dataclasses.dataclass(frozen=True)
class SensorNoise:
    """Half widths of uniform noise, drawn anew for every observation; 0 for none."""

    joint_angle: float = 0.01  # rad
    joint_rate: float = 0.2  # rad/s
    attitude: float = 0.02  # rad, of the root about each of its axes
    root_velocity: float = 0.05  # m/s, along each axis
    root_rate: float = 0.1  # rad/s, about each axis
    position: float = 0.01  # m, of each body along each axis


def sensed(noise: SensorNoise, body: Kinematics, key: jax.Array) -> Kinematics:
    """``body`` with noise on what an observation is made of.

    Everything in one observation comes from the same noisy body, so that the noise of an angle cannot be
    averaged out with that of its distance to a target.

    Args:
      noise: how much.
      body: as it is.
      key: of this observation.
    """
    root, keys = _ROOT, jax.random.split(key, 6)

    def draw(number: int, half_width: float, like: jax.Array) -> jax.Array:
        return half_width * jax.random.uniform(keys[number], like.shape, minval=-1.0, maxval=1.0)

    tilt = quat.quat_exp(draw(2, noise.attitude, body.linvel[root]))
    return Kinematics(
        qpos=body.qpos.at[7:].add(draw(0, noise.joint_angle, body.qpos[7:])),
        qvel=body.qvel.at[6:].add(draw(1, noise.joint_rate, body.qvel[6:])),
        xpos=body.xpos.at[1:].add(draw(5, noise.position, body.xpos[1:])),  # row 0 is the world
        xquat=body.xquat.at[root].set(quat.quat_mul(body.xquat[root], tilt)),
        linvel=body.linvel.at[root].add(draw(3, noise.root_velocity, body.linvel[root])),
        angvel=body.angvel.at[root].add(draw(4, noise.root_rate, body.angvel[root])),
    )
