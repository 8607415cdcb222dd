"""A clip with left and right exchanged, on a body that is its own mirror image."""

from __future__ import annotations

import re

import mujoco
import numpy as np

from synthjax.bodies import Body
from synthjax.errors import UserError
from synthjax.motion.clip import Clip
from synthjax.motion.derive import make_clip

_ACROSS = np.array([1.0, -1.0, 1.0])  # left is +y
_TURN = np.array([1.0, -1.0, 1.0, -1.0])  # of a quaternion w x y z, seen in that mirror
_SAME = 1e-3  # m, and between unit vectors


def mirror(clip: Clip, body: Body) -> Clip:
    """``clip`` seen in a mirror along its x axis; mirrored twice it is itself.

    Raises:
      UserError: the body's left and right are not mirror images of one another.
    """
    joints, signs = _partners(body)
    qpos = clip.qpos.copy()
    qpos[:, :3] *= _ACROSS
    qpos[:, 3:7] *= _TURN
    qpos[:, 7:] = signs * clip.qpos[:, 7:][:, joints]
    return make_clip(
        body,
        clip.name,
        clip.fps,
        qpos,
        loop_offset=clip.loop_offset * _ACROSS if clip.loop else None,
        source=clip.source,
        licence=clip.licence,
    )


def _partners(body: Body) -> tuple[np.ndarray, np.ndarray]:
    """Of each hinge the one on the other side, in qpos order, and the sign of its angle there.

    A turn by an angle about an axis is, in the mirror, one by the opposite angle about the mirrored axis.
    """
    model, data = body.model, mujoco.MjData(body.model)
    mujoco.mj_kinematics(model, data)
    other = [_other_side(body, number) for number in range(model.nbody)]
    axes = data.xaxis[1:]
    joints, signs = np.zeros(model.njnt - 1, dtype=int), np.zeros(model.njnt - 1)
    for hinge in range(model.njnt - 1):
        owner = model.jnt_bodyid[hinge + 1]
        place = hinge + 1 - model.body_jntadr[owner]
        partner = other[owner]
        if model.body_jntnum[partner] != model.body_jntnum[owner]:
            raise _lopsided(body, owner)
        joints[hinge] = model.body_jntadr[partner] + place - 1
        signs[hinge] = -axes[hinge] @ (_ACROSS * axes[joints[hinge]])
        anchors = data.xanchor[hinge + 1], _ACROSS * data.xanchor[joints[hinge] + 1]
        if abs(abs(signs[hinge]) - 1.0) > _SAME or np.abs(anchors[0] - anchors[1]).max() > _SAME:
            raise _lopsided(body, owner)
    return joints, np.sign(signs)


def _other_side(body: Body, number: int) -> int:
    """The body of the bone on the other side, or that whose name says the other side, or itself."""
    name = body.body_names[number]
    bone = next((bone for bone, own in body.bones.items() if own == name), None)
    if bone is not None and bone.startswith(("Left", "Right")):
        return body.body_names.index(body.bones[_exchanged(bone)])
    swapped = _exchanged(name)
    return body.body_names.index(swapped) if swapped in body.body_names else number


def _exchanged(name: str) -> str:
    swap = {"Left": "Right", "Right": "Left", "left": "right", "right": "left"}
    return re.sub("Left|Right|left|right", lambda side: swap[side.group()], name)


def _lopsided(body: Body, number: int) -> UserError:
    name = body.body_names[number]
    return UserError(f"'{body.name}' cannot be mirrored: its '{name}' has no mirror image on the other side.")
