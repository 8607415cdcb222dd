"""Readers of motion files against kinematics written out by hand, and what they refuse."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path

import acclaim_files
import fbx_files
import motion_sources as sources
import numpy as np
import pytest
from motion_sources import turn, write

from synthjax.errors import UserError
from synthjax.motion.importers import READERS, ReadOptions, read_source
from synthjax.motion.source import SourceMotion

ORDERS = ["".join(order) for order in itertools.permutations("xyz")]
ANGLES = {"x": 20.0, "y": -35.0, "z": 50.0}


def read(path: Path, **options: object) -> SourceMotion:
    source = read_source(path, ReadOptions(**options))  # type: ignore[arg-type]
    assert isinstance(source, SourceMotion)
    return source


def same_as_by_hand(source: SourceMotion, unit: float = 1.0) -> None:
    positions, rotations = sources.world()
    rows = [source.joints.index(name) for name in sources.NAMES]
    np.testing.assert_allclose(unit * source.positions[:, rows], positions, atol=5e-6)
    for t, j in ((0, 4), (37, 9), (45, 16), (89, 12)):
        quat = np.roll(sources.quaternion(rotations[t, j]), 1)
        assert abs(quat @ source.rotations[t, rows[j]]) == pytest.approx(1.0, abs=1e-6)


TWO_BONES = """HIERARCHY
ROOT hip
{{
  OFFSET 5 5 5
  CHANNELS 6 Xposition Yposition Zposition {channels}
  JOINT knee
  {{
    OFFSET 0 -2 0.5
    CHANNELS 3 {channels}
    End Site
    {{
      OFFSET 0 -1 3
    }}
  }}
}}
MOTION
Frames: 2
Frame Time: 0.05
1 2 3 {values} {values}
0 0 0 0 0 0 0 0 0
"""


@pytest.mark.parametrize("order", ORDERS)
def test_bvh_turns_about_the_joints_own_axes_in_every_order(order: str, tmp_path: Path) -> None:
    channels = " ".join(f"{axis.upper()}rotation" for axis in order)
    values = " ".join(str(ANGLES[axis]) for axis in order)
    source = read(write(tmp_path, "a.bvh", TWO_BONES.format(channels=channels, values=values)))
    first, second, third = (turn(axis, ANGLES[axis]) for axis in order)
    matrix = first @ second @ third
    knee = np.array([1, 2, 3]) + matrix @ [0, -2, 0.5]
    np.testing.assert_allclose(source.positions[0], [[1, 2, 3], knee, knee + matrix @ matrix @ [0, -1, 3]])
    np.testing.assert_allclose(source.positions[1], [[0, 0, 0], [0, -2, 0.5], [0, -3, 3.5]], atol=1e-12)
    assert (source.fps, source.up, source.metres) == (20.0, None, None)


ASF = """:version 1.10
:units
  length 0.45
  angle deg
:root
  order TX TY TZ {root}
  axis XYZ
  position 0 0 0
  orientation 0 0 0
:bonedata
  begin
    id 1
    name thigh
    direction 0 -1 0
    length 2
    axis 10 20 30 {axis}
    dof {dof}
    limits (-1 1)
  end
  begin
    id 2
    name shin
    direction 0 0 1
    length 3
    axis 0 0 0 XYZ
  end
  begin
    id 3
    name toe
    direction 1 0 0
    length 1
    axis 0 0 0 XYZ
  end
:hierarchy
  begin
    root thigh
    thigh shin
    shin toe
  end
"""
AMC = ":FULLY-SPECIFIED\n:DEGREES\n1\nroot 1 2 3 {root}\nthigh {values}\n2\nroot 0 0 0 0 0 0\nthigh 0 0 0\n"


@pytest.mark.parametrize("order", ORDERS)
def test_acclaim_turns_about_fixed_axes_in_every_order(order: str, tmp_path: Path) -> None:
    write(tmp_path, "a.asf", ASF.format(
        root=" ".join(f"R{axis.upper()}" for axis in order), axis=order.upper(),
        dof=" ".join(f"r{axis}" for axis in order),
    ))  # fmt: skip
    values = " ".join(str(ANGLES[axis]) for axis in order)
    source = read(write(tmp_path, "a.amc", AMC.format(root=values, values=values)))

    def fixed(angles: dict[str, float]) -> np.ndarray:
        first, second, third = (turn(axis, angles[axis]) for axis in order)
        return third @ second @ first

    motion = fixed(ANGLES)
    own = fixed(dict(zip(order, (10.0, 20.0, 30.0), strict=True)))
    thigh = motion @ own @ motion @ own.T
    expected = [[1, 2, 3], [1, 2, 3]]
    expected.append(expected[1] + thigh @ [0, -2, 0])
    expected.append(expected[2] + thigh @ [0, 0, 3])
    np.testing.assert_allclose(source.positions[0], expected)
    np.testing.assert_allclose(source.positions[1], source.rest_positions, atol=1e-12)
    assert source.joints == ("root", "thigh", "shin", "toe")
    assert source.metres == pytest.approx(0.0254 / 0.45)


def test_the_figure_is_the_same_from_acclaim(tmp_path: Path) -> None:
    write(tmp_path, "a.asf", acclaim_files.skeleton())
    source = read(write(tmp_path, "a.amc", acclaim_files.motion()))
    hips = source.joints.index("root")
    source = dataclasses.replace(source, joints=("Hips", *source.joints[1:]), metres=1.0)
    assert (hips, source.fps) == (0, 120.0)
    same_as_by_hand(source)


def test_the_figure_is_the_same_from_bvh_and_gltf(tmp_path: Path) -> None:
    same_as_by_hand(read(write(tmp_path, "a.bvh", sources.bvh(unit=0.01))), unit=0.01)
    for name, content in (("a.glb", sources.glb()), ("a.gltf", sources.gltf())):
        source = read(write(tmp_path, name, content))
        same_as_by_hand(source)
        assert (source.fps, source.up, source.metres, source.take) == (pytest.approx(30.0), "y", 1.0, "walk")


@pytest.mark.parametrize(("up", "form"), [(1, str), (2, str), (1, fbx_files.binary)])
def test_the_figure_is_the_same_from_fbx(up: int, form: Callable[[str], str | bytes], tmp_path: Path) -> None:
    pytest.importorskip("ufbx", reason="FBX files need synthjax[motion]")
    path = write(tmp_path, "a.fbx", form(sources.fbx(up=up)))
    source = read(path, take="walk")
    same_as_by_hand(source, unit=0.01)
    assert (source.fps, source.up, source.metres, source.take) == (30.0, "xyz"[up], 0.01, "walk")
    with pytest.raises(UserError, match="did you mean walk"):
        read(path, take="wlak")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "no FBX at all", "no FBX file that ufbx can read"),
        (lambda text: text.replace("AnimationStack", "AnimationStick"), "holds no animation"),
        (lambda text: text.replace('"LocalStop", "KTime"', '"LocalStopp", "KTime"'), "holds 1 frame"),
        (lambda text: re.sub(r'("CoordAxisSign".*),1', r"\1,-1", text), "left-handed"),
    ],
)
def test_a_bad_fbx_is_refused(change: Callable[[str], str], message: str, tmp_path: Path) -> None:
    pytest.importorskip("ufbx", reason="FBX files need synthjax[motion]")
    with pytest.raises(UserError, match=message):
        read(write(tmp_path, "a.fbx", change(sources.fbx(frames=3))))


def test_fbx_without_its_library_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install"):
        read(write(tmp_path, "a.fbx", ""))


def test_gltf_interpolates_and_scales(tmp_path: Path) -> None:
    """A parent that is doubled and turned, a child that moves by a spline and one that steps."""
    times = np.array([0.0, 1.0], "<f4")
    # In-tangent, value, out-tangent of each key: at the middle Hermite's basis gives 0.5 x 1 + 0.125 x 4.
    spline = np.array([[9, 9, 9], [0, 0, 0], [4, 0, 0], [0, 0, 0], [1, 0, 0], [9, 9, 9]], "<f4")
    step = np.array([[0, 1, 0], [0, 3, 0]], "<f4")
    blob = times.tobytes() + spline.tobytes() + step.tobytes()
    content = {
        "nodes": [
            {"name": "top", "scale": [2, 2, 2], "rotation": [0, 0, 1, 1], "children": [1, 2]},
            {"name": "spline"},
            {"name": "step"},
        ],
        "buffers": [{"uri": "data.bin", "byteLength": len(blob)}],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": 8}, {"buffer": 0, "byteOffset": 8, "byteLength": 72},
            {"buffer": 0, "byteOffset": 80, "byteLength": 24},
        ],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 2, "type": "SCALAR"},
            {"bufferView": 1, "componentType": 5126, "count": 6, "type": "VEC3"},
            {"bufferView": 2, "componentType": 5126, "count": 2, "type": "VEC3"},
        ],
        "animations": [{
            "samplers": [
                {"input": 0, "output": 1, "interpolation": "CUBICSPLINE"},
                {"input": 0, "output": 2, "interpolation": "STEP"},
            ],
            "channels": [
                {"sampler": 0, "target": {"node": 1, "path": "translation"}},
                {"sampler": 1, "target": {"node": 2, "path": "translation"}},
            ],
        }],
    }  # fmt: skip
    write(tmp_path, "data.bin", blob)
    source = read(write(tmp_path, "a.gltf", json.dumps(content)))
    at = {name: source.positions[15, i] for i, name in enumerate(source.joints)}  # half a second
    np.testing.assert_allclose(at["spline"], [0.0, 2.0 * (0.5 + 0.5), 0.0], atol=1e-6)
    np.testing.assert_allclose(at["step"], [-2.0, 0.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(source.positions[-1, 2], [-6.0, 0.0, 0.0], atol=1e-6)


def test_vrm_says_which_node_is_which_bone(tmp_path: Path) -> None:
    bones = {"hips": {"node": 0}, "leftUpperLeg": {"node": 5}}
    extension = {"VRMC_vrm_animation": {"humanoid": {"humanBones": bones}}}
    source = read(write(tmp_path, "a.vrma", sources.glb(extension)))
    roles = {bone: source.joints[joint] for bone, joint in source.roles.items()}
    assert roles == {"Hips": "Hips", "LeftUpperLeg": "LeftUpperLeg"}
    vrm0 = {"VRM": {"humanoid": {"humanBones": [{"bone": "head", "node": 4}]}}}
    source = read(write(tmp_path, "b.glb", sources.glb(vrm0)))
    assert source.joints[source.roles["Head"]] == "Head"


def smpl_file(folder: Path, **changes: object) -> Path:
    poses = np.zeros((3, 156))
    poses[:, 0] = math.pi / 2  # AMASS: the model's y becomes z
    poses[2, 3 * 4] = math.pi / 2  # left knee, about the model's x
    arrays = {
        "poses": poses,
        "trans": np.array([[0, 0, 1.0], [1, 2, 3], [0, 0, 1]]),
        "mocap_framerate": 120.0,
    }
    np.savez(folder / "a.npz", **(arrays | changes))  # type: ignore[arg-type]
    return folder / "a.npz"


def test_smpl_stands_along_z_and_bends_its_knee_backwards(tmp_path: Path) -> None:
    source = read(smpl_file(tmp_path, gender=np.array("male")))
    at = {name: source.positions[:, i] for i, name in enumerate(source.joints)}
    np.testing.assert_allclose(at["pelvis"], [[0, 0, 1], [1, 2, 3], [0, 0, 1]])
    assert at["left_ankle"][0, 2] < 0.2 < at["head"][0, 2] - 1.4 < 0.4
    assert at["left_hip"][0, 0] > 0.0 > at["right_hip"][0, 0]
    assert at["left_foot"][0, 1] < at["left_ankle"][0, 1]  # it looks along -y
    # A quarter turn about the axis to the left: the shank, which hung down, points backwards.
    shank = at["left_ankle"][2] - at["left_knee"][2]
    np.testing.assert_allclose(shank, [-0.015, 0.42, 0.035], atol=1e-12)
    np.testing.assert_allclose(source.rest_rotations[0], [math.sqrt(0.5), math.sqrt(0.5), 0, 0])
    assert (source.fps, source.up) == (120.0, "z")


BAD_BVH = [
    (lambda text: text.replace("OFFSET 0 -2 0.5", "OFFSET 0 -2"), "line 8: OFFSET has 2 numbers"),
    (lambda text: text.replace("OFFSET 0 -2 0.5", "OFFSET 0 -2 nan"), "line 8: 'nan' is not a number"),
    (lambda text: text.replace("CHANNELS 3", "CHANNELS 4"), "line 9: CHANNELS must hold"),
    (lambda text: text.replace("JOINT", "JOYNT"), "line 6: 'JOYNT' is not part"),
    (lambda text: text.replace("1 2 3 20", "1 2 3"), "line 19: 8 numbers where the channels ask for 9"),
    (lambda text: text.replace("1 2 3 20", "1 2 x 20"), "line 19: 'x' is not a number"),
    (lambda text: text.replace("Frames: 2", "Frames: 3"), "says 3 frames and holds 2"),
    (lambda text: text.replace("0.05", "0"), "line 18: Frame Time must be above zero"),
    (lambda text: text.replace("0.05", "1e-9"), "frames a second"),
    (lambda text: text.replace("Frames", "Frame"), "line 17: 'Frames:' is missing"),
    (lambda text: text[: text.index("MOTION")], "no line MOTION"),
    (lambda text: text.replace("}\nMOTION", "MOTION"), "line 15: MOTION comes before all braces"),
    (lambda text: "", "no line MOTION"),
]


@pytest.mark.parametrize(("change", "message"), BAD_BVH)
def test_a_bad_bvh_is_told_with_its_line(change: Callable[[str], str], message: str, tmp_path: Path) -> None:
    text = TWO_BONES.format(channels="Zrotation Xrotation Yrotation", values="20 30 40")
    changed = change(text)
    assert changed != text
    with pytest.raises(UserError, match=message):
        read(write(tmp_path, "a.bvh", changed))


BAD_ACCLAIM = [
    ("a.amc", "thigh 20", "thigh 20 5", "line 5: thigh has 4 values where a.asf has 3"),
    ("a.amc", "thigh 0 0 0", "", "frame 2 has no values for 'thigh'"),
    ("a.amc", "thigh 0", "thing 0", "line 8: 'thing' is not a bone of a.asf"),
    ("a.amc", "2\nroot 0 0 0 0 0 0\nthigh 0 0 0\n", "", "holds 1 frame:"),
    ("a.asf", "direction 0 -1 0", "direction 0 -1", "line 14: three numbers"),
    ("a.asf", "dof rx", "dof rx rx", "line 17: a degree of freedom"),
    ("a.asf", "30 XYZ", "30 XYY", "line 16: 'xyy' is not an order"),
    ("a.asf", "root thigh", "root shank", "line 36: a bone that :bonedata does not have"),
    ("a.asf", "thigh shin", "thigh shin thigh", "line 37: a bone that hangs from two"),
    ("a.asf", "length 0.45", "length 0", "line 3: the unit of length"),
]


@pytest.mark.parametrize(("file", "old", "new", "message"), BAD_ACCLAIM)
def test_a_bad_acclaim_file_is_told_with_its_line(
    file: str, old: str, new: str, message: str, tmp_path: Path
) -> None:
    texts = {
        "a.asf": ASF.format(root="RX RY RZ", axis="XYZ", dof="rx ry rz"),
        "a.amc": AMC.format(root="20 30 40", values="20 30 40"),
    }
    assert old in texts[file]
    texts[file] = texts[file].replace(old, new, 1)
    for name, text in texts.items():
        write(tmp_path, name, text)
    with pytest.raises(UserError, match=message):
        read(tmp_path / "a.amc")


def test_a_motion_without_its_skeleton_says_where_to_put_it(tmp_path: Path) -> None:
    path = write(tmp_path, "07_01.amc", AMC.format(root="20 30 40", values="20 30 40"))
    with pytest.raises(UserError, match=r"put the \.asf file beside it"):
        read(path)
    text = ASF.format(root="RX RY RZ", axis="XYZ", dof="rx ry rz")
    other = write(tmp_path, "07.asf", text)
    write(tmp_path, "08.asf", "")
    read(path)  # 07.asf, by its name
    read(path, skeleton=other)
    with pytest.raises(UserError, match=r"give an \.amc file"):
        read(other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mocap_framerate": 0.0}, "frames a second"),
        ({"poses": np.zeros((3, 60))}, "of shape"),
        ({"trans": np.zeros((2, 3))}, "of shape"),
        ({"poses": np.full((3, 66), np.nan)}, "not finite"),
        ({"poses": np.array([["a"] * 66] * 3)}, "expected numbers"),
        ({"mocap_framerate": np.array([1.0, 2.0])}, "no single number"),
    ],
)
def test_a_bad_smpl_file_is_refused(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        read(smpl_file(tmp_path, **changes))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xyz", "", "no format that is read"),
        ("a.anim", b"\x00\x01", "Force Text"),
        ("a.npz", b"PK", "damaged"),
        ("a.glb", b"glTF", "damaged"),
        ("a.gltf", "[" * 100_000, "damaged"),
        ("a.gltf", "{}", "holds no animation"),
        ("a.txt", "[" * 100_000, "not a DeepMimic clip"),
    ],
)
def test_other_files_are_refused(name: str, content: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        read(write(tmp_path, name, content))


def test_missing_files_folders_and_options_of_other_formats(tmp_path: Path) -> None:
    for suffix in READERS:
        if suffix != ".asf":
            with pytest.raises(UserError, match="There is no motion file"):
                read(tmp_path / f"none{suffix}", skeleton=None)
    (tmp_path / "folder.bvh").mkdir()
    with pytest.raises(UserError, match="is a folder"):
        read(tmp_path / "folder.bvh")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.bvh")  # that nobody writes to
        with pytest.raises(UserError, match="is no file"):
            read(tmp_path / "pipe.bvh")
    path = write(tmp_path, "a.bvh", sources.bvh())
    with pytest.raises(UserError, match="leave out --skeleton"):
        read(path, skeleton=path)
    with pytest.raises(UserError, match="leave out --take"):
        read(path, take="walk")
    with pytest.raises(UserError, match=r"joint angles of a body and no skeleton"):
        read(tmp_path / "a.csv")
    with pytest.raises(UserError, match="Unknown take"):
        read(write(tmp_path, "a.glb", sources.glb()), take="wlak")


def test_a_file_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    """Many channels that read the same bytes over and over; a text and a frame count beyond the bounds."""
    content = {
        "nodes": [{}],
        "buffers": [{"uri": "data.bin"}],
        "bufferViews": [{"buffer": 0}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 1_000_000, "type": "SCALAR"}],
        "animations": [{
            "samplers": [{"input": 0, "output": 0}],
            "channels": [{"sampler": 0, "target": {"node": 0, "path": "scale"}}] * 100,
        }],
    }  # fmt: skip
    write(tmp_path, "data.bin", np.arange(1_000_000, dtype="<f4").tobytes())
    with pytest.raises(UserError, match="hold more than 30000000 numbers"):
        read(write(tmp_path, "a.gltf", json.dumps(content)))
    with (tmp_path / "a.bvh").open("wb") as file:
        file.truncate(129 * 2**20)  # a hole, which takes no room
    with pytest.raises(UserError, match="larger than 128 MB"):
        read(tmp_path / "a.bvh")
