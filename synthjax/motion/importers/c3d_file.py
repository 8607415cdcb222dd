"""C3D files: named markers over time, read by the library c3d (extra ``motion``), as a figure of joints.

Which markers there have to be, and how they become joints, stands in :mod:`marker_joints`.
"""

from __future__ import annotations

import importlib.util
import io
import itertools
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from synthjax.errors import UserError
from synthjax.motion.importers.marker_joints import ALIASES, HELPFUL, OPTIONAL, joints_of
from synthjax.motion.importers.reading import (
    MAX_SAMPLES,
    ReadOptions,
    check_size,
    read_bytes,
    sane,
)
from synthjax.motion.source import SourceMotion

_UNITS = {"mm": 0.001, "cm": 0.01, "m": 1.0, "": 0.001}  # m; the format's own is the millimetre
_GAP = 0.2  # s, longest time that a marker may be hidden


def read_c3d(path: Path, options: ReadOptions) -> SourceMotion:
    """The joints of the one figure whose markers are in the file.

    Raises:
      UserError: the file is missing or damaged, c3d is not installed, or markers are missing or hidden for
        too long.
    """
    content = read_bytes(path)
    if importlib.util.find_spec("c3d") is None:
        raise UserError("C3D files are read by the package c3d: pip install 'synthjax[motion]'.")
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # of what is missing in a file's description of itself
            markers, fps = _load(path, content)
    except UserError:
        raise
    except Exception as error:  # whatever the library stumbles over in a damaged file
        what = f"{type(error).__name__}: {' '.join(str(error).split())[:80]}"
        raise UserError(f"'{path}' is damaged or no C3D file ({what}): export it again.") from None
    return joints_of(path, _without_gaps(path, markers, fps), fps)


def _load(path: Path, content: bytes) -> tuple[dict[str, np.ndarray], float]:
    """The markers that are used, (T, 3) m, not a number where they were not seen, and frames a second."""
    import c3d

    reader: Any = c3d.Reader(io.BytesIO(content))
    count, fps = int(reader.point_used), float(reader.point_rate)
    unit = reader.get("POINT:UNITS")
    name = "" if unit is None else str(unit.string_value).strip().strip("\0").lower()
    if name not in _UNITS:
        raise UserError(f"'{path}' has its points in '{name[:20]}': export them in mm or m.")
    labels = [str(label).split(":")[-1].strip().upper() for label in reader.point_labels][:count]
    columns = _columns(path, labels)
    frames = []
    for _, points, _ in itertools.islice(reader.read_frames(copy=False), MAX_SAMPLES // count + 1):
        frames.append(np.where(points[:, 3:4] < 0.0, np.nan, points[:, :3])[[*columns.values()]])
    check_size(path, len(frames), count, fps)
    found = _UNITS[name] * np.array(frames, np.float64)
    return {marker: found[:, i] for i, marker in enumerate(columns)}, fps


def _columns(path: Path, labels: list[str]) -> dict[str, int]:
    """Where the markers are that are used."""
    columns: dict[str, int] = {}
    for marker, names in ALIASES.items():
        places = [i for i, label in enumerate(labels) if label in names]
        if len(places) > 1:
            raise UserError(f"'{path}' has several markers {marker}: export one figure by itself.")
        if places:
            columns[marker] = places[0]
    if missing := [marker for marker in ALIASES if marker not in columns and marker not in OPTIONAL]:
        shown = ", ".join(label[:20] for label in labels[:60])
        raise UserError(
            f"'{path}' lacks the markers {', '.join(missing)} of Vicon's Plug-in Gait; it has {shown}: "
            "rename them, or export joints instead."
        )
    return columns


def _without_gaps(path: Path, markers: dict[str, np.ndarray], fps: float) -> dict[str, np.ndarray]:
    """``markers`` in the frames between the first and the last in which each has been seen.

    What only helps is left out where it is hidden for too long.
    """
    seen = {marker: np.flatnonzero(np.isfinite(at).all(axis=-1)) for marker, at in markers.items()}
    seen = {marker: rows for marker, rows in seen.items() if len(rows) or marker not in OPTIONAL}
    if never := [marker for marker, rows in seen.items() if not len(rows)]:
        raise UserError(
            f"'{path}' never sees the markers {', '.join(never)}: fill them in before you export."
        )
    first, last = max(rows[0] for rows in seen.values()), min(rows[-1] for rows in seen.values())
    if last <= first:
        raise UserError(
            f"'{path}' has no part in which all markers are seen: fill them in before you export."
        )
    out = {}
    for marker, rows in seen.items():
        hidden = np.where((rows[:-1] < last) & (rows[1:] > first), np.diff(rows) - 1, 0) / fps
        if (hidden > _GAP).any() and marker in HELPFUL:
            continue
        if (hidden > _GAP).any():
            longest = int(hidden.argmax())
            raise UserError(
                f"'{path}' does not see marker {marker} for {hidden[longest]:.2f} s from second "
                f"{rows[longest] / fps:.2f} on: fill such gaps before you export it."
            )
        frames, at = np.arange(first, last + 1), markers[marker][rows]
        out[marker] = np.stack([np.interp(frames, rows, at[:, axis]) for axis in range(3)], axis=-1)
        if not sane(out[marker]):
            raise UserError(f"'{path}' has marker {marker} far away: export it again.")
    return out
