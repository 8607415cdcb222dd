"""DeepMimic's text clips among the other formats: see :mod:`synthjax.motion.deepmimic`."""

from __future__ import annotations

from pathlib import Path

from synthjax.motion.deepmimic import read_deepmimic
from synthjax.motion.importers.reading import MAX_TEXT, ReadOptions, check_size, read_bytes
from synthjax.motion.skeleton import SkeletonMotion


def read_deepmimic_text(path: Path, options: ReadOptions) -> SkeletonMotion:
    """Raises :class:`UserError` for a file that is not a DeepMimic clip."""
    read_bytes(path, MAX_TEXT // 2)  # says what is wrong with the path, and bounds the size
    motion = read_deepmimic(path, name=path.stem, source=path.name, licence="unknown")
    check_size(path, len(motion.positions), len(motion.bones), motion.fps)
    return motion
