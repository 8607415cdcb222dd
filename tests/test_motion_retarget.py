"""Retargeting: a figure of other proportions onto the Synth, and stances that roll."""

from __future__ import annotations

import dataclasses
import importlib

import numpy as np
import pytest
from motion_sources import human, of_clip

from synthjax.bodies import Body, make_body
from synthjax.errors import UserError
from synthjax.motion.ground import lowest_points
from synthjax.motion.kinematics import central_rate
from synthjax.motion.library import resolve_motions
from synthjax.motion.skeleton import SkeletonMotion

pytest.importorskip("mink", reason="retargeting needs synthjax[motion]")
planting = importlib.import_module("synthjax.motion.planting")  # which needs it at import

_REST = {
    "Hips": (0, 0, 0), "Chest": (0, 0, 0.2), "Neck": (0, 0, 0.5), "Head": (0, 0, 0.6),
    "LeftUpperLeg": (0, 0.1, 0), "LeftLowerLeg": (0, 0.1, -0.5), "LeftFoot": (0, 0.1, -0.9),
    "RightUpperLeg": (0, -0.1, 0), "RightLowerLeg": (0, -0.1, -0.5), "RightFoot": (0, -0.1, -0.9),
    "LeftUpperArm": (0, 0.2, 0.45), "LeftLowerArm": (0, 0.2, 0.2), "LeftHand": (0, 0.2, 0),
    "RightUpperArm": (0, -0.2, 0.45), "RightLowerArm": (0, -0.2, 0.2), "RightHand": (0, -0.2, 0),
}  # fmt: skip


def standing(frames: int = 8, scale: float = 100.0) -> SkeletonMotion:
    """Stands for a moment in another unit of length, right arm stretched out ahead, left thigh level."""
    rest = scale * np.array(list(_REST.values()))
    pose = rest.copy()
    bones = tuple(_REST)
    at = {bone: pose[i] for i, bone in enumerate(bones)}
    at["RightLowerArm"][:] = at["RightUpperArm"] + scale * np.array([0.25, 0, 0])
    at["RightHand"][:] = at["RightLowerArm"] + scale * np.array([0.2, 0, 0])
    at["LeftLowerLeg"][:] = at["LeftUpperLeg"] + scale * np.array([0.5, 0, 0])
    at["LeftFoot"][:] = at["LeftLowerLeg"] + scale * np.array([0, 0, -0.4])
    pose[:, 2] += 0.97 * scale
    parents = {"Hips": -1, "Chest": 0, "Neck": 1, "Head": 2}
    return SkeletonMotion(
        name="standing", fps=30.0, bones=bones, rest=rest, loop=False, source="test", licence="none",
        parents=tuple(parents.get(b, 0 if b.endswith("UpperLeg") else 1 if b.endswith("UpperArm") else i - 1)
                      for i, b in enumerate(bones)),
        positions=np.tile(pose, (frames, 1, 1)),
        rotations=np.tile([1.0, 0.0, 0.0, 0.0], (frames, len(bones), 1)),
    )  # fmt: skip


@pytest.fixture(scope="module")
def body() -> Body:
    return make_body("synth")


def test_bones_point_where_the_source_points_and_the_sole_meets_the_floor(body: Body) -> None:
    from synthjax.motion.retarget import retarget

    clip = retarget(standing(), body)
    at = {name: clip.xpos[-1, i] for i, name in enumerate(clip.body_names)}

    def direction(start: str, end: str) -> np.ndarray:
        return (at[end] - at[start]) / np.linalg.norm(at[end] - at[start])

    np.testing.assert_allclose(direction("RightUpperArm", "RightHand"), [1, 0, 0], atol=0.05)
    np.testing.assert_allclose(direction("LeftUpperLeg", "LeftLowerLeg"), [1, 0, 0], atol=0.05)
    np.testing.assert_allclose(direction("LeftLowerLeg", "LeftFoot"), [0, 0, -1], atol=0.05)
    np.testing.assert_allclose(direction("RightUpperLeg", "RightFoot"), [0, 0, -1], atol=0.05)
    np.testing.assert_allclose(lowest_points(body, clip.qpos).min(axis=-1), 0.0, atol=2e-3)
    touching = {name for i, name in enumerate(clip.body_names) if clip.contacts[-1, i]}
    assert touching == {"RightFoot", "RightToes"}
    np.testing.assert_allclose(clip.qvel, 0.0, atol=0.05)
    assert clip.num_frames == round(7 / 30 * 60) + 1


def test_a_source_without_a_needed_bone_is_refused(body: Body) -> None:
    from synthjax.motion.retarget import retarget

    motion = standing()
    motion = dataclasses.replace(motion, bones=tuple(b.replace("LeftFoot", "Tail") for b in motion.bones))
    with pytest.raises(UserError, match="lacks the bones LeftFoot"):
        retarget(motion, body)


def test_a_leg_that_lands_nearly_straight_does_not_snap(body: Body) -> None:
    from synthjax.motion.report import measure
    from synthjax.motion.retarget import retarget

    (walk,) = resolve_motions("walk", body)
    motion, _ = human(of_clip(walk, body, 2 * walk.num_frames))
    clip = retarget(motion, body)
    acceleration = np.abs(central_rate(clip.qvel[:, 6:], clip.fps, clip.loop))
    knee = acceleration[:, body.joints.index("LeftLowerLeg_X")]
    assert knee.max() < 200.0  # rad/s², 327 if it did
    assert acceleration.max() < 200.0
    assert measure(clip, motion, body).skate < 0.02  # the feet stand as still as before


def test_a_wheel_in_contact_is_moved_as_far_as_it_rolls() -> None:
    """A wheel of 0.1 m that turns forwards by half a radian a frame while its hub stands still."""
    angle = 0.5 * np.arange(6)
    forwards = np.stack([np.cos(angle / 2), 0 * angle, np.sin(angle / 2), 0 * angle], axis=-1)
    steps = planting._rolling(forwards, np.full(6, 0.1), loop=False)
    np.testing.assert_allclose(steps[1:], [[0.05, 0.0]] * 5, atol=1e-12)
    hub = np.tile([1.0, 2.0, 0.1], (6, 1))
    contact = np.array([False, True, True, True, True, False])
    shift = planting._shift(hub, steps, np.zeros(6), np.zeros(6), contact, 60.0, None)
    np.testing.assert_allclose(np.diff(shift[2:4, 0]), 0.05, rtol=0.1)  # smoothed by a frame
    np.testing.assert_allclose(shift[:, 1:], 0.0, atol=1e-9)


def test_a_jump_between_two_stances_is_spread_and_the_stances_keep_their_place() -> None:
    path = np.zeros((61, 2))
    path[30:, 1] = 0.08  # 8 cm sideways within one frame
    held = np.ones(61, bool)
    held[10:50] = False
    eased = planting._eased(path, held, 60.0)
    np.testing.assert_array_equal(eased[held], path[held])
    assert np.abs(np.diff(eased[:, 1])).max() < 0.04
