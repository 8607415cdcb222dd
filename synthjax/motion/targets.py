"""Where a source motion wants the bones of a body: inverse-kinematics targets at the body's own size.

Every target lies along the source's bone directions at the body's bone lengths, so the units, the
proportions and the rest pose of the source do not matter.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import mujoco
import numpy as np
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, RotationSpline

from synthjax.bodies import Body
from synthjax.errors import UserError
from synthjax.motion.seam import close_path, close_turns
from synthjax.motion.skeleton import SkeletonMotion

SPINE = ("Spine", "Chest", "UpperChest")
LIMBS = tuple(
    (f"{side}{upper}", f"{side}{lower}", f"{side}{end}")
    for side in ("Left", "Right")
    for upper, lower, end in (("UpperLeg", "LowerLeg", "Foot"), ("UpperArm", "LowerArm", "Hand"))
)


@dataclasses.dataclass(frozen=True)
class Targets:
    """Wanted bone poses at ``fps``; a looping motion's last frame closes the cycle."""

    fps: float
    positions: dict[str, np.ndarray]  # bone -> (T, 3) world position of the joint
    rotations: dict[str, Rotation]  # bone -> T world orientations of the body's frame
    loop: bool

    @property
    def num_frames(self) -> int:
        return len(self.positions["Hips"])


def make_targets(motion: SkeletonMotion, body: Body, fps: float) -> Targets:
    """Targets for ``body``, resampled to ``fps``, starting at xy = 0 with heading +x.

    The cycle (or the clip) is stretched to a whole number of frames.  The ends of a looping motion are
    brought together: its last frame is the first one, moved in xy.  Raises :class:`UserError` if
    the motion lacks a bone that retargeting needs.
    """
    demand_bones(motion)
    points, orientation = resample_motion(motion, fps)
    rest = _rest_positions(body)
    chest = next(bone for bone in ("UpperChest", "Chest", "Spine") if bone in motion.bones)

    hips = orientation["Hips"]
    rotations = {"Hips": hips, "UpperChest": orientation[chest]}
    bend = (hips.inv() * orientation[chest]).as_rotvec()
    spine = [bone for bone in SPINE if bone in body.bones]
    for i, bone in enumerate(spine[:-1]):
        rotations[bone] = hips * Rotation.from_rotvec(bend * (i + 1) / len(spine))
    for bone in ("LeftFoot", "RightFoot"):
        rotations[bone] = orientation[bone]
    rotations["Head"] = orientation.get("Head", orientation["Neck"])

    middle = 0.5 * (points["LeftUpperLeg"] + points["RightUpperLeg"])
    rest_middle = 0.5 * (rest["LeftUpperLeg"] + rest["RightUpperLeg"])
    scale = body_scale(motion, body)
    positions = {"Hips": scale * middle + hips.apply(rest["Hips"] - rest_middle)}
    parent = "Hips"
    for bone in spine:
        positions[bone] = positions[parent] + rotations[parent].apply(rest[bone] - rest[parent])
        parent = bone
    positions["Head"] = positions["UpperChest"] + rotations["UpperChest"].apply(
        rest["Head"] - rest["UpperChest"]
    )
    for upper, lower, end in LIMBS:
        base = "Hips" if upper.endswith("Leg") else "UpperChest"
        positions[upper] = positions[base] + rotations[base].apply(rest[upper] - rest[base])
        for start, stop in ((upper, lower), (lower, end)):
            along = points[stop] - points[start]
            length = np.linalg.norm(rest[stop] - rest[start])
            positions[stop] = positions[start] + length * along / np.linalg.norm(
                along, axis=-1, keepdims=True
            )
    targets = _face_forward(Targets(fps, positions, rotations, motion.loop))
    return _closed(targets) if motion.loop else targets


def demand_bones(motion: SkeletonMotion) -> None:
    """Raises :class:`UserError` if ``motion`` lacks bones that retargeting needs."""
    needed = {"Hips", "Neck", *(bone for limb in LIMBS for bone in limb)}
    missing = sorted(needed - set(motion.bones))
    if missing:
        raise UserError(
            f"Motion '{motion.name}' lacks the bones {', '.join(missing)}: map them to the source's names."
        )


def resample_motion(
    motion: SkeletonMotion, fps: float, bones: Sequence[str] | None = None
) -> tuple[dict[str, np.ndarray], dict[str, Rotation]]:
    """Cubic splines of joint positions and orientations of ``bones``, by default all, both ends included."""
    frames = round(motion.duration * fps) + 1
    old = np.linspace(0.0, 1.0, len(motion.positions))
    new = np.linspace(0.0, 1.0, frames)
    ids = {bone: motion.index(bone) for bone in (motion.bones if bones is None else bones)}
    positions = {bone: CubicSpline(old, motion.positions[:, i])(new) for bone, i in ids.items()}
    orientation = {
        bone: RotationSpline(old, Rotation.from_quat(motion.rotations[:, i], scalar_first=True))(new)
        for bone, i in ids.items()
    }
    return positions, orientation


def _rest_positions(body: Body) -> dict[str, np.ndarray]:
    """Joint centres of ``body`` with all hinges at zero, facing +x."""
    data = mujoco.MjData(body.model)
    mujoco.mj_kinematics(body.model, data)
    return {bone: data.body(name).xpos.copy() for bone, name in body.bones.items()}


def body_scale(motion: SkeletonMotion, body: Body) -> float:
    """Length of the legs of ``body`` in those of ``motion``."""
    return _leg_length(_rest_positions(body)) / _leg_length(dict(zip(motion.bones, motion.rest, strict=True)))


def _leg_length(rest: dict[str, np.ndarray]) -> float:
    thigh = rest["LeftLowerLeg"] - rest["LeftUpperLeg"]
    shank = rest["LeftFoot"] - rest["LeftLowerLeg"]
    return float(np.linalg.norm(thigh) + np.linalg.norm(shank))


def _face_forward(targets: Targets) -> Targets:
    """Turn about z and shift in xy so that the first frame stands at the origin and heads along +x."""
    first = targets.rotations["Hips"][0]
    # A lying figure's x axis points at the floor or the sky: there its long axis tells the heading.
    ahead = first.apply([1.0, 0.0, 0.0])
    if abs(ahead[2]) > 0.7:
        ahead = -np.sign(ahead[2]) * first.apply([0.0, 0.0, 1.0])
    turn = Rotation.from_euler("z", -np.arctan2(ahead[1], ahead[0]))
    origin = targets.positions["Hips"][0] * np.array([1.0, 1.0, 0.0])
    return dataclasses.replace(
        targets,
        positions={bone: turn.apply(p - origin) for bone, p in targets.positions.items()},
        rotations={bone: turn * r for bone, r in targets.rotations.items()},
    )


def _closed(targets: Targets) -> Targets:
    """A cycle whose last frame is its first one moved in xy; limbs keep their lengths.

    Hips are closed in the world and all else as seen from them, so that a figure that ends turned is
    turned back as a whole.
    """
    fps, hips = targets.fps, targets.rotations["Hips"]
    closed_hips = close_turns(hips, fps)
    root = targets.positions["Hips"]
    forward = np.linspace(0.0, 1.0, len(root))[:, None] * (root[-1] - root[0]) * [1.0, 1.0, 0.0]
    positions = {"Hips": close_path(root - forward, fps) + forward}
    for bone in targets.positions.keys() - {"Hips"}:
        seen = hips.inv().apply(targets.positions[bone] - root)
        positions[bone] = positions["Hips"] + closed_hips.apply(close_path(seen, fps))
    for limb in LIMBS:
        for start, stop in itertools.pairwise(limb):
            along = positions[stop] - positions[start]
            length = np.linalg.norm(targets.positions[stop][0] - targets.positions[start][0])
            positions[stop] = positions[start] + length * along / np.linalg.norm(
                along, axis=-1, keepdims=True
            )
    rotations = {
        bone: closed_hips * close_turns(hips.inv() * rotation, fps)
        for bone, rotation in targets.rotations.items()
    }
    return Targets(fps, positions, rotations, loop=True)
