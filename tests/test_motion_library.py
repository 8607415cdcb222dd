"""Clip files, names, and sampling on the device."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from synthjax.bodies import Body, make_body
from synthjax.errors import UserError
from synthjax.motion.clip import Clip
from synthjax.motion.clip_file import load_clip, save_clip
from synthjax.motion.kinematics import finite_velocities, forward_kinematics
from synthjax.motion.library import MotionLibrary, resolve_motions, shipped_names

OFFSET = np.array([1.5, -0.4, 0.0])


@pytest.fixture(scope="module")
def body() -> Body:
    return make_body("synth")


def make(body: Body, name: str = "wave", loop: bool = True, frames: int = 12, fps: float = 20.0) -> Clip:
    phase = 2.0 * np.pi * np.arange(frames) / frames
    qpos = np.tile(body.standing_qpos, (frames, 1))
    qpos[:, :3] += np.arange(frames)[:, None] / frames * OFFSET
    qpos[:, 7:] += 0.3 * np.sin(phase[:, None] + np.arange(body.model.nq - 7))
    qpos[:, 3:7] = Rotation.from_euler("z", 0.5 * np.sin(phase)[:, None]).as_quat(scalar_first=True)
    qvel = finite_velocities(body.model, qpos, fps, OFFSET if loop else None)
    world = forward_kinematics(body.model, qpos, qvel)
    contacts = np.zeros((frames, body.model.nbody), dtype=bool)
    contacts[: frames // 2, 5] = True
    return Clip(
        name=name, fps=fps, joint_names=body.joints, body_names=body.body_names, qpos=qpos, qvel=qvel,
        xpos=world.xpos, xquat=world.xquat, linvel=world.linvel, angvel=world.angvel, contacts=contacts,
        loop=loop, loop_offset=OFFSET if loop else np.zeros(3), source="test", licence="none",
    )  # fmt: skip


def test_a_file_brings_back_the_clip(body: Body, tmp_path: Path) -> None:
    clip = make(body)
    save_clip(clip, tmp_path / "wave.npz")
    loaded = load_clip(tmp_path / "wave.npz", body)
    for field in dataclasses.fields(Clip):
        before, after = getattr(clip, field.name), getattr(loaded, field.name)
        if isinstance(before, np.ndarray):
            np.testing.assert_allclose(after, before, atol=1e-4)  # joint angles travel as float32
        else:
            assert after == before
    assert [path.name for path in tmp_path.iterdir()] == ["wave.npz"]


def test_unusable_files_are_refused_with_the_reason(body: Body, tmp_path: Path) -> None:
    path = tmp_path / "clip.npz"
    with pytest.raises(UserError, match="no clip"):
        load_clip(path, body)
    save_clip(make(body), path)
    whole = path.read_bytes()
    for broken in (b"", b"hello", whole[: len(whole) // 2], whole[:200] + b"\0" * 400 + whole[600:]):
        path.write_bytes(broken)
        with pytest.raises(UserError, match="damaged or not a clip"):
            load_clip(path, body)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(UserError, match="damaged or not a clip"):
        load_clip(path, body)
    np.savez(path, qpos=np.zeros((3, 3)))
    with pytest.raises(UserError, match="not a synthjax clip: it lacks version"):
        load_clip(path, body)
    np.savez(path, qpos=np.array([{}], dtype=object))
    with pytest.raises(UserError, match="damaged or not a clip"):
        load_clip(path, body)
    save_clip(dataclasses.replace(make(body), version=99), path)
    with pytest.raises(UserError, match=r"version 99.*upgrade"):
        load_clip(path, body)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("fps", 0.0, "0.0 frames a second"),
        ("fps", -30.0, "-30.0 frames a second"),
        ("fps", np.nan, "nan frames a second"),
        ("qpos", "text", r"qpos of shape \(\) and type str"),
        ("fps", 1e30, "frames a second"),
        ("loop_offset", np.full(3, 1e30), "far too large"),
        ("loop_offset", np.zeros(2), r"loop_offset of shape \(2,\)"),
        ("loop_offset", np.full(3, np.nan), "not finite"),
        ("first_xpos", np.zeros((2, 3)), "first_xpos of shape"),
        ("quaternions", 0.0, "orientations of no length"),
        ("frames", 1, "fewer than two frames"),
    ],
)
def test_numbers_that_make_no_motion_are_refused(
    body: Body, tmp_path: Path, field: str, value: object, reason: str
) -> None:
    path = tmp_path / "clip.npz"
    save_clip(make(body), path)
    with np.load(path) as archive:
        content = {key: archive[key] for key in archive.files}
    if field == "quaternions":
        content["qpos"][1, 3:7] = value
    elif field == "frames":
        content |= {key: content[key][:value] for key in ("qpos", "contacts")}
    else:
        content[field] = np.array(value)
    np.savez(path, **content)
    with pytest.raises(UserError, match=reason):
        load_clip(path, body)


def test_clips_of_other_bodies_are_refused_naming_both_sides(body: Body, tmp_path: Path) -> None:
    clip, path = make(body), tmp_path / "clip.npz"
    save_clip(dataclasses.replace(clip, joint_names=("tail", *clip.joint_names[1:])), path)
    with pytest.raises(UserError, match=r"only the clip has \[tail\], only the body has \[Spine_X\]"):
        load_clip(path, body)
    others = tuple(f"other{i}" for i in range(len(clip.joint_names)))
    save_clip(dataclasses.replace(clip, joint_names=others), path)
    with pytest.raises(UserError, match=r"\[other0, other1, other2 and 60 more\]") as refused:
        load_clip(path, body)
    assert len(str(refused.value)) < 250 + len(str(path))
    save_clip(dataclasses.replace(clip, joint_names=clip.joint_names[::-1]), path)
    with pytest.raises(UserError, match="another order"):
        load_clip(path, body)
    for factor in (1.1, np.nan):
        save_clip(dataclasses.replace(clip, xpos=clip.xpos * factor), path)
        with pytest.raises(UserError, match="other bones"):
            load_clip(path, body)


def test_motions_go_by_name_list_file_and_folder(body: Body, tmp_path: Path) -> None:
    assert {"walk", "run", "cartwheel"} <= set(shipped_names())
    assert [clip.name for clip in resolve_motions("walk, run", body)] == ["walk", "run"]
    save_clip(make(body, "b"), tmp_path / "b.npz")
    save_clip(make(body, "a"), tmp_path / "a.npz")
    assert [clip.name for clip in resolve_motions(str(tmp_path), body)] == ["a", "b"]
    assert [clip.name for clip in resolve_motions(f"walk,{tmp_path / 'b.npz'}", body)] == ["walk", "b"]
    with pytest.raises(UserError, match="Two clips are called 'b'"):
        resolve_motions(f"{tmp_path},{tmp_path / 'b.npz'}", body)
    with pytest.raises(UserError, match="did you mean walk"):
        resolve_motions("wlak", body)
    with pytest.raises(UserError, match="choose one of"):
        resolve_motions("", body)
    (tmp_path / "empty").mkdir()
    (tmp_path / "walk.bvh").touch()
    with pytest.raises(UserError, match=r"is no clip.*motion import first"):
        resolve_motions(str(tmp_path / "walk.bvh"), body)
    with pytest.raises(UserError, match="holds no clips"):
        resolve_motions(str(tmp_path / "empty"), body)


def test_samples_meet_the_frames_and_slerp_between_them(body: Body) -> None:
    clips = [make(body, "still", loop=False, frames=7), make(body)]
    library = MotionLibrary.from_clips(clips)
    assert library.duration.tolist() == pytest.approx([6 / 20, 12 / 20])
    sample = jax.jit(library.sample)
    for index, clip in enumerate(clips):
        for t in range(clip.num_frames - 1):
            at = sample(index, t / clip.fps)
            for field in ("qpos", "qvel", "xpos", "xquat", "linvel", "angvel"):
                np.testing.assert_allclose(getattr(at, field), getattr(clip, field)[t], atol=2e-4)
            between = sample(index, (t + 0.25) / clip.fps)
            np.testing.assert_allclose(between.xpos, 0.75 * clip.xpos[t] + 0.25 * clip.xpos[t + 1], atol=1e-5)
            pair = Rotation.from_quat(clip.xquat[t : t + 2, 9], scalar_first=True)
            turn = Slerp([0, 1], pair)(0.25).inv() * Rotation.from_quat(between.xquat[9], scalar_first=True)
            assert turn.magnitude() < 2e-3


def test_loops_go_on_and_other_clips_come_to_rest(body: Body) -> None:
    loop, once = make(body), make(body, "once", loop=False)
    library = MotionLibrary.from_clips([loop, once])
    sample = jax.jit(library.sample)
    start, later = sample(0, 0.13), sample(0, 0.13 + 3 * loop.duration)
    np.testing.assert_allclose(later.qpos[:3], start.qpos[:3] + 3 * OFFSET, atol=1e-4)
    np.testing.assert_allclose(later.xpos[1:], start.xpos[1:] + 3 * OFFSET, atol=1e-4)
    np.testing.assert_allclose(later.xpos[0], 0.0)
    np.testing.assert_allclose(later.qvel, start.qvel, atol=1e-3)
    end = sample(1, 100.0)
    np.testing.assert_allclose(end.qpos, once.qpos[-1], atol=1e-5)
    np.testing.assert_allclose(end.qvel, 0.0)


def test_nothing_jumps_at_the_seam_of_shipped_loops(body: Body) -> None:
    clips = [clip for clip in resolve_motions("walk,run,cartwheel", body) if clip.loop]
    library = MotionLibrary.from_clips(clips)
    for index, clip in enumerate(clips):
        times = clip.duration * 5 + np.arange(-8, 9) * 1e-3
        path = jax.vmap(library.sample, in_axes=(None, 0))(index, jnp.asarray(times, jnp.float32))
        assert np.abs(np.diff(path.xpos, axis=0)).max() < 0.02  # 20 m/s
        assert np.abs(np.diff(path.linvel, axis=0)).max() < 0.3  # 300 m/s^2
        root = Rotation.from_quat(np.asarray(path.qpos[:, 3:7]), scalar_first=True)
        assert (root[:-1].inv() * root[1:]).magnitude().max() < 0.02


def test_contacts_come_from_the_nearest_frame(body: Body) -> None:
    clip = make(body)
    library = MotionLibrary.from_clips([clip])
    for frame, fraction in itertools.product(range(clip.num_frames), (0.0, 0.4, 0.6)):
        nearest = (frame + round(fraction)) % clip.num_frames
        actual = library.sample_contacts(jnp.asarray(0), jnp.asarray((frame + fraction) / clip.fps + 1e-5))
        np.testing.assert_array_equal(actual, clip.contacts[nearest])


def test_a_library_needs_clips_of_one_body(body: Body) -> None:
    with pytest.raises(UserError, match="at least one"):
        MotionLibrary.from_clips([])
    clip = make(body)
    other = dataclasses.replace(clip, name="other", joint_names=clip.joint_names[::-1])
    with pytest.raises(UserError, match="different bodies"):
        MotionLibrary.from_clips([clip, other])
