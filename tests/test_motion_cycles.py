"""Loops that are found in motions, and made of them on import."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import motion_sources as sources
import numpy as np
import pytest
from motion_sources import human, of_clip, write
from scipy.spatial.transform import Rotation

from synthjax import cli
from synthjax.bodies import Body, make_body
from synthjax.motion.cycles import find_cycle, looped
from synthjax.motion.library import resolve_motions
from synthjax.motion.skeleton import SkeletonMotion


@pytest.fixture(scope="module")
def body() -> Body:
    return make_body("synth")


@pytest.fixture(scope="module")
def walk(body: Body) -> SkeletonMotion:
    """Somewhat less than three cycles."""
    (clip,) = resolve_motions("walk", body)
    return human(of_clip(clip, body, 200))[0]


def turned(motion: SkeletonMotion, yaw: np.ndarray) -> SkeletonMotion:
    """The same steps on a bent way, whose direction has turned by ``yaw`` (T,)."""
    turn = Rotation.from_euler("z", yaw[:, None])
    hips = motion.positions[:, 0] * [1.0, 1.0, 0.0]
    way = np.cumsum(turn.apply(np.diff(hips, axis=0, prepend=hips[:1])), axis=0)
    places = [way + turn.apply(path - hips) for path in np.moveaxis(motion.positions, 1, 0)]
    quats = [
        (turn * Rotation.from_quat(path, scalar_first=True)).as_quat(scalar_first=True)
        for path in np.moveaxis(motion.rotations, 1, 0)
    ]
    return dataclasses.replace(motion, positions=np.stack(places, axis=1), rotations=np.stack(quats, axis=1))


def test_the_cycle_of_a_walk_is_found(walk: SkeletonMotion) -> None:
    found = find_cycle(walk)
    assert found is not None
    assert found.end - found.start == 76  # and not two cycles, nor one step
    assert found.apart < 1e-3
    loop = looped(walk, found)
    assert loop.loop
    assert loop.duration == pytest.approx(76 / 60)


def test_a_slow_turn_is_no_obstacle_and_a_fast_one_is(walk: SkeletonMotion) -> None:
    time = np.arange(200) / 60.0
    slow = find_cycle(turned(walk, np.radians(4.0) * time))
    assert slow is not None
    assert slow.end - slow.start == 76
    assert find_cycle(turned(walk, np.radians(40.0) * time)) is None


def test_no_cycle_in_what_does_not_come_back_or_does_not_move(body: Body, walk: SkeletonMotion) -> None:
    (getup,) = resolve_motions("getup_faceup", body)
    assert find_cycle(human(of_clip(getup, body, getup.num_frames))[0]) is None
    still = np.repeat(walk.positions[:1], 200, axis=0)
    assert find_cycle(dataclasses.replace(walk, positions=still)) is None
    assert find_cycle(dataclasses.replace(walk, positions=walk.positions[:10])) is None


def test_the_seam_of_a_loop_that_was_found_is_good(body: Body, walk: SkeletonMotion) -> None:
    """Of a walk that turns a little in every cycle, so that its ends do not meet."""
    pytest.importorskip("mink", reason="retargeting needs synthjax[motion]")
    from synthjax.motion.checks import GOOD, check_clip
    from synthjax.motion.retarget import retarget

    turning = turned(walk, np.radians(4.0) * np.arange(200) / 60.0)
    found = find_cycle(turning)
    assert found is not None
    loop = looped(turning, found)
    verdicts = {v.what: v for v in check_clip(retarget(loop, body), body, loop)}
    assert {verdicts[what].grade for what in ("loop seam", "skate", "penetration")} == {GOOD}


def test_a_loop_is_made_on_import(
    body: Body, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mink", reason="retargeting needs synthjax[motion]")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    write(tmp_path, "walk.bvh", sources.bvh(frames=45))
    assert cli.main(["motion", "import", "walk.bvh", "--loop", "auto"]) == 0
    assert "its ends are" in capsys.readouterr().out
    assert resolve_motions("clips/walk.npz", body)[0].loop
    assert cli.main(["motion", "check", "clips/walk.npz", "--loop", "auto"]) == 2
    write(tmp_path, "short.bvh", sources.bvh(frames=6))
    assert cli.main(["motion", "import", "short.bvh", "--loop", "auto"]) == 2
    assert "comes back to no pose" in capsys.readouterr().err
