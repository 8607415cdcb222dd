"""Clips as BVH and glTF: where the joints are in those files, and the same joint angles back from them."""

from __future__ import annotations

import dataclasses
import json
import re
import struct
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from synthjax import cli
from synthjax.bodies import Body, make_body
from synthjax.motion.clip import Clip
from synthjax.motion.clip_file import load_clip
from synthjax.motion.derive import make_clip
from synthjax.motion.exporters import WRITERS
from synthjax.motion.exporters.rig import export_rig, to_y_up
from synthjax.motion.ground import lowest_points
from synthjax.motion.importers import ReadOptions, read_source
from synthjax.motion.kinematics import hinge_limits
from synthjax.motion.library import resolve_motions
from synthjax.motion.own_skeleton import hinge_angles, own_clip, own_poses
from synthjax.motion.source import SourceMotion
from synthjax.training import devices, evaluator, saved
from synthjax.training.playback import Recording

FORMATS = [".bvh", ".glb", ".vrma"]
USER_BODY = "examples/bodies/mjx_humanoid.toml"


@pytest.fixture(scope="module")
def body() -> Body:
    return make_body("synth")


@pytest.fixture(scope="module")
def cartwheel(body: Body) -> Clip:
    return resolve_motions("cartwheel", body)[0]


@pytest.fixture(scope="module")
def user_body(pytestconfig: pytest.Config) -> Body:
    """Its root is the chest, some of its joints turn about points beside them, and it has no toes."""
    return make_body(str(pytestconfig.rootpath / USER_BODY))


def swinging(body: Body, frames: int = 24) -> Clip:
    """All hinges through most of their ranges, the root turning over."""
    rng = np.random.default_rng(0)
    lower, upper = body.model.jnt_range[1:].T
    phase = np.linspace(0.0, 1.0, frames)[:, None]
    qpos = np.tile(body.standing_qpos, (frames, 1))
    qpos[:, 0] = phase[:, 0]
    qpos[:, 3:7] = Rotation.from_euler("yz", phase * [2.0, 1.0]).as_quat(scalar_first=True)
    share = 0.5 + 0.45 * np.sin(4.0 * phase + rng.uniform(0.0, 6.0, len(lower)))
    qpos[:, 7:] = lower + (upper - lower) * share
    return make_clip(body, "swing", 50.0, qpos, loop_offset=None, source="made up", licence="CC0")


def written(clip: Clip, body: Body, folder: Path, ending: str) -> Path:
    path = folder / f"{clip.name}{ending}"
    WRITERS[ending](clip, body, path)
    return path


def read(path: Path) -> SourceMotion:
    source = read_source(path, ReadOptions())
    assert isinstance(source, SourceMotion)
    return source


def own(path: Path, body: Body) -> Clip | None:
    return own_clip(read(path), path, body)


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("which", ["synth", "user"])
def test_joints_are_where_mujoco_has_them(
    ending: str, which: str, body: Body, user_body: Body, cartwheel: Clip, tmp_path: Path
) -> None:
    owner = body if which == "synth" else user_body
    clip = cartwheel if which == "synth" else swinging(user_body)
    source, rig = read(written(clip, owner, tmp_path, ending)), export_rig(owner)
    xpos = clip.xpos
    if clip.loop:  # with the closing frame
        xpos = np.concatenate([xpos, xpos[:1] + clip.loop_offset])
    assert source.positions.shape[0] == len(xpos)
    assert source.fps == pytest.approx(clip.fps, rel=1e-5)
    for name, number in zip(rig.names, rig.bodies, strict=True):
        row = source.joints.index(name)
        x, y, z = xpos[:, number].T
        expected = np.stack([y, z, x], axis=-1)  # left, up, ahead
        np.testing.assert_allclose(source.positions[:, row], expected, atol=2e-4)


@pytest.mark.parametrize("ending", FORMATS)
def test_the_rest_pose_is_a_t_pose_that_faces_z(
    ending: str, body: Body, cartwheel: Clip, tmp_path: Path
) -> None:
    source = read(written(cartwheel, body, tmp_path, ending))
    at = {name: source.rest_positions[i] for i, name in enumerate(source.joints)}
    np.testing.assert_allclose(np.abs(source.rest_rotations), [[1.0, 0.0, 0.0, 0.0]] * len(source.joints))
    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        arm = at[f"{side}Hand"] - at[f"{side}UpperArm"]
        np.testing.assert_allclose(arm, [sign * 0.53, 0.0, 0.0], atol=1e-5)
        leg = at[f"{side}Foot"] - at[f"{side}UpperLeg"]
        np.testing.assert_allclose(leg, [0.0, -0.83, 0.0], atol=1e-5)
        assert (at[f"{side}Toes"] - at[f"{side}Foot"])[2] > 0.1
    if ending != ".bvh":  # there a root's offset is zero
        assert at["Hips"][1] == pytest.approx(body.standing_height, abs=1e-5)
    assert source.roles.keys() == (set(body.bones) if ending == ".vrma" else set())


@pytest.mark.parametrize("ending", FORMATS)
def test_joint_angles_come_back(
    ending: str, body: Body, user_body: Body, cartwheel: Clip, tmp_path: Path
) -> None:
    for owner, clip in ((body, cartwheel), (user_body, swinging(user_body))):
        back = own(written(clip, owner, tmp_path, ending), owner)
        assert back is not None
        assert (back.fps, back.loop) == (clip.fps, clip.loop)
        np.testing.assert_allclose(back.loop_offset, clip.loop_offset, atol=1e-5)
        assert back.qpos.shape == clip.qpos.shape
        assert np.abs(back.qpos[:, 7:] - clip.qpos[:, 7:]).max() < 1e-4
        assert np.abs(back.qpos[:, :3] - clip.qpos[:, :3]).max() < 1e-4
        turned = Rotation.from_quat(back.qpos[:, 3:7]).inv() * Rotation.from_quat(clip.qpos[:, 3:7])
        assert turned.magnitude().max() < 1e-4


@pytest.mark.parametrize("ending", FORMATS)
def test_hinges_that_were_pressed_into_their_stops_come_back(
    ending: str, body: Body, cartwheel: Clip, tmp_path: Path
) -> None:
    """MuJoCo's stops are soft: a policy's rollout is beyond them by a degree or two here and there."""
    qpos, limits = cartwheel.qpos[:20].copy(), hinge_limits(body.model)
    qpos[::2, 7:10], qpos[1::2, 7:10] = limits[:3, 0] - 0.05, limits[:3, 1] + 0.05
    clip = make_clip(body, "pressed", 50.0, qpos, loop_offset=None, source="made up", licence="CC0")
    back = own(written(clip, body, tmp_path, ending), body)
    assert back is not None
    np.testing.assert_allclose(back.qpos[:, 7:], qpos[:, 7:], atol=1e-3)


@pytest.mark.parametrize("unit", [1.0, 0.01])
def test_other_axes_and_units_are_seen_through(
    unit: float, body: Body, cartwheel: Clip, tmp_path: Path
) -> None:
    """As Blender writes BVH files, z up, and in centimetres."""
    source = read(written(cartwheel, body, tmp_path, ".bvh"))
    turn = Rotation.from_euler("xyz", [90.0, 20.0, -30.0], degrees=True)

    def turned(points: np.ndarray) -> np.ndarray:
        return turn.apply(points.reshape(-1, 3)).reshape(points.shape) / unit

    quats = turn * Rotation.from_quat(source.rotations.reshape(-1, 4), scalar_first=True)
    rest = turn * Rotation.from_quat(source.rest_rotations, scalar_first=True)
    other = dataclasses.replace(
        source,
        positions=turned(source.positions),
        rest_positions=turned(source.rest_positions),
        rotations=quats.as_quat(scalar_first=True).reshape(source.rotations.shape),
        rest_rotations=rest.as_quat(scalar_first=True),
    )
    qpos = own_poses(other, body)
    assert qpos is not None
    assert np.abs(qpos[:-1, :3] - cartwheel.qpos[:, :3]).max() < 1e-4
    assert np.abs(qpos[:-1, 7:] - cartwheel.qpos[:, 7:]).max() < 1e-4


def test_a_bvh_that_was_edited_goes_to_a_clip_and_back(
    body: Body, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (kick,) = resolve_motions("kick", body)
    text = written(kick, body, tmp_path, ".bvh").read_text()
    # An arm swings 5 degrees farther, and the file is slower.
    start = text.index("Frame Time:")
    words = text[:start].split()
    channels = [int(words[i + 1]) for i, w in enumerate(words) if w == "CHANNELS"]
    joints = [words[i + 1] for i, w in enumerate(words) if w in ("ROOT", "JOINT")]
    column = sum(channels[: joints.index("LeftUpperArm")]) + 1
    rows = np.array([line.split() for line in text[start:].splitlines()[1:]], dtype=float)
    rows[:, column] += 5.0
    lines = [" ".join(f"{value:.6f}" for value in row) for row in rows]
    edited = tmp_path / "edited.bvh"
    edited.write_text(text[:start] + "Frame Time: 0.02\n" + "\n".join(lines) + "\n")

    assert cli.main(["motion", "import", "edited.bvh", "--licence", "CC0"]) == 0
    assert "own skeleton" in " ".join(capsys.readouterr().out.split())
    clip = load_clip(Path("clips/edited.npz"), body)
    assert (clip.fps, clip.licence, clip.source) == (50.0, "CC0", "edited.bvh")
    assert cli.main(["motion", "export", "clips/edited.npz", "--to", "out/again.bvh"]) == 0
    first, second = read(edited), read(Path("out/again.bvh"))
    assert first.joints == second.joints
    for j in range(len(first.joints)):
        a, b = (Rotation.from_quat(s.rotations[:, j], scalar_first=True) for s in (first, second))
        assert (a.inv() * b).magnitude().max() < 1e-3
    np.testing.assert_allclose(first.positions, second.positions, atol=1e-4)


def test_another_skeleton_or_unreachable_poses_are_no_clip_of_the_body(
    body: Body, cartwheel: Clip, tmp_path: Path
) -> None:
    text = written(cartwheel, body, tmp_path, ".bvh").read_text()
    longer = tmp_path / "longer.bvh"
    longer.write_text(
        text.replace("OFFSET 0.000000 -0.420000 0.000000", "OFFSET 0.000000 -0.440000 0.000000")
    )
    assert longer.read_text() != text
    assert own(longer, body) is None
    for offsets in ("0.0 0.0 0.0", "1e5 0.0 0.0", "0.0 0.3 0.0"):
        lines = [re.sub(r"OFFSET .*", f"OFFSET {offsets}", line) for line in text.splitlines()]
        (tmp_path / "strange.bvh").write_text("\n".join(lines))
        assert own(tmp_path / "strange.bvh", body) is None
    renamed = tmp_path / "renamed.bvh"
    renamed.write_text(text.replace("LeftHand", "LeftWrist"))
    assert own(renamed, body) is None
    bent = cartwheel.qpos.copy()
    bent[40, 7 + body.joints.index("LeftLowerLeg_X")] = 0.5  # a knee the wrong way
    clip = make_clip(body, "bent", 60.0, bent, loop_offset=None, source="", licence="")
    assert own(written(clip, body, tmp_path, ".glb"), body) is None


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 3),
    st.lists(st.floats(-3.0, 3.0), min_size=3, max_size=3),
    st.lists(st.floats(-1.5, 1.5), min_size=3, max_size=3),
    st.booleans(),
)
def test_hinge_angles_of_square_axes(
    count: int, turn: list[float], angles: list[float], mirrored: bool
) -> None:
    axes = Rotation.from_rotvec(turn).as_matrix() @ np.diag([1.0, 1.0, -1.0 if mirrored else 1.0])
    axes, wanted = axes.T[:count], np.array(angles[:count])
    whole = Rotation.identity()
    for axis, angle in zip(axes, wanted, strict=True):
        whole = whole * Rotation.from_rotvec(angle * axis)
    limits = np.tile([-1.55, 1.55], (count, 1))
    found = hinge_angles(Rotation.concatenate([whole, whole]), axes, limits)
    assert found is not None
    np.testing.assert_allclose(found, [wanted, wanted], atol=1e-6)


def test_the_answer_within_the_limits_is_taken() -> None:
    turned = Rotation.from_euler("XYZ", [[0.3, 2.0, -0.2]])  # the middle hinge beyond a right angle
    limits = np.array([[-1.0, 1.0], [1.0, 3.0], [-1.0, 1.0]])
    found = hinge_angles(turned, np.eye(3), limits)
    assert found is not None
    np.testing.assert_allclose(found, [[0.3, 2.0, -0.2]], atol=1e-9)
    oblique = np.array([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0]])
    assert hinge_angles(turned, oblique, limits[:2]) is None


def accessors(path: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    """The JSON of a .glb and all its arrays, by the words of the specification."""
    data = path.read_bytes()
    magic, version, size, length = struct.unpack_from("<4sIII", data)
    assert (magic, version, size) == (b"glTF", 2, len(data))
    content = json.loads(data[20 : 20 + length])
    binary = data[28 + length :]
    arrays = []
    for accessor in content["accessors"]:
        kind = {5126: "<f4", 5123: "<u2", 5125: "<u4"}[accessor["componentType"]]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[accessor["type"]]
        start = content["bufferViews"][accessor["bufferView"]]["byteOffset"]
        arrays.append(np.frombuffer(binary, kind, accessor["count"] * width, start).reshape(-1, width))
    return content, arrays


def test_the_skin_of_a_glb_is_the_body(body: Body, cartwheel: Clip, tmp_path: Path) -> None:
    path = written(cartwheel, body, tmp_path, ".glb")
    content, arrays = accessors(path)
    primitive = content["meshes"][0]["primitives"][0]
    points, normals, joints, weights = (
        arrays[primitive["attributes"][name]] for name in ("POSITION", "NORMAL", "JOINTS_0", "WEIGHTS_0")
    )
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1.0, atol=1e-5)
    np.testing.assert_array_equal(weights, [[1.0, 0.0, 0.0, 0.0]] * len(points))
    triangles = arrays[primitive["indices"]].reshape(-1, 3)
    assert triangles.max() == len(points) - 1
    bounds = content["accessors"][primitive["attributes"]["POSITION"]]
    np.testing.assert_array_equal(bounds["min"], points.min(axis=0))
    binds = arrays[content["skins"][0]["inverseBindMatrices"]].reshape(-1, 4, 4).transpose(0, 2, 1)
    source = read(path)
    rows = [source.joints.index(content["nodes"][node]["name"]) for node in content["skins"][0]["joints"]]
    lowest = lowest_points(body, cartwheel.qpos).min(axis=-1)
    for frame in (0, 72, 120):
        world = np.zeros((len(rows), 4, 4))
        world[:, :3, :3] = Rotation.from_quat(source.rotations[frame, rows], scalar_first=True).as_matrix()
        world[:, :3, 3], world[:, 3, 3] = source.positions[frame, rows], 1.0
        posed = np.einsum(
            "vij,vj->vi", (world @ binds)[joints[:, 0]], np.pad(points, ((0, 0), (0, 1)), constant_values=1)
        )
        assert posed[:, 1].min() == pytest.approx(lowest[frame], abs=0.004)  # a capsule of 16 sides


def test_no_bodys_name_is_taken_twice(body: Body) -> None:
    bones = {bone: name for bone, name in body.bones.items() if bone not in ("Chest", "Spine")}
    rig = export_rig(dataclasses.replace(body, bones=bones | {"Chest": "Spine"}))
    assert len(set(rig.names)) == len(rig.names)
    np.testing.assert_allclose(to_y_up(np.array([1.0, 2.0, 3.0])), [2.0, 3.0, 1.0])


def test_a_runs_episode_is_exported_by_name(
    body: Body, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The evaluator's part is tested with whole runs."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (kick,) = resolve_motions("kick", body)
    episodes = [Recording("kick", kick.qpos.astype(np.float32), 50.0), Recording("walk", kick.qpos[:5], 50.0)]
    run = types.SimpleNamespace(body=body, clips=[kick])
    policy = types.SimpleNamespace(run=run, agent_state=None, step=1000)
    monkeypatch.setattr(saved, "load_policy", lambda folder, best: policy)
    monkeypatch.setattr(devices, "enable_compilation_cache", lambda: None)
    judge = types.SimpleNamespace(recordings=lambda state: episodes)
    monkeypatch.setattr(evaluator, "make_evaluator", lambda run, deterministic, seconds: judge)
    out = tmp_path / "new" / "kick.npz"
    assert cli.main(["motion", "export", str(folder), "--to", str(out)]) == 2
    assert "kick, walk" in capsys.readouterr().err
    assert cli.main(["motion", "export", str(folder), "--to", str(out), "--episode", "kick"]) == 0
    clip = load_clip(out, body)
    assert (clip.name, clip.fps, clip.loop, clip.licence) == ("run-kick", 50.0, False, kick.licence)
    assert "1000" in clip.source
    np.testing.assert_allclose(clip.qpos, kick.qpos, atol=1e-6)
    assert cli.main(["motion", "export", str(folder), "--to", str(out), "--episode", "kick"]) == 2
    assert "there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["walk", "--to", "walk.fbx"], ".glb"),
        (["walk,run", "--to", "two.bvh"], "2 clips"),
        (["walk", "--to", "walk.bvh", "--best"], "no run"),
        (["wlak", "--to", "walk.bvh"], "walk"),
    ],
)
def test_mistakes_in_an_export(
    args: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["motion", "export", *args]) == 2
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
