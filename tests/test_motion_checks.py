"""Verdicts on clips: the shipped ones pass, and each kind of damage is found by its own line."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from synthjax import cli
from synthjax.bodies import Body, make_body
from synthjax.motion.checks import BAD, GOOD, check_clip
from synthjax.motion.clip import Clip
from synthjax.motion.clip_file import save_clip
from synthjax.motion.derive import make_clip
from synthjax.motion.library import resolve_motions


@pytest.fixture(scope="module")
def body() -> Body:
    return make_body("synth")


@pytest.fixture(scope="module")
def walk(body: Body) -> Clip:
    return resolve_motions("walk", body)[0]


def changed(body: Body, clip: Clip, qpos: np.ndarray, loop: bool = True) -> Clip:
    offset = clip.loop_offset if loop else None
    return make_clip(body, "changed", clip.fps, qpos, loop_offset=offset, source="test", licence="none")


def grades(clip: Clip, body: Body) -> dict[str, str]:
    return {verdict.what: verdict.grade for verdict in check_clip(clip, body)}


def test_the_walk_is_good_in_every_line(body: Body, walk: Clip) -> None:
    assert set(grades(walk, body).values()) == {GOOD}


def sunk(qpos: np.ndarray) -> None:
    qpos[:, 2] -= 0.05


def floating(qpos: np.ndarray) -> None:
    qpos[:, 2] += 0.08


def sliding(qpos: np.ndarray) -> None:
    qpos[:, 1] += np.arange(len(qpos)) / 60.0


def spiked(qpos: np.ndarray) -> None:
    qpos[30, 20] += 2.5


def popped(qpos: np.ndarray) -> None:
    qpos[30, 20] += 0.5


def teleported(qpos: np.ndarray) -> None:
    qpos[30:, 0] += 0.3


def turned(qpos: np.ndarray) -> None:
    turn = Rotation.from_euler("z", 20.0, degrees=True)
    qpos[30:, 3:7] = (turn * Rotation.from_quat(qpos[30:, 3:7], scalar_first=True)).as_quat(scalar_first=True)


def bent_too_far(qpos: np.ndarray) -> None:
    qpos[:, 7:10] = np.radians(-80.0)  # the spine's


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (sunk, "penetration"),
        (floating, "off the floor"),
        (floating, "unbalanced weight"),
        (sliding, "skate"),
        (spiked, "fastest hinge"),
        (popped, "acceleration"),
        (teleported, "root's acceleration"),
        (turned, "root's turning"),
        (bent_too_far, "beyond a limit"),
        (bent_too_far, "at a joint limit"),
    ],
)
def test_each_damage_has_its_line(
    damage: Callable[[np.ndarray], None], line: str, body: Body, walk: Clip
) -> None:
    qpos = walk.qpos.copy()
    damage(qpos)
    found = grades(changed(body, walk, qpos, loop=False), body)
    assert found[line] == BAD
    assert found["without motion"] == GOOD


def test_dropped_and_still_frames_are_counted(body: Body, walk: Clip) -> None:
    qpos = walk.qpos.copy()
    for start, stop in ((10, 11), (20, 22), (30, 33)):
        qpos[start:stop] = qpos[start - 1]
    figures = {v.what: v.figure for v in check_clip(changed(body, walk, qpos), body)}
    assert figures["repeated frames"] == 6
    assert figures["without motion"] == pytest.approx(100.0 * 3 / walk.num_frames)  # held before and after
    still = changed(body, walk, np.repeat(walk.qpos[:1], 60, axis=0), loop=False)
    figures = {v.what: v.figure for v in check_clip(still, body)}
    assert figures["repeated frames"] == 0
    assert figures["without motion"] == 100.0


@pytest.mark.parametrize(("share", "figure", "expected"), [(1.02, 0.0, GOOD), (0.98, 100.0, BAD)])
def test_a_motor_too_weak_for_the_arm_that_it_holds_out_is_named(
    share: float, figure: float, expected: str
) -> None:
    """It bears the arm's weight on the lever from the shoulder to the arm's centre of mass."""
    body, joint = make_body("synth"), "LeftUpperArm_X"  # a body of its own, as its motors are changed
    model, data = body.model, mujoco.MjData(body.model)
    motor = body.joints.index(joint)
    data.qpos[:] = body.standing_qpos
    data.qpos[7 + motor] = np.radians(90.0)
    mujoco.mj_kinematics(model, data)
    arm = body.body_ids(tuple(body.bones[f"Left{part}"] for part in ("UpperArm", "LowerArm", "Hand")))
    weight = model.body_mass[arm, None] * model.opt.gravity
    hinge = model.joint(joint).id
    torque = np.cross(data.xipos[arm] - data.xanchor[hinge], weight).sum(axis=0) @ data.xaxis[hinge]
    assert abs(torque) > 5.0
    model.actuator_forcerange[:] = [-1000.0, 1000.0]
    model.actuator_forcerange[motor] = share * abs(torque) * np.array([-1.0, 1.0])
    clip = make_clip(
        body, "held", 60.0, np.tile(data.qpos, (40, 1)), loop_offset=None, source="test", licence="none"
    )
    (verdict,) = [v for v in check_clip(clip, body) if v.what == "torque demand"]
    assert (verdict.figure, verdict.grade) == (figure, expected)
    assert verdict.detail.startswith(joint if figure else "-")


def test_a_loop_whose_ends_do_not_meet_has_a_bad_seam(body: Body, walk: Clip) -> None:
    found = grades(dataclasses.replace(walk, loop_offset=walk.loop_offset * 0.9), body)
    assert found["loop seam"] == BAD


def test_a_seam_that_jumps_has_its_lines(body: Body, walk: Clip) -> None:
    ramp = np.linspace(0.0, 1.0, walk.num_frames)
    bent, turned = walk.qpos.copy(), walk.qpos.copy()
    bent[:, 20] += 0.7 * ramp
    turn = Rotation.from_rotvec(np.radians(20.0) * ramp[:, None] * [0.0, 0.0, 1.0])
    heading = Rotation.from_quat(turned[:, 3:7], scalar_first=True)
    turned[:, 3:7] = (turn * heading).as_quat(scalar_first=True)
    for qpos, line in ((bent, "acceleration"), (turned, "root's turning")):
        assert grades(changed(body, walk, qpos), body)[line] == BAD
        assert grades(changed(body, walk, qpos, loop=False), body)[line] == GOOD


@pytest.mark.parametrize("command", ["check", "preview"])
def test_a_clip_that_is_there_needs_no_extra(command: str, tmp_path: Path) -> None:
    code = f"""
import sys
for name in ("mink", "ufbx", "c3d", "pybullet"):
    sys.modules[name] = None
from synthjax.cli import main
sys.exit(main(["motion", {command!r}, "walk", *{["--out", str(tmp_path)] if command == "preview" else []!r}]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_command_says_by_its_exit_code_whether_something_is_bad(
    body: Body, walk: Clip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["motion", "check", "walk"]) == 0
    qpos = walk.qpos.copy()
    sunk(qpos)
    save_clip(changed(body, walk, qpos), tmp_path / "sunk.npz")
    assert cli.main(["motion", "check", str(tmp_path / "sunk.npz")]) == 1
    assert "bad" in capsys.readouterr().out
    assert cli.main(["motion", "check", "walk,run"]) == 2
    assert cli.main(["motion", "check", "walk", "--rig", "rig.toml"]) == 2


def test_the_list_has_shipped_clips_and_those_of_a_folder(
    walk: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_clip(dataclasses.replace(walk, name="mine", licence="CC0"), tmp_path / "clips" / "mine.npz")
    (tmp_path / "clips" / "broken.npz").write_text("no clip")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.main(["motion", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (mine,) = [line for line in lines if "mine.npz" in line]
    assert "1.27" in mine
    terms = {line[:3]: line for line in lines if line.startswith("[")}  # by number, below the table
    assert "CC0" in terms[mine.split()[-1]]
    assert any("broken.npz" in line and "no clip" in line for line in lines)
    (cartwheel,) = [line for line in lines if "cartwheel" in line]
    assert "pybullet" in terms[cartwheel.split()[-1]]
    assert cli.main(["motion", "list", "nowhere"]) == 2
