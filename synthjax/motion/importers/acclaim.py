"""Acclaim files: a skeleton (.asf) and a motion of it (.amc), as the CMU data base has them.

A bone has its own axes C and turns by L = C M C^-1, relative to its parent; M is made of the values of its
degrees of freedom.  Both C and M turn about fixed axes in the order in which these are written: "XYZ" is
R = Rz Ry Rx.  A joint, here, is the near end of the bone that is called so.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from synthjax.errors import UserError
from synthjax.motion.importers.reading import (
    MAX_DEPTH,
    MAX_JOINTS,
    MAX_SAMPLES,
    ReadOptions,
    bad_line,
    check_size,
    number,
    read_lines,
)
from synthjax.motion.source import SourceMotion, from_tree

FPS = 120.0  # of the CMU data base; the files do not say
_INCH = 0.0254  # m
_ANGLES, _SHIFTS = ("rx", "ry", "rz"), ("tx", "ty", "tz")


@dataclasses.dataclass
class _Bone:
    name: str = ""
    parent: int = -1
    direction: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(3))
    length: float = 0.0
    axis: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(3))
    axis_order: str = "xyz"
    dof: tuple[str, ...] = ()


@dataclasses.dataclass
class _Skeleton:
    path: Path
    length: float = 1.0
    degrees: bool = True
    bones: list[_Bone] = dataclasses.field(default_factory=lambda: [_Bone(name="root")])

    def find(self, name: str) -> int | None:
        return next((i for i, bone in enumerate(self.bones) if bone.name == name), None)


def read_acclaim(path: Path, options: ReadOptions) -> SourceMotion:
    """The motion ``path`` (.amc) of a skeleton (.asf), which is looked for beside it if not given.

    Raises:
      UserError: with the line of the first mistake.
    """
    if path.suffix.lower() == ".asf":
        raise UserError(f"'{path}' is a skeleton without a motion: give an .amc file that belongs to it.")
    lines = read_lines(path)
    figure = _read_skeleton(options.skeleton or _find_skeleton(path))
    order = _parents_first(figure)
    values = _read_motion(path, lines, figure)
    bones = [figure.bones[i] for i in order]
    parents = tuple(order.index(bone.parent) if bone.parent >= 0 else -1 for bone in bones)
    frames = len(next(iter(values.values())))
    check_size(path, frames, len(bones), FPS)
    rotations, translations, offsets = [], [], []
    for bone, parent in zip(bones, parents, strict=True):
        own = values.get(bone.name)
        rotations.append(_rotation(bone, own, frames, figure.degrees))
        start = bones[parent].direction * bones[parent].length if parent >= 0 else np.zeros(3)
        offsets.append(start)
        translations.append(start + _shift(bone, own, frames))
    names = [bone.name for bone in bones]
    return from_tree(
        f"ASF/AMC with {figure.path.name}", FPS, names, parents, rotations, translations, offsets,
        metres=_INCH / figure.length,
    )  # fmt: skip


def _find_skeleton(path: Path) -> Path:
    """The .asf of the same name, of the subject (``02_01.amc``: ``02.asf``), or the only one there is."""
    found = {other.stem: other for other in path.parent.glob("*") if other.suffix.lower() == ".asf"}
    for name in (path.stem, path.stem.split("_")[0]):
        if name in found:
            return found[name]
    if len(found) == 1:
        return next(iter(found.values()))
    raise UserError(f"'{path}' needs its skeleton: put the .asf file beside it, or give --skeleton FILE.")


def _rotation(bone: _Bone, values: np.ndarray | None, frames: int, degrees: bool) -> Rotation:
    columns = [i for i, name in enumerate(bone.dof) if name in _ANGLES]
    if values is None or not columns:
        return Rotation.identity(frames)
    axes = "".join(bone.dof[i][1] for i in columns)  # small letters: about fixed axes
    own = Rotation.from_euler(bone.axis_order, bone.axis, degrees=degrees)
    return own * Rotation.from_euler(axes, values[:, columns], degrees=degrees) * own.inv()


def _shift(bone: _Bone, values: np.ndarray | None, frames: int) -> np.ndarray:
    shift = np.zeros((frames, 3))
    if values is not None:
        for axis, name in enumerate(_SHIFTS):
            if name in bone.dof:
                shift[:, axis] = values[:, bone.dof.index(name)]
    return shift


def _parents_first(figure: _Skeleton) -> list[int]:
    """Indices of all bones that hang from the root."""
    order, depth = [0], {0: 0}
    for parent in order:  # grows as it goes
        for i, bone in enumerate(figure.bones):
            if bone.parent == parent:
                order.append(i)
                depth[i] = depth[parent] + 1
                if depth[i] > MAX_DEPTH:
                    raise UserError(f"'{figure.path}' has more than {MAX_DEPTH} bones in a row.")
    return order


def _read_skeleton(path: Path) -> _Skeleton:
    figure = _Skeleton(path)
    section = ""
    bone: _Bone | None = None
    for line, text in enumerate(read_lines(path), start=1):
        words = text.split("#")[0].split()
        if not words:
            continue
        word, rest = words[0].lower(), words[1:]
        if word.startswith(":"):
            section = word
        elif section == ":units":
            if word == "length" and rest:
                figure.length = number(path, line, rest[0])
                if figure.length <= 0.0:
                    raise bad_line(path, line, "the unit of length must be above zero")
            elif word == "angle" and rest:
                figure.degrees = rest[0].lower().startswith("deg")
        elif section == ":root":
            _root_property(path, line, figure.bones[0], word, rest)
        elif section == ":bonedata":
            if word == "begin":
                bone = _Bone()
            elif word == "end":
                if bone is None or not bone.name or figure.find(bone.name) is not None:
                    raise bad_line(path, line, "a bone ends that has no name of its own")
                if len(figure.bones) >= MAX_JOINTS:
                    raise bad_line(path, line, f"more than {MAX_JOINTS} bones")
                figure.bones.append(bone)
                bone = None
            elif bone is not None:
                _bone_property(path, line, bone, word, rest)
        elif section == ":hierarchy" and word not in ("begin", "end"):
            _attach(path, line, figure, words)
    if len(figure.bones) < 2:
        raise UserError(f"'{path}' holds no bones: this is no ASF file, or it is cut off.")
    return figure


def _root_property(path: Path, line: int, root: _Bone, word: str, rest: list[str]) -> None:
    if word == "order":
        root.dof = _dof(path, line, rest)
    elif word == "axis":
        root.axis_order = _order(path, line, rest)
    elif word == "orientation":
        root.axis = _vector(path, line, rest)


def _bone_property(path: Path, line: int, bone: _Bone, word: str, rest: list[str]) -> None:
    if word == "name":
        bone.name = " ".join(rest)
    elif word == "direction":
        bone.direction = _vector(path, line, rest)
    elif word == "length":
        bone.length = number(path, line, rest[0]) if rest else 0.0
    elif word == "axis":
        bone.axis, bone.axis_order = _vector(path, line, rest), _order(path, line, rest[3:])
    elif word == "dof":
        bone.dof = _dof(path, line, rest)


def _vector(path: Path, line: int, words: list[str]) -> np.ndarray:
    if len(words) < 3:
        raise bad_line(path, line, "three numbers are needed")
    return np.array([number(path, line, word) for word in words[:3]])


def _order(path: Path, line: int, words: list[str]) -> str:
    order = "".join(words).lower()
    if sorted(order) != ["x", "y", "z"]:
        raise bad_line(path, line, f"'{order[:40]}' is not an order of X, Y and Z")
    return order


def _dof(path: Path, line: int, words: list[str]) -> tuple[str, ...]:
    dof = tuple(word.lower() for word in words)
    if len(set(dof)) < len(dof) or not set(dof) <= {*_ANGLES, *_SHIFTS, "l"}:
        raise bad_line(path, line, "a degree of freedom is one of rx ry rz tx ty tz l, each once")
    return dof


def _attach(path: Path, line: int, figure: _Skeleton, words: list[str]) -> None:
    """A line of the hierarchy: a parent and its children."""
    parent, *children = [figure.find(word) for word in words]
    if parent is None or None in children:
        raise bad_line(path, line, "a bone that :bonedata does not have")
    for child in children:
        if not child or figure.bones[child].parent >= 0:
            raise bad_line(path, line, "a bone that hangs from two others, or the root from one")
        figure.bones[child].parent = parent


def _read_motion(path: Path, lines: list[str], figure: _Skeleton) -> dict[str, np.ndarray]:
    """The values (T, degrees of freedom) of each bone that moves."""
    dof = {bone.name: len(bone.dof) for bone in figure.bones if bone.dof}
    rows: dict[str, list[list[float]]] = {name: [] for name in dof}
    frames = 0

    def complete(line: int) -> None:
        if short := next((name for name in rows if len(rows[name]) != frames), None):
            raise bad_line(path, line, f"frame {frames} has no values for '{short}', or has them twice")

    for line, text in enumerate(lines, start=1):
        words = text.split("#")[0].split()
        if not words or words[0].startswith(":"):
            continue
        if len(words) == 1 and re.fullmatch(r"\d+", words[0]):
            complete(line)
            frames += 1
            if frames * len(figure.bones) > MAX_SAMPLES:
                raise bad_line(path, line, f"more than {MAX_SAMPLES} frames times bones: cut the file")
        elif words[0] not in rows:
            if figure.find(words[0]) is None:
                raise bad_line(path, line, f"'{words[0][:40]}' is not a bone of {figure.path.name}")
        elif len(words) - 1 != dof[words[0]]:
            wanted = f"where {figure.path.name} has {dof[words[0]]}"
            raise bad_line(path, line, f"{words[0]} has {len(words) - 1} values {wanted}")
        else:
            rows[words[0]].append([number(path, line, word) for word in words[1:]])
    complete(len(lines))
    if not dof:
        raise UserError(f"'{figure.path}' has no degrees of freedom: this is no ASF file.")
    check_size(path, frames, len(figure.bones), FPS)
    return {name: np.array(values) for name, values in rows.items()}
