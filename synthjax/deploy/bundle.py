"""Bundles: what a device needs of a trained policy, in one zip file or one folder.

Beside its files a bundle holds ``manifest.json``, which lists them with sizes and SHA-256, and
``manifest.sha256``, the hash of the manifest.  This hash stands for the whole content.  Files belong to
the part ``policy``, which acts, or ``training``, which only fine-tuning needs and which may be left out.
``docs/bundles.md`` has the format.

Runs on the standard library alone, as do :mod:`synthjax.deploy.archive` and :mod:`synthjax.deploy.install`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

from synthjax.deploy import archive
from synthjax.errors import UserError
from synthjax.whole_files import replacing

FORMAT = 1  # of the bundles that this version writes, and the newest that it reads
MANIFEST = "manifest.json"
MANIFEST_HASH = "manifest.sha256"
PARTS = ("policy", "training")

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class Verdict(NamedTuple):
    """What became of one file of a bundle."""

    name: str
    part: str  # "" where the manifest does not know it
    size: int  # bytes by the manifest; those found if it does not know it
    finding: Literal["whole", "left out", "altered", "missing", "not in the manifest"]

    @property
    def good(self) -> bool:
        """Whether the bundle can be used as far as this file goes."""
        return self.finding in ("whole", "left out")


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A bundle in memory, every file as it was written."""

    manifest: dict[str, Any]
    files: dict[str, bytes]  # of the parts that are there, by name; without the manifest
    manifest_bytes: bytes  # manifest.json as it stands in the bundle

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest, in hexadecimal: bundles with the same one hold the same."""
        return _sha256(self.manifest_bytes)

    @property
    def age(self) -> tuple[int, str]:
        """Version and time of export: of two bundles of one name the greater one is newer."""
        return self.manifest["version"], self.manifest["exported"]

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that are there: ``policy``, and ``training`` if it was not left out."""
        there = {row["part"] for row in self.manifest["files"] if row["name"] in self.files}
        return tuple(part for part in PARTS if part in there)

    def contents(self, parts: Collection[str] = PARTS) -> dict[str, bytes]:
        """The files of ``parts``, with the manifest and its hash: a whole bundle."""
        rows = [row for row in self.manifest["files"] if row["part"] in parts and row["name"] in self.files]
        return {
            **{row["name"]: self.files[row["name"]] for row in rows},
            MANIFEST: self.manifest_bytes,
            MANIFEST_HASH: _hash_line(self.manifest_bytes),
        }


def timestamp() -> str:
    """This second in UTC, as the manifest's ``exported`` wants it: texts of it sort by time."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def write_bundle(
    files: Mapping[str, bytes],
    manifest: Mapping[str, Any],
    out: Path,
    training: Collection[str] = (),
) -> Bundle:
    """Writes a bundle as the zip file ``out``, whole or not at all.

    The same arguments give the same bytes.

    Args:
      files: contents by relative name; names of letters, digits, ``.``, ``_``, ``-`` and ``/``.
      manifest: ``name`` (what the policy is, a safe file name), ``version`` (whole number, 0 or more) and
        ``exported`` (:func:`timestamp`), and whatever else describes the bundle, as JSON can hold it.
        ``format`` and ``files`` are added.
      out: replaced if it exists; its folder is made if missing.
      training: names of those files that only fine-tuning needs.

    Returns:
      The bundle, as it was read back before it took its place.

    Raises:
      ValueError: ``manifest`` lacks a field, holds one of ours or no JSON, or ``training`` a name that
        ``files`` lacks.
      UserError: a name is unsafe, or the place cannot be written.
    """
    if reserved := {"format", "files"} & set(manifest):
        raise ValueError(f"the manifest's {' and '.join(sorted(reserved))} are written here")
    if unknown := set(training) - set(files):
        raise ValueError(f"training names {sorted(unknown)}, which are no files of the bundle")
    archive.check_names(out, [MANIFEST, MANIFEST_HASH, *sorted(files)])
    rows = [
        {
            "name": name,
            "part": "training" if name in training else "policy",
            "bytes": len(files[name]),
            "sha256": _sha256(files[name]),
        }
        for name in sorted(files)
    ]
    whole = {"format": FORMAT, **manifest, "files": rows}
    if fault := _fault(whole):
        raise ValueError(f"the manifest {fault}")
    text = (json.dumps(whole, indent=2, allow_nan=False) + "\n").encode()
    contents = {**files, MANIFEST: text, MANIFEST_HASH: _hash_line(text)}
    archive.check_size(out, sum(map(len, contents.values())), len(contents))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(out) as partial:
            partial.write_bytes(archive.pack(contents))
            return load_bundle(partial)
    except OSError as error:
        raise UserError(
            f"Cannot write the bundle '{out}' ({error.strerror}): make room or choose another place."
        ) from error


def load_bundle(path: Path) -> Bundle:
    """The bundle in the zip file or folder ``path``, every byte of it verified.

    Raises:
      UserError: it is missing, cut off, altered, incomplete, unsafe, of a newer format, or no bundle.
    """
    bundle, verdicts = verify_bundle(path)
    check_verdicts(path, verdicts)
    return bundle


def check_verdicts(path: Path, verdicts: Sequence[Verdict]) -> None:
    """Refuses a bundle of which some file is not as it was written.

    Raises:
      UserError: names the first such file.
    """
    bad = [verdict for verdict in verdicts if not verdict.good]
    if bad:
        more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise UserError(
            f"Bundle '{path}' is damaged ({bad[0].name}: {bad[0].finding}{more}): copy it or export it again."
        )


def verify_bundle(path: Path) -> tuple[Bundle, list[Verdict]]:
    """What the zip file or folder ``path`` holds, and a verdict on each file.

    The bundle may be used only if all verdicts are good; see :func:`load_bundle`.

    Raises:
      UserError: it cannot be read at all, is unsafe, of a newer format, or its manifest is not whole.
    """
    try:
        contents, packed = (archive.read_folder(path), True) if path.is_dir() else archive.unpack(path)
    except FileNotFoundError:
        raise UserError(f"There is no bundle '{path}': check the path.") from None
    except OSError as error:
        raise UserError(f"Cannot read the bundle '{path}' ({error.strerror}): check the path.") from error
    manifest = _manifest(path, contents)
    rows = manifest["files"]
    archive.check_names(path, [MANIFEST, MANIFEST_HASH, *(row["name"] for row in rows)])
    listed = {row["name"] for row in rows}
    files = {name: data for name, data in contents.items() if name in listed}
    parts = {"policy", *(row["part"] for row in rows if row["name"] in files)}

    def finding(row: dict[str, Any]) -> Literal["whole", "left out", "altered", "missing"]:
        if row["name"] not in files:
            return "missing" if row["part"] in parts else "left out"
        data = files[row["name"]]
        return "whole" if (len(data), _sha256(data)) == (row["bytes"], row["sha256"]) else "altered"

    verdicts = [Verdict(row["name"], row["part"], row["bytes"], finding(row)) for row in rows]
    for name in sorted(contents.keys() - listed - {MANIFEST, MANIFEST_HASH}):
        verdicts.append(Verdict(name, "", len(contents[name]), "not in the manifest"))
    if not packed and all(verdict.good for verdict in verdicts):  # changed between the files
        verdicts.append(Verdict(path.name, "", path.stat().st_size, "altered"))
    return Bundle(manifest, files, contents[MANIFEST]), verdicts


def _manifest(path: Path, contents: Mapping[str, bytes]) -> dict[str, Any]:
    """The manifest, checked against its hash and for the fields that every bundle has."""
    if MANIFEST not in contents:
        raise UserError(f"'{path}' has no {MANIFEST}, so it is no bundle: make one with 'synthjax export'.")
    text = contents[MANIFEST]
    if contents.get(MANIFEST_HASH) != _hash_line(text):
        raise UserError(
            f"Bundle '{path}' is damaged ({MANIFEST} does not fit {MANIFEST_HASH}): "
            "copy it or export it again."
        )
    try:
        manifest = json.loads(text.decode(), parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise UserError(f"'{path}' has a {MANIFEST} that is not JSON: export it again.") from None
    form = manifest.get("format") if isinstance(manifest, dict) else None
    if type(form) is int and form > FORMAT:
        raise UserError(
            f"Bundle '{path}' has format {form}, this synthjax reads up to {FORMAT}: upgrade synthjax."
        )
    if fault := _fault(manifest):
        raise UserError(f"'{path}' has a {MANIFEST} that {fault}: export it again.")
    return manifest


def _fault(manifest: Any) -> str | None:
    """What is wrong with the fields that every manifest has, or None."""
    if not isinstance(manifest, dict):
        return "is not a table of fields"
    checks = {
        "format": lambda value: type(value) is int and 1 <= value <= FORMAT,
        "name": lambda value: isinstance(value, str) and _NAME.fullmatch(value),
        "version": lambda value: type(value) is int and 0 <= value < 1 << 31,
        "exported": lambda value: isinstance(value, str) and _TIME.fullmatch(value),
        "files": lambda value: isinstance(value, list) and all(map(_is_row, value)),
    }
    for field, check in checks.items():
        if not check(manifest.get(field)):
            return f"lacks a usable field '{field}'"
    if not any(row["part"] == "policy" for row in manifest["files"]):
        return "lists no file of the policy"
    return None


def _is_row(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and isinstance(row.get("name"), str)
        and row.get("part") in PARTS
        and type(row.get("bytes")) is int
        and isinstance(row.get("sha256"), str)
    )


def _no_number(word: str) -> NoReturn:
    raise ValueError(word)  # NaN and the infinities are not JSON


def _hash_line(text: bytes) -> bytes:
    """``manifest.sha256`` for a manifest: ``sha256sum --check`` reads it."""
    return f"{_sha256(text)}  {MANIFEST}\n".encode()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
