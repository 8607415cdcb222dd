"""The curves of an AnimationClip as Unity writes it in text: YAML of a fixed layout, read line by line.

No YAML library is used: these files have hundreds of thousands of lines, of which only those of the transform
curves matter, and nothing in them is made into objects of any other kind than numbers and names.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from array import array
from pathlib import Path

import numpy as np

from synthjax.errors import UserError
from synthjax.motion.importers.reading import MAX_DEPTH, MAX_JOINTS, bad_line, number

# Numbers of a value in the lists of curves that are read.
_WIDTHS = {"m_RotationCurves": 4, "m_EulerCurves": 3, "m_PositionCurves": 3, "m_ScaleCurves": 3}
_FIELDS = {"value": math.nan, "inSlope": 0.0, "outSlope": 0.0, "inWeight": 1 / 3, "outWeight": 1 / 3}
_MAX_KEYS = 1_000_000  # of all curves together: 170 bytes each
_MAX_FOLDS = 20  # lines that Unity breaks one value into
_VECTOR = re.compile(r"\{\s*x: ([^,}]+), y: ([^,}]+), z: ([^,}]+?)\s*(?:, w: ([^,}]+?)\s*)?\}")
_IN, _OUT = 1, 2  # bits of weightedMode
_BISECTIONS = 40


@dataclasses.dataclass
class Curve:
    """Keys of one property of one transform."""

    width: int  # numbers of a value
    line: int  # of the file, where it begins
    path: tuple[str, ...] | None = None  # from the object that is animated, whose own is ()
    order: int = 4  # Unity's RotationOrder, of Euler angles
    times: array[float] = dataclasses.field(default_factory=lambda: array("d"))
    weighted: array[int] = dataclasses.field(default_factory=lambda: array("b"))
    fields: dict[str, array[float]] = dataclasses.field(
        default_factory=lambda: {name: array("d") for name in _FIELDS}
    )

    def sample(self, times: np.ndarray) -> np.ndarray:
        """Values (T, width) at ``times`` (T,): cubic between keys, constant beside an infinite tangent.

        With a weighted tangent the time, too, is a Bezier curve of the parameter, as in Unity.
        """
        keys, weighted = np.array(self.times), np.array(self.weighted)[:, None]
        value, arrive, leave, weight_in, weight_out = (
            np.array(numbers).reshape(-1, self.width) for numbers in self.fields.values()
        )
        if len(keys) == 1:
            return np.repeat(value, len(times), axis=0)
        clipped = np.clip(times, keys[0], keys[-1])
        left = np.clip(np.searchsorted(keys, clipped, side="right") - 1, 0, len(keys) - 2)
        right = left + 1
        span = (keys[right] - keys[left])[:, None]
        share = (clipped[:, None] - keys[left][:, None]) / np.maximum(span, 1e-12)
        near = np.where(weighted & _OUT, np.clip(weight_out, 0.0, 1.0), 1 / 3)[left]
        far = np.where(weighted & _IN, np.clip(weight_in, 0.0, 1.0), 1 / 3)[right]
        constant = ~np.isfinite(leave[left]) | ~np.isfinite(arrive[right])
        slopes = np.where(constant, 0.0, leave[left]), np.where(constant, 0.0, arrive[right])
        u = _parameter(share, near, far) if weighted.any() else share
        start, end = value[left], value[right]
        out = _bezier(u, start, start + near * span * slopes[0], end - far * span * slopes[1], end)
        return np.where(constant, np.where(share < 1.0, start, end), out)


def _bezier(u: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    v = 1.0 - u
    out: np.ndarray = v**3 * a + 3.0 * v**2 * u * b + 3.0 * v * u**2 * c + u**3 * d
    return out


def _parameter(share: np.ndarray, near: np.ndarray, far: np.ndarray) -> np.ndarray:
    """Where the time, which rises with the parameter for weights up to 1, has come to ``share``."""
    low, high = np.zeros(near.shape), np.ones(near.shape)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        early = _bezier(middle, np.zeros(1), near, 1.0 - far, np.ones(1)) < share
        low, high = np.where(early, middle, low), np.where(early, high, middle)
    return 0.5 * (low + high)


@dataclasses.dataclass
class UnityClip:
    """What is read of an AnimationClip."""

    curves: dict[str, list[Curve]] = dataclasses.field(default_factory=lambda: {name: [] for name in _WIDTHS})
    attributes: set[str] = dataclasses.field(default_factory=set)  # of its float curves
    scalars: dict[str, float] = dataclasses.field(default_factory=dict)  # rate, start and end
    compressed: bool = False  # whether it has rotations that are packed into bits


_SCALARS = ("m_SampleRate", "m_StartTime", "m_StopTime")


def read_clip(path: Path, lines: list[str]) -> UnityClip:
    """The first AnimationClip among the objects of the file.

    Raises:
      UserError: with the line of the first mistake; a file without a clip.
    """
    try:
        at = lines.index("AnimationClip:") + 1
    except ValueError:
        raise UserError(f"'{path}' holds no AnimationClip: export the clip itself.") from None
    clip, section, keys = UnityClip(), "", 0
    curve: Curve | None = None
    while at < len(lines) and not lines[at].startswith("---"):
        text = lines[at]
        at += 1
        if text[:2] == "  " and text[2:3] not in (" ", "-", ""):
            section = text.split(":")[0].strip()
            clip.compressed |= section == "m_CompressedRotationCurves" and not text.endswith("[]")
            _finish(path, at, curve)
            curve = None
        wanted = section in _WIDTHS
        if wanted and text.startswith("  - "):
            _finish(path, at, curve)
            curve = Curve(_WIDTHS[section], at)
            clip.curves[section].append(curve)
            if len(clip.curves[section]) > MAX_JOINTS:
                raise bad_line(path, at, f"more than {MAX_JOINTS} curves of one kind")
        word, _, value = text.strip().removeprefix("- ").partition(":")
        value = value.strip()
        if curve is not None:
            if word == "time":
                keys += 1
                if keys > _MAX_KEYS:
                    raise bad_line(path, at, f"more than {_MAX_KEYS} keys: cut the clip")
                _begin_key(path, at, curve, value)
            elif word in _FIELDS:
                value, at = _unfolded(lines, at, value, "}")
                _add(path, at, curve, word, value)
            elif word == "weightedMode" and curve.times:
                curve.weighted[-1] = int(number(path, at, value)) & (_IN | _OUT)
            elif word == "m_RotationOrder":
                curve.order = int(number(path, at, value))
            elif word == "path" and not text.startswith("      "):
                value, at = _unfolded(lines, at, value, "")
                curve.path = _transform(path, at, value)
        elif section == "m_FloatCurves" and word == "attribute":
            clip.attributes.add(_plain(path, at, value))
        elif word in _SCALARS:
            clip.scalars[word] = number(path, at, value)
    _finish(path, at, curve)
    return clip


def _unfolded(lines: list[str], at: int, value: str, end: str) -> tuple[str, int]:
    """``value`` with the lines that follow up to ``end``, or as long as they are set in further.

    Unity breaks lines after 80 characters.
    """
    last = min(at + _MAX_FOLDS, len(lines))
    if not end:
        while at < last and lines[at].startswith("      "):
            value = f"{value} {lines[at].strip()}".strip()
            at += 1
    elif value.startswith("{"):
        while not value.endswith(end) and at < last:
            value += " " + lines[at].strip()
            at += 1
    return value, at


def _begin_key(path: Path, line: int, curve: Curve, value: str) -> None:
    _complete(path, line, curve)
    time = number(path, line, value)
    if curve.times and time < curve.times[-1]:
        raise bad_line(path, line, "the times of a curve do not rise")
    curve.times.append(time)
    curve.weighted.append(0)


def _add(path: Path, line: int, curve: Curve, name: str, value: str) -> None:
    numbers = curve.fields[name]
    match = _VECTOR.fullmatch(value)
    words = match.groups()[: curve.width] if match else ()
    if not words or None in words:
        raise bad_line(path, line, f"'{name}' must have {curve.width} numbers")
    if len(numbers) != curve.width * (len(curve.times) - 1):
        raise bad_line(path, line, f"a key has '{name}' twice")
    for word in words:
        infinite = name.endswith("Slope") and word.lstrip("-") == "Infinity"
        numbers.append(math.inf if infinite else number(path, line, word))


def _complete(path: Path, line: int, curve: Curve) -> None:
    """Gives the last key what it lacks, which may be anything but its value."""
    for name, default in _FIELDS.items():
        lacking = curve.width * len(curve.times) - len(curve.fields[name])
        if lacking and name == "value":
            raise bad_line(path, line, "the key before has no value")
        curve.fields[name].extend([default] * lacking)


def _finish(path: Path, line: int, curve: Curve | None) -> None:
    if curve is None:
        return
    _complete(path, line, curve)
    if curve.path is None or not curve.times:
        raise bad_line(path, curve.line, "a curve without keys, or without the path of its transform")


def _transform(path: Path, line: int, value: str) -> tuple[str, ...]:
    if value.count("/") >= MAX_DEPTH:
        raise bad_line(path, line, f"more than {MAX_DEPTH} transforms in a row")
    plain = _plain(path, line, value)
    return tuple(plain.split("/")) if plain else ()


def _plain(path: Path, line: int, value: str) -> str:
    """A YAML string without its quotation marks."""
    if value[:1] == "'" == value[-1:]:
        return value[1:-1].replace("''", "'")
    if value[:1] == '"':
        try:
            return str(json.loads(re.sub(r"\\x(..)", r"\\u00\1", value)))
        except ValueError:
            raise bad_line(path, line, f"{value[:40]} is no string") from None
    return value
