"""Checksums of a folder's files: Orbax restores a flipped bit of an array without a word."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

from synthjax.whole_files import replacing

CHECKSUMS = "checksums.json"


def _checksum(path: Path) -> list[int] | None:
    """Size and CRC-32 of a file; None if there is none."""
    return [path.stat().st_size, _crc(path)] if path.is_file() else None


def _crc(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            crc = zlib.crc32(block, crc)
    return crc


def write_checksums(folder: Path) -> None:
    """Records size and CRC-32 of every file of a checkpoint, by relative path, in its folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != CHECKSUMS)
    sums = {path.relative_to(folder).as_posix(): _checksum(path) for path in files}
    with replacing(folder / CHECKSUMS) as partial:
        partial.write_text(json.dumps(sums))


def damage_of(folder: Path, inside: str = "", outside: str | None = None) -> str | None:
    """What is wrong with a checkpoint's files, or None.

    Only files below its folder ``inside`` and not below ``outside`` are looked at.
    A checkpoint without checksums was killed between Orbax's commit and ours: Orbax has found it whole.
    """
    if not (folder / CHECKSUMS).exists():
        return None
    try:
        written = json.loads((folder / CHECKSUMS).read_text())
    except ValueError as error:
        return f"{CHECKSUMS}: {error}"
    for name, checksum in written.items():
        path = Path(name)
        within = path.is_relative_to(inside) and (outside is None or not path.is_relative_to(outside))
        if within and _checksum(folder / name) != checksum:
            return f"{name} has changed since it was written"
    return None
