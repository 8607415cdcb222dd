"""What the commands that read or write one clip share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from synthjax.errors import UserError

if TYPE_CHECKING:
    from synthjax.bodies import Body
    from synthjax.motion import Clip

ClipName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="CLIP")]


def demand_new(option: str, path: Path) -> None:
    """Refuses a file that is there already."""
    if path.exists():
        raise UserError(f"'{path}' is there already: give another file with {option}, or remove it first.")


def one_clip(name: str, body: Body) -> Clip:
    """The clip of a name or a file; refuses what is several."""
    from synthjax.motion.library import resolve_motions

    clips = resolve_motions(name, body)
    if len(clips) > 1:
        raise UserError(f"'{name}' is {len(clips)} clips: give one.")
    return clips[0]
