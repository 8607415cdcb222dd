"""From a motion file to a clip on a body: read, map, retarget, measure (docs/motion.md)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from rich.table import Table

from synthjax.motion.humanoid import to_skeleton
from synthjax.motion.importers import ReadOptions, read_source
from synthjax.motion.rig_file import RigFile
from synthjax.motion.rigs import demand_humanoid, match_rig, rig_table
from synthjax.motion.skeleton import SkeletonMotion


@dataclasses.dataclass(frozen=True)
class Reading:
    """A human motion, and what was found out about its file."""

    motion: SkeletonMotion
    facts: dict[str, str]  # what -> how it is
    rig: Table | None  # None where the format fixes the figure


def read_human(
    path: Path,
    *,
    options: ReadOptions | None = None,
    rig: RigFile | None = None,
    origin: str = "",
    licence: str = "unknown",
) -> Reading:
    """The human motion in ``path``; ``origin`` says where it came from, by default the file's name.

    Raises:
      UserError: the file cannot be read, or its rig is not a human's.
    """
    rig = rig or RigFile()
    source = read_source(path, options or ReadOptions())
    if isinstance(source, SkeletonMotion):
        motion = dataclasses.replace(source, name=path.stem, source=origin or path.name, licence=licence)
        return Reading(motion, {"format": "DeepMimic", "frames": _frames(motion)}, None)
    match = match_rig(source.joints, source.parents, source.roles, rig.joints(source.joints))
    demand_humanoid(match, source.joints, str(path))
    motion, found = to_skeleton(
        source,
        match,
        name=path.stem,
        origin=origin or path.name,
        licence=licence,
        up=rig.up,
        metres=rig.metres,
    )
    facts = {
        "format": f"{source.kind}, {len(source.joints)} joints",
        "take": source.take,
        "frames": _frames(motion),
        "left out": found.dropped,
        "up axis": found.up,
        "unit": found.unit,
        "neutral pose": found.neutral,
    }
    return Reading(motion, {what: how for what, how in facts.items() if how}, rig_table(match, source.joints))


def _frames(motion: SkeletonMotion) -> str:
    return f"{len(motion.positions)} at {motion.fps:.4g} a second, {motion.duration:.2f} s"
