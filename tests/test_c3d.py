"""Joints from markers of a motion that is known, in files by another library than the one that reads them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import marker_files as files
import motion_sources as sources
import numpy as np
import pytest
from motion_sources import write
from scipy.spatial.transform import Rotation
from test_importers import read

from synthjax.errors import UserError
from synthjax.motion.importing import read_human
from synthjax.motion.source import SourceMotion

pytest.importorskip("c3d", reason="C3D files need synthjax[motion]")
pytest.importorskip("ezc3d", reason="the test files are written by ezc3d")

Markers = dict[str, np.ndarray]
OWN = {"Hips": 50.0, "Chest": 50.0}  # mm, between the figure's joint and the one that is meant here


def off_by(source: SourceMotion) -> dict[str, float]:
    """Largest distance of each joint from where it is, mm."""
    positions, _ = sources.world()
    rows = [sources.NAMES.index(name) for name in source.joints]
    distances = np.linalg.norm(source.positions - positions[:, rows], axis=-1)
    return dict(zip(source.joints, 1000.0 * distances.max(axis=0), strict=True))


@pytest.mark.parametrize("unit", ["mm", "m"])
def test_joints_lie_under_their_markers(unit: str, tmp_path: Path) -> None:
    source = read(files.independent(tmp_path / "a.c3d", files.markers(), unit))
    assert len(source.joints) == 18
    assert (source.fps, source.metres, source.up) == (30.0, 1.0, None)
    for joint, distance in off_by(source).items():
        assert distance == pytest.approx(OWN.get(joint, 0.0), abs=0.01), joint


def test_the_figure_moves_as_from_bvh(tmp_path: Path) -> None:
    """Trunk, feet and head turn as the bones do, though markers show the trunk as tilted."""
    points = files.markers()
    _, rotations = sources.world()
    tilted = {"LPSI": 0.05, "RPSI": 0.05, "C7": 0.05}
    hips, chest = (rotations[:, sources.NAMES.index(name), :, 1] for name in ("Hips", "Chest"))
    points |= {name: points[name] + up * (chest if name == "C7" else hips) for name, up in tilted.items()}
    marked = read_human(files.independent(tmp_path / "a.c3d", points))
    boned = read_human(write(tmp_path, "a.bvh", sources.bvh())).motion
    assert marked.facts["format"] == "C3D, markers of Plug-in Gait, 18 joints"
    assert marked.facts["up axis"] == "y (found from the motion)"
    for bone in ("Hips", "UpperChest", "LeftFoot", "RightFoot", "Head"):
        found, right = (
            Rotation.from_quat(m.rotations[:, m.index(bone)], scalar_first=True)
            for m in (marked.motion, boned)
        )
        assert np.degrees((found.inv() * right).magnitude()).max() < 5.0, bone


def test_a_wider_knee_than_assumed_moves_the_joint_by_the_difference(tmp_path: Path) -> None:
    points, (_, rotations) = files.markers(), sources.world()
    points["LKNE"] += 0.01 * rotations[:, sources.NAMES.index("LeftUpperLeg"), :, 0]
    source = read(files.independent(tmp_path / "a.c3d", points))
    off = off_by(source)
    assert off["LeftLowerLeg"] == pytest.approx(10.0, abs=1.0)
    assert off["RightLowerLeg"] < 0.01


def cmu(points: Markers) -> Markers:
    names = {"LASI": "LFWT", "RASI": "RFWT", "LPSI": "LBWT", "RPSI": "RBWT", "LTIB": "LSHN", "RTIB": "RSHN"}
    return {f"Subject1:{names.get(name, name)}": at for name, at in points.items()} | {"*12": points["C7"]}


def sacrum(points: Markers) -> Markers:
    middle = 0.5 * (points["LPSI"] + points["RPSI"])
    return {name: at for name, at in points.items() if name not in ("LPSI", "RPSI")} | {"SACR": middle}


def hidden(points: Markers) -> Markers:
    points["LKNE"][40:45] = np.nan  # stands still there for no longer than a sixth of a second
    points["RTOE"][:2] = points["C7"][-3:] = np.nan
    return points


@pytest.mark.parametrize("change", [cmu, sacrum, hidden])
def test_marker_sets_and_short_gaps(change: Callable[[Markers], Markers], tmp_path: Path) -> None:
    whole = read(files.independent(tmp_path / "whole.c3d", files.markers()))
    source = read(files.independent(tmp_path / "a.c3d", change(files.markers())))
    kept = slice(2, -3) if change is hidden else slice(None)
    np.testing.assert_allclose(
        source.positions, whole.positions[kept], atol=0.03 if change is hidden else 1e-5
    )


def test_what_is_better_had_may_be_missing_and_is_told(tmp_path: Path) -> None:
    """Without the markers amid thigh and shank the pelvis and the knee say where aside is."""
    points = without("LTHI", "LFHD", "RFHD")(files.markers())
    points["RTIB"][20:70] = np.nan
    source = read(files.independent(tmp_path / "a.c3d", points))
    assert source.kind == "C3D, markers of Plug-in Gait but for LTHI, LFHD, RTIB, RFHD"
    assert "Head" not in source.joints
    off = off_by(source)
    assert off["LeftLowerLeg"] < 1.0
    assert off["RightFoot"] < 1.0


def without(*names: str) -> Callable[[Markers], Markers]:
    return lambda points: {name: at for name, at in points.items() if name not in names}


def gap(points: Markers) -> Markers:
    points["LKNE"][40:50] = np.nan
    return points


def never(points: Markers) -> Markers:
    return points | {"LKNE": np.full_like(points["LKNE"], np.nan)}


def apart(points: Markers) -> Markers:
    points["LKNE"][:50] = points["RKNE"][45:] = np.nan
    return points


def at_one_place(points: Markers) -> Markers:
    return points | {"RASI": points["LASI"]}


@pytest.mark.parametrize(
    ("change", "unit", "message"),
    [
        (without("LANK", "CLAV"), "mm", "lacks the markers CLAV, LANK of Vicon.*it has C7, T10, STRN"),
        (without("LPSI"), "mm", "lacks the markers LPSI and RPSI, or SACR"),
        (gap, "mm", r"does not see marker LKNE for 0\.33 s from second 1\.30 on"),
        (never, "mm", "never sees the markers LKNE"),
        (apart, "mm", "no part in which all markers are seen"),
        (lambda points: points | {"B:C7": points["C7"]}, "mm", "several markers C7: export one figure"),
        (lambda points: points, "furlong", "in 'furlong'"),
        (at_one_place, "mm", "markers that lie on one another"),
        (lambda points: {name: at[:1] for name, at in points.items()}, "mm", "holds 1 frame"),
    ],
)
def test_what_cannot_be_a_figure_is_refused(
    change: Callable[[Markers], Markers], unit: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        read(files.independent(tmp_path / "a.c3d", change(files.markers()), unit))


def test_damaged_files_and_a_missing_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="damaged or no C3D file"):
        read(write(tmp_path, "a.c3d", b"\2\x50" + bytes(600)))
    path = write(tmp_path, "b.c3d", files.small())
    assert len(read(path).positions) == 3
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'synthjax\[motion\]'"):
        read(path)
