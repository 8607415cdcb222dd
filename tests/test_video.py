"""Rendering of rollouts: the file plays, holds every frame, and shows what it should."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from synthjax.bodies import Body, make_body
from synthjax.errors import UserError
from synthjax.training import video
from synthjax.training.offscreen import RendererUnavailable, backends, gl_module

SIZE = (160, 120)
FPS = 25.0
FRAMES = 8


@pytest.fixture(scope="module")
def body() -> Body:
    try:
        gl_module()
    except RendererUnavailable as error:
        pytest.skip(str(error))
    return make_body()


@pytest.fixture(scope="module")
def walk(body: Body) -> np.ndarray:
    """The standing body sliding forward with one arm rising, (FRAMES, nq)."""
    qpos = np.tile(body.standing_qpos, (FRAMES, 1))
    qpos[:, 0] = np.linspace(0.0, 1.0, FRAMES)
    qpos[:, 7 + body.joints.index("RightUpperArm_X")] = np.linspace(0.0, 0.8, FRAMES)
    return qpos


def decode(path: Path) -> tuple[str, list[np.ndarray]]:
    """How ffmpeg describes the stream, and its frames."""
    decoder = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    result = subprocess.run(decoder, capture_output=True, check=True)
    pixels = np.frombuffer(result.stdout, np.uint8).reshape(-1, SIZE[1], SIZE[0], 3)
    stream = next(line for line in result.stderr.decode().splitlines() if "Video: h264" in line)
    return stream, list(pixels)


def bluish(frame: np.ndarray) -> int:
    """Pixels of a deep blue that neither sky, floor nor body has."""
    red, blue = frame[..., 0].astype(int), frame[..., 2].astype(int)
    return int(np.sum((blue - red > 90) & (red < 120)))


def test_video_decodes_with_every_frame(body, walk, tmp_path):
    path = tmp_path / "new" / "rollout.mp4"
    video.render_rollout(body, walk, walk, FPS, path, size=SIZE, ghost_offset=(0.0, -0.8, 0.0))
    stream, frames = decode(path)
    assert "yuv420p" in stream
    assert "160x120" in stream
    assert "25 fps" in stream
    assert len(frames) == FRAMES
    assert [file.name for file in path.parent.iterdir()] == ["rollout.mp4"]
    drawn = list(video.rollout_frames(body, walk, walk, FPS, size=SIZE, ghost_offset=(0.0, -0.8, 0.0)))
    error = np.mean(
        [np.abs(a.astype(int) - b.astype(int)).mean() for a, b in zip(frames, drawn, strict=True)]
    )
    assert error < 8.0  # lossy and with halved chroma, but the same pictures


def test_captions_stand_in_the_corner_of_their_frame(body, walk, tmp_path):
    """Dark on the light sky, and nothing else is changed."""
    path = tmp_path / "captioned.mp4"
    words = ["" if t % 2 else "front, 0.0 s" for t in range(len(walk))]
    video.render_rollout(body, walk, None, FPS, path, size=SIZE, captions=words)
    _, frames = decode(path)
    plain = list(video.rollout_frames(body, walk, None, FPS, size=SIZE))
    for t, (frame, without) in enumerate(zip(frames, plain, strict=True)):
        darker = without.min(axis=-1).astype(int) - frame.min(axis=-1) > 60
        assert darker[:14, : SIZE[0] // 2].any() == (t % 2 == 0)
        assert not darker[14:].any()
    with pytest.raises(ValueError, match="shorter"):
        video.render_rollout(body, walk, None, FPS, path, size=SIZE, captions=words[:-1])


def test_frames_differ_and_the_ghost_is_seen(body, walk):
    alone = list(video.rollout_frames(body, walk, None, FPS, size=SIZE))
    paired = list(video.rollout_frames(body, walk, walk, FPS, size=SIZE, ghost_offset=(0.5, 0.0, 0.0)))
    assert all(frame.shape == (SIZE[1], SIZE[0], 3) for frame in alone)
    assert all(np.any(a != b) for a, b in itertools.pairwise(alone))
    assert bluish(alone[0]) == 0
    assert bluish(paired[0]) > 100


def test_the_camera_follows(body, walk):
    """After 20 m the body still stands in the middle of the picture."""
    walk = np.tile(walk[:1], (200, 1))
    walk[:, 0] = np.linspace(0.0, 20.0, len(walk))
    *_, last = video.rollout_frames(body, walk, None, FPS, size=SIZE)
    grey = (last.min(axis=-1) > 130) & (np.ptp(last.astype(int), axis=-1) < 30)
    columns = np.nonzero(grey[40:100].any(axis=0))[0]
    assert SIZE[0] * 0.3 < columns.mean() < SIZE[0] * 0.8


def test_wrong_shapes_are_refused(body, walk):
    with pytest.raises(ValueError, match="reference_qpos"):
        list(video.rollout_frames(body, walk, walk[:-1], FPS, size=SIZE))


def test_a_path_that_cannot_be_written_is_a_user_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    frame = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(UserError, match="Cannot write the video"):
        video.write_mp4([frame], FPS, tmp_path / "file" / "rollout.mp4")
    (tmp_path / "taken.mp4").mkdir()
    with pytest.raises(UserError, match="Cannot write the video"):
        video.write_mp4([frame], FPS, tmp_path / "taken.mp4")
    assert {file.name for file in tmp_path.iterdir()} == {"file", "taken.mp4"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_full_disk_leaves_no_half_video(tmp_path):
    """The encoder inherits a limit on the size of files, which fails like a full disk."""
    program = f"""
import resource, signal, numpy as np
from pathlib import Path
from synthjax.errors import UserError
from synthjax.training.video import write_mp4
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
noise = np.random.default_rng(0).integers(0, 255, (30, 64, 64, 3), np.uint8)
try:
    write_mp4(iter(noise), 30.0, Path({str(tmp_path)!r}) / "rollout.mp4")
except UserError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "Cannot write the video" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_contact_sheet_places_frames_row_by_row(tmp_path):
    frames = [np.full((4, 6, 3), value, np.uint8) for value in (10, 20, 30)]
    video.contact_sheet(frames, tmp_path / "sheet.png", columns=2)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (8, 12, 3)
    assert (sheet[0, 0, 0], sheet[0, 6, 0], sheet[4, 0, 0], sheet[4, 6, 0]) == (10, 20, 30, 255)


def test_backends_by_system():
    assert backends("Linux", {}) == ("mujoco.egl", "mujoco.osmesa")
    assert backends("Linux", {"DISPLAY": ":0"})[-1] == "mujoco.glfw"
    assert backends("Darwin", {})[0] == "mujoco.cgl"
    assert backends("Windows", {}) == ("mujoco.glfw",)
    assert backends("Linux", {"MUJOCO_GL": "osmesa"}) == ("mujoco.osmesa",)
    assert backends("Linux", {"MUJOCO_GL": "disable"}) == ()


def test_without_a_gl_library_the_error_says_what_to_install(monkeypatch):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr("synthjax.training.offscreen.backends", lambda system, environ: ())
    monkeypatch.setattr("platform.system", lambda: "Linux")
    gl_module.cache_clear()
    with pytest.raises(RendererUnavailable, match="libegl1"):
        gl_module()
    gl_module.cache_clear()
