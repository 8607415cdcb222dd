"""Clips on disk: a compressed ``.npz`` with a version and names, never with pickled objects.

A file holds the joint trajectory and the contacts.  Velocities and body poses are derived on load,
by the body that the clip is for; the body positions of the first frame travel along to show that it
is the same body.
"""

from __future__ import annotations

import dataclasses
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from synthjax.bodies import Body
from synthjax.errors import UserError
from synthjax.motion.clip import CLIP_VERSION, Clip
from synthjax.motion.derive import make_clip
from synthjax.motion.npz_file import read_arrays
from synthjax.whole_files import replacing

# NumPy's kinds that an array may be of, and its dimensions.
_FIELDS = {
    "version": ("iu", 0), "name": ("U", 0), "fps": ("fiu", 0), "joint_names": ("U", 1),
    "body_names": ("U", 1), "qpos": ("fiu", 2), "contacts": ("biu", 2), "loop": ("b", 0),
    "loop_offset": ("fiu", 1), "source": ("U", 0), "licence": ("U", 0), "first_xpos": ("fiu", 2),
}  # fmt: skip
_LEAST_QUATERNION = 1e-3  # length below which an orientation says nothing
_LARGEST = 1e5  # m, rad and frames a second
_SAME_BODY = 1e-3  # m, largest difference of body positions on the clip's own body


def save_clip(clip: Clip, path: Path) -> None:
    """Write ``clip`` to ``path``; a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **_content(clip))


def whole_clip(clip: Clip) -> bytes:
    """A clip file that also holds what :func:`load_clip` derives, for readers without forward kinematics."""
    derived = {name: getattr(clip, name) for name in ("qvel", "xpos", "xquat", "linvel", "angvel")}
    file = io.BytesIO()
    np.savez_compressed(file, **_content(clip), **{n: x.astype(np.float32) for n, x in derived.items()})
    return file.getvalue()


def _content(clip: Clip) -> dict[str, Any]:
    return {
        "version": np.int32(clip.version),
        "name": np.str_(clip.name),
        "fps": np.float64(clip.fps),
        "joint_names": np.array(clip.joint_names),
        "body_names": np.array(clip.body_names),
        "qpos": clip.qpos.astype(np.float32),
        "contacts": clip.contacts,
        "loop": np.bool_(clip.loop),
        "loop_offset": clip.loop_offset,
        "source": np.str_(clip.source),
        "licence": np.str_(clip.licence),
        "first_xpos": clip.xpos[0].astype(np.float32),
    }


def is_clip(path: Path) -> bool:
    """Whether ``path`` is a file with the arrays of a clip; there are other files that end in .npz."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {"qpos", "joint_names"} <= set(archive.files)
    except (OSError, ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile):
        return False


def load_clip(path: Path, body: Body) -> Clip:
    """Read a clip for ``body``.

    Raises:
      UserError: the file is missing, damaged, not a clip, of a newer version, or for another body.
    """
    content = _read(path)
    joint_names = tuple(content["joint_names"].tolist())
    if joint_names != body.joints:
        raise UserError(_other_joints(path, joint_names, body))
    if reason := _unusable(content, body):
        raise UserError(f"Clip '{path}' {reason}: retarget its source again.")
    qpos, contacts = content["qpos"].astype(np.float64), content["contacts"]
    qpos[:, 3:7] /= np.linalg.norm(qpos[:, 3:7], axis=-1, keepdims=True)
    loop, fps, loop_offset = bool(content["loop"]), float(content["fps"]), content["loop_offset"]
    clip = make_clip(
        body,
        str(content["name"]),
        fps,
        qpos,
        loop_offset=loop_offset if loop else None,
        source=str(content["source"]),
        licence=str(content["licence"]),
        contacts=contacts,
    )
    if (
        tuple(content["body_names"].tolist()) != body.body_names
        or not np.abs(clip.xpos[0] - content["first_xpos"]).max() <= _SAME_BODY
    ):
        raise UserError(
            f"Clip '{path}' is for a body with other bones than '{body.name}': retarget its source again."
        )
    return clip


@dataclasses.dataclass(frozen=True)
class ClipFacts:
    """What a clip file says of itself without its body."""

    fps: float
    duration: float  # s
    loop: bool
    source: str
    licence: str


def read_facts(path: Path) -> ClipFacts:
    """Raises :class:`UserError` if the file is missing, damaged, not a clip, or of a newer version."""
    content = _read(path)
    if not content["fps"] > 0.0:
        raise UserError(f"'{path}' is damaged: retarget its source again.")
    loop, fps = bool(content["loop"]), float(content["fps"])
    duration = (len(content["qpos"]) - (not loop)) / fps
    return ClipFacts(fps, duration, loop, str(content["source"]), str(content["licence"]))


def _read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a clip file, checked for presence and version."""
    try:
        content = read_arrays(path, _FIELDS)
    except FileNotFoundError:
        raise UserError(f"There is no clip '{path}': check the path.") from None
    if content is None:
        raise UserError(f"'{path}' is damaged or not a clip: retarget its source again.")
    missing = [key for key in _FIELDS if key not in content]
    if missing:
        raise UserError(f"'{path}' is not a synthjax clip: it lacks {', '.join(missing)}.")
    _demand_kind(path, content, "version")  # which may have fields of other kinds, if it is a newer one
    if int(content["version"]) > CLIP_VERSION:
        raise UserError(
            f"Clip '{path}' has version {int(content['version'])}, this synthjax reads up to {CLIP_VERSION}: "
            "upgrade synthjax."
        )
    for name in _FIELDS:
        _demand_kind(path, content, name)
    return content


def _demand_kind(path: Path, content: dict[str, np.ndarray], name: str) -> None:
    kinds, dimensions = _FIELDS[name]
    found = content[name]
    if found.dtype.kind not in kinds or found.ndim != dimensions:
        raise UserError(
            f"Clip '{path}' has {name} of shape {found.shape} and type {found.dtype.name}, which no clip "
            "has: retarget its source again."
        )


def _unusable(content: dict[str, np.ndarray], body: Body) -> str | None:
    """What is wrong with the numbers of a clip for the joints of ``body``, or None."""
    model = body.model
    # Of the files' own types, some cannot even be compared with the bounds.
    qpos, offset = (content[name].astype(np.float64) for name in ("qpos", "loop_offset"))
    frames, fps = len(qpos), float(content["fps"])
    shapes = {
        "qpos": (frames, model.nq), "contacts": (frames, model.nbody), "first_xpos": (model.nbody, 3),
        "loop_offset": (3,),
    }  # fmt: skip
    for name, shape in shapes.items():
        if content[name].shape != shape:
            return f"has {name} of shape {content[name].shape} where its names ask for {shape}"
    if frames < 2:
        return "has fewer than two frames"
    if not 0.0 < fps < _LARGEST:
        return f"has {fps} frames a second"
    if not ((np.abs(qpos) < _LARGEST).all() and (np.abs(offset) < _LARGEST).all()):
        return "holds numbers that are not finite, or far too large"
    if np.linalg.norm(qpos[:, 3:7], axis=-1).min() < _LEAST_QUATERNION:
        return "holds orientations of no length"
    return None


def _other_joints(path: Path, joint_names: tuple[str, ...], body: Body) -> str:
    only_clip = [name for name in joint_names if name not in body.joints]
    only_body = [name for name in body.joints if name not in joint_names]
    if not only_clip and not only_body:
        return f"Clip '{path}' has the joints of '{body.name}' in another order: retarget its source again."
    return (
        f"Clip '{path}' is for another body than '{body.name}': only the clip has [{_some(only_clip)}], only "
        f"the body has [{_some(only_body)}]; retarget its source again."
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
