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

BODY = b'<mujoco><worldbody><body><joint name="knee"/></body></worldbody></mujoco>'
ACTING: dict[str, Any] = {  # the least that says how to act
    "timing": {"sim_dt": 0.01, "n_substeps": 2, "control_dt": 0.02},
    "physics": {"solver": "NEWTON", "iterations": 4},
    "agent": {"algorithm": "ppo"},
    "body": {"hash": hashlib.sha256(BODY).hexdigest()[:12]},
    "observation": {
        "hash": hashlib.sha256(b'[["height", 1]]').hexdigest()[:12],
        "size": 1,
        "fields": [{"name": "height", "start": 0, "size": 1}],
    },
    "observe": {"inputs": {"qpos": {"shape": [1]}}, "carried": {"entries": [], "start": []}},
    "action": {"joints": ["knee"], "gains": [1.0], "scale": [1.0], "squash": "none", "limit": None},
    "finetune": {
        "vectors": [
            {"name": name, "start": index, "size": 1}
            for index, name in enumerate(("params", "opt", "learning_rate"))
        ],
        "minibatch": {
            "observation": [1, 1],
            "action": [1, 1],
            "mean": [1, 1],
            "advantage": [1],
            "target": [1],
        },
        "settings": {"gamma": 0.9, "gae_lambda": 0.9, "reward_scale": 1.0, "advantage_clip": 4.0},
        "reward": {"inputs": {}, "memory": []},
        "starts": {
            "rows": 1,
            "columns": [{"name": n, "size": int(n[0] == "q")} for n in ("qpos", "qvel", "carried", "memory")],
        },
        "max_steps": 10,
    },
}
ACTING_FILES = FILES | {
    "body.xml": BODY,
    "observe.tflite": b"observe",
    "reward.tflite": b"reward",
    "params.bin": bytes(12),
    "starts.bin": bytes(8),
}


def head(version: int = 1, exported: str = "2026-01-02T03:04:05Z", **more: Any) -> dict[str, Any]:
    return {"name": "walk", "version": version, "exported": exported, **more}


def make(path: Path, version: int = 1, files: Mapping[str, bytes] = FILES) -> Bundle:
    return write_bundle(files, head(version), path, TRAINING)


def make_acting(
    path: Path,
    version: int = 1,
    files: Mapping[str, bytes] = ACTING_FILES,
    fields: Mapping[str, Any] = ACTING,
) -> Bundle:
    """A bundle whose manifest and files are in order, as far as one sees without running its models."""
    training = {"reward.tflite", "starts.bin", *TRAINING} & files.keys()
    return write_bundle(files, head(version, **fields), path, training)


def unzip(path: Path, folder: Path) -> Path:
    """The bundle as a folder, by another program than the one that is tested."""
    with zipfile.ZipFile(path) as file:
        file.extractall(folder)
    return folder


def laid_out(path: Path, to: Path) -> Path:
    """The folder of what an installation of the policy alone leaves in ``to``, whether it can act or not."""
    folder = unzip(path, to / "0123456789abcdef-1")
    for name in TRAINING:
        (folder / name).unlink()
    (to / "current.json").write_text(json.dumps({"format": 1, "folder": folder.name}))
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
