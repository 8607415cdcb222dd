"""Clips as binary glTF 2.0 (.glb) and as VRM animations (.vrma): a skinned figure and its animation.

The skin makes it an armature in Blender and an avatar in Unity; in the skin's bind pose, which is the
nodes' own, the figure stands in a T-pose and faces +z.  Metres, y up.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

import synthjax
from synthjax.bodies import Body
from synthjax.bodies.surface import body_surface
from synthjax.motion.clip import Clip
from synthjax.motion.exporters.rig import ExportRig, export_rig, joint_motion, to_y_up

_FLOAT, _SHORT, _INT = 5126, 5123, 5125  # component types
_VERTICES, _INDICES = 34962, 34963  # targets of buffer views
_TYPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
_SKIN_COLOUR = [0.47, 0.55, 0.64, 1.0]  # linear


class _Buffer:
    """The binary chunk, and what says where everything in it lies."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, values: np.ndarray, kind: int, target: int | None = None, bounds: bool = False) -> int:
        """The accessor of ``values`` (N, width)."""
        values = values.astype({_FLOAT: "<f4", _SHORT: "<u2", _INT: "<u4"}[kind])
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": values.nbytes}
        self.views.append(view | ({} if target is None else {"target": target}))
        self.data += values.tobytes() + b"\0" * (-values.nbytes % 4)
        accessor: dict[str, Any] = {
            "bufferView": len(self.views) - 1, "componentType": kind, "count": len(values),
            "type": _TYPES[values.shape[1]],
        }  # fmt: skip
        if bounds:
            accessor |= {"min": values.min(axis=0).tolist(), "max": values.max(axis=0).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def write_gltf(clip: Clip, body: Body, path: Path, *, vrm: bool = False) -> None:
    """Writes ``clip`` to ``path``; a ``vrm`` animation also says which node is which bone of a human."""
    rig = export_rig(body)
    buffer = _Buffer()
    animation = _animation(clip, rig, buffer)
    mesh = _mesh(body, rig, buffer)
    binds = np.tile(np.eye(4), (len(rig.names), 1, 1))
    binds[:, :3, 3] = -rig.rest
    nodes: list[dict[str, Any]] = [
        {"name": name, "translation": offset.tolist()}
        for name, offset in zip(rig.names, rig.offsets, strict=True)
    ]
    for joint, parent in enumerate(rig.parents):
        if parent >= 0:
            nodes[parent].setdefault("children", []).append(joint)
    nodes.append({"name": body.name, "mesh": 0, "skin": 0})
    content: dict[str, Any] = {
        "asset": {
            "version": "2.0",
            "generator": f"synthjax {synthjax.__version__}",
            "copyright": f"{clip.source} ({clip.licence})",
        },
        "scene": 0,
        "scenes": [{"nodes": [0, len(nodes) - 1]}],
        "nodes": nodes,
        "meshes": [{"name": body.name, "primitives": [mesh]}],
        "materials": [{"pbrMetallicRoughness": {
            "baseColorFactor": _SKIN_COLOUR, "metallicFactor": 0.0, "roughnessFactor": 0.8,
        }}],
        "skins": [{
            "joints": list(range(len(rig.names))), "skeleton": 0,
            "inverseBindMatrices": buffer.add(binds.transpose(0, 2, 1).reshape(-1, 16), _FLOAT),
        }],
        "animations": [animation],
    }  # fmt: skip
    if vrm:
        content["extensionsUsed"] = ["VRMC_vrm_animation"]
        human = {bone[0].lower() + bone[1:]: {"node": joint} for bone, joint in rig.bones.items()}
        content["extensions"] = {
            "VRMC_vrm_animation": {"specVersion": "1.0", "humanoid": {"humanBones": human}}
        }
    content |= {
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [{"byteLength": len(buffer.data)}],
    }
    text = json.dumps(content, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    size = 12 + 8 + len(text) + 8 + len(buffer.data)
    path.write_bytes(
        struct.pack("<4sII", b"glTF", 2, size)
        + struct.pack("<I4s", len(text), b"JSON") + text
        + struct.pack("<I4s", len(buffer.data), b"BIN\0") + bytes(buffer.data)
    )  # fmt: skip


def _animation(clip: Clip, rig: ExportRig, buffer: _Buffer) -> dict[str, Any]:
    motion = joint_motion(clip, rig)
    times = buffer.add(np.arange(len(motion.rotations))[:, None] / clip.fps, _FLOAT, bounds=True)
    samplers: list[dict[str, Any]] = []
    channels: list[dict[str, Any]] = []

    def move(joint: int, path: str, values: np.ndarray) -> None:
        channels.append({"sampler": len(samplers), "target": {"node": joint, "path": path}})
        samplers.append({"input": times, "output": buffer.add(values, _FLOAT), "interpolation": "LINEAR"})

    for joint in range(len(rig.names)):
        move(joint, "rotation", motion.rotations[:, joint, [1, 2, 3, 0]])
        if motion.moving[joint]:
            move(joint, "translation", motion.translations[:, joint])
    return {"name": clip.name, "samplers": samplers, "channels": channels}


def _mesh(body: Body, rig: ExportRig, buffer: _Buffer) -> dict[str, Any]:
    """All geoms, each hanging from one joint."""
    points: list[np.ndarray] = []
    normals: list[np.ndarray] = []
    triangles: list[np.ndarray] = []
    joints: list[np.ndarray] = []
    for joint, number in enumerate(rig.bodies):
        surface = body_surface(body.model, number)
        triangles.append(surface.triangles + sum(len(part) for part in points))
        points.append(rig.rest[joint] + to_y_up(rig.turns[joint].apply(surface.points.reshape(-1, 3))))
        normals.append(to_y_up(rig.turns[joint].apply(surface.normals.reshape(-1, 3))))
        joints.append(np.full(len(surface.points), joint))
    every = np.concatenate(joints)
    first = np.zeros((len(every), 4))
    first[:, 0] = 1.0
    return {
        "attributes": {
            "POSITION": buffer.add(np.concatenate(points), _FLOAT, _VERTICES, bounds=True),
            "NORMAL": buffer.add(np.concatenate(normals), _FLOAT, _VERTICES),
            "JOINTS_0": buffer.add(first * every[:, None], _SHORT, _VERTICES),
            "WEIGHTS_0": buffer.add(first, _FLOAT, _VERTICES),
        },
        "indices": buffer.add(np.concatenate(triangles).reshape(-1, 1), _INT, _INDICES),
        "material": 0,
    }
