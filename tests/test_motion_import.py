"""From a file to a clip that training takes, through the command."""

from __future__ import annotations

from pathlib import Path

import motion_sources as sources
import numpy as np
import pytest
from motion_sources import write

from synthjax import cli
from synthjax.bodies import Body, make_body
from synthjax.motion.library import resolve_motions

pytest.importorskip("mink", reason="retargeting needs synthjax[motion]")


@pytest.fixture(scope="module")
def body() -> Body:
    return make_body("synth")


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
