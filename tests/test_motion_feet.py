"""Feet that slide, pivot and land: what holds the floor, about which point, and what is lifted from it."""

from __future__ import annotations

import dataclasses
import importlib

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from test_motion_retarget import standing

from synthjax.bodies import Body, make_body
from synthjax.motion.feet import held_flat
from synthjax.motion.ground import lowest_points, part_points
from synthjax.motion.kinematics import forward_kinematics
from synthjax.motion.rolling import rolling_foot
from synthjax.motion.skeleton import SkeletonMotion
from synthjax.motion.stances import find_stances, holding, pivoting, sole_paths

FEET = ("LeftFoot", "RightFoot")


@pytest.fixture(scope="module")
def body() -> Body:
    return make_body("synth")


def upright(frames: int = 61) -> SkeletonMotion:
    """Stands on both feet for a second, in centimetres, and counts as a source whose stances slide."""
    motion = standing(frames)
    pose = np.tile(motion.rest + np.array([0.0, 0.0, 97.0]), (frames, 1, 1))
    return dataclasses.replace(motion, positions=pose, fps=60.0, stance_speed=0.8)


def turned(motion: SkeletonMotion, degrees: float) -> SkeletonMotion:
    """``motion`` turned about z as a whole, evenly."""
    turn = Rotation.from_euler("z", np.linspace(0.0, degrees, len(motion.positions))[:, None], degrees=True)
    positions = np.stack([turn.apply(motion.positions[:, i]) for i in range(len(motion.bones))], axis=1)
    rotations = np.tile(turn.as_quat(scalar_first=True)[:, None], (1, len(motion.bones), 1))
    return dataclasses.replace(motion, positions=positions, rotations=rotations)


def test_of_two_feet_that_slide_the_slower_one_holds(body: Body) -> None:
    motion = upright()
    shift = np.arange(61) / 60.0  # s, hence cm at 1 cm/s
    speeds = {"LeftFoot": 60.0, "RightFoot": 40.0}
    for foot, speed in speeds.items():
        motion.positions[:, motion.index(foot), 0] += speed * shift
    stances = find_stances(motion, body, 60.0)
    assert all(stances[foot].all() for foot in FEET)
    soles, _ = sole_paths(motion, body, 60.0)
    held = holding(stances, soles, 60.0)
    assert held["RightFoot"].all()
    assert not held["LeftFoot"][5:-5].any()
    # The other one must stand, and long enough to take over.
    for least in (0, 30):
        alone = stances | {"RightFoot": stances["RightFoot"] & (np.arange(61) < least)[:, None]}
        assert holding(alone, soles, 60.0)["LeftFoot"][least - 2 :].all()
    # What slides little may stay, whatever the other does.
    motion.positions[:, motion.index("LeftFoot"), 0] -= 40.0 * shift
    soles, _ = sole_paths(motion, body, 60.0)
    assert holding(stances, soles, 60.0)["LeftFoot"].all()


def test_a_foot_pivots_that_turns_by_more_than_thirty_degrees(body: Body) -> None:
    for degrees, pivots in ((20.0, 0.0), (90.0, 1.0)):
        _, rotations = sole_paths(turned(upright(), degrees), body, 60.0)
        stances = {foot: np.ones((61, 2), dtype=bool) for foot in FEET}
        for foot in FEET:
            np.testing.assert_allclose(pivoting(stances, rotations, 60.0)[foot], pivots)
    none = {foot: np.zeros((61, 2), dtype=bool) for foot in FEET}
    assert not pivoting(none, rotations, 60.0)["LeftFoot"].any()


@pytest.mark.parametrize("pitch", [-20.0, 0.0, 20.0])
@pytest.mark.parametrize("sway", [-10.0, 10.0])
def test_a_turning_foot_moves_about_where_it_touches(body: Body, pitch: float, sway: float) -> None:
    """About its heel, its middle or its ball, and a foot that leans about its lower edge."""
    yaw = np.radians(0.2) * np.arange(4)
    foot = Rotation.from_euler("ZYX", np.stack([yaw, *np.radians([[pitch] * 4, [sway] * 4])], axis=-1))
    bones = ("LeftFoot", "LeftToes")
    ids = [body.model.body(body.bones[bone]).id for bone in bones]
    joint = body.model.body_pos[ids[1]]
    steps = rolling_foot(body, bones, (foot, foot), joint, np.ones(4, bool), loop=False)
    parts = [foot[0].apply(part_points(body, part) - at) for part, at in zip(ids, (joint, 0.0), strict=True)]
    lowest = min(points[:, 2].min() for points in parts)
    touch = np.mean(
        [
            points[points[:, 2] <= points[:, 2].min() + 0.005].mean(axis=0)
            for points in parts
            if points[:, 2].min() <= lowest + 0.005
        ],
        axis=0,
    )
    slid = steps[1:] + np.radians(0.2) * np.array([-touch[1], touch[0]])
    np.testing.assert_allclose(slid, 0.0, atol=2e-5)
    assert np.linalg.norm(steps[1]) > 1e-4


def test_a_foot_that_pivots_on_one_end_lifts_the_other(body: Body) -> None:
    turning = Rotation.from_euler("z", np.linspace(0.0, 90.0, 60)[:, None], degrees=True)
    on_heel = np.tile([True, False], (60, 1))  # its source holds it level: sole on the floor
    pivoted = held_flat(turning, on_heel, 60.0, np.ones(60), np.ones(60)).as_euler("ZYX", degrees=True)
    np.testing.assert_allclose(pivoted[10:50, 1], -4.0, atol=0.01)
    # One that is up already is not lifted more.
    raised = turning * Rotation.from_euler("y", -12.0, degrees=True)
    pivoted = held_flat(raised, on_heel, 60.0, np.ones(60), np.ones(60)).as_euler("ZYX", degrees=True)
    np.testing.assert_allclose(pivoted[:, 1], -12.0, atol=1e-6)


def test_a_foot_has_its_heading_before_it_lands() -> None:
    yaw = np.radians(np.interp(np.arange(60), [0, 30, 59], [-90.0, 0.0, 0.0]))  # turns until it lands
    stands = np.tile((np.arange(60) >= 30)[:, None], (1, 2))
    none = np.zeros(60)
    held = held_flat(Rotation.from_euler("z", yaw[:, None]), stands, 60.0, none, none)
    heading = held.as_euler("ZYX", degrees=True)[:, 0]
    assert abs(heading[28]) < 2.0  # 6 degrees at the source
    assert heading[20] < -25.0
    # A foot that stands again at once is not whirled round for it.
    yaw = np.radians(np.interp(np.arange(60), [0, 28, 34, 59], [0.0, 0.0, 60.0, 60.0]))
    stands = np.tile(((np.arange(60) <= 28) | (np.arange(60) >= 34))[:, None], (1, 2))
    held = held_flat(Rotation.from_euler("z", yaw[:, None]), stands, 60.0, none, none)
    assert np.diff(held.as_euler("ZYX", degrees=True)[:, 0]).max() < 12.0


def test_feet_come_back_to_where_they_stood_before_smoothing_and_knees_stay(body: Body) -> None:
    straight_legs = importlib.import_module("synthjax.motion.straight_legs")  # needs mink at import
    planted = np.tile(body.model.qpos0, (3, 1))
    planted[:, 2] -= lowest_points(body, planted).min()
    smoothed = planted.copy()
    smoothed[:, 0] += 0.01
    smoothed[:, 2] -= 0.01
    back = straight_legs.with_feet_of(body, planted, smoothed, 60.0, loop=False)
    at, goal = (
        forward_kinematics(body.model, qpos, np.zeros((3, body.model.nv))).xpos[
            :, body.body_ids(tuple(body.bones[foot] for foot in FEET))
        ]
        for qpos in (back, planted)
    )
    np.testing.assert_allclose((at - goal)[..., :2], 0.0, atol=1e-3)
    knee = 7 + body.joints.index("LeftLowerLeg_X")
    assert np.abs(back[:, knee] - smoothed[:, knee]).max() < np.radians(3.5)  # 17 if it bent for the height


@pytest.mark.slow
def test_a_figure_that_turns_on_flat_feet_hardly_skates(body: Body) -> None:
    from synthjax.motion.report import measure
    from synthjax.motion.retarget import retarget

    motion = turned(upright(), 180.0)
    report = measure(retarget(motion, body), motion, body)
    assert report.skate < 0.05
    assert report.key_error_mm is not None
    assert report.key_error_mm < 25.0


def test_a_foot_that_slides_and_does_not_stand_is_taken_off_the_floor(body: Body) -> None:
    planting = importlib.import_module("synthjax.motion.planting")  # needs mink at import
    qpos = np.tile(body.model.qpos0, (20, 1))
    qpos[:, 2] -= lowest_points(body, qpos).min()
    qpos[:, 0] += 0.15 * np.arange(20) / 60.0  # 0.15 m/s
    world = forward_kinematics(body.model, qpos, np.zeros((20, body.model.nv)))
    level = dict.fromkeys(FEET, Rotation.identity(20))
    for stands, least, most in ((False, 0.005, 0.01), (True, -1e-3, 1e-3)):
        stances = {foot: np.full((20, 2), stands) for foot in FEET}
        targets = planting._planted_targets(body, qpos, 60.0, None, stances, level, 0.3)
        for foot in FEET:
            raised = (targets.positions[foot] - world.xpos[:, body.model.body(body.bones[foot]).id])[:, 2]
            assert least < raised.min() <= raised.max() < most
