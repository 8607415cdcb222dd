"""From the poses of a body to a clip with all that derives from them."""

from __future__ import annotations

import numpy as np

from synthjax.bodies import Body
from synthjax.motion.clip import Clip
from synthjax.motion.ground import ground_contacts
from synthjax.motion.kinematics import finite_velocities, forward_kinematics


def make_clip(
    body: Body,
    name: str,
    fps: float,
    qpos: np.ndarray,
    *,
    loop_offset: np.ndarray | None,
    source: str,
    licence: str,
    contacts: np.ndarray | None = None,
) -> Clip:
    """A clip of ``qpos`` (T, nq) with everything that derives from it.

    A looping clip has a ``loop_offset`` (3,) and comes without its closing frame.  ``contacts`` (T, nbody)
    are taken from the poses if not given.
    """
    qvel = finite_velocities(body.model, qpos, fps, loop_offset)
    trajectory = forward_kinematics(body.model, qpos, qvel)
    return Clip(
        name=name,
        fps=fps,
        joint_names=body.joints,
        body_names=body.body_names,
        qpos=qpos,
        qvel=qvel,
        xpos=trajectory.xpos,
        xquat=trajectory.xquat,
        linvel=trajectory.linvel,
        angvel=trajectory.angvel,
        contacts=ground_contacts(body, qpos, trajectory.linvel) if contacts is None else contacts,
        loop=loop_offset is not None,
        loop_offset=np.zeros(3) if loop_offset is None else loop_offset,
        source=source,
        licence=licence,
    )
