"""What the feet of a source slide in common is drift of its root, and taken out of the root's path.

Two feet that stand and slide alike, or one that stands by itself and slides, show that the root has been
placed wrongly, as where joint angles were fitted without regard to the floor.  Limbs stay as they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from scipy.sparse import coo_array, csc_array, diags_array, vstack
from scipy.sparse.linalg import spsolve

from synthjax.bodies import Body
from synthjax.motion.skeleton import SkeletonMotion
from synthjax.motion.stances import FEET, sole_paths
from synthjax.motion.targets import body_scale

_CHANGE = 0.1  # s, in which the drift may change
_RELUCTANCE = 0.01  # weight of no drift, where nothing stands, against one foot that stands
_APART = 0.2  # m/s, a foot that slides so fast when the others do not counts half
_ROUNDS = 5


def without_drift(
    motion: SkeletonMotion, body: Body, fps: float, stances: Mapping[str, np.ndarray]
) -> SkeletonMotion:
    """``motion`` moved along the floor so that its feet slide as little as that can do.

    ``stances`` are those of :func:`synthjax.motion.stances.find_stances`.
    """
    soles, _ = sole_paths(motion, body, fps)
    rates = np.stack([np.gradient(soles[foot][..., :2], 1.0 / fps, axis=0) for foot in FEET])
    stands = np.stack([stances[foot] for foot in FEET]).astype(float)  # (2, T, 2)
    stands[..., 0] *= 1.0 - stands[..., 1]  # of a flat foot the ball counts
    weight = stands
    for _ in range(_ROUNDS):
        drift = _drift(weight, rates, fps, motion.loop)
        slides = np.linalg.norm(rates - drift[:, None], axis=-1)
        weight = stands / (1.0 + (slides / _APART) ** 2)
    steps = 0.5 * (drift[1:] + drift[:-1]) / fps
    moved = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)]) / body_scale(motion, body)
    frames = np.linspace(0.0, 1.0, len(motion.positions))
    at = np.linspace(0.0, 1.0, len(moved))
    shift = np.stack([np.interp(frames, at, moved[:, i]) for i in (0, 1)] + [0.0 * frames], axis=-1)
    return dataclasses.replace(motion, positions=motion.positions - shift[:, None])


def _drift(weight: np.ndarray, rates: np.ndarray, fps: float, loop: bool) -> np.ndarray:
    """Velocity (T, 2), slow to change, that is closest to ``rates`` (2, T, 2, 2) by ``weight`` (2, T, 2)."""
    frames = weight.shape[1]
    change = diags_array([-1.0, 1.0], offsets=[0, 1], shape=(frames - 1, frames))
    if loop:  # its ends are the same moment
        change = vstack([change, coo_array(([1.0, -1.0], ([0, 0], [0, frames - 1])), shape=(1, frames))])
    own = diags_array(weight.sum(axis=(0, 2)) + _RELUCTANCE)
    system = csc_array(own + (_CHANGE * fps) ** 2 * change.T @ change)
    return np.asarray(spsolve(system, (weight[..., None] * rates).sum(axis=(0, 2))))
