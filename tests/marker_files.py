"""Markers on the skin of the test's figure, and C3D files of them by two libraries."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from pathlib import Path

import motion_sources as sources
import numpy as np
import pytest

# Where Harrington's formulas put the hips of the figure: its pelvis's width and depth, m.
WIDTH = (0.09 - 0.0073) / 0.33
DEPTH = 0.14
HIP_DROP = 0.30 * WIDTH + 0.0109
HIP_BACK = 0.24 * DEPTH + 0.0099


def markers(frames: int = 90) -> dict[str, np.ndarray]:
    """(T, 3) m of each marker of Plug-in Gait: y up, the figure looks along z and has its left at x."""
    positions, rotations = sources.world(frames)

    def on(joint: str, x: float, y: float, z: float) -> np.ndarray:
        j = sources.NAMES.index(joint)
        return positions[:, j] + rotations[:, j] @ [x, y, z]

    def joint(name: str) -> np.ndarray:
        return positions[:, sources.NAMES.index(name)]

    shoulders = 2.0 * (0.03 + 0.14)
    out = {
        "C7": on("Neck", 0.0, 0.0, -0.06), "CLAV": on("Neck", 0.0, 0.0, 0.06),
        "T10": on("Chest", 0.0, 0.05, -0.1), "STRN": on("Chest", 0.0, 0.05, 0.1),
    }  # fmt: skip
    for s, side, sign in (("L", "Left", 1.0), ("R", "Right", -1.0)):
        out |= {
            # The hips are 0.05 m below the root.
            f"{s}ASI": on("Hips", sign * 0.5 * WIDTH, HIP_DROP - 0.05, HIP_BACK),
            f"{s}PSI": on("Hips", sign * 0.04, HIP_DROP - 0.05, HIP_BACK - DEPTH),
            f"{s}THI": on(f"{side}UpperLeg", sign * 0.12, -0.2, 0.0),
            f"{s}KNE": on(f"{side}UpperLeg", sign * 0.057, -0.42, 0.0),
            f"{s}TIB": on(f"{side}LowerLeg", sign * 0.1, -0.2, 0.0),
            f"{s}ANK": on(f"{side}LowerLeg", sign * 0.042, -0.41, 0.0),
            f"{s}HEE": on(f"{side}Foot", 0.0, -0.06, -0.05),
            f"{s}TOE": joint(f"{side}Toes"),
            f"{s}SHO": joint(f"{side}UpperArm") + on("Chest", 0.0, 0.17 * shoulders, 0.0) - joint("Chest"),
            # With its palm ahead an arm that is stretched to its side has the outer side of its elbow above.
            f"{s}ELB": on(f"{side}UpperArm", sign * 0.28, 0.047, 0.0),
            f"{s}WRA": on(f"{side}LowerArm", sign * 0.25, 0.03, 0.0),
            f"{s}WRB": on(f"{side}LowerArm", sign * 0.25, -0.03, 0.0),
            f"{s}FHD": on("Head", sign * 0.07, 0.09, 0.09),
            f"{s}BHD": on("Head", sign * 0.07, 0.09, -0.09),
        }  # fmt: skip
    return out


def independent(path: Path, points: Mapping[str, np.ndarray], unit: str = "mm") -> Path:
    """A file by ezc3d; what is no number is not seen."""
    import ezc3d

    scale = {"mm": 1000.0, "m": 1.0, "furlong": 1.0}[unit]
    values = np.ones((4, len(points), len(next(iter(points.values())))))
    values[:3] = scale * np.array(list(points.values())).transpose(2, 0, 1)
    file = ezc3d.c3d()
    file["header"]["points"]["frame_rate"] = sources.FPS
    file["parameters"]["POINT"]["RATE"]["value"] = [sources.FPS]
    file["parameters"]["POINT"]["UNITS"]["value"] = [unit]
    file["parameters"]["POINT"]["LABELS"]["value"] = tuple(points)
    hidden = np.isnan(values).any(axis=0)
    file["data"]["points"] = np.nan_to_num(values)
    file["data"]["meta_points"]["residuals"] = np.where(hidden, -1.0, 0.0)[None]
    file["data"]["meta_points"]["camera_masks"] = np.zeros((7, *hidden.shape), bool)
    file.write(str(path))
    return path


def small(frames: int = 3) -> bytes:
    """A file by the library that reads them, for many changes."""
    c3d = pytest.importorskip("c3d", reason="C3D files need synthjax[motion]")
    points, out = markers(frames), io.BytesIO()
    writer = c3d.Writer(point_rate=sources.FPS, analog_rate=0.0, point_scale=-1.0)
    writer.set_point_labels(list(points))
    for frame in 1000.0 * np.array(list(points.values())).transpose(1, 0, 2):
        rows = np.zeros((len(points), 5), np.float32)
        rows[:, :3] = frame
        writer.add_frames([(rows, np.array([[]]))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what there is beside markers
        writer.write(out)
    return out.getvalue()
