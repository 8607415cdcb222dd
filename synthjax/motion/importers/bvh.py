"""Biovision hierarchy files (.bvh): a tree of offsets and channels, then one line of numbers a frame.

Angles are degrees about the joint's own axes in the order of its channels: the first one listed is the
outermost, R = R1 R2 R3.  Neither the unit of length nor the axis that points up is part of the format.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from synthjax.errors import UserError
from synthjax.motion.importers.reading import (
    MAX_DEPTH,
    MAX_JOINTS,
    ReadOptions,
    bad_line,
    check_size,
    number,
    read_lines,
)
from synthjax.motion.source import SourceMotion, from_tree

_CHANNELS = {f"{axis}{kind}".lower() for axis in "XYZ" for kind in ("position", "rotation")}


@dataclasses.dataclass
class _Joint:
    name: str
    parent: int
    offset: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(3))
    channels: list[str] = dataclasses.field(default_factory=list)


def read_bvh(path: Path, options: ReadOptions) -> SourceMotion:
    """Raises :class:`UserError` with the line of the first mistake."""
    lines = read_lines(path)
    joints, start = _read_hierarchy(path, lines)
    values, fps = _read_frames(path, lines, start, joints)
    parents = tuple(joint.parent for joint in joints)
    rotations, translations, column = [], [], 0
    for joint in joints:
        columns = values[:, column : column + len(joint.channels)]
        column += len(joint.channels)
        rotations.append(_rotation(joint, columns))
        translations.append(_translation(joint, columns))
    names, offsets = [joint.name for joint in joints], [joint.offset for joint in joints]
    return from_tree("BVH", fps, names, parents, rotations, translations, offsets)


def _read_hierarchy(path: Path, lines: list[str]) -> tuple[list[_Joint], int]:
    """All joints in the order of the file, and the index of the line after MOTION.

    End sites are joints without channels, called after their parent.
    """
    joints: list[_Joint] = []
    stack: list[int] = []  # open joints
    pending: int | None = None  # named, but its brace not yet opened
    for index, text in enumerate(lines):
        line, words = index + 1, text.split()
        if not words:
            continue
        word = words[0].upper()
        if word == "MOTION":
            if stack or pending is not None:
                raise bad_line(path, line, "MOTION comes before all braces are closed")
            if not joints:
                raise bad_line(path, line, "MOTION comes before any joint: this is no BVH file")
            return joints, index + 1
        if word in ("ROOT", "JOINT", "END"):
            if pending is not None or (not stack and word != "ROOT"):
                raise bad_line(path, line, f"{word} stands outside the braces of a joint")
            if len(joints) >= MAX_JOINTS or len(stack) >= MAX_DEPTH:
                raise bad_line(path, line, f"more than {MAX_JOINTS} joints, or {MAX_DEPTH} in a row")
            parent = stack[-1] if stack else -1
            name = f"{joints[parent].name} end" if word == "END" else " ".join(words[1:])
            joints.append(_Joint(name, parent))
            pending = len(joints) - 1
        elif word == "{":
            if pending is None:
                raise bad_line(path, line, "a brace opens without a joint")
            stack.append(pending)
            pending = None
        elif word == "}":
            if not stack or pending is not None:
                raise bad_line(path, line, "a brace closes that was not opened")
            stack.pop()
        elif word in ("OFFSET", "CHANNELS"):
            if not stack or pending is not None:
                raise bad_line(path, line, f"{word} stands outside the braces of a joint")
            _read_property(path, line, joints[stack[-1]], word, words[1:])
        elif word != "HIERARCHY":
            raise bad_line(path, line, f"'{words[0][:40]}' is not part of a BVH hierarchy")
    raise UserError(f"'{path}' has no line MOTION: this is no BVH file, or it is cut off.")


def _read_property(path: Path, line: int, joint: _Joint, word: str, values: list[str]) -> None:
    if word == "OFFSET":
        if len(values) != 3:
            raise bad_line(path, line, f"OFFSET has {len(values)} numbers instead of 3")
        joint.offset = np.array([number(path, line, value) for value in values])
        return
    channels = [value.lower() for value in values[1:]]
    if joint.channels or not values or values[0] != str(len(channels)):
        raise bad_line(path, line, "CHANNELS must hold their count and then as many names, once a joint")
    for channel in channels:
        if channel not in _CHANNELS or channels.count(channel) > 1:
            raise bad_line(path, line, f"'{channel[:40]}' is not a channel, or stands there twice")
    joint.channels = channels


def _read_frames(path: Path, lines: list[str], start: int, joints: list[_Joint]) -> tuple[np.ndarray, float]:
    """The numbers (T, channels) and the frames a second."""
    rows = [index for index in range(start, len(lines)) if lines[index].strip()]
    if len(rows) < 2:
        raise UserError(f"'{path}' ends after MOTION: it is cut off.")
    frames = _header(path, rows[0] + 1, lines[rows[0]], "Frames:")
    interval = _header(path, rows[1] + 1, lines[rows[1]], "Frame Time:")
    if interval <= 0.0:
        raise bad_line(path, rows[1] + 1, "Frame Time must be above zero")
    rows = rows[2:]
    if len(rows) != frames:
        raise UserError(f"'{path}' says {frames:g} frames and holds {len(rows)}: it is cut off.")
    check_size(path, len(rows), len(joints), 1.0 / interval)
    width = sum(len(joint.channels) for joint in joints)
    values = np.zeros((len(rows), width))
    for row, index in zip(values, rows, strict=True):
        words = lines[index].split()
        if len(words) != width:
            raise bad_line(path, index + 1, f"{len(words)} numbers where the channels ask for {width}")
        row[:] = [number(path, index + 1, word) for word in words]
    return values, 1.0 / interval


def _header(path: Path, line: int, text: str, name: str) -> float:
    word, colon, value = text.partition(":")
    if " ".join(word.split()).lower() + colon != name.lower():
        raise bad_line(path, line, f"'{name}' is missing")
    return number(path, line, value.strip())


def _rotation(joint: _Joint, columns: np.ndarray) -> Rotation:
    """(T,) relative to the parent."""
    order = [i for i, channel in enumerate(joint.channels) if channel.endswith("rotation")]
    if not order:
        return Rotation.identity(len(columns))
    axes = "".join(joint.channels[i][0].upper() for i in order)  # capitals: about the joint's own axes
    return Rotation.from_euler(axes, columns[:, order], degrees=True)


def _translation(joint: _Joint, columns: np.ndarray) -> np.ndarray:
    """(T, 3) relative to the parent.

    Position channels stand in place of the offset in most files, and are added to it in others; of a
    joint that is not a root, values nearer to zero than to the offset are the latter.
    """
    moved = np.broadcast_to(joint.offset, (len(columns), 3)).copy()
    for axis, name in enumerate("xyz"):
        if f"{name}position" in joint.channels:
            moved[:, axis] = columns[:, joint.channels.index(f"{name}position")]
    typical = np.median(moved, axis=0)
    if joint.parent >= 0 and np.linalg.norm(typical) < np.linalg.norm(typical - joint.offset):
        moved += joint.offset
    return moved
