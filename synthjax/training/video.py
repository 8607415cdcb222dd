"""Videos of rollouts: the policy's body, the reference as a translucent ghost, the camera at their side."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import imageio_ffmpeg
import mujoco
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from synthjax.bodies.spec import Body
from synthjax.errors import UserError
from synthjax.training.offscreen import Offscreen
from synthjax.whole_files import replacing

GHOST_RGBA = (0.15, 0.45, 0.95, 0.35)
CAPTION_RGB = (30, 40, 50)
CAMERA_SMOOTHING = 0.4  # seconds over which the camera's path is averaged: it must not shake with the hips


def render_rollout(
    body: Body,
    qpos: np.ndarray,
    reference_qpos: np.ndarray | None,
    fps: float,
    path: Path,
    *,
    size: tuple[int, int] = (640, 480),
    ghost_offset: tuple[float, float, float] = (0.0, 0.0, 0.0),
    captions: Sequence[str] = (),
) -> None:
    """Writes an H.264 MP4 of ``qpos`` (T, nq), one frame per row at ``fps`` frames per second.

    ``reference_qpos`` (T, nq), if given, is drawn as a ghost, moved by ``ghost_offset`` metres, and each of
    T ``captions`` in a corner of its frame.  The file appears whole or not at all.

    Raises:
      RendererUnavailable: the machine cannot draw; nothing is written.
      UserError: the file cannot be written.
    """
    frames = rollout_frames(body, qpos, reference_qpos, fps, size=size, ghost_offset=ghost_offset)
    if captions:
        frames = itertools.starmap(captioned, zip(frames, captions, strict=True))
    write_mp4(frames, fps, path)


def rollout_frames(
    body: Body,
    qpos: np.ndarray,
    reference_qpos: np.ndarray | None,
    fps: float,
    *,
    size: tuple[int, int] = (640, 480),
    ghost_offset: tuple[float, float, float] = (0.0, 0.0, 0.0),
    decorate: Callable[[int, mujoco.MjvScene], None] | None = None,
) -> Iterator[np.ndarray]:
    """The frames of :func:`render_rollout`, each (height, width, 3) uint8, drawn as they are asked for.

    ``decorate`` is given each frame's number and its scene before it is drawn, to colour geoms or add some.
    """
    expected = (len(qpos), body.model.nq)
    for name, rows in (("qpos", qpos), ("reference_qpos", reference_qpos)):
        if rows is not None and rows.shape != expected:
            raise ValueError(f"{name} has shape {rows.shape}, expected {expected}.")
    model = scene_model(body, size)
    data, ghost = mujoco.MjData(model), mujoco.MjData(model)
    option, perturb = mujoco.MjvOption(), mujoco.MjvPerturb()
    camera = _side_camera(body)
    targets = _smoothed(qpos[:, :2], window=round(CAMERA_SMOOTHING * fps))
    with Offscreen(model, size, max_geoms=4 * model.ngeom + 100) as screen:
        for t, target in enumerate(targets):
            camera.lookat[:2] = target
            _pose(model, data, qpos[t])
            everything = mujoco.mjtCatBit.mjCAT_ALL.value
            mujoco.mjv_updateScene(model, data, option, perturb, camera, everything, screen.scene)
            if reference_qpos is not None:
                _pose(model, ghost, reference_qpos[t])
                _add_ghost(model, ghost, option, perturb, ghost_offset, screen.scene)
            if decorate is not None:
                decorate(t, screen.scene)
            yield screen.draw()


def captioned(frame: np.ndarray, caption: str) -> np.ndarray:
    """``frame`` (height, width, 3) uint8 with words in its upper left corner."""
    picture, margin = Image.fromarray(frame), len(frame) // 40
    font = ImageFont.load_default(size=len(frame) // 24)
    ImageDraw.Draw(picture).text((margin, margin), caption, fill=CAPTION_RGB, font=font)
    return np.asarray(picture)


def scene_model(body: Body, size: tuple[int, int]) -> mujoco.MjModel:
    """The body's model with a light sky, one sun and no multisampling, for frames of ``size``."""
    spec = mujoco.MjSpec.from_string(body.xml)
    visual = spec.visual
    visual.global_.offwidth, visual.global_.offheight = size
    visual.quality.offsamples = 0
    visual.headlight.ambient = [0.45, 0.45, 0.45]
    visual.headlight.diffuse = [0.35, 0.35, 0.35]
    visual.headlight.specular = [0.0, 0.0, 0.0]
    visual.map.znear, visual.map.zfar = 0.01, 50.0  # in units of the extent
    spec.stat.extent = 2.0 * body.standing_height
    spec.add_texture(
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        width=64, height=384, rgb1=[0.55, 0.72, 0.92], rgb2=[0.93, 0.95, 0.97],
    )  # fmt: skip
    spec.worldbody.add_light(
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, pos=[0, 0, 10], dir=[0.3, 0.5, -1.0],
        diffuse=[0.45, 0.45, 0.45], specular=[0.1, 0.1, 0.1], castshadow=False,
    )  # fmt: skip
    return spec.compile()


def write_mp4(frames: Iterable[np.ndarray], fps: float, path: Path) -> None:
    """Writes frames (height, width, 3) uint8 with even sides as H.264 in yuv420p, which plays everywhere.

    Raises:
      UserError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            _encode(iter(frames), fps, partial)
    except OSError as error:
        raise UserError(
            f"Cannot write the video {path} ({error}): make room or choose a folder you can write to."
        ) from error


def _encode(frames: Iterator[np.ndarray], fps: float, path: Path) -> None:
    # The encoder is run here and not by imageio_ffmpeg.write_frames, which ignores its exit code: a disk
    # that fills up while the file is being closed would pass for a video.
    first = next(frames)
    height, width, _ = first.shape
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error",
        "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps), "-i", "-",
        "-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "18", "-movflags", "+faststart",
        "-f", "mp4", str(path),
    ]  # fmt: skip
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as encoder:
        assert encoder.stdin is not None
        try:
            for frame in itertools.chain([first], frames):
                encoder.stdin.write(frame.tobytes())
        except BrokenPipeError:
            pass  # the encoder has given up and says why below
        _, complaints = encoder.communicate()
    if encoder.returncode != 0:
        reason = complaints.decode(errors="replace").strip() or f"exit code {encoder.returncode}"
        raise OSError(f"the encoder stopped: {reason}")


def contact_sheet(frames: Sequence[np.ndarray], path: Path, columns: int = 4) -> None:
    """Writes frames (height, width, 3) uint8 as one PNG, left to right and then down."""
    height, width, _ = frames[0].shape
    rows = -(-len(frames) // columns)
    sheet = np.full((rows * height, columns * width, 3), 255, np.uint8)
    for i, frame in enumerate(frames):
        top, left = i // columns * height, i % columns * width
        sheet[top : top + height, left : left + width] = frame
    Image.fromarray(sheet).save(path, format="PNG")


def _pose(model: mujoco.MjModel, data: mujoco.MjData, qpos: np.ndarray) -> None:
    data.qpos[:] = qpos
    mujoco.mj_kinematics(model, data)
    mujoco.mj_camlight(model, data)


def _add_ghost(
    model: mujoco.MjModel,
    data: mujoco.MjData,
    option: mujoco.MjvOption,
    perturb: mujoco.MjvPerturb,
    offset: tuple[float, float, float],
    scene: mujoco.MjvScene,
) -> None:
    """Appends the moving geoms of a second pose of the same model, in the ghost's colour."""
    start = scene.ngeom
    mujoco.mjv_addGeoms(model, data, option, perturb, mujoco.mjtCatBit.mjCAT_DYNAMIC.value, scene)
    for geom in scene.geoms[start : scene.ngeom]:
        geom.rgba[:] = GHOST_RGBA
        geom.matid = -1
        geom.transparent = 1
        geom.pos[:] += offset


def _side_camera(body: Body) -> mujoco.MjvCamera:
    """A camera at the body's right, so that +x (forward) runs from left to right."""
    camera = mujoco.MjvCamera()
    camera.type = mujoco.mjtCamera.mjCAMERA_FREE
    camera.azimuth, camera.elevation = 80.0, -8.0
    camera.distance = 3.0 * body.standing_height
    camera.lookat[2] = 0.85 * body.standing_height
    return camera


def _smoothed(track: np.ndarray, window: int) -> np.ndarray:
    """Centred moving average over ``2 window + 1`` rows of ``track`` (T, n); the ends are repeated."""
    padded = np.pad(track, ((window, window), (0, 0)), mode="edge")
    kernel = np.full(2 * window + 1, 1.0 / (2 * window + 1))
    return np.stack([np.convolve(column, kernel, mode="valid") for column in padded.T], axis=1)
