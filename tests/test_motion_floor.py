"""A source's floor that is tilted and too high, and when its feet stand on it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from motion_sources import human, of_clip
from scipy.spatial.transform import Rotation

from synthjax.bodies import Body, make_body
from synthjax.motion.feet import held_flat
from synthjax.motion.floor import fit_floor
from synthjax.motion.library import resolve_motions
from synthjax.motion.skeleton import SkeletonMotion
from synthjax.motion.source import SourceMotion
from synthjax.motion.stances import find_stances, hysteresis, steady


@pytest.fixture(scope="module")
def body() -> Body:
    return make_body("synth")


@pytest.fixture(scope="module")
def walk(body: Body) -> SourceMotion:
    """Two cycles of the shipped walk."""
    (clip,) = resolve_motions("walk", body)
    return of_clip(clip, body, 2 * clip.num_frames)


def tilted(source: SourceMotion, turn: Rotation, height: float) -> SourceMotion:
    positions = turn.apply(source.positions.reshape(-1, 3)).reshape(source.positions.shape)
    quats = source.rotations.reshape(-1, 4)
    rotations = (turn * Rotation.from_quat(quats, scalar_first=True)).as_quat(scalar_first=True)
    return dataclasses.replace(
        source,
        positions=positions + np.array([0.0, 0.0, height]),
        rotations=rotations.reshape(source.rotations.shape),
    )


def skeleton(source: SourceMotion) -> tuple[SkeletonMotion, str]:
    motion, found = human(source)
    return motion, found.floor


@pytest.mark.parametrize("degrees", [4.0, -6.0])
def test_a_floor_tilted_along_the_way_is_levelled(walk: SourceMotion, degrees: float) -> None:
    plain, words = skeleton(walk)
    assert words.startswith("level as far as can be told (5 of 5 stances")
    level, words = skeleton(tilted(walk, Rotation.from_euler("y", degrees, degrees=True), 0.7))
    assert float(words.split()[2]) == pytest.approx(abs(degrees), abs=0.5)
    for bone in ("LeftToes", "RightToes", "Head"):
        i = level.index(bone)
        np.testing.assert_allclose(level.positions[:, i, 2], plain.positions[:, i, 2], atol=0.02)


def test_one_line_of_footprints_does_not_tell_the_slope_across_it(walk: SourceMotion) -> None:
    _, words = skeleton(tilted(walk, Rotation.from_euler("x", 2.0, degrees=True), 0.7))
    assert words.startswith("level as far as can be told")


@pytest.mark.slow
def test_a_walk_down_a_tilted_floor_is_retargeted_onto_a_level_one(body: Body, walk: SourceMotion) -> None:
    pytest.importorskip("mink", reason="retargeting needs synthjax[motion]")
    from synthjax.motion.report import measure
    from synthjax.motion.retarget import retarget

    motion, _ = skeleton(tilted(walk, Rotation.from_euler("xy", [1.0, 5.0], degrees=True), -0.4))
    report = measure(retarget(motion, body), motion, body)
    assert report.penetration_mm < 10.0
    assert report.float_mm < 3.0
    assert report.skate < 0.05
    assert report.key_error_mm is not None
    assert report.key_error_mm < 15.0


def test_a_run_is_not_lowered_onto_its_swinging_foot(body: Body) -> None:
    """Which is the lowest point shortly before it lands, at several metres a second."""
    pytest.importorskip("mink", reason="retargeting needs synthjax[motion]")
    from synthjax.motion.report import measure
    from synthjax.motion.retarget import retarget

    (run,) = resolve_motions("run", body)
    motion, _ = human(of_clip(run, body, 70))
    report = measure(retarget(motion, body), motion, body)
    assert report.skate < 0.12  # 0.7 if it were
    assert report.penetration_mm < 10.0


def footprints(slope: tuple[float, float], heights: np.ndarray) -> np.ndarray:
    """A point (T, 1, 3) that stands for 20 frames at each of some places, ``heights`` (N,) above a plane."""
    rng = np.random.default_rng(3)
    places = rng.uniform(-1.0, 1.0, (len(heights), 2))
    z = 0.2 + places @ np.array(slope) + heights
    stops = np.repeat(np.concatenate([places, z[:, None]], axis=-1), 20, axis=0)
    return stops[:, None]


def test_raised_stances_do_not_lift_the_floor() -> None:
    heights = np.array([0.0] * 7 + [0.3, 0.5, 0.4])
    floor = fit_floor(footprints((0.1, -0.05), heights), 60.0, 0.85)
    np.testing.assert_allclose(floor.slope, [0.1, -0.05], atol=2e-3)
    assert floor.height == pytest.approx(0.2, abs=2e-3)
    assert "7 of 10 stances" in floor.words
    level = floor.levelled(footprints((0.1, -0.05), heights))
    np.testing.assert_allclose(level[: 7 * 20, 0, 2], 0.0, atol=3e-3)


def test_stairs_and_feet_that_never_stand_are_left_as_they_are() -> None:
    steep = fit_floor(footprints((0.6, 0.0), np.zeros(8)), 60.0, 0.85)
    scattered = fit_floor(footprints((0.0, 0.0), np.linspace(0.0, 1.5, 8)), 60.0, 0.85)
    time = np.arange(60)[:, None, None] / 60.0
    running = fit_floor(np.concatenate([3.0 * time, 0.0 * time, 0.1 * time], axis=-1), 60.0, 0.85)
    for floor in (steep, scattered, running):
        assert "taken as level" in floor.words
        np.testing.assert_array_equal(floor.levelled(np.ones((2, 1, 3))), np.ones((2, 1, 3)))


def test_any_numbers_give_a_finite_floor() -> None:
    for scale in (1e-9, 0.01, 1e9):
        for leg in (1e-6, 1.0, 1e6):
            for frames in (2, 3, 40):
                paths = scale * np.random.default_rng(0).normal(size=(frames, 2, 3)).cumsum(axis=0)
                floor = fit_floor(paths, 60.0, leg)
                assert np.isfinite(floor.levelled(paths)).all()


def test_the_stances_of_the_walk_are_its_contacts(body: Body, walk: SourceMotion) -> None:
    (clip,) = resolve_motions("walk", body)
    motion, _ = skeleton(walk)
    stances = find_stances(motion, body, 60.0)
    for foot, ends in stances.items():
        parts = body.body_ids((body.bones[foot], body.bones[foot.replace("Foot", "Toes")]))
        contact = np.tile(clip.contacts[:, parts].any(axis=-1), 2)
        assert (ends.any(axis=-1) == contact).mean() > 0.8
        heel, ball = ends[76:].T  # of the second cycle
        assert ball.sum() > heel.sum() > 20
        # A step ends on the ball.
        last = np.flatnonzero(ends[:-1].any(axis=-1) & ~ends[1:].any(axis=-1))[-1]
        np.testing.assert_array_equal(ends[last], [False, True])


def test_hysteresis_bridges_noise_and_short_flickers_go() -> None:
    speed = np.array([1.0, 0.4, 0.2, 0.4, 0.2, 0.4, 0.9, 0.4, 0.9])
    found = hysteresis(speed < 0.3, speed < 0.5)
    np.testing.assert_array_equal(found, [0, 0, 1, 1, 1, 1, 0, 0, 0])
    flicker = np.array([1, 1, 1, 0, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0], dtype=bool)
    np.testing.assert_array_equal(steady(flicker, 3, loop=False), [1] * 6 + [0] * 8)
    # Across the seam of a loop the ends belong together.
    ends = np.array([1, 0, 0, 0, 0, 0, 1, 1], dtype=bool)
    np.testing.assert_array_equal(steady(ends, 3, loop=True), ends)


def test_a_standing_foot_neither_tilts_nor_turns_and_a_pivoting_one_turns() -> None:
    time = np.arange(60) / 60.0
    sway = np.stack([4.0 * np.sin(9.0 * time), 5.0 + 0.0 * time, 5.0 * np.sin(7.0 * time)], axis=-1)
    stands = np.ones((60, 2), dtype=bool)
    none = np.zeros(60)
    held = held_flat(Rotation.from_euler("xyz", sway, degrees=True), stands, 60.0, none, none).as_euler(
        "xyz", degrees=True
    )
    np.testing.assert_allclose(held[:, :2], 0.0, atol=0.1)
    assert np.ptp(held[:, 2]) < 0.5
    turning = Rotation.from_euler("z", np.linspace(0.0, 90.0, 60)[:, None], degrees=True)
    for heel, lifted in ((0.0, 4.0), (1.0, -4.0)):  # nose down about the ball, nose up about the heel
        pivoted = held_flat(turning, stands, 60.0, np.ones(60), np.full(60, heel))
        pivoted = pivoted.as_euler("ZYX", degrees=True)
        np.testing.assert_allclose(pivoted[:, 0], np.linspace(0.0, 90.0, 60), atol=1e-6)
        np.testing.assert_allclose(pivoted[10:50, 1], lifted, atol=0.01)
    swinging = held_flat(
        Rotation.from_euler("xyz", sway, degrees=True), np.zeros((60, 2), bool), 60.0, none, none
    )
    np.testing.assert_allclose(swinging.as_euler("xyz", degrees=True), sway, atol=1e-9)
