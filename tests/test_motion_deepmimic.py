"""The DeepMimic reader against frames worked out by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from synthjax.errors import UserError
from synthjax.motion.deepmimic import read_deepmimic
from synthjax.motion.skeleton import SkeletonMotion

ONE = [1.0, 0.0, 0.0, 0.0]
THIGH, SHANK, UPPER_ARM, FOREARM = 0.421546, 0.40987, 0.274788, 0.258947


def frame(
    duration: float = 0.1, root: tuple[float, float, float] = (0.0, 0.9, 0.0), turn: list[float] = ONE,
    right_hip: list[float] = ONE, right_knee: float = 0.0, left_elbow: float = 0.0,
) -> list[float]:  # fmt: skip
    right = [*right_hip, right_knee, *ONE, *ONE, 0.0]
    left = [*ONE, 0.0, *ONE, *ONE, left_elbow]
    return [duration, *root, *turn, *ONE, *ONE, *right, *left]


def read(folder: Path, *frames: list[float], loop: str = "wrap") -> SkeletonMotion:
    path = folder / "clip.txt"
    path.write_text(json.dumps({"Loop": loop, "Frames": frames}))
    return read_deepmimic(path, name="clip", source="test", licence="none")


def test_upright_figure_faces_x_with_z_up_and_its_left_at_y(tmp_path: Path) -> None:
    motion = read(tmp_path, frame(), frame(root=(0.5, 0.9, 0.2)))
    assert (motion.fps, motion.loop, motion.duration) == (10.0, True, 0.1)
    at = {bone: motion.positions[0, i] for i, bone in enumerate(motion.bones)}
    np.testing.assert_allclose(at["Hips"], [0.0, 0.0, 0.9], atol=1e-12)
    np.testing.assert_allclose(at["LeftUpperLeg"], [0.0, 0.084887, 0.9], atol=1e-12)
    np.testing.assert_allclose(at["RightFoot"], [0.0, -0.084887, 0.9 - THIGH - SHANK], atol=1e-12)
    assert at["RightToes"][0] > 0.1
    assert at["Head"][2] > at["Neck"][2] > at["Chest"][2] > 0.9
    np.testing.assert_allclose(
        motion.positions[1, 0], [0.5, -0.2, 0.9], atol=1e-12
    )  # the file's z is to the right
    np.testing.assert_allclose(motion.rest[0], 0.0)


def test_joints_turn_the_right_way(tmp_path: Path) -> None:
    quarter = [math.cos(math.pi / 4), 0.0, 0.0, math.sin(math.pi / 4)]  # about the file's z
    motion = read(tmp_path, frame(right_knee=-math.pi / 2, left_elbow=math.pi / 2), frame(right_hip=quarter))
    bent, raised = ({bone: p[i] for i, bone in enumerate(motion.bones)} for p in motion.positions)
    np.testing.assert_allclose(bent["RightFoot"] - bent["RightLowerLeg"], [-SHANK, 0.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(bent["LeftHand"] - bent["LeftLowerArm"], [FOREARM, 0.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(bent["LeftLowerArm"] - bent["LeftUpperArm"], [0, 0, -UPPER_ARM], atol=1e-9)
    # A quarter turn of the hip about the axis to the right brings the straight leg up ahead.
    np.testing.assert_allclose(
        raised["RightFoot"] - raised["RightUpperLeg"], [THIGH + SHANK, 0, 0], atol=1e-9
    )


def test_turning_about_the_vertical_turns_the_figure_left(tmp_path: Path) -> None:
    half = math.sqrt(0.5)
    motion = read(tmp_path, frame(turn=[half, 0.0, half, 0.0]), frame())
    toes, foot = (motion.positions[0, motion.index(bone)] for bone in ("LeftToes", "LeftFoot"))
    np.testing.assert_allclose((toes - foot)[:2], [0.0, 0.12], atol=1e-9)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("not json", "not a DeepMimic clip"),
        ("[1, 2]", "not a DeepMimic clip"),
        (json.dumps({"Loop": "wrap"}), "not a DeepMimic clip"),
        (json.dumps({"Loop": "wrap", "Frames": [[0.1, 2.0], [0.1, 2.0]]}), "44 numbers"),
        (json.dumps({"Loop": "wrap", "Frames": [frame()]}), "at least 2 frames"),
        (json.dumps({"Loop": "wrap", "Frames": [frame(duration=0.0), frame()]}), "without duration"),
        (json.dumps({"Loop": "wrap", "Frames": [[math.nan] * 44, frame()]}), "non-finite"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "clip.txt"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        read_deepmimic(path, name="clip", source="", licence="")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no motion file"):
        read_deepmimic(tmp_path / "none.txt", name="clip", source="", licence="")
