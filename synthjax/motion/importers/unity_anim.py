"""Unity's .anim files: curves of transforms, each under its path from the object that is animated.

Unity's world is left-handed, y up, in metres; here x is turned round, so that a figure that looks along z has
its left at +x, as in glTF.  Algebra of quaternions and Euler angles is the same in both.  The files have no
skeleton: where a transform has no position curve, its place is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from synthjax.errors import UserError
from synthjax.motion.importers.reading import MAX_JOINTS, MAX_TEXT, ReadOptions, check_size, read_bytes, sane
from synthjax.motion.importers.unity_curves import Curve, UnityClip, read_clip
from synthjax.motion.rigs import NEEDED
from synthjax.motion.source import SourceMotion, scaled_tree

_Path = tuple[str, ...]

_FPS = 60.0  # Unity's default
# RotationOrder of Unity: the axes in the order in which a rotation turns about them, which stay fixed.
_ORDERS = ("xyz", "xzy", "yzx", "yxz", "zxy", "zyx")
# HumanTrait.MuscleName, but for the fingers', and the root of a humanoid clip.
_MUSCLE = re.compile(
    r"(Root[TQ]\.|((Upper)?Chest|Spine|Neck|Head) (Front-Back|Nod|Left-Right|Tilt|Twist|Turn)"
    r"|(Left|Right) (Shoulder|Arm|Forearm|Hand|Upper Leg|Lower Leg|Foot|Toes) )"
)
_BAKE = (
    "bake it with 'Synthjax/Bake clip' of examples/host_unity on its character, or export the character with "
    "the clip as FBX"
)


def read_anim(path: Path, options: ReadOptions) -> SourceMotion:
    """The clip at its own sample rate.

    Raises:
      UserError: the file is binary or damaged, or it holds muscles, or too few positions of transforms.
    """
    content = read_bytes(path, MAX_TEXT)
    if not content.startswith(b"%YAML") and b"AnimationClip:" not in content:
        raise UserError(f"'{path}' is no text: set Unity's Asset Serialization to Force Text and save again.")
    clip = read_clip(path, content.decode("utf-8", errors="replace").splitlines())
    if clip.compressed:
        raise UserError(f"'{path}' has compressed rotations: set Anim. Compression to Off, or {_BAKE}.")
    positions, scales = (_by_path(clip.curves[name]) for name in ("m_PositionCurves", "m_ScaleCurves"))
    turns = _by_path(clip.curves["m_RotationCurves"]) | _by_path(clip.curves["m_EulerCurves"])
    if len(turns) < len(NEEDED) and any(_MUSCLE.match(name) for name in clip.attributes):
        raise UserError(
            f"'{path}' holds muscle values of a humanoid, which mean nothing without its Avatar: {_BAKE}."
        )
    nodes, known = _placed(path, {*positions, *turns, *scales}, positions.keys(), turns.keys())
    curves = [curves.get(node) for node in nodes for curves in (positions, turns, scales)]
    begin, end = _range(clip, [curve for curve in curves if curve is not None])
    fps = clip.scalars.get("m_SampleRate", _FPS)
    check_size(path, round(min((end - begin) * fps, 1e9)) + 1, len(nodes), fps)
    times = begin + np.arange(round((end - begin) * fps) + 1) / fps
    local = [
        (
            _vector(positions.get(node), times, 0.0),
            _turn(path, turns.get(node), times),
            _vector(scales.get(node), times, 1.0),
        )
        for node in nodes
    ]
    place = {node: i for i, node in enumerate(nodes)}
    parents = tuple(place[node[:-1]] if node and node[:-1] in place else -1 for node in nodes)
    # Without rotations many rigs stand as they are modelled; of the others only the lengths are used.
    still = np.array([[0.0, 0.0, 0.0, 1.0]])
    rest = _mirrored(
        path, *scaled_tree(parents, [(moved[:1], still, scaled[:1]) for moved, _, scaled in local])
    )
    posed = _mirrored(path, *scaled_tree(parents, local))
    return SourceMotion(
        kind="Unity clip",
        take="",
        fps=fps,
        joints=tuple(node[-1] if node else "root" for node in nodes),
        parents=parents,
        rest_positions=rest[0][0],
        rest_rotations=rest[1][0],
        positions=posed[0],
        rotations=posed[1],
        up="y" if known else None,
        metres=1.0 if known else None,
        roles={},
    )


def _by_path(curves: Iterable[Curve]) -> dict[_Path, Curve]:
    return {curve.path: curve for curve in curves if curve.path is not None}


def _placed(
    path: Path, moving: set[_Path], positioned: Collection[_Path], turned: Collection[_Path]
) -> tuple[list[_Path], bool]:
    """All transforms whose place is known, parents first, and whether that of the whole figure is.

    From the topmost ones with a position curve downwards, what has none, or hangs from what has no rotation
    curve, stands nobody knows where.  What is above them is taken to stand at its own parent.
    """
    nodes = moving & {()}
    for node in moving:
        nodes.update(node[:depth] for depth in range(1, len(node) + 1))
        if len(nodes) > MAX_JOINTS:
            raise UserError(f"'{path}' has more than {MAX_JOINTS} transforms: bake the bones alone.")
    kept: dict[_Path, bool] = {}  # transform -> whether it is, or hangs from, one with a position curve
    for node in sorted(nodes, key=lambda node: (len(node), node)):
        above = kept.get(node[:-1]) if node and node[:-1] in nodes else False
        lost = above and (node not in positioned or node[:-1] not in turned)
        if above is not None and not lost:
            kept[node] = bool(node) and node in positioned
    if sum(kept.values()) < len(NEEDED):
        raise UserError(
            f"'{path}' has position and rotation curves of too few of its {len(nodes)} transforms to tell "
            f"how long the bones are: {_BAKE}."
        )
    return list(kept), all(node in turned for node, placed in kept.items() if node and not placed)


def _range(clip: UnityClip, curves: list[Curve]) -> tuple[float, float]:
    """Begin and end of the clip (s), as its settings have them, within its keys."""
    first, last = min(curve.times[0] for curve in curves), max(curve.times[-1] for curve in curves)
    begin = max(first, clip.scalars.get("m_StartTime", first))
    end = min(last, clip.scalars.get("m_StopTime", last))
    return (begin, end) if begin < end else (first, last)


def _vector(curve: Curve | None, times: np.ndarray, default: float) -> np.ndarray:
    return np.full((len(times), 3), default) if curve is None else curve.sample(times)


def _turn(path: Path, curve: Curve | None, times: np.ndarray) -> np.ndarray:
    """(T, 4), w last."""
    if curve is None:
        return np.tile([0.0, 0.0, 0.0, 1.0], (len(times), 1))
    values = curve.sample(times)
    if curve.width == 3:
        if not 0 <= curve.order < len(_ORDERS):
            raise UserError(f"'{path}' line {curve.line}: a curve has no rotation order that Unity knows.")
        order = _ORDERS[curve.order]
        angles = values[:, ["xyz".index(axis) for axis in order]]
        return np.asarray(Rotation.from_euler(order, angles, degrees=True).as_quat())
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    if not (sane(values) and (length > 1e-3).all()):
        raise UserError(
            f"'{path}' line {curve.line}: a curve passes through what is no rotation: bake it again."
        )
    unit: np.ndarray = values / length
    return unit


def _mirrored(path: Path, positions: np.ndarray, rotations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The right-handed world, of positions (T, J, 3) and rotations (T, J, 4), w first."""
    if not sane(positions):
        raise UserError(f"'{path}' holds positions or scales far too large: bake it again.")
    return positions * [-1.0, 1.0, 1.0], rotations * [1.0, 1.0, -1.0, -1.0]
