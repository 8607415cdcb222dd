"""From a file to a clip that training takes, through the command."""

from __future__ import annotations

import re
from pathlib import Path

import motion_sources as sources
import numpy as np
import pytest
from motion_sources import write

from synthjax import cli
from synthjax.bodies import Body, make_body
from synthjax.motion.edit import resample
from synthjax.motion.library import resolve_motions
from synthjax.motion.mirror import mirror

pytest.importorskip("mink", reason="retargeting needs synthjax[motion]")


@pytest.fixture(scope="module")
def body() -> Body:
    return make_body("synth")


@pytest.mark.slow
def test_two_formats_give_the_same_clip(
    body: Body, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "walk.bvh", sources.bvh(frames=45))
    write(tmp_path, "step.glb", sources.glb(frames=45))
    terms = ["--source", "made up", "--licence", "CC0"]
    assert cli.main(["motion", "import", "walk.bvh", *terms]) == 0
    shown = capsys.readouterr().out
    assert "y (found from the motion)" in shown
    assert "key bodies mm" in shown
    assert "train --motion clips/walk.npz" in shown
    assert cli.main(["motion", "import", "step.glb", "--out", "clips/step.npz"]) == 0
    by_name = {clip.name: clip for clip in resolve_motions("clips", body)}
    assert set(by_name) == {"walk", "step"}
    walk, step = by_name["walk"], by_name["step"]
    assert (walk.source, walk.licence, step.source) == ("made up", "CC0", "step.glb")
    assert walk.num_frames == 89
    difference = np.degrees(np.abs(walk.qpos[:, 7:] - step.qpos[:, 7:]))
    assert np.median(difference, axis=0).max() < 0.5
    # The left thigh swings as the source's does, 25 degrees either way.
    thigh = np.degrees(walk.qpos[:, 7 + body.joints.index("LeftUpperLeg_X")])
    assert np.ptp(thigh) == pytest.approx(50.0, abs=6.0)


@pytest.mark.slow
def test_an_import_is_faster_and_mirrored_if_asked(
    body: Body, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "walk.bvh", sources.bvh(frames=45))
    assert cli.main(["motion", "import", "walk.bvh"]) == 0
    given = ["motion", "import", "walk.bvh", "--out", "clips/other.npz"]
    assert cli.main([*given, "--speed", "2", "--mirror"]) == 0
    assert "key bodies mm" in capsys.readouterr().out
    (walk,), (other,) = (resolve_motions(f"clips/{name}.npz", body) for name in ("walk", "other"))
    expected = resample(mirror(walk, body), body, walk.fps, 2.0)
    np.testing.assert_allclose(other.qpos, expected.qpos, atol=1e-6)
    assert (other.name, other.num_frames) == ("other", 45)
    assert cli.main([*given[:-1], "clips/new.npz", "--speed", "0"]) == 2
    assert "--speed is 0: give a number from 0.1 to 10" in capsys.readouterr().err


def test_a_clip_is_checked_against_the_file_that_it_was_imported_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    write(tmp_path, "walk.bvh", sources.bvh(frames=45))
    assert cli.main(["motion", "import", "walk.bvh"]) == 0

    def check(*options: str) -> tuple[int, float | None, str]:
        """Exit code, millimetres from the source, and the message."""
        capsys.readouterr()
        code = cli.main(["motion", "check", "clips/walk.npz", *options])
        shown = capsys.readouterr()
        found = re.search(r"key bodies +[^0-9]*([0-9.e+]+) mm", shown.out)
        return code, None if found is None else float(found[1]), shown.err

    assert check() == (0, None, "")
    code, distance, _ = check("--against", "walk.bvh")
    assert code == 0
    assert distance is not None
    assert distance < 15.0
    stretched = sources.euler(45)
    stretched[:, [sources.NAMES.index(f"{side}UpperArm") for side in ("Left", "Right")]] = 0.0
    with monkeypatch.context() as patch:
        patch.setattr(sources, "euler", lambda frames: stretched)
        write(tmp_path, "other.bvh", sources.bvh(frames=45))
    code, distance, _ = check("--against", "other.bvh")
    assert code == 1
    assert distance is not None
    assert distance > 80.0
    write(tmp_path, "longer.bvh", sources.bvh(frames=60))
    code, _, message = check("--against", "longer.bvh")
    assert code == 2
    assert "gives 119 frames at 60 a second where clip 'walk' has 89" in message
    code, _, message = check("--take", "walk")
    assert code == 2
    assert "--take belongs to the file that --against names" in message
    code, _, message = check("--against", "walk.bvh", "--skeleton", "missing.asf")
    assert code == 2
    assert "brings its own skeleton: leave out --skeleton" in message
    code, _, message = check("--against", "walk.csv")
    assert code == 2
    assert "no skeleton to compare a clip with" in message


def test_joint_angles_in_a_table_are_taken_as_they_are(
    body: Body, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """LAFAN1's form: x y z w, no names; in degrees; all named, w first, in another order; the root named."""
    monkeypatch.chdir(tmp_path)
    (walk,) = resolve_motions("walk", body)
    qpos = walk.qpos[:40]
    plain = np.concatenate([qpos[:, :3], qpos[:, [4, 5, 6, 3]], qpos[:, 7:]], axis=1)
    np.savetxt("plain.csv", plain, delimiter=",")
    np.savetxt("degrees.csv", np.hstack([plain[:, :7], np.degrees(plain[:, 7:])]), delimiter=",")
    turned = np.concatenate([qpos[:, :7], qpos[:, :6:-1]], axis=1)
    names = ["x", "y", "z", "qw", "qx", "qy", "qz", *reversed(body.joints)]
    np.savetxt("named.csv", turned, delimiter=", ", header=",".join(names), comments="")
    np.savetxt("root.csv", qpos, delimiter=",", header=",".join(names[:7]), comments="")
    monkeypatch.setenv("COLUMNS", "200")
    for name, unit, order in (
        ("plain", "radians", "x y z w (assumed; for w x y z put the line x,y,z,qw,qx,qy,qz above"),
        ("degrees", "degrees (found", "x y z w (assumed"),
        ("named", "radians", "w x y z (named)"),
        ("root", "radians", "w x y z (named)"),
    ):
        capsys.readouterr()
        assert cli.main(["motion", "import", f"{name}.csv", "--fps", "60"]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert f"angles {unit}" in shown
        assert f"orientation {order}" in shown
        clip = resolve_motions(f"clips/{name}.npz", body)[0]
        np.testing.assert_allclose(clip.qpos, qpos, atol=1e-6)
        assert clip.fps == 60.0
    capsys.readouterr()
    for change, message in (
        (plain[:, :-1], "has 69 columns where 'synth' has 70"),
        (plain * 3.0, "no unit quaternions"),
        (plain[:1], "holds 1 frame"),
    ):
        np.savetxt("bad.csv", change, delimiter=",")
        assert cli.main(["motion", "import", "bad.csv"]) == 2
        assert message in capsys.readouterr().err
    write(tmp_path, "bad.csv", "\n".join([",".join(["0"] * 70), ",".join(["0"] * 69 + ["x"])]))
    assert cli.main(["motion", "import", "bad.csv"]) == 2
    assert "line 2: 'x' is not a number" in capsys.readouterr().err
    write(tmp_path, "bad.csv", "\n".join([",".join([*names[:-1], "other"]), *[",".join(["0"] * 70)] * 2]))
    assert cli.main(["motion", "import", "bad.csv"]) == 2
    assert f"no column for {body.joints[0]}" in capsys.readouterr().err
    write(tmp_path, "bad.csv", "\n".join(["a,b", *[",".join(["0"] * 70)] * 2]))
    assert cli.main(["motion", "import", "bad.csv"]) == 2
    assert "no column for" in capsys.readouterr().err
    assert cli.main(["motion", "import", "bad.csv", "--take", "a"]) == 2
    assert cli.main(["motion", "import", "bad.bvh", "--fps", "30"]) == 2


def test_an_import_says_when_its_clip_is_not_worth_training(
    body: Body, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (walk,) = resolve_motions("walk", body)
    held = np.repeat(walk.qpos[:1], 40, axis=0)
    np.savetxt(
        "held.csv",
        np.concatenate([held[:, :3], held[:, [4, 5, 6, 3]], held[:, 7:]], axis=1),
        delimiter=",",
    )
    assert cli.main(["motion", "import", "held.csv"]) == 0
    shown = capsys.readouterr().out
    assert "because of without motion" in shown
    assert "synthjax motion check clips/held.npz" in shown
    assert "Train:" not in shown
    assert cli.main(["motion", "check", "clips/held.npz"]) == 1
