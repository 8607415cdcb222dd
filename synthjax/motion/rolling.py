"""How far a part moves that rolls or turns on the floor without slipping."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from synthjax.bodies import Body
from synthjax.motion.ground import TOUCH, part_points


def rolling(rotation: Rotation, lever: np.ndarray, loop: bool) -> np.ndarray:
    """Steps (T, 2) in m of a point of a part with T orientations that rolls or turns without slipping.

    ``lever`` (T, 3) leads from where the part touches to the point.  Step t leads from frame t - 1 to t.
    """
    before = Rotation.from_quat(np.roll(rotation.as_quat(), 1, axis=0))
    turn = (rotation * before.inv()).as_rotvec()
    if not loop:
        turn[0] = 0.0
    return np.asarray(np.cross(turn, lever)[:, :2])


def rolling_foot(
    body: Body,
    bones: tuple[str, str],
    turns: tuple[Rotation, Rotation],
    joint: np.ndarray,
    toes_bear: np.ndarray,
    loop: bool,
) -> np.ndarray:
    """Steps (T, 2) in m of the joint between a foot and its toes, of which what is lowest touches.

    A foot that turns on one of its corners moves about that one, and one that leaves over its toes about
    their tips.  Where both parts touch, the mean is taken.

    Args:
      body: whose foot it is.
      bones: foot and toes; the foot twice, of a body without toes.
      turns: T world orientations of each.
      joint: (3,) of the toes in the axes of the foot, m.
      toes_bear: (T,) bool, toes touch nowhere else.
      loop: whether the first step leads from the last frame.
    """
    lowest, steps = [], []
    for bone, turn in zip(bones, turns, strict=True):
        points = part_points(body, body.model.body(body.bones[bone]).id)
        points = points - (joint if bone == bones[0] else 0.0)
        above = np.stack([turn.apply(point) for point in points], axis=1)  # (T, K, 3) from the joint
        lowest.append(above[..., 2].min(axis=1))
        touches = above[..., 2] <= lowest[-1][:, None] + TOUCH
        middle = (above * touches[..., None]).sum(axis=1) / touches.sum(axis=1)[:, None]
        steps.append(rolling(turn, -middle, loop))
    foot, toes = np.array(lowest) <= np.min(lowest, axis=0) + TOUCH
    toes = toes & toes_bear
    share = np.where(toes, np.where(foot, 0.5, 1.0), 0.0)[:, None]
    return (1.0 - share) * steps[0] + share * steps[1]
