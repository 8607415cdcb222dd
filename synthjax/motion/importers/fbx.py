"""FBX files, read by the library ufbx (extra ``motion``) in a process of its own: see :mod:`fbx_process`."""

from __future__ import annotations

import importlib.util
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from synthjax.errors import UserError, unknown
from synthjax.motion.importers.reading import ReadOptions, check_size, choose_take, read_bytes, sane
from synthjax.motion.source import SourceMotion, scaled_tree

_SECONDS = 300.0  # that reading may take


def read_fbx(path: Path, options: ReadOptions) -> SourceMotion:
    """One animation of the file, sampled at its frame rate.

    Raises:
      UserError: the file is missing, damaged or holds no animation, or ufbx is not installed.
    """
    read_bytes(path)  # says what is wrong with the path, and bounds the size
    if importlib.util.find_spec("ufbx") is None:
        raise UserError("FBX files are read by the package ufbx: pip install 'synthjax[motion]'.")
    facts, arrays = _run(path, options.take or "")
    takes = [str(name) for name in facts["takes"]]
    if not takes:
        raise UserError(f"'{path}' holds no animation: export it with one.")
    if options.take and options.take not in takes:
        raise unknown(f"take in '{path}'", options.take, takes)
    _, take = choose_take(path, takes, facts["seconds"], options.take)
    check_size(path, int(facts.get("frames", 2)), int(facts["joints"]), float(facts.get("fps", 1.0)))
    up = _axis(facts["up"])
    if np.linalg.det([_vector(facts[name]) for name in ("right", "up", "front")]) < 0.0:
        raise UserError(f"'{path}' has left-handed axes: export it with right-handed ones, y or z up.")
    parents = tuple(int(parent) for parent in arrays["parents"])
    posed = arrays["posed"].astype(np.float64)
    turned = min(np.abs(rows[..., 3:7]).max(axis=-1).min() for rows in (posed, arrays["rest"]))
    if not (sane(posed) and sane(arrays["rest"]) and turned > 0.1):
        raise UserError(f"'{path}' holds numbers that are not finite, or far too large: export it again.")
    rest = scaled_tree(parents, [(row[None, :3], row[None, 3:7], row[None, 7:]) for row in arrays["rest"]])
    positions, rotations = scaled_tree(parents, [(rows[:, :3], rows[:, 3:7], rows[:, 7:]) for rows in posed])
    if not (sane(positions) and sane(rest[0])):
        raise UserError(f"'{path}' scales its joints beyond all measure: export it again.")
    return SourceMotion(
        kind="FBX",
        take=take,
        fps=float(facts["fps"]),
        joints=tuple(str(name) for name in facts["names"]),
        parents=parents,
        rest_positions=rest[0][0],
        rest_rotations=rest[1][0],
        positions=positions,
        rotations=rotations,
        up=up,
        metres=float(facts["metres"]),
        roles={},
    )


def _run(path: Path, take: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What the process found."""
    written = run_process(path, take)
    if written is None:
        raise UserError(f"'{path}' is damaged or no FBX file that ufbx can read: export it again.")
    line, _, packed = written.partition(b"\n")
    facts = json.loads(line)
    if "error" in facts:
        raise UserError(f"'{path}' is no FBX file that ufbx can read ({facts['error']}): export it again.")
    arrays: dict[str, np.ndarray] = {}
    if packed:
        with np.load(io.BytesIO(packed), allow_pickle=False) as content:
            arrays = {key: content[key] for key in content.files}
    return facts, arrays


def run_process(path: Path, take: str) -> bytes | None:
    """What the process wrote; None if it ended in an error or crashed."""
    script = Path(__file__).with_name("fbx_process.py")
    try:
        # -P keeps the folder of the script off the path; reading needs nothing of this package.
        done = subprocess.run(
            [sys.executable, "-P", str(script), str(path.resolve()), take],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"'{path}' takes over {_SECONDS:.0f} s to read: export the skeleton alone.") from None
    return done.stdout if done.returncode == 0 else None


def _axis(code: int) -> str:
    """ufbx.CoordinateAxis: +x -x +y -y +z -z."""
    return ("-" if code % 2 else "") + "xyz"[code // 2] if 0 <= code < 6 else "y"


def _vector(code: int) -> np.ndarray:
    name = _axis(code)
    vector: np.ndarray = np.eye(3)["xyz".index(name[-1])] * (-1.0 if name.startswith("-") else 1.0)
    return vector
