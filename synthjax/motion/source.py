"""What a motion file holds: any tree of joints over time, in the file's own names, axes and units."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.spatial.transform import Rotation


@dataclasses.dataclass(frozen=True)
class SourceMotion:
    """Every joint of a file in the world of the file, right-handed, quaternions w x y z.

    :func:`synthjax.motion.humanoid.to_skeleton` makes a :class:`SkeletonMotion` of it.
    """

    kind: str  # of the file, for people: "BVH"
    take: str  # which of the file's animations this is, and of how many; empty if it can hold only one
    fps: float
    joints: tuple[str, ...]  # names need not be unique
    parents: tuple[int, ...]  # parents before children, -1 for roots
    rest_positions: np.ndarray  # (J, 3) in the pose that the file calls its rest, or bind, pose
    rest_rotations: np.ndarray  # (J, 4) world orientations in it
    positions: np.ndarray  # (T, J, 3)
    rotations: np.ndarray  # (T, J, 4)
    up: str | None  # "x", "y" or "z", with "-" before it if downwards; None where the format does not say
    metres: float | None  # in one unit of length; None where the format does not say
    roles: Mapping[str, int]  # HumanBodyBones name -> joint, where the file itself says so


def pose_tree(
    parents: Sequence[int], rotations: Sequence[Rotation], translations: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """World positions (T, J, 3) and orientations (T, J, 4) from what each joint has relative to its parent.

    ``rotations[j]`` holds T rotations, ``translations[j]`` is (T, 3) or (3,).
    """
    frames = len(rotations[0])
    positions = np.zeros((frames, len(parents), 3))
    out = np.zeros((frames, len(parents), 4))
    world: list[Rotation] = []
    for j, parent in enumerate(parents):
        if parent < 0:
            world.append(rotations[j])
            positions[:, j] = translations[j]
        else:
            world.append(world[parent] * rotations[j])
            moved = world[parent].apply(translations[j])
            positions[:, j] = positions[:, parent] + moved
        out[:, j] = world[j].as_quat(scalar_first=True)
    return positions, out


def from_tree(
    kind: str,
    fps: float,
    joints: Sequence[str],
    parents: tuple[int, ...],
    rotations: Sequence[Rotation],
    translations: Sequence[np.ndarray],
    offsets: Sequence[np.ndarray],
    *,
    root_rest: Rotation | None = None,
    up: str | None = None,
    metres: float | None = None,
) -> SourceMotion:
    """The motion of a format that holds one animation, and whose rest pose is its offsets without rotation.

    Args:
      kind: of the file, for people.
      fps: frames a second.
      joints: names.
      parents: as in :class:`SourceMotion`.
      rotations: see :func:`pose_tree`.
      translations: see :func:`pose_tree`.
      offsets: (3,) of each joint from its parent in the rest pose.
      root_rest: one rotation, of the root, which is the first joint, in the rest pose; none if not given.
      up: as in :class:`SourceMotion`.
      metres: as in :class:`SourceMotion`.
    """
    positions, orientations = pose_tree(parents, rotations, translations)
    still = [Rotation.identity(1)] * len(joints)
    if root_rest is not None:
        still[0] = root_rest
    rest_positions, rest_rotations = pose_tree(parents, still, offsets)
    return SourceMotion(
        kind=kind,
        take="",
        fps=fps,
        joints=tuple(joints),
        parents=parents,
        rest_positions=rest_positions[0],
        rest_rotations=rest_rotations[0],
        positions=positions,
        rotations=orientations,
        up=up,
        metres=metres,
        roles={},
    )


def scaled_tree(
    parents: Sequence[int], local: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`pose_tree`, for joints that may be scaled and so scale what hangs from them.

    ``local[j]`` is translation (T, 3), rotation (T, 4, w last) and scale (T, 3) of joint j.
    """
    frames = len(local[0][0]) if local else 0
    with np.errstate(over="ignore", invalid="ignore"):  # readers check what comes out
        return _scaled_tree(parents, local, frames)


def _scaled_tree(
    parents: Sequence[int], local: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], frames: int
) -> tuple[np.ndarray, np.ndarray]:
    positions, out = np.zeros((frames, len(parents), 3)), np.zeros((frames, len(parents), 4))
    world: list[Rotation] = []
    linear: list[np.ndarray] = []  # (T, 3, 3) rotations and scales down to each joint
    for j, (parent, (translation, rotation, scale)) in enumerate(zip(parents, local, strict=True)):
        own = Rotation.from_quat(rotation)
        scaled = own.as_matrix() * scale[:, None, :]
        if parent < 0:
            world.append(own)
            linear.append(scaled)
            positions[:, j] = translation
        else:
            world.append(world[parent] * own)
            linear.append(linear[parent] @ scaled)
            positions[:, j] = positions[:, parent] + np.einsum("tij,tj->ti", linear[parent], translation)
        out[:, j] = world[j].as_quat(scalar_first=True)
    return positions, out
