"""A way from the back to the belly, so that one clip that gets up from the belly serves both.

Clips that get up from the back rock for momentum, which is of no use to a body whose guide waits for it.
A roll can be begun anywhere and be waited for.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from synthjax.bodies import Body
from synthjax.motion.clip import Clip
from synthjax.motion.derive import make_clip
from synthjax.motion.ground import lowest_points
from synthjax.motion.seam import smoothstep

ROLL_SECONDS = 1.5
_SWING_UNTIL = 0.3  # share of the roll after which the free limbs have swung over
_TURN_FROM = 0.15  # share of the roll at which the root begins to turn
_LAND_FROM = 0.5  # share of the roll from which the limbs go to where the clip has them
_BELLY_DOWN = -0.8  # x of the world's up axis in the root's axes
# rad of the free limbs' hinges at the top of the swing; Z is towards the other side
_SWING = {"UpperLeg_X": 1.3, "UpperLeg_Z": 0.6, "LowerLeg_X": -1.0, "UpperArm_X": 1.5, "UpperArm_Z": 0.7}
_TWIST = 0.25  # rad of the spine's twist
_TRUNK = ("Hips", "Spine", "Chest", "UpperChest")


def roll_overs(body: Body, clip: Clip) -> list[Clip]:
    """Clips that roll from the back over the left and over the right side, and go on as ``clip``.

    None if ``clip`` (on ``body``) begins on the back, or is not on the belly in its first half.  The limbs of
    the upper side swing over, if the body has the Synth's hinges; another body rolls like a log, and its
    policy finds the swing.
    """
    up = Rotation.from_quat(clip.qpos[:, [4, 5, 6, 3]]).inv().apply([0.0, 0.0, 1.0])
    if up[0, 0] > -_BELLY_DOWN:
        return []
    first = np.arange(clip.num_frames) < clip.num_frames // 2
    prone = np.flatnonzero(first & (up[:, 0] < _BELLY_DOWN))
    if not len(prone):
        return []
    lying = prone[np.argmin(clip.qpos[prone, 2])]
    return [
        make_clip(
            body, f"{clip.name}_from_back_{side.lower()}", clip.fps,
            np.concatenate([_roll(body, clip.qpos[lying], clip.fps, side), clip.qpos[lying:]]),
            loop_offset=None, source=clip.source, licence=clip.licence,
        )
        for side in ("Left", "Right")
    ]  # fmt: skip


def _roll(body: Body, end: np.ndarray, fps: float, side: str) -> np.ndarray:
    """Frames (T, nq) from the back over ``side`` to just before ``end`` (nq,)."""
    share = np.arange(round(ROLL_SECONDS * fps)) / round(ROLL_SECONDS * fps)
    sign, free = (1.0, "Right") if side == "Left" else (-1.0, "Left")
    swung = body.standing_qpos[7:].copy()
    angles = {free + name: angle * (sign if name.endswith("_Z") else 1.0) for name, angle in _SWING.items()}
    angles["Spine_Y"] = sign * _TWIST
    for index, name in enumerate(body.joints):
        swung[index] = angles.get(name, swung[index])
    swing, land = (smoothstep(share, a, b)[:, None] for a, b in ((0.0, _SWING_UNTIL), (_LAND_FROM, 1.0)))
    angle = -sign * np.pi * (1.0 - smoothstep(share, _TURN_FROM, 1.0))
    lying = Rotation.from_quat(end[[4, 5, 6, 3]])
    # A straight body lies level, whatever the lean of the root at the end.
    axis = lying.apply([0.0, 0.0, 1.0])
    level = Rotation.align_vectors([[*axis[:2], 0.0]], [axis])[0]
    lean = Slerp([0.0, 1.0], Rotation.concatenate([level * lying, lying]))(land[:, 0])
    turned = lean * Rotation.from_euler("z", angle[:, None])
    qpos = np.tile(end, (len(share), 1))
    qpos[:, 3:7] = turned.as_quat()[:, [3, 0, 1, 2]]
    rolling = body.standing_qpos[7:] + swing * (swung - body.standing_qpos[7:])
    qpos[:, 7:] = rolling + land * (end[7:] - rolling)
    # The trunk lies on the ground.  A limb that is swung may reach below it: pressed against the ground it
    # is what turns the body.
    trunk = body.body_ids(tuple(body.bones[bone] for bone in _TRUNK if bone in body.bones))
    above = lowest_points(body, np.concatenate([qpos, end[None]]))[:, trunk].min(axis=1)
    qpos[:, 2] += land[:, 0] * above[-1] - above[:-1]  # at last as high as the end carries it
    return qpos
