"""Retargeting: from a motion on any skeleton to a clip on a body (needs ``synthjax[motion]``)."""

from __future__ import annotations

import numpy as np

from synthjax.bodies import Body
from synthjax.errors import UserError
from synthjax.motion.clip import Clip
from synthjax.motion.derive import make_clip
from synthjax.motion.drift import without_drift
from synthjax.motion.feet import bend_ends
from synthjax.motion.inverse import solve
from synthjax.motion.kinematics import hinge_limits
from synthjax.motion.planting import plant
from synthjax.motion.seam import close_cycle, smooth
from synthjax.motion.skeleton import SkeletonMotion
from synthjax.motion.stances import find_stances, holding, pivoting, sole_paths
from synthjax.motion.targets import demand_bones, make_targets

FPS = 60.0
_SMOOTHING = 0.02  # s, standard deviation: takes out the kinks of spliced sources
_SHORTEST = 0.1  # s: of fewer than a handful of frames there are no velocities to speak of


def retarget(motion: SkeletonMotion, body: Body, fps: float = FPS) -> Clip:
    """``motion`` on ``body``: inverse kinematics, a closed cycle, feet on the floor.

    Raises:
      UserError: the motion lacks bones that retargeting needs, or hardly lasts.
    """
    if motion.duration < _SHORTEST:
        raise UserError(
            f"Motion '{motion.name}' lasts {motion.duration:.2g} s: a clip needs at least {_SHORTEST} s."
        )
    demand_bones(motion)
    stances = find_stances(motion, body, fps)
    motion = without_drift(motion, body, fps, stances)
    soles, rotations = sole_paths(motion, body, fps)
    stances = holding(stances, soles, fps)
    pivots = pivoting(stances, rotations, fps)
    targets = make_targets(motion, body, fps)
    qpos = solve(body, targets)
    offset = None
    if motion.loop:
        qpos, offset = close_cycle(body.model, qpos, fps)
    qpos = smooth(qpos, _SMOOTHING * fps, offset)
    qpos = bend_ends(body, qpos, fps, motion.loop)
    # A loop comes without its closing frame.
    stances = {foot: ends[: len(qpos)] for foot, ends in stances.items()}
    pivots = {foot: share[: len(qpos)] for foot, share in pivots.items()}
    qpos = plant(body, qpos, fps, offset, stances, pivots, motion.stance_speed)
    # Closing and smoothing may have carried a hinge a little beyond its stop.
    qpos[:, 7:] = np.clip(qpos[:, 7:], *hinge_limits(body.model).T)
    return make_clip(
        body, motion.name, fps, qpos, loop_offset=offset, source=motion.source, licence=motion.licence
    )
