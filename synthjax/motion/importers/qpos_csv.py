"""Joint angles of a body as a table of numbers, as the retargeted LAFAN1 data set has them.

A line is a frame: root position (m), root orientation (x y z w), then one hinge after the other (rad, or
degrees where only these are within the hinges' limits).  A first line with names may stand above; it says
where w stands, which the numbers do not tell, and unless it names the root alone, it puts the hinges into
any order.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from synthjax.bodies import Body
from synthjax.errors import UserError
from synthjax.motion.importers.reading import bad_line, check_size, number, read_lines
from synthjax.motion.kinematics import hinge_limits

FPS = 30.0  # of the data set; the files do not say
_ROOT = 7
_W_FIRST = "for w x y z put the line x,y,z,qw,qx,qy,qz above the numbers"
_LEAST_QUATERNION = 0.5  # length of an orientation, which should be 1
_SLACK = 0.2  # rad, by which angles of another program miss the limits
_BEYOND, _WITHIN = 0.05, 0.01  # share of angles beyond them that are no radians, or that may be degrees


def read_qpos_csv(path: Path, body: Body, fps: float) -> tuple[np.ndarray, dict[str, str]]:
    """``qpos`` (T, nq) of ``body``, and how the file has the angles and the orientation, for people.

    Raises:
      UserError: with the line of the first mistake; columns of another body.
    """
    lines = [(i, re.split(r"\s*[,;\t]\s*", text.strip())) for i, text in enumerate(read_lines(path), start=1)]
    lines = [(i, words) for i, words in lines if words != [""]]
    names = lines.pop(0)[1] if lines and not _is_number(lines[0][1][0]) else None
    width = _ROOT + len(body.joints)
    if lines and len(lines[0][1]) != width:
        raise UserError(
            f"'{path}' has {len(lines[0][1])} columns where '{body.name}' has {width}, 7 of its root and "
            f"{len(body.joints)} hinges: give the mapping file of its body with --body."
        )
    check_size(path, len(lines), width, fps)
    table = np.zeros((len(lines), width))
    for row, (line, words) in zip(table, lines, strict=True):
        if len(words) != width:
            raise bad_line(path, line, f"{len(words)} numbers where the others have {width}")
        row[:] = [number(path, line, word) for word in words]
    order, quaternion = list(range(_ROOT, width)), ""
    if names is not None and len(names) != _ROOT:
        if missing := [joint for joint in body.joints if joint not in names[_ROOT:]]:
            raise UserError(f"'{path}' names no column for {', '.join(missing[:10])}, which the body has.")
        order = [names.index(joint, _ROOT) for joint in body.joints]
    if names is not None:
        w = [name.lower().endswith("w") for name in names[3:_ROOT]]
        quaternion = "w x y z (named)" if w[0] else "x y z w (named)" if w[3] else ""
    quats = table[:, 3:_ROOT] if quaternion.startswith("w") else table[:, [6, 3, 4, 5]]
    length = np.linalg.norm(quats, axis=-1, keepdims=True)
    if (np.abs(length - 1.0) > _LEAST_QUATERNION).any():
        raise UserError(f"'{path}' has no unit quaternions in columns 4 to 7: it is of another form.")
    angles, unit = _radians(table[:, order], hinge_limits(body.model))
    facts = {"angles": unit, "orientation": quaternion or f"x y z w (assumed; {_W_FIRST})"}
    return np.concatenate([table[:, :3], quats / length, angles], axis=1), facts


def _radians(angles: np.ndarray, limits: np.ndarray) -> tuple[np.ndarray, str]:
    """``angles`` (T, n) of hinges with ``limits`` (n, 2), and their unit in the file."""

    def beyond(angles: np.ndarray) -> float:
        return float(((angles < limits[:, 0] - _SLACK) | (angles > limits[:, 1] + _SLACK)).mean())

    turned = np.radians(angles)
    if beyond(angles) > _BEYOND and beyond(turned) < _WITHIN:
        return turned, "degrees (found from the limits of the hinges)"
    return angles, "radians"


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
