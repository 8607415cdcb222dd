"""Small bundles for the tests."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthjax.deploy.bundle import Bundle, write_bundle

FILES = {
    "policy.tflite": bytes(range(256)) * 3,
    "clips/walk.bin": b"walk",
    "finetune.tflite": b"step" * 20,
    "params.bin": b"",
}
TRAINING = ("finetune.tflite", "params.bin")


def head(version: int = 1, exported: str = "2026-01-02T03:04:05Z", **more: Any) -> dict[str, Any]:
    return {"name": "walk", "version": version, "exported": exported, **more}


def make(path: Path, version: int = 1, files: Mapping[str, bytes] = FILES) -> Bundle:
    return write_bundle(files, head(version), path, TRAINING)


def unzip(path: Path, folder: Path) -> Path:
    """The bundle as a folder, by another program than the one that is tested."""
    with zipfile.ZipFile(path) as file:
        file.extractall(folder)
    return folder


def change_manifest(folder: Path, text: bytes | None = None, **fields: Any) -> None:
    """Changes fields of the manifest (None: takes them away), or all of it, and its hash with it."""
    path = folder / "manifest.json"
    if text is None:
        manifest = json.loads(path.read_text()) | fields
        text = json.dumps({name: value for name, value in manifest.items() if value is not None}).encode()
    path.write_bytes(text)
    line = f"{hashlib.sha256(text).hexdigest()}  manifest.json\n"
    (folder / "manifest.sha256").write_bytes(line.encode())
