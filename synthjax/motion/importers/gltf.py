"""glTF 2.0 (.gltf, .glb) and VRM animations (.vrma): named nodes with keyframes in binary buffers.

The format fixes metres and y up.  A VRM model or animation also says which node is which bone of a human.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from synthjax.errors import UserError
from synthjax.motion.importers.reading import (
    MAX_DEPTH,
    MAX_JOINTS,
    MAX_TEXT,
    ReadOptions,
    check_size,
    choose_take,
    read_bytes,
    sane,
)
from synthjax.motion.source import SourceMotion, scaled_tree

# Type of a component, and what stands for 1: integers in an animation are always normalised.
_COMPONENTS = {
    5120: ("i1", 127.0), 5121: ("u1", 255.0), 5122: ("<i2", 32767.0), 5123: ("<u2", 65535.0),
    5126: ("<f4", 1.0),
}  # fmt: skip
_MAX_VALUES = 30_000_000  # of all animations together, as a buffer can be read any number of times
_WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}
_SLOWEST, _FASTEST = 30.0, 240.0  # frames a second

# What comes up when a value is missing, or is of another kind than the format has.
_WRONG_FORM = (
    KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RecursionError, struct.error,
)  # fmt: skip


class _BadFile(Exception):
    """What is wrong with the content, without the file's name."""


def read_gltf(path: Path, options: ReadOptions) -> SourceMotion:
    """One animation, sampled evenly at the rate of its keys.

    Raises:
      UserError: the file is damaged, holds no animation, or uses what is not supported here.
    """
    try:
        content, binary = _split(read_bytes(path))
        motion = _Reader(path, content, binary).motion(options)
        _checked(motion.positions)
        _checked(motion.rotations)
        return motion
    except _BadFile as wrong:
        raise UserError(f"'{path}' cannot be read: {wrong}.") from None
    except _WRONG_FORM as error:
        what = f"{type(error).__name__}: {str(error)[:60]}"
        raise UserError(f"'{path}' is damaged or no glTF file ({what}): export it again.") from None


def _split(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON and, of a .glb, its binary chunk."""
    binary = b""
    if data[:4] == b"glTF":
        at = 12
        chunks: dict[int, bytes] = {}
        while at + 8 <= len(data):
            length, kind = struct.unpack_from("<II", data, at)
            chunks.setdefault(kind, data[at + 8 : at + 8 + length])
            at += 8 + length
        data, binary = chunks.get(0x4E4F534A, b""), chunks.get(0x004E4942, b"")
    if len(data) > MAX_TEXT // 2:
        raise _BadFile(f"its JSON is larger than {MAX_TEXT >> 21} MB")
    content = json.loads(data)
    if not isinstance(content, dict):
        raise _BadFile("its JSON is no object")
    return content, binary


class _Reader:
    def __init__(self, path: Path, content: dict[str, Any], binary: bytes) -> None:
        self.path, self.content, self.binary = path, content, binary
        self.buffers: dict[int, bytes] = {}
        self.unread = _MAX_VALUES
        self.nodes: list[dict[str, Any]] = list(content.get("nodes", []))
        if len(self.nodes) > MAX_JOINTS:
            raise _BadFile(f"it has {len(self.nodes)} nodes, more than {MAX_JOINTS}")

    def motion(self, options: ReadOptions) -> SourceMotion:
        animations = self.content.get("animations", [])
        if not animations:
            raise _BadFile("it holds no animation")
        channels = [self._channels(animation) for animation in animations[:MAX_JOINTS]]
        lengths = [max((c[1][-1] for c in each), default=0.0) for each in channels]
        names = [str(a.get("name", f"animation {i}")) for i, a in enumerate(animations[:MAX_JOINTS])]
        chosen, take = choose_take(self.path, names, lengths, options.take)
        return self._sampled(channels[chosen], take)

    def _channels(self, animation: dict[str, Any]) -> list[tuple[tuple[int, str], np.ndarray, int, str]]:
        """Node and path, times (K,), accessor of the values and way of interpolation, for each channel."""
        out = []
        for channel in animation["channels"]:
            target = channel["target"]
            if target.get("path") not in ("translation", "rotation", "scale") or "node" not in target:
                continue
            sampler = animation["samplers"][channel["sampler"]]
            times = self._accessor(sampler["input"], 1)[:, 0]
            if len(times) == 0 or (np.diff(times) < 0.0).any() or times[0] < 0.0:
                raise _BadFile("the times of an animation do not rise")
            mode = str(sampler.get("interpolation", "LINEAR"))
            out.append(((int(target["node"]), str(target["path"])), times, int(sampler["output"]), mode))
        return out

    def _sampled(
        self, channels: list[tuple[tuple[int, str], np.ndarray, int, str]], take: str
    ) -> SourceMotion:
        order, parents = self._parents_first()
        intervals = np.concatenate([np.diff(times) for _, times, _, _ in channels] or [np.zeros(0)])
        intervals = intervals[intervals > 1e-4]
        typical = 1.0 / np.median(intervals) if len(intervals) else _SLOWEST
        fps = float(np.clip(typical, _SLOWEST, _FASTEST))
        start = min((float(times[0]) for _, times, _, _ in channels), default=0.0)
        end = max((float(times[-1]) for _, times, _, _ in channels), default=0.0)
        if not end - start < 1e5:
            raise _BadFile("its animation has no sensible length")
        frames = round((end - start) * fps) + 1
        check_size(self.path, frames, len(order), fps)
        times = start + np.arange(frames) / fps
        moving = {}
        for (node, kind), keys, values, mode in channels:
            width = 4 if kind == "rotation" else 3
            moving[node, kind] = _interpolated(kind, mode, keys, self._accessor(values, width), times)
        still = [self._rest(node) for node in order]
        rest = scaled_tree(parents, [(t[None], r[None], s[None]) for t, r, s in still])
        posed = []
        for node, (translation, rotation, scale) in zip(order, still, strict=True):
            posed.append((
                moving.get((node, "translation"), np.tile(translation, (frames, 1))),
                moving.get((node, "rotation"), np.tile(rotation, (frames, 1))),
                moving.get((node, "scale"), np.tile(scale, (frames, 1))),
            ))  # fmt: skip
        positions, rotations = scaled_tree(parents, posed)
        roles = self._roles()
        return SourceMotion(
            kind="VRM animation" if "VRMC_vrm_animation" in self.content.get("extensions", {}) else "glTF",
            take=take,
            fps=fps,
            joints=tuple(str(self.nodes[node].get("name", f"node {node}")) for node in order),
            parents=parents,
            rest_positions=rest[0][0],
            rest_rotations=rest[1][0],
            positions=positions,
            rotations=rotations,
            up="y",
            metres=1.0,
            roles={bone: order.index(node) for bone, node in roles.items() if node in order},
        )

    def _parents_first(self) -> tuple[list[int], tuple[int, ...]]:
        """All nodes, and the place in that order of each one's parent."""
        parent = [-1] * len(self.nodes)
        for i, node in enumerate(self.nodes):
            for child in node.get("children", []):
                if not 0 <= child < len(self.nodes) or parent[child] >= 0:
                    raise _BadFile("a node has two parents, or a child that is not there")
                parent[child] = i
        order = [i for i in range(len(self.nodes)) if parent[i] < 0]
        depth = dict.fromkeys(order, 0)
        for i in order:  # grows as it goes
            if depth[i] > MAX_DEPTH:
                raise _BadFile(f"it has more than {MAX_DEPTH} nodes in a row")
            for child in self.nodes[i].get("children", []):
                depth[child] = depth[i] + 1
                order.append(child)
        place = {node: k for k, node in enumerate(order)}  # nodes in a circle hang from no root
        return order, tuple(place[parent[i]] if parent[i] >= 0 else -1 for i in order)

    def _rest(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Translation, rotation (x y z w) and scale of a node by itself."""
        node = self.nodes[index]
        if "matrix" in node:
            matrix = np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
            scale = np.linalg.norm(matrix[:3, :3], axis=0)
            rotation = Rotation.from_matrix(matrix[:3, :3] / scale).as_quat()
            return _checked(matrix[:3, 3]), _checked(rotation), _checked(scale)
        translation = np.array(node.get("translation", (0.0, 0.0, 0.0)), dtype=np.float64).reshape(3)
        rotation = np.array(node.get("rotation", (0.0, 0.0, 0.0, 1.0)), dtype=np.float64).reshape(4)
        scale = np.array(node.get("scale", (1.0, 1.0, 1.0)), dtype=np.float64).reshape(3)
        return _checked(translation), _unit(rotation), _checked(scale)

    def _roles(self) -> dict[str, int]:
        """HumanBodyBones name -> node, of a VRM file."""
        extensions = self.content.get("extensions", {})
        bones: Any = {}
        for name in ("VRMC_vrm_animation", "VRMC_vrm", "VRM"):
            bones = bones or extensions.get(name, {}).get("humanoid", {}).get("humanBones", {})
        if isinstance(bones, list):  # VRM 0
            bones = {bone["bone"]: bone for bone in bones}
        return {name[0].upper() + name[1:]: int(bone["node"]) for name, bone in bones.items()}

    def _accessor(self, index: int, width: int) -> np.ndarray:
        """(count, width) float64."""
        accessor = self.content["accessors"][index]
        if "sparse" in accessor or "bufferView" not in accessor:
            raise _BadFile("its animation uses sparse accessors, which are not supported")
        view = self.content["bufferViews"][accessor["bufferView"]]
        code, whole = _COMPONENTS[accessor["componentType"]]
        count, item = int(accessor["count"]), np.dtype(code)
        if _WIDTHS[accessor["type"]] != width:
            raise _BadFile(f"an accessor of type {accessor['type']} where {width} numbers are needed")
        size = item.itemsize * width
        stride = int(view.get("byteStride", size))
        start = int(view.get("byteOffset", 0)) + int(accessor.get("byteOffset", 0))
        data = self._buffer(int(view["buffer"]))
        if count < 1 or start < 0 or stride < size or start + (count - 1) * stride + size > len(data):
            raise _BadFile("its animation reaches beyond its buffer, so it is cut off or damaged")
        self.unread -= count * width
        if self.unread < 0:
            raise _BadFile(f"its animations hold more than {_MAX_VALUES} numbers")
        rows = np.ndarray((count, width), item, data, start, (stride, item.itemsize))
        return _checked(np.maximum(rows.astype(np.float64) / whole, -1.0 if whole > 1.0 else -np.inf))

    def _buffer(self, index: int) -> bytes:
        if index not in self.buffers:
            uri = self.content["buffers"][index].get("uri")
            if uri is None:
                self.buffers[index] = self.binary
            elif uri.startswith("data:"):
                try:
                    self.buffers[index] = base64.b64decode(uri.partition(",")[2], validate=True)
                except binascii.Error:
                    raise _BadFile("a buffer is no base64") from None
            else:
                if Path(uri).is_absolute() or ".." in Path(uri).parts or "\0" in uri:
                    raise _BadFile(f"it wants the file {uri[:60]}, which is not beside it")
                self.buffers[index] = read_bytes(self.path.parent / uri)
        return self.buffers[index]


def _checked(values: np.ndarray) -> np.ndarray:
    if not sane(values):
        raise _BadFile("it holds numbers that are not finite, or far too large")
    return values


def _unit(quats: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(_checked(quats), axis=-1, keepdims=True)
    if (norm < 1e-6).any():
        raise _BadFile("it holds rotations of no length")
    unit: np.ndarray = quats / norm
    return unit


def _interpolated(
    kind: str, mode: str, keys: np.ndarray, values: np.ndarray, times: np.ndarray
) -> np.ndarray:
    """``values`` at ``keys`` (K,), read at ``times`` (T,).  -> (T, 3 or 4)"""
    tangents = None
    if mode == "CUBICSPLINE":
        if len(values) != 3 * len(keys):
            raise _BadFile("a spline has another number of values than keys")
        tangents, values = (values[0::3], values[2::3]), values[1::3]
    elif mode not in ("LINEAR", "STEP"):
        raise _BadFile(f"interpolation {mode[:20]} is not known")
    if len(values) != len(keys):
        raise _BadFile("an animation has another number of values than keys")
    keys, kept = np.unique(keys, return_index=True)
    values = _unit(values[kept]) if kind == "rotation" else values[kept]
    clipped = np.clip(times, keys[0], keys[-1])
    if len(keys) == 1:
        return np.repeat(values, len(times), axis=0)
    before = np.clip(np.searchsorted(keys, clipped, side="right") - 1, 0, len(keys) - 2)
    if mode == "STEP":
        last = clipped >= keys[-1]
        return values[np.where(last, len(keys) - 1, before)]
    if tangents is not None:
        span = keys[before + 1] - keys[before]
        t = ((clipped - keys[before]) / span)[:, None]
        leaving, arriving = tangents[1][kept][before], tangents[0][kept][before + 1]
        out = (
            (2 * t**3 - 3 * t**2 + 1) * values[before]
            + (t**3 - 2 * t**2 + t) * span[:, None] * leaving
            + (-2 * t**3 + 3 * t**2) * values[before + 1]
            + (t**3 - t**2) * span[:, None] * arriving
        )
        return _unit(out) if kind == "rotation" else _checked(out)
    if kind == "rotation":
        return np.asarray(Slerp(keys, Rotation.from_quat(values))(clipped).as_quat())
    t = ((clipped - keys[before]) / (keys[before + 1] - keys[before]))[:, None]
    return (1.0 - t) * values[before] + t * values[before + 1]
