"""One zip file or one folder as names and bytes, with nothing in it that could reach outside its folder.

For the same files there is exactly one zip file: entries in the order of their names, stored, of one date.
Reading packs them again and compares, which leaves no byte that could change unseen; and what is stored
cannot be a zip bomb.
"""

from __future__ import annotations

import io
import os
import re
import stat
import struct
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from synthjax.errors import UserError

MAX_BYTES = 1 << 28  # of a bundle; it is read into memory
MAX_FILES = 1000

_LONGEST_NAME = 120  # leaves room for the folder within the 260 characters of a path on Windows
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can say
_LOCAL_HEADER = 30  # bytes before the name of an entry
_END = struct.Struct("<4s4H2IH")  # the record that ends a zip file


def is_safe(name: str) -> bool:
    """Whether a file of this relative name, with ``/``, can stand in a folder of every system.

    Letters, digits, ``.``, ``_`` and ``-`` of ASCII; no hidden file, no ``..``, no device of Windows.
    """
    return len(name) <= _LONGEST_NAME and all(
        _SEGMENT.fullmatch(part) and not part.endswith(".") and part.split(".")[0].lower() not in _DEVICES
        for part in name.split("/")
    )


def collision(names: Iterable[str]) -> str | None:
    """A name that is another one on some system (twice, by case, or file and folder), or None."""
    seen: dict[str, tuple[str, bool]] = {}
    for name in names:
        parts = name.split("/")
        if name.lower() in seen:
            return name
        for end in range(1, len(parts) + 1):
            prefix = "/".join(parts[:end])
            entry = (prefix, end == len(parts))
            if seen.setdefault(prefix.lower(), entry) != entry:
                return name
    return None


def check_names(where: object, names: Iterable[str]) -> None:
    """Refuses names that are unsafe or collide.

    Raises:
      UserError: names the file and the bundle ``where`` it is.
    """
    names = list(names)
    for name in names:
        if not is_safe(name):
            raise UserError(
                f"Bundle '{where}' holds the unsafe name {name[:_LONGEST_NAME]!r}: take names of letters, "
                "digits, '.', '_' and '-' below its own folder."
            )
    if (twin := collision(names)) is not None:
        raise UserError(
            f"Bundle '{where}' holds {twin!r} twice, or in two spellings that are one file on some systems: "
            "take names that differ."
        )


def pack(files: Mapping[str, bytes]) -> bytes:
    """The one zip file of ``files``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, _DATE)
            info.create_system = 3  # Unix, wherever it is packed
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, files[name])
    return buffer.getvalue()


def check_size(where: object, size: int, count: int) -> None:
    """Refuses more than a bundle may have: ``size`` bytes in ``count`` files.

    Raises:
      UserError: names the bundle ``where`` they are.
    """
    if size > MAX_BYTES or count > MAX_FILES:
        raise UserError(
            f"'{where}' has more than {MAX_BYTES >> 20} MiB or {MAX_FILES} files: "
            "that is no bundle of a policy."
        )


def unpack(path: Path) -> tuple[dict[str, bytes], bool]:
    """The files of the zip file ``path``, by safe names, and whether they are packed as by :func:`pack`.

    If they are not, some byte has changed: in a file, or between them.

    Raises:
      UserError: it is no zip file, was packed by another program, or holds links or unsafe names.
    """
    check_size(path, path.stat().st_size, 1)
    data = path.read_bytes()
    infos = _listing(path, data)
    for info in infos:
        if stat.S_ISLNK(info.external_attr >> 16):
            raise UserError(f"Bundle '{path}' holds the link {info.orig_filename!r}: pack the file itself.")
    check_names(path, (info.orig_filename for info in infos))
    for info in infos:
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits:
            raise UserError(
                f"'{path}' was packed by another program, or is no bundle: take the file that "
                "'synthjax export' wrote."
            )
    if sum(info.file_size for info in infos) > len(data):
        raise _no_bundle(path)
    starts = [info.header_offset + _LOCAL_HEADER + len(info.orig_filename) for info in infos]
    files = {
        info.orig_filename: data[start : start + info.file_size]
        for info, start in zip(infos, starts, strict=True)
    }
    return files, pack(files) == data


def _listing(path: Path, data: bytes) -> list[zipfile.ZipInfo]:
    """The directory of a zip file; its size is checked first, because a false one costs gigabytes."""
    if len(data) < _END.size:
        raise _no_bundle(path)
    mark, *disks, count, size, offset, comment = _END.unpack(data[-_END.size :])
    if (
        mark != b"PK\x05\x06"
        or disks != [0, 0, count]
        or not 0 < count <= MAX_FILES
        or size > count * (46 + _LONGEST_NAME)
        or offset + size + _END.size != len(data)
        or comment
    ):
        raise _no_bundle(path)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, struct.error):
        raise _no_bundle(path) from None


def read_folder(path: Path) -> dict[str, bytes]:
    """The files below the folder ``path``, by safe names.

    Raises:
      UserError: it holds links, other things than files, unsafe names or too much.
    """
    found: dict[str, Path] = {}
    pending, total = [path], 0
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                name = Path(entry.path).relative_to(path).as_posix()
                if entry.is_dir(follow_symlinks=False):
                    pending.append(Path(entry.path))
                    continue
                if not entry.is_file(follow_symlinks=False):
                    raise UserError(
                        f"Bundle '{path}' holds {name!r}, a link or no file: put the file itself."
                    )
                found[name] = Path(entry.path)
                total += entry.stat(follow_symlinks=False).st_size
                check_size(path, total, len(found))
    check_names(path, sorted(found))
    return {name: found[name].read_bytes() for name in sorted(found)}


def _no_bundle(path: Path) -> UserError:
    return UserError(f"'{path}' is cut off, damaged or no bundle: copy it or export it again.")
