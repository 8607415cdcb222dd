"""Writers of motion files: one module and one line of the table a format."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from synthjax.bodies import Body
from synthjax.motion.clip import Clip
from synthjax.motion.clip_file import save_clip
from synthjax.motion.exporters.bvh import write_bvh
from synthjax.motion.exporters.gltf import write_gltf

WRITERS: dict[str, Callable[[Clip, Body, Path], None]] = {
    ".bvh": write_bvh,
    ".glb": write_gltf,
    ".vrma": functools.partial(write_gltf, vrm=True),
    ".npz": lambda clip, body, path: save_clip(clip, path),
}

__all__ = ["WRITERS"]
