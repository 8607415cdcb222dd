"""A source's figure at the size and place of the clip that was made of it, to be looked at together."""

from __future__ import annotations

import numpy as np

from synthjax.bodies import Body
from synthjax.motion.clip import Clip
from synthjax.motion.skeleton import SkeletonMotion


def fitted_source(motion: SkeletonMotion, clip: Clip, body: Body) -> np.ndarray:
    """The joint centres of ``motion`` in the frames of ``clip``, (T, B, 3) m, over the body of the clip.

    Its first and last moments are the clip's.  It is scaled, moved and turned about the vertical so that the
    bones that both have lie nearest to one another over the whole clip (Umeyama 1991, for one axis).
    """
    # A looping motion ends with its closing frame, which the clip leaves out.
    length = (len(motion.positions) - 1) * (1.0 - clip.loop / clip.num_frames)
    frames = np.linspace(0.0, length, clip.num_frames)
    before = np.minimum(frames.astype(int), len(motion.positions) - 2)
    share = (frames - before)[:, None, None]
    points = (1.0 - share) * motion.positions[before] + share * motion.positions[before + 1]

    common = [bone for bone in motion.bones if bone in body.bones]
    theirs = points[:, [motion.index(bone) for bone in common]].reshape(-1, 3)
    ours = clip.xpos[:, body.body_ids(tuple(body.bones[bone] for bone in common))].reshape(-1, 3)
    centre, goal = theirs.mean(axis=0), ours.mean(axis=0)
    a, b = theirs - centre, ours - goal
    along = (a[:, :2] * b[:, :2]).sum()
    across = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()
    yaw = np.arctan2(across, along)
    scale = (np.hypot(along, across) + (a[:, 2] * b[:, 2]).sum()) / (a * a).sum()
    turn = np.array([[np.cos(yaw), -np.sin(yaw), 0.0], [np.sin(yaw), np.cos(yaw), 0.0], [0.0, 0.0, 1.0]])
    fitted: np.ndarray = scale * (points - centre) @ turn.T + goal
    return fitted
