"""What is checked before a checkpoint is written or taken: room, permission, and whether it fits."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthjax.errors import UserError


class Misfit(UserError):
    """A checkpoint of another body, layout or network than this program's."""

    def __init__(self, difference: str, options: str = "") -> None:
        self.difference = difference
        super().__init__(f"{difference}{options}: use the configuration of that run or start a new one.")


def check_expected(folder: Path, metadata: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Refuses a checkpoint whose ``metadata`` differ from ``expected`` in one of its entries.

    Raises:
      Misfit: names both sides.
    """
    for name, value in expected.items():
        if metadata.get(name) != value:
            raise Misfit(
                f"Checkpoint {folder} was made with {name} {metadata.get(name)!r}, this program has {value!r}"
            )


def check_layout(folder: Path, stored: Mapping[str, str], wanted: Mapping[str, str], partial: bool) -> None:
    """Refuses a checkpoint whose leaves, name -> type and shape, are not the ``wanted`` ones.

    ``partial``: it may have more of them.

    Raises:
      Misfit: names both sides of the first differences.
    """
    missing = "absent"
    names = wanted if partial else {**stored, **wanted}
    differences = [
        f"{name} is {stored.get(name, missing)} there and {wanted.get(name, missing)} here"
        for name in names
        if stored.get(name) != wanted.get(name)
    ]
    if differences:
        more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise Misfit(f"Checkpoint {folder} does not fit this program ({'; '.join(differences[:3])}{more})")


def check_room(folder: Path, needed: int) -> None:
    """A full disk found before the save costs one sentence; found by Orbax's threads, pages of traces.

    Raises:
      UserError: ``folder`` has no room for ``needed`` bytes, or cannot be written.
    """
    free = shutil.disk_usage(folder).free
    if free < 1.1 * needed:
        raise UserError(
            f"No room for a checkpoint of {needed / 1e6:.0f} MB in {folder} ({free / 1e6:.0f} MB are free): "
            "make room and run the same command again; the earlier checkpoints are whole."
        )
    if not os.access(folder, os.W_OK):
        raise cannot_write(folder, "permission denied")


def is_storage_error(error: Exception) -> bool:
    """Whether a save failed for the disk's sake: TensorStore reports that as a ValueError."""
    return isinstance(error, OSError) or "os_error_code" in str(error)


def cannot_write(folder: Path, reason: object) -> UserError:
    """The error for a folder of checkpoints that is full or protected."""
    return UserError(
        f"Cannot write checkpoints to {folder} ({reason}): make room, give yourself write permission or "
        "choose another folder with --run-dir; what was saved there before is whole."
    )
