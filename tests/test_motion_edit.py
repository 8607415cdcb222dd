"""Clips that are cut, joined and resampled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from synthjax import cli
from synthjax.bodies import Body, make_body
from synthjax.errors import UserError
from synthjax.motion.clip import Clip
from synthjax.motion.clip_file import load_clip
from synthjax.motion.derive import make_clip
from synthjax.motion.edit import cut, join, resample
from synthjax.motion.kinematics import finite_velocities
from synthjax.motion.library import resolve_motions
from synthjax.motion.mirror import mirror


@pytest.fixture(scope="module")
def body() -> Body:
    return make_body("synth")


@pytest.fixture(scope="module")
def clips(body: Body) -> dict[str, Clip]:
    return {clip.name: clip for clip in resolve_motions("walk,kick,cartwheel", body)}


def wave(body: Body, fps: float, seconds: float, loop: bool) -> Clip:
    """One hinge on a sine of one hertz, the root moving evenly and turning."""
    frames = round(seconds * fps) + (0 if loop else 1)
    time = np.arange(frames) / fps
    qpos = np.tile(body.standing_qpos, (frames, 1))
    qpos[:, 0] = 0.7 * time
    qpos[:, 7 + body.joints.index("LeftLowerArm_X")] = 1.0 + 0.5 * np.sin(2.0 * np.pi * time)
    if not loop:
        qpos[:, 3:7] = Rotation.from_euler("z", time[:, None]).as_quat(scalar_first=True)
    offset = np.array([0.7 * seconds, 0.0, 0.0]) if loop else None
    return make_clip(body, "wave", fps, qpos, loop_offset=offset, source="made up", licence="CC0")


@pytest.mark.parametrize("loop", [False, True])
def test_resampled_waves_are_waves(body: Body, loop: bool) -> None:
    found, wanted = resample(wave(body, 25.0, 2.0, loop), body, 60.0), wave(body, 60.0, 2.0, loop)
    assert (found.fps, found.loop, found.num_frames) == (60.0, loop, wanted.num_frames)
    np.testing.assert_allclose(found.loop_offset, wanted.loop_offset)
    # Without a loop a spline knows nothing of what is beyond its ends.
    np.testing.assert_allclose(found.qpos, wanted.qpos, atol=2e-5 if loop else 2e-3)
    np.testing.assert_allclose(
        found.qvel, finite_velocities(body.model, found.qpos, 60.0, found.loop_offset if loop else None)
    )
    assert (found.source, found.licence) == ("made up", "CC0")


def test_resampling_keeps_the_frames_that_stay(body: Body, clips: dict[str, Clip]) -> None:
    for name in ("walk", "kick"):
        twice = resample(clips[name], body, 120.0)
        np.testing.assert_allclose(twice.xpos[::2], clips[name].xpos, atol=1e-6)
        assert twice.duration == pytest.approx(clips[name].duration)
    odd = resample(clips["walk"], body, 50.0)  # 63.3 frames
    assert (odd.num_frames, odd.loop) == (63, True)
    np.testing.assert_array_equal(odd.loop_offset, clips["walk"].loop_offset)
    with pytest.raises(UserError, match="no two frames"):
        resample(clips["kick"], body, 0.1)


@pytest.mark.parametrize("loop", [False, True])
def test_another_speed_is_the_same_motion_sooner(body: Body, loop: bool) -> None:
    slow = wave(body, 60.0, 2.0, loop)
    fast = resample(slow, body, 60.0, 1.25)
    assert (fast.fps, fast.loop, fast.duration) == (60.0, loop, pytest.approx(1.6))
    np.testing.assert_array_equal(fast.loop_offset, slow.loop_offset)
    time = np.arange(fast.num_frames) / 60.0
    phase = 2.0 * np.pi * 1.25 * time  # of the hinge's sine, by hand
    hinge = body.joints.index("LeftLowerArm_X")
    np.testing.assert_allclose(fast.qpos[:, 7 + hinge], 1.0 + 0.5 * np.sin(phase), atol=2e-3)
    np.testing.assert_allclose(fast.qvel[2:-2, 6 + hinge], 1.25 * np.pi * np.cos(phase[2:-2]), atol=0.03)
    np.testing.assert_allclose(fast.qvel[:, 0], 1.25 * 0.7, atol=1e-3)
    if not loop:
        np.testing.assert_allclose(fast.qvel[2:-2, 5], 1.25, atol=1e-3)  # it turns by one radian a second


@pytest.mark.parametrize("name", ["walk", "kick", "cartwheel"])
def test_a_mirrored_clip_has_its_sides_exchanged(body: Body, clips: dict[str, Clip], name: str) -> None:
    clip = clips[name]
    seen = mirror(clip, body)
    across = np.array([1.0, -1.0, 1.0])
    swapped = [
        body.body_names.index(
            other.replace("Left", "right").replace("Right", "Left").replace("right", "Right")
        )
        for other in body.body_names
    ]
    np.testing.assert_allclose(seen.xpos[:, swapped], clip.xpos * across, atol=1e-9)
    np.testing.assert_allclose(seen.linvel[:, swapped], clip.linvel * across, atol=1e-6)
    again = make_clip(body, name, clip.fps, clip.qpos, loop_offset=clip.loop_offset if clip.loop else None,
                      source="", licence="")  # fmt: skip
    np.testing.assert_array_equal(seen.contacts[:, swapped], again.contacts)
    left, right = (body.body_names.index(f"{side}Foot") for side in ("Left", "Right"))
    assert (clip.contacts[:, left] != clip.contacts[:, right]).any()
    limits = body.model.jnt_range[1:]
    assert (seen.qpos[:, 7:] > limits[:, 0] - 1e-3).all()
    assert (seen.qpos[:, 7:] < limits[:, 1] + 1e-3).all()
    twice = mirror(seen, body)
    np.testing.assert_allclose(twice.qpos, clip.qpos, atol=1e-12)
    np.testing.assert_array_equal(twice.loop_offset, clip.loop_offset)


def test_a_users_body_is_mirrored_by_its_geometry() -> None:
    body = make_body("examples/bodies/mjx_humanoid.toml")
    rng = np.random.default_rng(0)
    hinges = rng.uniform(-0.4, 0.4, (6, len(body.joints)))
    qpos = np.concatenate([np.tile(body.standing_qpos[:7], (6, 1)), hinges], axis=-1)
    clip = make_clip(body, "poses", 60.0, qpos, loop_offset=None, source="", licence="")
    seen = mirror(clip, body)
    for bone in ("UpperArm", "LowerArm", "Hand", "UpperLeg", "LowerLeg", "Foot"):
        left, right = (body.body_names.index(body.bones[f"{side}{bone}"]) for side in ("Left", "Right"))
        for here, there in ((left, right), (right, left)):
            np.testing.assert_allclose(seen.xpos[:, there], clip.xpos[:, here] * [1.0, -1.0, 1.0], atol=1e-6)


def test_a_part_is_the_same_motion_elsewhere(body: Body, clips: dict[str, Clip]) -> None:
    kick = clips["kick"]
    part = cut(kick, body, 0.5, 1.0)
    assert (part.num_frames, part.loop, part.duration) == (31, False, pytest.approx(0.5))
    moved = kick.xpos[30:61, 1:] - kick.qpos[30, :3] * [1.0, 1.0, 0.0]
    np.testing.assert_allclose(part.xpos[:, 1:], moved, atol=1e-9)
    np.testing.assert_array_equal(part.qpos[0, :2], 0.0)
    assert cut(kick, body, 0.0, kick.duration).num_frames == kick.num_frames


def test_a_part_of_a_loop_goes_on_in_the_next_cycle(body: Body, clips: dict[str, Clip]) -> None:
    walk = clips["walk"]
    part = cut(walk, body, 1.0, 3.0)
    assert (part.num_frames, part.loop) == (121, False)
    assert np.diff(part.qpos[:, 0]).min() > 0.0
    way = walk.loop_offset[0] * 2.0 / walk.duration
    assert part.qpos[-1, 0] - part.qpos[0, 0] == pytest.approx(way, rel=0.05)
    steps = np.abs(np.diff(part.qpos[:, 7:], axis=0)).max()
    cycle = np.concatenate([walk.qpos, walk.qpos[:1]])[:, 7:]
    assert steps == pytest.approx(np.abs(np.diff(cycle, axis=0)).max())


def test_a_part_is_closed_to_a_loop(body: Body, clips: dict[str, Clip]) -> None:
    walk = clips["walk"]
    part = cut(walk, body, 0.1, 0.1 + 74.0 / 60.0, close=True)  # two frames less than a cycle
    assert (part.loop, part.num_frames) == (True, 74)
    assert part.loop_offset[0] == pytest.approx(walk.loop_offset[0] * 74.0 / 76.0, rel=0.05)
    seam = np.abs(part.qpos[0, 7:] - part.qpos[-1, 7:]).max()
    assert seam < 1.2 * np.abs(np.diff(part.qpos[:, 7:], axis=0)).max()


@pytest.mark.parametrize(("start", "end"), [(-0.1, 1.0), (0.5, 9.0), (1.0, 1.0), (1.0, 0.5)])
def test_times_that_no_part_has(body: Body, clips: dict[str, Clip], start: float, end: float) -> None:
    with pytest.raises(UserError, match="kick"):
        cut(clips["kick"], body, start, end)


def test_joined_clips_go_on_where_the_one_before_ends(body: Body, clips: dict[str, Clip]) -> None:
    cartwheel, walk = clips["cartwheel"], clips["walk"]
    overlap = 18
    whole = join([cartwheel, walk, walk], body, overlap / 60.0)
    lengths = [clip.num_frames + 1 for clip in (cartwheel, walk, walk)]
    assert (whole.num_frames, whole.loop, whole.fps) == (sum(lengths) - 2 * overlap, False, 60.0)
    np.testing.assert_allclose(whole.qpos[:100], cartwheel.qpos[:100], atol=1e-12)
    # No step is much larger than those of the clips themselves.
    fastest = max(np.abs(clip.qvel).max() for clip in (cartwheel, walk))
    assert np.abs(whole.qvel).max() < 1.2 * fastest
    # The second clip is itself, turned about the vertical and moved.
    start = lengths[0] - overlap
    for a, b in ((30, 45), (30, 55)):
        there = whole.qpos[[start + a, start + b]]
        here = walk.qpos[[a, b]]
        np.testing.assert_allclose(there[:, 7:], here[:, 7:], atol=1e-12)
        np.testing.assert_allclose(there[:, 2], here[:, 2], atol=1e-9)
        turn = [Rotation.from_quat(q[3:7], scalar_first=True) for q in (*there, *here)]
        difference = (turn[0] * turn[2].inv()).as_rotvec()
        np.testing.assert_allclose(difference[:2], 0.0, atol=1e-9)
        np.testing.assert_allclose((turn[1] * turn[3].inv()).as_rotvec(), difference, atol=1e-9)
        moved = Rotation.from_rotvec(difference).apply(here[1, :3] - here[0, :3])
        np.testing.assert_allclose(there[1, :3] - there[0, :3], moved, atol=1e-9)
    # In the middle of the fade both roots are at one place.
    middle = start + overlap // 2
    np.testing.assert_allclose(whole.qpos[middle, :2], cartwheel.qpos[middle, :2], atol=1e-9)


def test_a_joined_clip_heads_where_the_one_before_does(body: Body, clips: dict[str, Clip]) -> None:
    turning = wave(body, 60.0, 2.0, loop=False)  # by one radian a second
    whole = join([turning, clips["walk"]], body, 0.2)
    before = turning.num_frames - 12
    for frame, wanted in ((before + 6, (before + 6) / 60.0), (before + 40, (before + 6) / 60.0)):
        ahead = Rotation.from_quat(whole.qpos[frame, 3:7], scalar_first=True).apply([1.0, 0.0, 0.0])
        assert np.arctan2(ahead[1], ahead[0]) == pytest.approx(wanted, abs=0.15)  # the walk's hips swing
    way = whole.qpos[before + 60, :2] - whole.qpos[before + 20, :2]
    assert np.arctan2(way[1], way[0]) == pytest.approx((before + 6) / 60.0, abs=0.15)


def test_clips_of_several_rates_and_terms_are_joined(body: Body, clips: dict[str, Clip]) -> None:
    slow = wave(body, 25.0, 2.0, loop=False)
    whole = join([clips["kick"], slow], body, 0.2)
    assert whole.num_frames == clips["kick"].num_frames + 121 - 12
    assert whole.licence == f"{clips['kick'].licence} + CC0"
    assert whole.source.endswith(" + made up")
    with pytest.raises(UserError, match="too short"):
        join([slow, clips["kick"], slow], body, 0.8)
    with pytest.raises(UserError, match="two clips"):
        join([slow], body, 0.2)


def test_the_commands_write_clips_under_their_files_names(
    body: Body, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for args in (
        ["cut", "kick", "--start", "0.2", "--end", "0.8", "--out", "clips/part.npz"],
        ["join", "clips/part.npz", "walk", "--blend", "0.1", "--out", "clips/both.npz"],
        ["resample", "walk", "--fps", "30", "--out", "clips/slow.npz"],
        ["resample", "kick", "--speed", "1.5", "--out", "clips/quick.npz"],
        ["mirror", "kick", "--out", "clips/left.npz"],
    ):
        assert cli.main(["motion", *args]) == 0, capsys.readouterr().err
    found = {clip.name: clip for clip in resolve_motions("clips", body)}
    assert {name: clip.num_frames for name, clip in found.items()} == {
        "part": 37, "both": 108, "slow": 38, "quick": 62, "left": 93,
    }  # fmt: skip
    assert load_clip(Path("clips/slow.npz"), body).loop
    assert cli.main(["motion", "cut", "kick", "--out", "clips/part.npz"]) == 2
    assert "there already" in capsys.readouterr().err
    assert cli.main(["motion", "resample", "walk", "--fps", "0", "--out", "clips/x.npz"]) == 2
    assert cli.main(["motion", "resample", "walk", "--speed", "0", "--out", "clips/x.npz"]) == 2
    assert cli.main(["motion", "resample", "walk", "--out", "clips/x.npz"]) == 2
    assert "--speed" in capsys.readouterr().err
    assert cli.main(["motion", "cut", "all", "--out", "clips/x.npz"]) == 2
    assert "17 clips" in capsys.readouterr().err
