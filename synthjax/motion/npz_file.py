"""Arrays from .npz files that may be damaged, or packed to fill the memory."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from synthjax.errors import UserError

_LARGEST = 512 * 2**20  # bytes, unpacked


def read_arrays(path: Path, keys: Iterable[str]) -> dict[str, np.ndarray] | None:
    """Those of ``keys`` that are there; None if the file is damaged or no .npz of plain arrays.

    Whatever else there is, such as what is pickled, is not looked at.

    Raises:
      FileNotFoundError: it is not there.
      UserError: it unpacks to too much.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _LARGEST:
                raise UserError(f"'{path}' unpacks to more than {_LARGEST >> 20} MB: cut it.")
        # Opened here because NumPy leaves a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            return {key: np.asarray(content[key]) for key in keys if key in content.files}
    except FileNotFoundError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError, TypeError, KeyError,
            NotImplementedError, RuntimeError, SyntaxError, MemoryError, OverflowError):  # fmt: skip
        return None
