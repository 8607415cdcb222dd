"""Limbs that are nearly straight: a millimetre costs their knee or elbow ten degrees, so they snap."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from synthjax.bodies import Body
from synthjax.motion.feet import SIDES
from synthjax.motion.inverse import refine
from synthjax.motion.kinematics import differentiate, forward_kinematics
from synthjax.motion.seam import displace, smooth, smoothstep
from synthjax.motion.targets import Targets

_REACH = 0.97  # of the straight limb
_STRAIGHT = (0.95, 0.98)  # of the straight leg, not smoothed below, all of it above
_SNAP, _SNAP_EDGE = 0.02, 0.05  # s, standard deviations, of the smoothing and of the passage into it


def limb_length(body: Body, end: str) -> float:
    """Metres from the hip to the ankle, or from the shoulder to the wrist, of the straight limb."""
    lower = end.replace("Foot", "LowerLeg").replace("Hand", "LowerArm")
    return float(sum(np.linalg.norm(body.model.body(body.bones[bone]).pos) for bone in (lower, end)))


def within_reach(before: np.ndarray, after: np.ndarray, base: np.ndarray, length: float) -> np.ndarray:
    """``after`` (T, 3) no farther from ``base`` than a slightly bent limb reaches, or than ``before`` was."""
    reach = np.maximum(np.linalg.norm(before - base, axis=-1), _REACH * length)
    distance = np.linalg.norm(after - base, axis=-1)
    return base + (after - base) * np.minimum(1.0, reach / distance)[:, None]


def without_snaps(body: Body, qpos: np.ndarray, fps: float, loop_offset: np.ndarray | None) -> np.ndarray:
    """``qpos`` (T, nq) smoothed while a leg is nearly straight.

    The whole figure is, as a leg by itself would slide; it is not at other times, as feet that land fast
    skate when their landing is smoothed.
    """
    model = body.model
    world = forward_kinematics(model, qpos, np.zeros((len(qpos), model.nv)))
    hips, ankles = (
        world.xpos[:, body.body_ids(tuple(body.bones[f"{side}{bone}"] for side in SIDES))]
        for bone in ("UpperLeg", "Foot")
    )
    length = np.array([limb_length(body, f"{side}Foot") for side in SIDES])
    reach = (np.linalg.norm(ankles - hips, axis=-1) / length).max(axis=-1)
    edges = "nearest" if loop_offset is None else "wrap"
    share = gaussian_filter1d(smoothstep(reach, *_STRAIGHT), _SNAP_EDGE * fps, mode=edges)
    smoothed = smooth(qpos, _SNAP * fps, loop_offset)
    change = np.stack([differentiate(model, q, goal, 1.0) for q, goal in zip(qpos, smoothed, strict=True)])
    return displace(model, qpos, share[:, None] * change)


def with_feet_of(
    body: Body, planted: np.ndarray, smoothed: np.ndarray, fps: float, *, loop: bool
) -> np.ndarray:
    """``smoothed`` (T, nq) with the feet of ``planted`` (T, nq), as far as no knee bends for it.

    Smoothing makes feet slide that land.  Across a straight leg its hip brings a foot back; along it the
    knee would snap again.
    """
    model = body.model
    ids = {bone: model.body(name).id for bone, name in body.bones.items()}
    goal, world = (forward_kinematics(model, q, np.zeros((len(q), model.nv))) for q in (planted, smoothed))
    hands, feet = ([f"{side}{end}" for side in SIDES] for end in ("Hand", "Foot"))
    positions = {bone: world.xpos[:, ids[bone]] for bone in ("Hips", *hands)}
    turned = {bone: world.xquat[:, ids[bone]] for bone in ("Hips", "UpperChest", "Head")}
    for foot in feet:
        ankle = world.xpos[:, ids[foot]]
        leg = ankle - world.xpos[:, ids[foot.replace("Foot", "UpperLeg")]]
        leg = leg / np.linalg.norm(leg, axis=-1, keepdims=True)
        back = goal.xpos[:, ids[foot]] - ankle
        positions[foot] = ankle + back - (back * leg).sum(axis=-1, keepdims=True) * leg
        turned[foot] = goal.xquat[:, ids[foot]]
    rotations = {bone: Rotation.from_quat(quats, scalar_first=True) for bone, quats in turned.items()}
    return refine(body, Targets(fps, positions, rotations, loop), smoothed)
