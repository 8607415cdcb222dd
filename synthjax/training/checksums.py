"""Checksums of a folder's files: Orbax restores a flipped bit of an array without a word."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path

CHECKSUMS = "checksums.json"


def _checksums(folder: Path) -> dict[str, list[int]]:
    """Size and CRC-32 of every file of a checkpoint, by relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != CHECKSUMS)
    return {path.relative_to(folder).as_posix(): [path.stat().st_size, _crc(path)] for path in files}


def _crc(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            crc = zlib.crc32(block, crc)
    return crc


def write_checksums(folder: Path) -> None:
    partial = folder.parent / f".{folder.name}.{CHECKSUMS}"
    partial.write_text(json.dumps(_checksums(folder)))
    os.replace(partial, folder / CHECKSUMS)


def damage_of(folder: Path) -> str | None:
    """What is wrong with a checkpoint's files, or None.

    A checkpoint without checksums was killed between Orbax's commit and ours: Orbax has found it whole.
    """
    if not (folder / CHECKSUMS).exists():
        return None
    try:
        written = json.loads((folder / CHECKSUMS).read_text())
    except ValueError as error:
        return f"{CHECKSUMS}: {error}"
    found = _checksums(folder)
    wrong = [name for name in written if found.get(name) != written[name]]
    return f"{wrong[0]} has changed since it was written" if wrong else None
