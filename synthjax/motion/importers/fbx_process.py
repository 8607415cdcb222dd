"""Reads an FBX file with the library ufbx, in a process of its own: ``python -m ... FILE TAKE``.

Its Python binding can crash on damaged files; here it takes only this process with it.  What it found goes to
the standard output: one line of JSON, then an .npz.  What it wants to say in words goes there as the JSON's
"error".  All objects of the library are held in variables: temporary ones are freed too early.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

MAX_NODES, MAX_SAMPLES = 2000, 4_000_000
_MEMORY = 6 * 2**30  # bytes of address space


def main() -> None:
    if sys.platform != "win32":
        import resource

        with contextlib.suppress(ValueError, OSError):  # a lower one holds already
            resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    facts, arrays = read(Path(sys.argv[1]), sys.argv[2])
    out = sys.stdout.buffer
    out.write(json.dumps(facts).encode() + b"\n")
    if arrays:
        packed = io.BytesIO()
        np.savez(packed, allow_pickle=False, **arrays)
        out.write(packed.getvalue())


def read(path: Path, take: str) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    """Facts and arrays of the animation ``take``, or of the longest one if that is empty."""
    import ufbx

    try:
        scene = ufbx.load_memory(path.read_bytes(), ignore_geometry=True, ignore_embedded=True)
    except ufbx.UfbxError as error:
        return {"error": f"{type(error).__name__.removesuffix('Error')}"}, {}
    listed, stacks = scene.nodes, scene.anim_stacks
    nodes = [listed[i] for i in range(min(len(listed), MAX_NODES + 1))]
    takes = [stacks[i] for i in range(min(len(stacks), MAX_NODES))]
    names, seconds = [t.name for t in takes], [t.time_end - t.time_begin for t in takes]
    facts: dict[str, object] = {"takes": names, "seconds": seconds, "joints": len(listed)}
    if len(nodes) > MAX_NODES or not takes or (take and take not in names):
        return facts, {}
    chosen = names.index(take) if take else int(np.argmax(seconds))
    settings = scene.settings
    axes = settings.axes
    fps = settings.frames_per_second
    begin = takes[chosen].time_begin
    frames = round(min(max(seconds[chosen] * fps, 0.0), 1e9)) + 1
    facts |= {"fps": fps, "frames": frames, "metres": settings.unit_meters}
    facts |= {"up": int(axes.up), "right": int(axes.right), "front": int(axes.front)}
    facts["names"] = [node.name for node in nodes]
    if frames * len(nodes) > MAX_SAMPLES:
        return facts, {}
    anim = takes[chosen].anim
    place = {node.typed_id: i for i, node in enumerate(nodes)}
    parents = []
    for node in nodes:
        parent = node.parent
        parents.append(-1 if parent is None else place[parent.typed_id])
    rest = np.array([_numbers(node.local_transform) for node in nodes])
    posed = np.zeros((len(nodes), frames, 10), np.float32)
    for node, rows in zip(nodes, posed, strict=True):
        for frame, row in enumerate(rows):
            row[:] = _numbers(node.evaluate_transform(anim, begin + frame / fps))
    return facts, {"parents": np.array(parents), "rest": rest, "posed": posed}


def _numbers(transform: Any) -> tuple[float, ...]:
    """Translation, rotation (w last) and scale."""
    translation, rotation, scale = transform.translation, transform.rotation, transform.scale
    moved, turned = (translation.x, translation.y, translation.z), (rotation.x, rotation.y, rotation.z)
    return (*moved, *turned, rotation.w, scale.x, scale.y, scale.z)


if __name__ == "__main__":
    main()
