"""Faults put into motions that have none are found and told, and fast motions are no faults."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import motion_sources as sources
import numpy as np
import pytest
from motion_sources import write
from scipy.spatial.transform import Rotation

from synthjax import cli
from synthjax.bodies import make_body
from synthjax.motion.checks import BAD, GOOD, POOR, grade_source
from synthjax.motion.clip import Clip
from synthjax.motion.glitches import find_glitches
from synthjax.motion.library import resolve_motions
from synthjax.motion.skeleton import SkeletonMotion

FRAME = 40


def motion_of(clip: Clip, every: int = 1) -> SkeletonMotion:
    """The parts of the body in ``clip``, of its frames only some."""
    bones = clip.body_names[1:]
    return SkeletonMotion(
        name=clip.name, fps=clip.fps / every, bones=bones, parents=(-1,) * len(bones),
        rest=clip.xpos[0, 1:], positions=clip.xpos[::every, 1:].copy(),
        rotations=clip.xquat[::every, 1:].copy(), loop=False, source="", licence="",
    )  # fmt: skip


@pytest.fixture
def walk() -> SkeletonMotion:
    return motion_of(resolve_motions("walk", make_body("synth"))[0])


@pytest.mark.parametrize("every", [1, 2])
def test_fast_motions_are_no_faults(every: int) -> None:
    """Kicks, landings and rolls, at 60 and at 30 frames a second."""
    for clip in resolve_motions("all", make_body("synth")):
        assert find_glitches(motion_of(clip, every)).words == "", clip.name


def away(motion: SkeletonMotion) -> None:
    motion.positions[FRAME, motion.index("LeftHand")] += [0.0, 0.1, 0.0]


def gone(motion: SkeletonMotion) -> None:
    motion.positions[FRAME:] += [0.2, 0.0, 0.0]


def flipped(motion: SkeletonMotion) -> None:
    head = motion.rotations[FRAME : FRAME + 3, motion.index("Head")]
    head[:] = (Rotation.from_quat(head, scalar_first=True) * Rotation.from_euler("z", 2.5)).as_quat(
        scalar_first=True
    )


@pytest.mark.parametrize(
    ("fault", "jumps", "bone"), [(away, 1, "LeftHand"), (gone, 1, "Hips"), (flipped, 2, "Head")]
)
def test_a_bone_that_jumps_is_found(
    fault: Callable[[SkeletonMotion], None], jumps: int, bone: str, walk: SkeletonMotion
) -> None:
    fault(walk)
    found = find_glitches(walk)
    assert (found.held, found.jumps, found.first) == (0, jumps, f"{bone} at {FRAME / 60.0:.2f} s")
    verdicts = {verdict.what: verdict for verdict in grade_source(walk)}
    assert verdicts["source repeats"].grade == GOOD
    assert verdicts["source jumps"].grade == POOR
    assert bone in verdicts["source jumps"].detail


def test_a_bone_that_jumps_all_the_time_is_bad(walk: SkeletonMotion) -> None:
    walk.positions[5::8, walk.index("LeftHand")] += [0.0, 0.1, 0.0]
    assert find_glitches(walk).jumps == 9
    assert [verdict.grade for verdict in grade_source(walk)] == [GOOD, BAD]


def test_held_frames_are_counted_and_a_rest_is_none(walk: SkeletonMotion) -> None:
    twice = dataclasses.replace(
        walk, positions=np.repeat(walk.positions, 2, axis=0), rotations=np.repeat(walk.rotations, 2, axis=0)
    )
    found = find_glitches(twice)
    assert (found.frames, found.held, found.jumps) == (152, 74, 0)  # not the first and the last one
    assert found.words == "74 of 152 frames repeat the one before"
    assert {v.what: v.grade for v in grade_source(twice)} == {"source repeats": BAD, "source jumps": GOOD}
    for motion, frames in ((walk, (30, 31, 50)), (walk, range(20, 50))):
        held = dataclasses.replace(motion, positions=walk.positions.copy(), rotations=walk.rotations.copy())
        for frame in frames:
            for values in (held.positions, held.rotations):
                values[frame] = values[frame - 1]
        assert find_glitches(held).held == (3 if len(frames) == 3 else 0)  # half a second is a rest
        assert grade_source(held)[0].grade == (POOR if len(frames) == 3 else GOOD)


def test_import_and_check_tell_of_a_jump_that_the_clip_no_longer_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mink", reason="retargeting needs synthjax[motion]")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    angles = sources.euler(45)
    angles[20, sources.NAMES.index("LeftUpperArm"), 0] += 40.0
    with monkeypatch.context() as patch:
        patch.setattr(sources, "euler", lambda frames: angles)
        write(tmp_path, "walk.bvh", sources.bvh(frames=45))
    assert cli.main(["motion", "import", "walk.bvh"]) == 0
    assert "1 jump, the first of LeftLowerArm at 0.67 s" in capsys.readouterr().out
    assert cli.main(["motion", "check", "clips/walk.npz", "--against", "walk.bvh"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "source jumps" in line]
    assert "poor" in line
    assert "LeftLowerArm at 0.67 s" in line
