"""The mapping file of a source's rig: which of its joints are which bones of a human (docs/motion.md)."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from synthjax.errors import UserError, unknown
from synthjax.motion.rigs import WANTED

_KEYS = ("bones", "up", "metres")
_AXES = tuple(f"{sign}{axis}" for sign in ("", "-") for axis in "xyz")


@dataclasses.dataclass(frozen=True)
class RigFile:
    """What a mapping file says; the rest is found as without one."""

    file: Path | None = None
    bones: Mapping[str, str] = dataclasses.field(default_factory=dict)  # HumanBodyBones name -> joint
    up: str | None = None  # axis of the file that points up, as "z" or "-y"
    metres: float | None = None  # in one unit of the file

    def joints(self, names: Sequence[str]) -> dict[str, int]:
        """``bones`` as indices into ``names``.

        Raises:
          UserError: a joint that is not there, or there twice.
        """
        for joint in self.bones.values():
            if names.count(joint) == 0:
                raise unknown(f"joint in '{self.file}'", joint, names)
            if names.count(joint) > 1:
                raise UserError(f"'{self.file}' maps to '{joint}', and several joints are called so.")
        return {bone: names.index(joint) for bone, joint in self.bones.items()}


def read_rig_file(file: Path | None) -> RigFile:
    """What ``file`` says; without one, nothing.

    Raises:
      UserError: ``file`` is missing, no TOML, or has keys or values that it should not.
    """
    if file is None:
        return RigFile()
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(f"There is no mapping file '{file}': check the path.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"'{file}' is not a TOML file ({error}): see docs/motion.md for its form.") from None
    for key in content:
        if key not in _KEYS:
            raise unknown(f"key in '{file}'", key, _KEYS)
    bones, up, metres = content.get("bones", {}), content.get("up"), content.get("metres")
    if not isinstance(bones, dict) or not all(isinstance(joint, str) for joint in bones.values()):
        raise UserError(f"'bones' in '{file}' must be a table of joint names: see docs/motion.md.")
    for bone in bones:
        if bone not in WANTED:
            raise unknown(f"bone in '{file}'", bone, WANTED)
    if up is not None and up not in _AXES:
        raise UserError(f"'up' in '{file}' must be one of {', '.join(_AXES)}.")
    number = isinstance(metres, int | float) and not isinstance(metres, bool)
    if metres is not None and not (number and 0.0 < metres < float("inf")):
        raise UserError(f"'metres' in '{file}' must be a number above zero.")
    return RigFile(file, bones, up, None if metres is None else float(metres))
