"""Files that a kill, a power cut or a full disk leaves either as they were or as they should be."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NO_FOLDERS = (errno.EINVAL, errno.ENOTSUP)  # from file systems that cannot flush the names in a folder


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside ``path`` to write; it takes the place of ``path`` at the end, and goes after an error."""
    partial = partial_of(path)
    try:
        yield partial
        flush(partial)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    flush(path.parent)


def unwritable(folder: Path) -> Path | None:
    """What keeps files out of ``folder``: itself, or what it would be made in; None if nothing does.

    Tried out, since permissions do not tell of a medium that is read-only, nor anything to an administrator.
    """
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            return None
    except OSError:
        return there


def partial_of(path: Path) -> Path:
    """Where :func:`replacing` has a file written; a kill leaves it behind."""
    return path.with_name(f".{path.name}.partial")


def flush(path: Path) -> None:
    """Returns once a file's content, or the names in a folder, are on the disk.

    Some systems put the renaming of a file there before its content: a power cut would leave an empty one.
    """
    folder = path.is_dir()
    if folder and os.name == "nt":
        return  # Windows opens no folder; NTFS keeps a journal of its names
    descriptor = os.open(path, os.O_RDONLY if folder else os.O_RDWR)  # Windows flushes what it may write
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not (folder and error.errno in _NO_FOLDERS):
            raise
    finally:
        os.close(descriptor)
