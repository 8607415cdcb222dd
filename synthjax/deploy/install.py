"""Installs bundles on a device: the newer one wins, and a kill at any moment leaves the old or the new one.

A folder of installations holds::

    current.json           names the folder of the bundle that is installed
    0123456789abcdef-1/    this bundle, as a folder
    installing.lock        held while somebody installs

No system replaces a folder in one step, but all of them a file.  So a bundle gets a folder of a name that
was never seen, and counts from the moment when ``current.json`` names it.  Whatever ``current.json`` does not
name is the remains of an installation that was cut off, and goes when the next one begins.
``docs/bundles.md`` has every step, for hosts in other languages.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from synthjax.deploy.bundle import FORMAT, MANIFEST, Bundle, load_bundle
from synthjax.deploy.file_lock import locked
from synthjax.deploy.schema import check_contents
from synthjax.errors import UserError
from synthjax.whole_files import flush, partial_of, replacing

POINTER = "current.json"
LOCK = "installing.lock"

_PARTIAL = ".partial"
_FOLDER = re.compile(r"[0-9a-f]{16}-[1-9][0-9]*")


class Installation(NamedTuple):
    """What an installation did."""

    installed: bool  # False: what was there stays
    reason: str  # in words
    bundle: Bundle  # the one that is there now


def install_bundle(path: Path, to: Path, with_training: bool = False) -> Installation:
    """Installs the bundle ``path`` into the folder ``to``, unless what is there is as new.

    Newer is the one with the higher ``version``, or with the later ``exported`` if they have the same.
    What is damaged there counts as nothing.  A bundle that is there already without the files for training
    is installed again to add them.

    Args:
      path: zip file, folder, or folder that one is installed in.
      to: folder of installations; made if missing.
      with_training: takes the files for fine-tuning too, if the bundle has any.

    Raises:
      UserError: the bundle cannot be used, is of another policy than the one there, somebody else is
        installing, or the folder cannot be written.  What was installed stays.
    """
    bundle = bundle_at(path)
    check_contents(bundle.manifest, bundle.files)  # what cannot act takes the place of nothing
    parts = tuple(part for part in bundle.parts if part == "policy" or with_training)
    if (to / MANIFEST).exists():
        raise UserError(f"'{to}' is itself a bundle: choose another folder to install into.")
    try:
        to.mkdir(parents=True, exist_ok=True)
        with locked(to / LOCK) as mine:
            if not mine:
                raise UserError(f"Somebody else is installing into '{to}': wait until that has ended.")
            try:
                _remove_remains(to)
                there = _usable(to)
                if there is not None and (reason := _reason_to_keep(bundle, parts, there, to)):
                    return Installation(False, reason, there)
                _switch(to, bundle.contents(parts), bundle.digest)
            finally:
                _remove_remains(to)
            return Installation(True, _reason_to_install(there), load_installed(to))
    except OSError as error:
        raise UserError(
            f"Cannot install into '{to}' ({error.strerror}): make room, or choose a folder that you may "
            "write; what was installed is as it was."
        ) from error


def bundle_at(path: Path) -> Bundle:
    """The bundle at ``path``: a file, a folder with its files, or a folder that one is installed in.

    Raises:
      UserError: there is none, or it is damaged or of a newer version.
    """
    return load_bundle(path) if installed_folder(path) is None else load_installed(path)


def load_installed(to: Path) -> Bundle:
    """The bundle that is installed in the folder ``to``, every byte of it verified.

    Raises:
      UserError: there is none, or it is damaged.
    """
    while True:
        folder = installed_folder(to)
        if folder is None:
            raise UserError(f"No bundle is installed in '{to}': install one with 'synthjax bundle install'.")
        try:
            return load_bundle(folder)
        except UserError:
            if installed_folder(to) == folder:  # otherwise an installation has just replaced it
                raise


def installed_folder(to: Path) -> Path | None:
    """The folder of the bundle that is installed in ``to``, or None if there is none.

    Raises:
      UserError: a newer synthjax has installed it, or the pointer cannot be read.
    """
    try:
        pointer = json.loads((to / POINTER).read_bytes())
        form, folder = pointer["format"], pointer["folder"]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError, TypeError, KeyError):
        return None  # nothing that this program wrote
    except OSError as error:
        raise UserError(f"Cannot read '{to / POINTER}' ({error.strerror}): check the folder.") from error
    if type(form) is int and form > FORMAT:
        raise UserError(
            f"What is installed in '{to}' has format {form}, this synthjax reads up to {FORMAT}: "
            "upgrade synthjax."
        )
    return to / folder if isinstance(folder, str) and _FOLDER.fullmatch(folder) else None


def _usable(to: Path) -> Bundle | None:
    """What is installed in ``to``; None if there is nothing, or if it is damaged."""
    folder = installed_folder(to)
    try:
        return None if folder is None else load_bundle(folder)
    except UserError:
        return None


def _reason_to_keep(bundle: Bundle, parts: tuple[str, ...], there: Bundle, to: Path) -> str | None:
    """Why ``there`` stays; None if ``bundle`` is to take its place."""
    name, other = bundle.manifest["name"], there.manifest["name"]
    if name != other:
        raise UserError(f"'{to}' is the place of '{other}', not of '{name}': choose another folder.")
    if bundle.digest == there.digest:
        return "it is installed already" if set(parts) <= set(there.parts) else None
    if bundle.age == there.age:
        return "another bundle of the same version and time of export is installed"
    return "a newer bundle is installed" if bundle.age < there.age else None


def _reason_to_install(there: Bundle | None) -> str:
    if there is None:
        return "there was none that could be used"
    version, exported = there.age
    return f"in place of version {version} of {exported}"


def _switch(to: Path, contents: Mapping[str, bytes], digest: str) -> None:
    """Writes a bundle beside the one that is installed, and then has the pointer name it."""
    names = (f"{digest[:16]}-{number}" for number in itertools.count(1))
    folder = next(to / name for name in names if not (to / name).exists())
    partial = folder.with_name(folder.name + _PARTIAL)
    folders = {partial}
    partial.mkdir()
    for name, data in contents.items():
        file = partial / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        flush(file)
        folders.update(parent for parent in file.parents if parent.is_relative_to(partial))
    for changed in folders:
        flush(changed)
    partial.rename(folder)
    flush(to)
    with replacing(to / POINTER) as pointer:
        pointer.write_text(json.dumps({"format": FORMAT, "folder": folder.name}) + "\n", encoding="utf-8")


def _remove_remains(to: Path) -> None:
    """Removes what the pointer does not name: bundles that were replaced, and halves of others.

    What cannot be removed, such as a file that is open on Windows, waits for the next time.
    """
    current = installed_folder(to)
    partial_of(to / POINTER).unlink(missing_ok=True)
    for path in to.iterdir():
        if _FOLDER.fullmatch(path.name.removesuffix(_PARTIAL)) and path != current:
            shutil.rmtree(path, ignore_errors=True)
