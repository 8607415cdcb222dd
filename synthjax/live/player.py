"""A clip as one HTML file that plays it anywhere: no network, no library, WebGL 2."""

from __future__ import annotations

import base64
import json
from importlib import resources
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from synthjax.bodies import Body
from synthjax.bodies.surface import Surface, body_surface, capsule_surface
from synthjax.motion.clip import Clip
from synthjax.motion.skeleton import SkeletonMotion

_TITLE, _SCENE = "{{title}}", "{{scene}}"


def write_player(
    clip: Clip, body: Body, path: Path, source: tuple[SkeletonMotion, np.ndarray] | None = None
) -> None:
    """Writes ``clip`` to ``path``, with its ``source`` and the places of that one's joints, (T, B, 3)."""
    page = resources.files("synthjax.live").joinpath("player.html").read_text(encoding="utf-8")
    # "<" would end the script element early; JSON has another way to write it.
    scene = json.dumps(_scene(clip, body, source), separators=(",", ":")).replace("<", "\\u003c")
    title = clip.name.replace("&", "&amp;").replace("<", "&lt;")
    path.write_text(page.replace(_TITLE, title).replace(_SCENE, scene), encoding="utf-8")


def _scene(clip: Clip, body: Body, source: tuple[SkeletonMotion, np.ndarray] | None) -> dict[str, Any]:
    """What the page's script reads: arrays as base64 of little-endian numbers, in the order of their axes."""
    ball = capsule_surface(1.0, 0.0)
    shown = [i for i in range(1, body.model.nbody) if len(body_surface(body.model, i).points)]
    surfaces = [body_surface(body.model, i) for i in shown]
    poses = np.concatenate([clip.xpos[:, shown], clip.xquat[:, shown]], axis=-1)
    left = _on_left(body)[shown]
    foot = np.isin(shown, body.body_ids(body.feet))
    return {
        "name": clip.name,
        "source": clip.source,
        "licence": clip.licence,
        "fps": clip.fps,
        "frames": clip.num_frames,
        "duration": clip.duration,
        "loop": clip.loop,
        "loopOffset": clip.loop_offset.tolist(),
        "height": body.standing_height,
        "root": shown.index(body.model.body(body.bones["Hips"]).id),
        "poses": _packed(poses, "<f4"),
        "contacts": _packed(clip.contacts[:, shown], "u1"),
        "lanes": [
            [label, np.flatnonzero(lane).tolist()]
            for label, lane in (("L", foot & left), ("R", foot & ~left), ("other", ~foot))
        ],
        "surfaces": [_surface(part) for part in surfaces],
        "ball": _surface(ball),
        "skeleton": None if source is None else {
            "name": source[0].source,
            "parents": list(source[0].parents),
            "points": _packed(source[1], "<f4"),
        },
    }  # fmt: skip


def _surface(part: Surface) -> dict[str, str]:
    return {
        "points": _packed(part.points, "<f4"),
        "normals": _packed(np.rint(127.0 * part.normals), "i1"),
        "triangles": _packed(part.triangles, "<u4"),
    }


def _packed(values: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values.astype(kind)).tobytes()).decode("ascii")


def _on_left(body: Body) -> np.ndarray:
    """(nbody,) bool, which bodies are on the left of the standing body."""
    data = mujoco.MjData(body.model)
    data.qpos[:] = body.standing_qpos
    mujoco.mj_kinematics(body.model, data)
    left: np.ndarray = data.xpos[:, 1] > 0.0
    return left
