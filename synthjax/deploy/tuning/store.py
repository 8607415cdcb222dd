"""The last policy that was taken, in one file that a kill leaves whole."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from synthjax.deploy.bundle import Bundle
from synthjax.deploy.tuning.models import Snapshot, frozen
from synthjax.errors import UserError
from synthjax.whole_files import replacing

STATE = "state.npz"
_ABOUT = "about"  # the entry beside the vectors
_FORMAT = 1


def save(folder: Path, bundle: Bundle, change: dict[str, Any], snapshot: Snapshot) -> None:
    """Replaces the state in ``folder``."""
    about = {
        "format": _FORMAT,
        "bundle": bundle.digest,
        "change": change,
        "rounds": snapshot.rounds,
        "steps": snapshot.steps,
        "reward": snapshot.reward,
        "kl": snapshot.kl,
    }
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / STATE) as partial, partial.open("wb") as file:
        content: dict[str, Any] = {**snapshot.vectors, _ABOUT: np.str_(json.dumps(about))}
        np.savez(file, **content)


def load(folder: Path, bundle: Bundle, change: dict[str, Any], shipped: Snapshot) -> Snapshot | None:
    """The policy to go on from; None where nothing has been taken yet.

    Raises:
      UserError: the state is damaged, or of another bundle or body.
    """
    path = folder / STATE
    try:
        # Opened here because NumPy leaves a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            content = {name: archive[name] for name in archive.files}
        about = json.loads(str(content.pop(_ABOUT)))
        if about["format"] > _FORMAT:
            raise UserError(f"'{path}' is of a newer synthjax: upgrade, or choose another --out.")
        same = {name: vector.shape for name, vector in content.items()}
        if about["bundle"] != bundle.digest or same != {n: v.shape for n, v in shipped.vectors.items()}:
            raise UserError(f"'{path}' was learned from another bundle: choose another --out.")
        if about["change"] != change:
            raise UserError(f"'{path}' was learned on another body: give its --change, or another --out.")
        return Snapshot(frozen(content), *(about[name] for name in ("rounds", "steps", "reward", "kl")))
    except FileNotFoundError:
        return None
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, TypeError, OSError) as error:
        raise UserError(f"'{path}' is damaged: move it away, or choose another --out.") from error
