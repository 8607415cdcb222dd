"""Cutting, joining and resampling of clips; velocities, body poses and contacts are derived anew."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, RotationSpline

from synthjax.bodies import Body
from synthjax.errors import UserError
from synthjax.motion.clip import Clip
from synthjax.motion.derive import make_clip
from synthjax.motion.kinematics import differentiate
from synthjax.motion.seam import close_cycle, displace, smoothstep

_RIM = 10  # frames beyond either end of a loop that a spline through it sees

_SLOWEST, _FASTEST = 0.1, 10.0  # of a clip's other speed


def check_speed(speed: float) -> None:
    """Raises :class:`UserError` if no clip is to be so many times as fast."""
    if not _SLOWEST <= speed <= _FASTEST:
        raise UserError(f"--speed is {speed:g}: give a number from {_SLOWEST:g} to {_FASTEST:g}.")


def resample(clip: Clip, body: Body, fps: float, speed: float = 1.0) -> Clip:
    """``clip`` at ``fps`` instead, ``speed`` times as fast, by cubic splines.

    It is stretched to a whole number of frames.

    Raises:
      UserError: fewer than two frames would be left.
    """
    frames = round(clip.duration / speed * fps) + (0 if clip.loop else 1)
    if frames < 2:
        raise UserError(
            f"'{clip.name}' lasts {clip.duration / speed:.2f} s: that is no two frames at {fps:g} a second."
        )
    rim = _RIM if clip.loop else 0
    old, qpos = continued(clip, -rim, clip.num_frames + rim)
    # In frames of the clip; a loop's closing frame is not among them.
    new = np.arange(frames) * (
        clip.num_frames / frames if clip.loop else (clip.num_frames - 1) / (frames - 1)
    )
    out = CubicSpline(old, qpos)(new)
    out[:, 3:7] = RotationSpline(old, Rotation.from_quat(qpos[:, 3:7], scalar_first=True))(new).as_quat(
        scalar_first=True
    )
    return _derived(clip, body, out, fps, clip.loop_offset if clip.loop else None)


def cut(clip: Clip, body: Body, start: float, end: float, *, close: bool = False) -> Clip:
    """The part of ``clip`` from ``start`` to ``end`` seconds, moved so that it starts above the origin.

    Of a loop ``end`` may lie in a later cycle.  ``close`` makes a loop of the part: what keeps its end
    from being its start, moved along the floor, is spread over it.

    Raises:
      UserError: the times do not lie in the clip, or hold fewer than two frames, three for a loop.
    """
    if start < 0.0 or (end > clip.duration + 0.5 / clip.fps and not clip.loop):
        raise UserError(
            f"'{clip.name}' goes from 0 to {clip.duration:.2f} s: {start:g} to {end:g} s is not in it."
        )
    first, last = round(start * clip.fps), round(end * clip.fps)
    if last - first < (3 if close else 1):
        raise UserError(f"From {start:g} to {end:g} s there are too few frames of '{clip.name}' for a clip.")
    _, qpos = continued(clip, first, last + 1)
    qpos[:, :2] -= qpos[0, :2]
    if not close:
        return _derived(clip, body, qpos, clip.fps, None)
    closed, offset = close_cycle(body.model, qpos, clip.fps)
    return _derived(clip, body, closed, clip.fps, offset)


def join(clips: Sequence[Clip], body: Body, blend: float) -> Clip:
    """``clips`` one after the other at the rate of the first, each faded into the next over ``blend`` s.

    Each is turned about the vertical and moved along the floor so that its root meets that of the clip
    before it in the middle of the fade.  A loop is taken once, with its closing frame.

    Raises:
      UserError: fewer than two clips, or one that is shorter than its fades.
    """
    if len(clips) < 2:
        raise UserError("Joining takes two clips or more.")
    fps = clips[0].fps
    overlap = max(1, round(blend * fps))
    qpos = np.zeros((0, body.model.nq))
    for i, clip in enumerate(clips):
        clip = clip if clip.fps == fps else resample(clip, body, fps)
        _, part = continued(clip, 0, clip.num_frames + clip.loop)
        if len(part) < overlap * (1 if i in (0, len(clips) - 1) else 2) + 1:
            raise UserError(
                f"'{clip.name}' is too short to be faded over {blend:g} s: give a smaller --blend."
            )
        qpos = _faded(body, qpos, part, overlap) if i else part
    return make_clip(
        body,
        "+".join(clip.name for clip in clips),
        fps,
        qpos,
        loop_offset=None,
        source=" + ".join(dict.fromkeys(clip.source for clip in clips)),
        licence=" + ".join(dict.fromkeys(clip.licence for clip in clips)),
    )


def _faded(body: Body, before: np.ndarray, after: np.ndarray, overlap: int) -> np.ndarray:
    middle = overlap // 2
    after = _met(after, after[middle], before[len(before) - overlap + middle])
    share = smoothstep((np.arange(overlap) + 0.5) / overlap, 0.0, 1.0)
    ending, beginning = before[-overlap:], after[:overlap]
    change = np.stack([differentiate(body.model, a, b, 1.0) for a, b in zip(ending, beginning, strict=True)])
    mixed = displace(body.model, ending, share[:, None] * change)
    return np.concatenate([before[:-overlap], mixed, after[overlap:]])


def _met(qpos: np.ndarray, here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """``qpos`` (T, nq) turned and moved along the floor by what carries the root of ``here`` to ``there``."""
    roots = [Rotation.from_quat(q[3:7], scalar_first=True) for q in (here, there)]
    _, _, z, w = (roots[1] * roots[0].inv()).as_quat()
    turn = Rotation.from_euler("z", 2.0 * math.atan2(z, w))
    out = qpos.copy()
    out[:, :3] = turn.apply(qpos[:, :3] - here[:3] * [1.0, 1.0, 0.0]) + there[:3] * [1.0, 1.0, 0.0]
    out[:, 3:7] = (turn * Rotation.from_quat(qpos[:, 3:7], scalar_first=True)).as_quat(scalar_first=True)
    return out


def continued(clip: Clip, first: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Frame numbers from ``first`` to before ``stop``, and their ``qpos``; those of a loop go on for ever."""
    frames = np.arange(first, stop if clip.loop else min(stop, clip.num_frames))
    cycles, within = np.divmod(frames, clip.num_frames)
    qpos = clip.qpos[within]
    qpos[:, :3] += cycles[:, None] * clip.loop_offset
    return frames, qpos


def _derived(clip: Clip, body: Body, qpos: np.ndarray, fps: float, offset: np.ndarray | None) -> Clip:
    return make_clip(body, clip.name, fps, qpos, loop_offset=offset, source=clip.source, licence=clip.licence)
