"""Reader of DeepMimic's text clips (Peng et al. 2018), as they also ship inside the PyPI package pybullet.

A file is JSON: ``Loop`` ("wrap" or "none") and ``Frames`` of 44 numbers: the frame's duration (s);
root position; quaternions (w x y z) of root, chest, neck; and then for the right and the left side
hip quaternion, knee angle, ankle quaternion, shoulder quaternion, elbow angle.  The figure looks
along +x with y up and z to its right; quaternions are relative to the parent, knees and elbows turn
about z.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from synthjax.errors import UserError
from synthjax.motion.skeleton import SkeletonMotion

FRAME_SIZE = 44
_LARGEST = 1e9  # of any number of a motion
_SHORTEST = 1e-4  # s, of a frame

# Bone, parent, offset from the parent's joint in metres (the file's axes: x ahead, y up, z right) and
# the columns of its local rotation: four for a quaternion, one for an angle about z, none for a fixed
# end point.  Offsets are those of pybullet_data/humanoid/humanoid.urdf, which is drawn at 4 : 1.  Toes
# and Head are points that we add so that the feet's and the head's directions can be read off.
_SKELETON: tuple[tuple[str, str, tuple[float, float, float], slice | None], ...] = (
    ("Hips", "", (0.0, 0.0, 0.0), slice(4, 8)),
    ("Chest", "Hips", (0.0, 0.236151, 0.0), slice(8, 12)),
    ("Neck", "Chest", (0.0, 0.223894, 0.0), slice(12, 16)),
    ("Head", "Neck", (0.0, 0.08, 0.0), None),
    ("RightUpperLeg", "Hips", (0.0, 0.0, 0.084887), slice(16, 20)),
    ("RightLowerLeg", "RightUpperLeg", (0.0, -0.421546, 0.0), slice(20, 21)),
    ("RightFoot", "RightLowerLeg", (0.0, -0.40987, 0.0), slice(21, 25)),
    ("RightToes", "RightFoot", (0.12, -0.05, 0.0), None),
    ("RightUpperArm", "Chest", (-0.02405, 0.2435, 0.18311), slice(25, 29)),
    ("RightLowerArm", "RightUpperArm", (0.0, -0.274788, 0.0), slice(29, 30)),
    ("RightHand", "RightLowerArm", (0.0, -0.258947, 0.0), None),
    ("LeftUpperLeg", "Hips", (0.0, 0.0, -0.084887), slice(30, 34)),
    ("LeftLowerLeg", "LeftUpperLeg", (0.0, -0.421546, 0.0), slice(34, 35)),
    ("LeftFoot", "LeftLowerLeg", (0.0, -0.40987, 0.0), slice(35, 39)),
    ("LeftToes", "LeftFoot", (0.12, -0.05, 0.0), None),
    ("LeftUpperArm", "Chest", (-0.02405, 0.2435, -0.18311), slice(39, 43)),
    ("LeftLowerArm", "LeftUpperArm", (0.0, -0.274788, 0.0), slice(43, 44)),
    ("LeftHand", "LeftLowerArm", (0.0, -0.258947, 0.0), None),
)

_TO_Z_UP = Rotation.from_euler("x", 90, degrees=True)  # y (up) becomes z, z (right) becomes -y


def read_deepmimic(path: Path, *, name: str, source: str, licence: str) -> SkeletonMotion:
    """Read one clip.  Raises :class:`UserError` for a file that is not a DeepMimic clip."""
    frames, loop = _read_frames(path)
    bones = tuple(row[0] for row in _SKELETON)
    parents = tuple(bones.index(row[1]) if row[1] else -1 for row in _SKELETON)
    offsets = _TO_Z_UP.apply(np.array([row[2] for row in _SKELETON]))

    rest = np.zeros((len(bones), 3))
    positions = np.zeros((len(frames), len(bones), 3))
    rotations = np.zeros((len(frames), len(bones), 4))
    world: list[Rotation] = []
    for i, (_, _, _, columns) in enumerate(_SKELETON):
        local = _local_rotation(frames, columns)
        parent = parents[i]
        if parent < 0:
            world.append(local)
            positions[:, i] = _TO_Z_UP.apply(frames[:, 1:4])
        else:
            world.append(world[parent] * local)
            positions[:, i] = positions[:, parent] + world[parent].apply(offsets[i])
            rest[i] = rest[parent] + offsets[i]
        rotations[:, i] = world[i].as_quat(scalar_first=True)

    # The last frame's duration is unused, and 0 in most files.
    return SkeletonMotion(
        name=name,
        fps=float(1.0 / np.median(frames[:-1, 0])),
        bones=bones,
        parents=parents,
        rest=rest,
        positions=positions,
        rotations=rotations,
        loop=loop,
        source=source,
        licence=licence,
        stance_speed=0.8,  # its stances slide
    )


def _read_frames(path: Path) -> tuple[np.ndarray, bool]:
    """The (T, 44) frames and whether the file says that they wrap."""
    try:
        content = json.loads(path.read_text())
        frames = np.array(content["Frames"], dtype=np.float64)
        loop = content["Loop"] == "wrap"
    except FileNotFoundError:
        raise UserError(f"There is no motion file '{path}': check the path.") from None
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise UserError(
            f"'{path}' is not a DeepMimic clip: expected JSON with 'Loop' and 'Frames'."
        ) from None
    if frames.ndim != 2 or frames.shape[0] < 2 or frames.shape[1] != FRAME_SIZE:
        raise UserError(
            f"'{path}' is not a DeepMimic humanoid clip: expected at least 2 frames of {FRAME_SIZE} numbers, "
            f"found an array of shape {frames.shape}."
        )
    if not np.isfinite(frames).all() or (frames[:-1, 0] < _SHORTEST).any() or np.abs(frames).max() > _LARGEST:
        raise UserError(f"'{path}' holds non-finite numbers or frames without duration: export it again.")
    turns = [frames[:, row[3]] for row in _SKELETON if row[3] is not None]
    if any(turn.shape[1] == 4 and np.linalg.norm(turn, axis=-1).min() < 0.5 for turn in turns):
        raise UserError(f"'{path}' holds quaternions that are not of unit length: export it again.")
    return frames, loop


def _local_rotation(frames: np.ndarray, columns: slice | None) -> Rotation:
    """Rotation relative to the parent in z-up axes, one for each frame."""
    if columns is None:
        return Rotation.identity(len(frames))
    values = frames[:, columns]
    if values.shape[1] == 1:
        local = Rotation.from_rotvec(values * np.array([0.0, 0.0, 1.0]))
    else:
        local = Rotation.from_quat(values, scalar_first=True)
    return _TO_Z_UP * local * _TO_Z_UP.inv()
