"""What all readers share: bounds on what a file may ask for, and errors that name the line."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from synthjax.errors import UserError, unknown

MAX_FILE = 256 * 2**20  # bytes
MAX_TEXT = 128 * 2**20  # bytes of a file that is parsed word by word: these take up to ten times as much
MAX_JOINTS = 2000
MAX_DEPTH = 200  # joints from the root to a leaf
MAX_SAMPLES = 4_000_000  # joints times frames: 56 bytes each
MAX_FPS = 1000.0
MAX_NUMBER = 1e9  # no length, angle or factor of a motion is larger, in whatever unit


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """What a file alone does not say."""

    take: str | None = None  # which animation of several
    skeleton: Path | None = None  # of a motion without one (.amc)


def read_bytes(path: Path, largest: int = MAX_FILE) -> bytes:
    """The content of ``path``, at most ``largest`` bytes.

    Raises:
      UserError: it is missing, no file, or larger.
    """
    if not path.exists():
        raise UserError(f"There is no motion file '{path}': check the path.")
    if not path.is_file():  # a pipe that nobody writes to would never be opened
        raise UserError(f"'{path}' is {'a folder' if path.is_dir() else 'no file'}: give one motion file.")
    with path.open("rb") as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise UserError(f"'{path}' is larger than {largest >> 20} MB: cut it, or export it without meshes.")
    return content


def read_lines(path: Path) -> list[str]:
    """The lines of a text file.  Bytes that are no UTF-8 only ever stand in comments and names."""
    return read_bytes(path, MAX_TEXT).decode("utf-8", errors="replace").splitlines()


def bad_line(path: Path, line: int, what: str) -> UserError:
    """The error for line number ``line``, counted from 1."""
    return UserError(f"'{path}' line {line}: {what}.")


def number(path: Path, line: int, word: str) -> float:
    """``word`` as a number of a motion."""
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not abs(value) <= MAX_NUMBER:
        raise bad_line(path, line, f"'{word[:40]}' is not a number, or not one of a motion")
    return value


def sane(values: np.ndarray) -> bool:
    """Whether ``values`` are finite and of a size that occurs in motions."""
    return bool((np.abs(values) <= MAX_NUMBER).all())


def check_size(path: Path, frames: int, joints: int, fps: float) -> None:
    """Refuses what would take too much memory, and frame rates that no motion has."""
    if joints > MAX_JOINTS:
        raise UserError(f"'{path}' has {joints} joints, more than {MAX_JOINTS}: export the skeleton alone.")
    if frames < 2:
        raise UserError(f"'{path}' holds {frames} frame{'' if frames == 1 else 's'}: a motion needs two.")
    if frames * joints > MAX_SAMPLES:
        raise UserError(
            f"'{path}' holds {frames} frames of {joints} joints, more than {MAX_SAMPLES} together: cut it."
        )
    if not 1.0 <= fps <= MAX_FPS:
        raise UserError(f"'{path}' has {fps:g} frames a second: between 1 and {MAX_FPS:g} is a motion.")


def choose_take(
    path: Path, names: Sequence[str], seconds: Sequence[float], wanted: str | None
) -> tuple[int, str]:
    """Index of the animation that is ``wanted``, or of the longest one, and how to say so."""
    if wanted is not None:
        if wanted not in names:
            raise unknown(f"take in '{path}'", wanted, names)
        chosen = names.index(wanted)
    else:
        chosen = max(range(len(names)), key=lambda i: seconds[i])
    others = f", one of {len(names)} ({', '.join(names[:20])})" if len(names) > 1 else ""
    return chosen, f"{names[chosen]}{others}"
