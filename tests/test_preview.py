"""What a preview shows: surfaces, the page's data, the source beside the body, the pictures."""

from __future__ import annotations

import base64
import dataclasses
import html.parser
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import mujoco
import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from synthjax import cli
from synthjax.bodies import Body, make_body
from synthjax.bodies.surface import Surface, body_surface
from synthjax.live import preview
from synthjax.live.player import write_player
from synthjax.motion.beside import fitted_source
from synthjax.motion.clip import Clip
from synthjax.motion.clip_file import save_clip
from synthjax.motion.edit import cut
from synthjax.motion.library import resolve_motions
from synthjax.motion.skeleton import SkeletonMotion
from synthjax.training.offscreen import RendererUnavailable, gl_module

FRAMES = 13


@pytest.fixture(scope="module")
def body() -> Body:
    return make_body("synth")


@pytest.fixture(scope="module")
def stepping(body: Body) -> Clip:
    (walk,) = resolve_motions("walk", body)
    clip = cut(walk, body, 0.4, 0.4 + (FRAMES - 1) / 60.0)
    return dataclasses.replace(clip, name="step", source="made </script><b>up</b>", licence="CC0")


def source_of(clip: Clip, body: Body, scale: float = 1.0) -> SkeletonMotion:
    """The clip's own bones, turned, moved and ``scale`` times as large, at twice the rate."""
    bones = ("Hips", "Spine", "Neck", "Head", "LeftUpperLeg", "LeftFoot", "RightUpperLeg", "RightFoot")
    points = clip.xpos[:, body.body_ids(bones)]
    between = 0.5 * (points[1:] + points[:-1])
    dense = np.insert(points, np.arange(1, len(points)), between, axis=0)
    turn = Rotation.from_euler("z", 2.5)
    moved = scale * turn.apply(dense.reshape(-1, 3)).reshape(dense.shape) + [3.0, -2.0, 0.1]
    return SkeletonMotion(
        name="source",
        fps=2.0 * clip.fps,
        bones=bones,
        parents=(-1, 0, 1, 2, 0, 4, 0, 6),
        rest=moved[0],
        positions=moved,
        rotations=np.tile([1.0, 0.0, 0.0, 0.0], (*moved.shape[:2], 1)),
        loop=False,
        source="elsewhere",
        licence="CC0",
    )


def volume(surface: Surface) -> float:
    """By the divergence theorem: right only for closed surfaces whose triangles look outwards."""
    a, b, c = (surface.points[surface.triangles[:, i]] for i in range(3))
    return float((a * np.cross(b, c)).sum() / 6.0)


@pytest.mark.parametrize(
    ("geom", "wanted"),
    [
        ('type="sphere" size="0.2"', 4 / 3 * np.pi * 0.2**3),
        ('type="capsule" size="0.1 0.3"', np.pi * 0.01 * 0.6 + 4 / 3 * np.pi * 0.001),
        ('type="cylinder" size="0.1 0.3"', np.pi * 0.01 * 0.6),
        ('type="ellipsoid" size="0.1 0.2 0.3"', 4 / 3 * np.pi * 0.006),
        ('type="box" size="0.1 0.2 0.3"', 8 * 0.006),
        ('type="mesh" mesh="wedge"', 1 / 6),
    ],
)
def test_surfaces_hold_the_volume_of_their_geoms(geom: str, wanted: float) -> None:
    model = mujoco.MjModel.from_xml_string(f"""
        <mujoco><asset><mesh name="wedge" vertex="0 0 0  1 0 0  0 1 0  0 0 1"/></asset>
        <worldbody><body pos="5 0 0"><geom {geom} pos="0.3 0.2 0.1" euler="20 30 40"/>
        <geom type="sphere" size="1" group="3"/></body></worldbody></mujoco>""")
    surface = body_surface(model, 1)
    assert volume(surface) == pytest.approx(wanted, rel=0.06)
    assert volume(surface) <= wanted * (1.0 + 1e-6)  # the corners lie on the geom
    a, b, c = (surface.points[surface.triangles[:, i]] for i in range(3))
    outwards = (np.cross(b - a, c - a) * surface.normals[surface.triangles[:, 0]]).sum(axis=-1)
    assert (outwards > 0.0).all()
    np.testing.assert_allclose(np.linalg.norm(surface.normals, axis=-1), 1.0)


@pytest.mark.parametrize("scale", [1.0, 100.0, 0.3])
def test_a_source_is_fitted_onto_its_clip(body: Body, stepping: Clip, scale: float) -> None:
    source = source_of(stepping, body, scale)
    fitted = fitted_source(source, stepping, body)
    np.testing.assert_allclose(fitted, stepping.xpos[:, body.body_ids(source.bones)], atol=1e-9)


def test_a_loops_source_ends_with_the_closing_frame(body: Body) -> None:
    (walk,) = resolve_motions("walk", body)
    bones = ("Hips", "Neck", "LeftFoot", "RightFoot")
    points = walk.xpos[:, body.body_ids(bones)]
    closed = np.concatenate([points, points[:1] + walk.loop_offset])
    source = dataclasses.replace(
        source_of(walk, body), bones=bones, parents=(-1, 0, 0, 0), positions=closed, loop=True
    )
    np.testing.assert_allclose(fitted_source(source, walk, body), points, atol=1e-9)


class _Scripts(html.parser.HTMLParser):
    """The text of each script element, and everything that a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.fetched: list[str] = []
        self.title = ""
        self._open = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open = tag
        self.fetched += [str(value) for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open == "script":
            self.scripts[-1] += data
        elif self._open == "title":
            self.title += data


def page_of(path: Path) -> tuple[_Scripts, dict[str, Any]]:
    page = _Scripts()
    page.feed(path.read_text(encoding="utf-8"))
    return page, json.loads(page.scripts[0])


def numbers(text: str, kind: str, *shape: int) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind).reshape(shape)


def test_the_page_holds_the_motion_and_fetches_nothing(body: Body, stepping: Clip, tmp_path: Path) -> None:
    path = tmp_path / "step.html"
    source = source_of(stepping, body)
    named = dataclasses.replace(stepping, name="<i>step</i>")
    write_player(named, body, path, (source, fitted_source(source, stepping, body)))
    page, scene = page_of(path)
    assert len(page.scripts) == 2
    assert page.fetched == []
    assert "default-src 'none'" in path.read_text()
    assert re.findall(r"https?:|//[a-z]+\.|import\(|fetch\(|XMLHttp", "".join(page.scripts)) == []
    assert page.title == "<i>step</i>"
    assert scene["source"] == stepping.source
    assert (scene["frames"], scene["fps"], scene["loop"]) == (FRAMES, 60.0, False)
    shown = body.model.nbody - 1
    assert len(scene["surfaces"]) == shown
    poses = numbers(scene["poses"], "<f4", FRAMES, shown, 7)
    np.testing.assert_allclose(poses[..., :3], stepping.xpos[:, 1:], atol=1e-6)
    np.testing.assert_allclose(poses[..., 3:], stepping.xquat[:, 1:], atol=1e-6)
    contacts = numbers(scene["contacts"], "u1", FRAMES, shown)
    np.testing.assert_array_equal(contacts, stepping.contacts[:, 1:])
    lanes = {label: {body.body_names[i + 1] for i in bodies} for label, bodies in scene["lanes"]}
    assert (lanes["L"], lanes["R"]) == ({"LeftFoot", "LeftToes"}, {"RightFoot", "RightToes"})
    assert "Head" in lanes["other"]
    points = numbers(scene["skeleton"]["points"], "<f4", FRAMES, len(source.bones), 3)
    np.testing.assert_allclose(points, stepping.xpos[:, body.body_ids(source.bones)], atol=1e-5)
    first = scene["surfaces"][0]
    triangles = numbers(first["triangles"], "<u4", -1, 3)
    assert triangles.max() + 1 == len(numbers(first["points"], "<f4", -1, 3))


@pytest.mark.skipif(shutil.which("node") is None, reason="node checks the page's script")
def test_the_pages_script_is_javascript(body: Body, stepping: Clip, tmp_path: Path) -> None:
    write_player(stepping, body, tmp_path / "step.html")
    page, scene = page_of(tmp_path / "step.html")
    assert scene["skeleton"] is None
    (tmp_path / "player.js").write_text(page.scripts[1])
    checked = subprocess.run(["node", "--check", "player.js"], cwd=tmp_path, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr.decode()


def test_without_opengl_the_player_is_written_all_the_same(
    body: Body, stepping: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_frames(*args: object, **options: object) -> None:
        raise RendererUnavailable("No video: install one.")

    monkeypatch.setattr(preview, "rollout_frames", no_frames)
    said = preview.write_preview(stepping, body, tmp_path / "new")
    assert said == [f"Player: {tmp_path / 'new' / 'step.html'}", "No video: install one."]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["step.html"]


def coloured(pixels: np.ndarray, rgb: tuple[int, int, int]) -> int:
    """Pixels of about this hue, whatever the light."""
    share = pixels / np.maximum(pixels.sum(axis=-1, keepdims=True), 1)
    return int((np.abs(share - np.array(rgb) / sum(rgb)).max(axis=-1) < 0.06).sum())


def test_pictures_show_contacts_and_the_source(body: Body, stepping: Clip, tmp_path: Path) -> None:
    try:
        gl_module()
    except RendererUnavailable as error:
        pytest.skip(str(error))
    orange, blue = (242, 122, 31), (56, 120, 217)
    said = preview.write_preview(stepping, body, tmp_path, source_of(stepping, body))
    assert [line.split(":")[0] for line in said] == ["Player", "Contact sheet", "Video"]
    sheet = np.asarray(Image.open(tmp_path / "step.png")).astype(float)
    assert sheet.shape == (3 * 240, 4 * 320, 3)
    for top in (0, 240, 480):  # a foot stands in every frame
        row = sheet[top : top + 240]
        assert coloured(row, orange) > 40
        assert coloured(row, blue) > 40
    flying = dataclasses.replace(stepping, contacts=np.zeros_like(stepping.contacts))
    frames = np.array([0])
    plain = preview.rollout_frames(
        body, flying.qpos[:1], None, 1.0, decorate=preview._Decoration(flying, body, frames, None)
    )
    pixels = next(iter(plain)).astype(float)
    assert (coloured(pixels, orange), coloured(pixels, blue)) == (0, 0)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(tmp_path / "step.mp4"), "-f", "rawvideo", "-"]
    decoded = subprocess.run(command, capture_output=True, check=True).stdout
    assert len(decoded) == 7 * 640 * 480 * 3 // 2  # every other frame


def test_the_command_shows_clips_and_says_what_does_not_fit(
    body: Body,
    stepping: Clip,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    seen: list[tuple[str, Path, bool]] = []

    def show(clip: Clip, body: Body, folder: Path, motion: SkeletonMotion | None) -> list[str]:
        seen.append((clip.name, folder, motion is not None))
        return ["Player: there"]

    monkeypatch.setattr(preview, "write_preview", show)
    save_clip(stepping, tmp_path / "step.npz")
    assert cli.main(["motion", "preview", "walk"]) == 0
    assert cli.main(["motion", "preview", "step.npz", "--out", "seen"]) == 0
    assert "Player: there" in capsys.readouterr().out
    assert cli.main(["motion", "export", "step.npz", "--to", "step.bvh"]) == 0
    assert cli.main(["motion", "preview", "step.bvh"]) == 0  # without mink: the skeleton is the body's own
    assert seen == [
        ("walk", Path("previews"), False),
        ("step", Path("seen"), False),
        ("step", Path("previews"), False),
    ]
    assert cli.main(["motion", "preview", "step.bvh", "--source", "step.bvh"]) == 2
    assert "--source is for a clip" in capsys.readouterr().err
    assert cli.main(["motion", "preview", "walk", "--take", "second"]) == 2
    assert "--take is for a motion file" in capsys.readouterr().err
    assert cli.main(["motion", "preview", "wlak"]) == 2
    assert "walk" in capsys.readouterr().err
