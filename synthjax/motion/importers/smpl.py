"""SMPL, SMPL-H and SMPL-X motions in .npz, as AMASS has them: rotation vectors of the body's 22 joints.

The body model is not needed: bone directions of its neutral pose, rounded here, do for a figure whose
lengths retargeting replaces.  The model stands along y and looks along z; AMASS turns it into a world
with z up.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from synthjax.errors import UserError
from synthjax.motion.importers.reading import ReadOptions, check_size, read_bytes, sane
from synthjax.motion.npz_file import read_arrays
from synthjax.motion.source import SourceMotion, from_tree

_JOINTS: tuple[tuple[str, str, tuple[float, float, float]], ...] = (
    # Joint, parent, offset from it in the T-pose (m; x left, y up, z ahead), in the order of the format.
    ("pelvis", "", (0.0, 0.0, 0.0)),
    ("left_hip", "pelvis", (0.06, -0.085, -0.015)), ("right_hip", "pelvis", (-0.06, -0.085, -0.015)),
    ("spine1", "pelvis", (0.0, 0.125, -0.035)),
    ("left_knee", "left_hip", (0.04, -0.385, 0.0)), ("right_knee", "right_hip", (-0.04, -0.385, 0.0)),
    ("spine2", "spine1", (0.0, 0.14, 0.025)),
    ("left_ankle", "left_knee", (-0.015, -0.42, -0.035)),
    ("right_ankle", "right_knee", (0.015, -0.42, -0.035)),
    ("spine3", "spine2", (0.0, 0.055, 0.0)),
    ("left_foot", "left_ankle", (0.04, -0.06, 0.125)), ("right_foot", "right_ankle", (-0.04, -0.06, 0.125)),
    ("neck", "spine3", (0.0, 0.21, -0.035)),
    ("left_collar", "spine3", (0.08, 0.115, -0.02)), ("right_collar", "spine3", (-0.08, 0.115, -0.02)),
    ("head", "neck", (0.0, 0.09, 0.05)),
    ("left_shoulder", "left_collar", (0.12, 0.045, -0.015)),
    ("right_shoulder", "right_collar", (-0.12, 0.045, -0.015)),
    ("left_elbow", "left_shoulder", (0.26, -0.015, -0.025)),
    ("right_elbow", "right_shoulder", (-0.26, -0.015, -0.025)),
    ("left_wrist", "left_elbow", (0.265, 0.01, -0.005)),
    ("right_wrist", "right_elbow", (-0.265, 0.01, -0.005)),
)  # fmt: skip
_KEYS = ("poses", "root_orient", "pose_body", "trans", "transl", "qpos", "joint_names")
_RATES = ("mocap_framerate", "mocap_frame_rate", "fps", "framerate")


def read_smpl(path: Path, options: ReadOptions) -> SourceMotion:
    """Raises :class:`UserError` if the file is damaged, or lacks poses, translations or its frame rate."""
    arrays = _load(path)
    if "qpos" in arrays and "joint_names" in arrays:
        raise UserError(f"'{path}' is a clip already: synthjax train --motion takes it as it is.")
    if "poses" in arrays:
        poses = arrays["poses"]
    elif "root_orient" in arrays and "pose_body" in arrays:
        poses = np.concatenate([np.atleast_2d(arrays[key]) for key in ("root_orient", "pose_body")], axis=-1)
    else:
        raise UserError(f"'{path}' has no 'poses', nor 'root_orient' and 'pose_body': it is no SMPL motion.")
    rate = next((arrays[key] for key in _RATES if key in arrays), None)
    trans = arrays.get("trans", arrays.get("transl"))
    if rate is None or trans is None:
        raise UserError(f"'{path}' lacks 'mocap_framerate' or 'trans': it is no whole SMPL motion.")
    if rate.size != 1 or rate.dtype.kind not in "fiu":
        raise UserError(f"'{path}' has no single number for its frame rate.")
    count = 3 * len(_JOINTS)
    fit = poses.ndim == 2 and poses.shape[1] >= count and trans.shape == (len(poses), 3)
    if not fit or poses.dtype.kind not in "fiu" or trans.dtype.kind not in "fiu":
        raise UserError(
            f"'{path}' has poses of shape {poses.shape} and trans of shape {trans.shape}: expected numbers, "
            f"(frames, {count} or more) and (frames, 3)."
        )
    fps = float(rate.reshape(()))
    check_size(path, len(poses), len(_JOINTS), fps)
    poses, trans = poses[:, :count].astype(np.float64), trans.astype(np.float64)
    if not (sane(poses) and sane(trans)):
        raise UserError(f"'{path}' holds numbers that are not finite, or no rotations: export it again.")
    names = [joint for joint, _, _ in _JOINTS]
    parents = tuple(names.index(parent) if parent else -1 for _, parent, _ in _JOINTS)
    offsets = [np.array(offset) for _, _, offset in _JOINTS]
    rotations = [Rotation.from_rotvec(poses[:, 3 * j : 3 * j + 3]) for j in range(len(names))]
    upright = Rotation.from_rotvec([[0.5 * np.pi, 0.0, 0.0]])  # the model's y is the world's z
    return from_tree(
        "SMPL", fps, names, parents, rotations, [trans, *offsets[1:]], offsets,
        root_rest=upright, up="z", metres=1.0,
    )  # fmt: skip


def _load(path: Path) -> dict[str, np.ndarray]:
    """The arrays of numbers; what is pickled, such as the gender in some files, is left out."""
    read_bytes(path)  # says what is wrong with the path, and bounds the size
    arrays = read_arrays(path, (*_KEYS, *_RATES))
    if arrays is None:
        raise UserError(f"'{path}' is damaged or no .npz of numbers: copy or export it again.")
    return arrays
