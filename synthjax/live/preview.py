"""What a clip looks like: a contact sheet, a video and a player, with its source beside it."""

from __future__ import annotations

import math
from pathlib import Path

import mujoco
import numpy as np

from synthjax.bodies import Body
from synthjax.live.player import write_player
from synthjax.motion.beside import fitted_source
from synthjax.motion.clip import Clip
from synthjax.motion.edit import continued
from synthjax.motion.skeleton import SkeletonMotion
from synthjax.training.offscreen import RendererUnavailable
from synthjax.training.video import captioned, contact_sheet, rollout_frames, write_mp4
from synthjax.whole_files import replacing

CONTACT_RGBA = (0.95, 0.48, 0.12, 1.0)
SOURCE_RGBA = (0.22, 0.47, 0.85, 1.0)
BESIDE = np.array([-0.9, 0.3, 0.0])  # m, where the source stands: the camera is at the right
_FPS = 30.0  # of the video at most, about
_LEAST_SECONDS = 4.0  # of the video of a loop, which goes round until then
_SHEET_FRAMES = 12
_SHEET_SIZE = (320, 240)
_BONE_RADIUS = 0.016  # m


class _Decoration:
    """Colours what touches the floor, and draws the source's bones."""

    def __init__(
        self, clip: Clip, body: Body, frames: np.ndarray, source: tuple[SkeletonMotion, np.ndarray] | None
    ) -> None:
        self.owner = body.model.geom_bodyid
        cycles, within = np.divmod(frames, clip.num_frames)
        self.contacts = clip.contacts[within]
        self.parents: tuple[int, ...] = ()
        self.points = np.zeros((len(frames), 0, 3))
        if source is not None:
            self.parents = source[0].parents
            moved = cycles[:, None, None] * clip.loop_offset
            self.points = source[1][within] + moved + BESIDE

    def __call__(self, frame: int, scene: mujoco.MjvScene) -> None:
        for geom in scene.geoms[: scene.ngeom]:
            known = geom.objtype == mujoco.mjtObj.mjOBJ_GEOM and geom.objid >= 0
            if known and self.owner[geom.objid] and self.contacts[frame, self.owner[geom.objid]]:
                geom.rgba[:] = CONTACT_RGBA
                geom.matid = -1
        points = self.points[frame]
        for joint, parent in enumerate(self.parents):
            if parent >= 0 and scene.ngeom < scene.maxgeom:
                _add_bone(scene, points[parent], points[joint])


def _add_bone(scene: mujoco.MjvScene, start: np.ndarray, end: np.ndarray) -> None:
    capsule = mujoco.mjtGeom.mjGEOM_CAPSULE
    geom = scene.geoms[scene.ngeom]
    mujoco.mjv_initGeom(
        geom, capsule, np.zeros(3), np.zeros(3), np.eye(3).ravel(), np.array(SOURCE_RGBA, np.float32)
    )
    mujoco.mjv_connector(geom, capsule, _BONE_RADIUS, start, end)
    scene.ngeom += 1


def write_preview(clip: Clip, body: Body, folder: Path, motion: SkeletonMotion | None = None) -> list[str]:
    """Writes NAME.html, NAME.png and NAME.mp4 of ``clip`` to ``folder``.

    Args:
      clip: to be shown.
      body: the clip's.
      folder: made if missing; files of these names are replaced.
      motion: what the clip was made of, shown beside it.

    Returns:
      Lines for the user: where the files are, or which package draws the last two.
    """
    folder.mkdir(parents=True, exist_ok=True)
    player, sheet, video = (folder / f"{clip.name}{ending}" for ending in (".html", ".png", ".mp4"))
    source = None if motion is None else (motion, fitted_source(motion, clip, body))
    with replacing(player) as partial:
        write_player(clip, body, partial, source)
    said = [f"Player: {player}"]
    try:
        with replacing(sheet) as partial:
            _write_sheet(clip, body, partial, source)
        said.append(f"Contact sheet: {sheet}")
        frames = _video_frames(clip)
        _, qpos = continued(clip, 0, int(frames[-1]) + 1)
        step = int(frames[1] - frames[0])
        decorate = _Decoration(clip, body, frames, source)
        fps = clip.fps / step
        write_mp4(rollout_frames(body, qpos[frames], None, fps, decorate=decorate), fps, video)
        said.append(f"Video: {video}")
    except RendererUnavailable as unavailable:
        said.append(str(unavailable))
    return said


def _video_frames(clip: Clip) -> np.ndarray:
    """Numbers of frames of ``clip``, in later cycles of a loop too."""
    cycles = math.ceil(_LEAST_SECONDS / clip.duration) if clip.loop else 1
    step = max(1, min(round(clip.fps / _FPS), clip.num_frames - 1))
    return np.arange(0, cycles * clip.num_frames, step)


def _write_sheet(
    clip: Clip, body: Body, path: Path, source: tuple[SkeletonMotion, np.ndarray] | None
) -> None:
    frames = np.linspace(0, clip.num_frames - 1, _SHEET_FRAMES).round().astype(int)
    decorate = _Decoration(clip, body, frames, source)
    # At one frame a second the camera follows each pose by itself.
    drawn = rollout_frames(body, clip.qpos[frames], None, 1.0, size=_SHEET_SIZE, decorate=decorate)
    times = (f"{frame / clip.fps:.2f} s" for frame in frames)
    contact_sheet([captioned(pixels, time) for pixels, time in zip(drawn, times, strict=True)], path)
