"""Retargeting: a figure of other proportions onto the Synth, and stances that roll."""

from __future__ import annotations

import dataclasses
import importlib

import numpy as np
import pytest
from motion_sources import human, of_clip
from scipy.spatial.transform import Rotation

from synthjax.bodies import Body, make_body
from synthjax.errors import UserError
from synthjax.motion.drift import without_drift
from synthjax.motion.ground import lowest_points, touching_points
from synthjax.motion.kinematics import central_rate, forward_kinematics, hinge_limits
from synthjax.motion.library import resolve_motions
from synthjax.motion.rolling import rolling
from synthjax.motion.skeleton import SkeletonMotion
from synthjax.motion.stances import find_stances
from synthjax.motion.targets import Targets, make_targets

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


@pytest.mark.parametrize(("frames", "loop"), [(1, False), (2, True), (3, True), (4, False)])
def test_a_motion_that_hardly_lasts_is_refused(body: Body, frames: int, loop: bool) -> None:
    from synthjax.motion.retarget import retarget

    brief = dataclasses.replace(standing(frames), loop=loop, fps=60.0)
    with pytest.raises(UserError, match=r"'standing' lasts .* s: a clip needs at least 0\.1 s"):
        retarget(brief, body)


@pytest.mark.parametrize("loop", [False, True])
def test_the_shortest_motion_gives_a_clip(body: Body, loop: bool) -> None:
    from synthjax.motion.retarget import retarget

    clip = retarget(dataclasses.replace(standing(7), loop=loop, fps=60.0), body)
    assert clip.num_frames == (6 if loop else 7)
    assert np.isfinite(clip.qpos).all()


@pytest.mark.slow
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
    forwards = Rotation.from_euler("y", angle[:, None])
    steps = rolling(forwards, np.tile([0.0, 0.0, 0.1], (6, 1)), loop=False)
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


def test_what_a_standing_foot_slides_is_taken_from_the_path_of_the_root(body: Body) -> None:
    drifting = standing(frames=31)
    drifting.positions[..., 1] += 30.0 * np.arange(31)[:, None] / 30.0  # 0.3 m in a second
    drifting = dataclasses.replace(drifting, stance_speed=0.8)

    steady = without_drift(drifting, body, 60.0, find_stances(drifting, body, 60.0))
    assert np.ptp(steady.positions[:, 0, 1]) < 1.0
    np.testing.assert_allclose(
        steady.positions - steady.positions[:, :1], drifting.positions - drifting.positions[:, :1], atol=1e-9
    )


def test_the_ends_of_a_loop_meet_and_its_limbs_keep_their_lengths(body: Body) -> None:
    motion = dataclasses.replace(standing(frames=31), loop=True)
    yaw = np.radians(20.0) * np.linspace(0.0, 1.0, 31) ** 2
    turn = Rotation.from_euler("z", yaw[:, None])
    motion = dataclasses.replace(
        motion,
        positions=np.stack([turn.apply(motion.positions[:, i]) for i in range(len(motion.bones))], axis=1),
        rotations=np.tile(turn.as_quat(scalar_first=True)[:, None], (1, len(motion.bones), 1)),
    )
    closed = make_targets(motion, body, 60.0)
    open_ended = make_targets(dataclasses.replace(motion, loop=False), body, 60.0)
    step = closed.positions["Hips"][-1] - closed.positions["Hips"][0]
    assert abs(step[2]) < 1e-9
    for path in closed.positions.values():
        np.testing.assert_allclose(path[-1] - path[0], step, atol=1e-9)
    for rotation in closed.rotations.values():
        assert (rotation[-1].inv() * rotation[0]).magnitude() < 1e-9
    for start, stop in (("LeftUpperLeg", "LeftLowerLeg"), ("RightLowerArm", "RightHand")):
        np.testing.assert_allclose(
            *(np.linalg.norm(t.positions[stop] - t.positions[start], axis=-1) for t in (closed, open_ended))
        )
    # In the middle of a cycle nothing of what is spread over it is felt.
    np.testing.assert_allclose(
        closed.positions["LeftHand"][30], open_ended.positions["LeftHand"][30], atol=2e-3
    )


def test_a_straight_leg_bends_to_a_foot_that_comes_closer(body: Body) -> None:
    inverse = importlib.import_module("synthjax.motion.inverse")
    qpos = body.model.qpos0[None].copy()
    qpos[0, 7 + body.joints.index("LeftLowerLeg_X")] = hinge_limits(body.model)[
        body.joints.index("LeftLowerLeg_X")
    ].max()
    world = forward_kinematics(body.model, qpos, np.zeros((1, body.model.nv)))
    at = {bone: world.xpos[:, body.model.body(name).id] for bone, name in body.bones.items()}
    wanted = {bone: at[bone] + [0.0, 0.0, 0.02 * (bone == "LeftFoot")] for bone in ("Hips", "LeftFoot")}
    rotations = {"Hips": Rotation.from_quat(qpos[:, 3:7], scalar_first=True)}
    reached = inverse.refine(body, Targets(60.0, wanted, rotations, loop=False), qpos)
    foot = forward_kinematics(body.model, reached, np.zeros((1, body.model.nv))).xpos[
        :, body.model.body(body.bones["LeftFoot"]).id
    ]
    np.testing.assert_allclose(foot, wanted["LeftFoot"], atol=2e-3)


def test_a_foot_touches_the_floor_where_it_is_lowest(body: Body) -> None:
    foot = body.body_ids((body.bones["LeftFoot"],))
    level, nose_down = (body.model.qpos0.copy() for _ in range(2))
    nose_down[3:7] = Rotation.from_euler("y", 20.0, degrees=True).as_quat(scalar_first=True)
    touch = touching_points(body, np.stack([level, nose_down]), foot)[:, 0]
    at = forward_kinematics(body.model, np.stack([level, nose_down]), np.zeros((2, body.model.nv))).xpos[
        :, foot[0]
    ]
    ahead = (touch - at)[:, 0]
    assert ahead[1] > ahead[0] + 0.04
    np.testing.assert_allclose(
        touch[:, 2], lowest_points(body, np.stack([level, nose_down]))[:, foot[0]], atol=2e-3
    )
