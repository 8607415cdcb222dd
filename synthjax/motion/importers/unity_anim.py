"""Unity's .anim files, which are not read yet: says what to do instead."""

from __future__ import annotations

import re
from pathlib import Path

from synthjax.errors import UserError
from synthjax.motion.importers.reading import ReadOptions, read_bytes
from synthjax.motion.source import SourceMotion

# Names of curves that only a humanoid (muscle) clip has.
_MUSCLES = re.compile(rb"attribute:\s*'?(RootT\.x|RootQ\.x|LeftFootT\.x|Spine Front-Back|Left Upper Leg)")


def refuse_anim(path: Path, options: ReadOptions) -> SourceMotion:
    """Raises :class:`UserError` for every file, of the kind that it is."""
    content = read_bytes(path)
    if not content.startswith(b"%YAML") and b"AnimationClip:" not in content:
        raise UserError(f"'{path}' is no text: set Unity's Asset Serialization to Force Text and save again.")
    if _MUSCLES.search(content):
        raise UserError(
            f"'{path}' holds muscle values of a Unity humanoid, which mean nothing without its Avatar: bake "
            "the clip onto the character's transforms and export that as FBX."
        )
    raise UserError(f"'{path}' animates transforms of a Unity scene: export the character as FBX instead.")
