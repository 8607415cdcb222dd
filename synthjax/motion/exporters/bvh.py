"""Clips as Biovision hierarchy files (.bvh): metres, y up, facing +z, a T-pose where all angles are zero."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from synthjax.bodies import Body
from synthjax.motion.clip import Clip
from synthjax.motion.exporters.rig import ExportRig, JointMotion, bone_tips, export_rig, joint_motion

_ORDER = "ZXY"  # of the rotation channels, the outermost first


def write_bvh(clip: Clip, body: Body, path: Path) -> None:
    """Writes ``clip`` to ``path``.  Joints that move against their parent have position channels too."""
    rig = export_rig(body)
    motion = joint_motion(clip, rig)
    columns = []
    for joint in _depth_first(rig):
        if motion.moving[joint]:
            columns.append(motion.translations[:, joint])
        columns.append(_continuous_euler(motion.rotations[:, joint]))
    rows = np.concatenate(columns, axis=-1)
    lines = ["HIERARCHY", *_hierarchy(rig, motion, bone_tips(rig, body), 0, 0)]
    lines += ["MOTION", f"Frames: {len(rows)}", f"Frame Time: {1.0 / clip.fps:.9g}"]
    lines += [" ".join(f"{value:.6f}" for value in row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="ascii", errors="replace")


def _depth_first(rig: ExportRig, joint: int = 0) -> list[int]:
    """The order in which the hierarchy names the joints."""
    children = [j for j, parent in enumerate(rig.parents) if parent == joint]
    return [joint, *(j for child in children for j in _depth_first(rig, child))]


def _hierarchy(
    rig: ExportRig, motion: JointMotion, tips: dict[int, np.ndarray], joint: int, depth: int
) -> list[str]:
    # Programs differ in whether they add a root's offset to its positions, so it is zero.
    offset = rig.offsets[joint] if joint else np.zeros(3)
    channels = [f"{axis}rotation" for axis in _ORDER]
    if motion.moving[joint]:
        channels = [f"{axis}position" for axis in "XYZ"] + channels
    lines = [
        f"{'JOINT' if joint else 'ROOT'} {rig.names[joint]}",
        "{",
        f"\tOFFSET {_numbers(offset)}",
        f"\tCHANNELS {len(channels)} {' '.join(channels)}",
    ]
    for child, parent in enumerate(rig.parents):
        if parent == joint:
            lines += _hierarchy(rig, motion, tips, child, 1)
    if joint in tips:
        lines += ["\tEnd Site", "\t{", f"\t\tOFFSET {_numbers(tips[joint])}", "\t}"]
    return ["\t" * depth + line for line in [*lines, "}"]]


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.6f}" for value in values)


def _continuous_euler(quats: np.ndarray) -> np.ndarray:
    """(T, 3) degrees of w x y z (T, 4): of all triples for a rotation the one nearest to the frame before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # with the middle angle at 90 degrees the others are not unique
        first = Rotation.from_quat(quats, scalar_first=True).as_euler(_ORDER)
    # The same rotation with the middle angle on its other side.
    second = np.stack([first[:, 0] + np.pi, np.pi - first[:, 1], first[:, 2] + np.pi], axis=-1)
    out = first.copy()
    for t in range(1, len(out)):
        near = [
            triple + 2.0 * np.pi * np.round((out[t - 1] - triple) / (2.0 * np.pi))
            for triple in (first[t], second[t])
        ]
        out[t] = min(near, key=lambda triple: float(np.abs(triple - out[t - 1]).max()))
    degrees: np.ndarray = np.degrees(out)
    return degrees
