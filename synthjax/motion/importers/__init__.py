"""Readers of motion files: one module and one line of the table a format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from synthjax.errors import UserError
from synthjax.motion.importers.acclaim import read_acclaim
from synthjax.motion.importers.bvh import read_bvh
from synthjax.motion.importers.c3d_file import read_c3d
from synthjax.motion.importers.deepmimic_text import read_deepmimic_text
from synthjax.motion.importers.fbx import read_fbx
from synthjax.motion.importers.gltf import read_gltf
from synthjax.motion.importers.reading import ReadOptions
from synthjax.motion.importers.smpl import read_smpl
from synthjax.motion.importers.unity_anim import read_anim
from synthjax.motion.skeleton import SkeletonMotion
from synthjax.motion.source import SourceMotion

# A reader gives a SkeletonMotion where the format fixes the figure, and else whatever joints there are.
READERS: dict[str, Callable[[Path, ReadOptions], SourceMotion | SkeletonMotion]] = {
    ".bvh": read_bvh,
    ".amc": read_acclaim,
    ".asf": read_acclaim,
    ".fbx": read_fbx,
    ".glb": read_gltf,
    ".gltf": read_gltf,
    ".vrma": read_gltf,
    ".npz": read_smpl,
    ".txt": read_deepmimic_text,
    ".anim": read_anim,
    ".c3d": read_c3d,
}


def read_source(path: Path, options: ReadOptions) -> SourceMotion | SkeletonMotion:
    """The motion in ``path``, by the ending of its name.

    Raises:
      UserError: an ending that is not known or of a file without a skeleton, a file that its reader
        refuses, or options that do not belong to the format.
    """
    suffix = path.suffix.lower()
    if suffix == ".csv":
        raise UserError(
            f"'{path}' holds joint angles of a body and no skeleton to compare a clip with: leave it out, as "
            "the clip has these angles as they are."
        )
    if suffix not in READERS:
        known = ", ".join(sorted([*READERS, ".csv"]))
        raise UserError(f"'{path}' is of no format that is read: these are {known}.")
    if options.skeleton is not None and suffix != ".amc":
        raise UserError(f"'{path}' brings its own skeleton: leave out --skeleton.")
    source = READERS[suffix](path, options)
    if options.take is not None and not (isinstance(source, SourceMotion) and source.take):
        raise UserError(f"'{path}' holds one motion: leave out --take.")
    return source


__all__ = ["READERS", "ReadOptions", "read_source"]
