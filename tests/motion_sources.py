"""Small motion files of one figure, written here in every format, for the tests of the importers.

The figure stands along y, looks along z and has its left at x; it walks on the spot, in other poses from
frame to frame.  Rotations are Euler angles in degrees about z, then x, then y of the joint itself.
"""

from __future__ import annotations

import base64
import json
import math
import struct
from pathlib import Path

import numpy as np

from synthjax.bodies import Body
from synthjax.motion.clip import Clip
from synthjax.motion.edit import continued
from synthjax.motion.humanoid import Finding, to_skeleton
from synthjax.motion.kinematics import forward_kinematics
from synthjax.motion.rigs import match_rig
from synthjax.motion.skeleton import SkeletonMotion
from synthjax.motion.source import SourceMotion

# Joint, parent, offset from it in metres.
FIGURE: tuple[tuple[str, str, tuple[float, float, float]], ...] = (
    ("Hips", "", (0.0, 0.0, 0.0)),
    ("Spine", "Hips", (0.0, 0.1, 0.0)), ("Chest", "Spine", (0.0, 0.15, 0.0)),
    ("Neck", "Chest", (0.0, 0.25, 0.0)), ("Head", "Neck", (0.0, 0.1, 0.02)),
    *(
        (f"{side}{name}", f"{side}{parent}" if parent not in ("Hips", "Chest") else parent,
         (sign * x, y, z))
        for side, sign in (("Left", 1.0), ("Right", -1.0))
        for name, parent, (x, y, z) in (
            ("UpperLeg", "Hips", (0.09, -0.05, 0.0)), ("LowerLeg", "UpperLeg", (0.0, -0.42, 0.0)),
            ("Foot", "LowerLeg", (0.0, -0.41, 0.0)), ("Toes", "Foot", (0.0, -0.06, 0.14)),
            ("Shoulder", "Chest", (0.03, 0.2, 0.0)), ("UpperArm", "Shoulder", (0.14, 0.0, 0.0)),
            ("LowerArm", "UpperArm", (0.28, 0.0, 0.0)), ("Hand", "LowerArm", (0.25, 0.0, 0.0)),
        )
    ),
)  # fmt: skip
NAMES = tuple(row[0] for row in FIGURE)
PARENTS = tuple(NAMES.index(row[1]) if row[1] else -1 for row in FIGURE)
OFFSETS = np.array([row[2] for row in FIGURE])
HEIGHT = 0.95  # of the hips
FPS = 30.0


def _phase(frames: int) -> np.ndarray:
    """One cycle between two moments in which the figure stands still."""
    return np.interp(
        np.arange(frames) / (frames - 1), [0.0, 0.3, 0.7, 1.0], [0.0, 0.0, 2.0 * np.pi, 2.0 * np.pi]
    )


def euler(frames: int = 90) -> np.ndarray:
    """(T, J, 3) degrees about z, x and y: legs and arms swing, the figure turns to its left."""
    phase = _phase(frames)
    angles = np.zeros((frames, len(NAMES), 3))
    angles[:, NAMES.index("Hips"), 2] = 20.0 + 5.0 * np.sin(phase)
    angles[:, NAMES.index("Chest"), 0] = 4.0 * np.cos(phase)
    angles[:, NAMES.index("Head"), 2] = 8.0 * np.sin(2.0 * phase)
    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        swing = 25.0 * np.sin(phase) * sign
        angles[:, NAMES.index(f"{side}UpperLeg"), 1] = -swing
        angles[:, NAMES.index(f"{side}LowerLeg"), 1] = 20.0 + 15.0 * np.sin(phase) * sign
        leg = angles[:, [NAMES.index(f"{side}UpperLeg"), NAMES.index(f"{side}LowerLeg")], 1].sum(axis=-1)
        angles[:, NAMES.index(f"{side}Foot"), 1] = 10.0 * np.sin(phase) - leg
        angles[:, NAMES.index(f"{side}UpperArm"), 0] = -70.0 * sign
        angles[:, NAMES.index(f"{side}UpperArm"), 1] = swing
        angles[:, NAMES.index(f"{side}LowerArm"), 2] = -30.0 * sign
    return angles


def root_path(frames: int = 90) -> np.ndarray:
    """(T, 3) m."""
    phase = _phase(frames)
    return np.stack([0.2 + 0.02 * np.sin(phase), HEIGHT + 0.01 * np.cos(2 * phase), 0.01 * phase], axis=-1)


def turn(axis: str, degrees: float) -> np.ndarray:
    """Elementary rotation matrix, written out."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    rows = {
        "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
        "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    }
    return np.array(rows[axis])


def local_matrices(frames: int = 90) -> np.ndarray:
    """(T, J, 3, 3) relative to the parent."""
    return np.array(
        [[turn("z", z) @ turn("x", x) @ turn("y", y) for z, x, y in pose] for pose in euler(frames)]
    )


def world(frames: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Positions (T, J, 3) and rotation matrices (T, J, 3, 3) by hand."""
    local, root = local_matrices(frames), root_path(frames)
    positions, rotations = np.zeros((frames, len(NAMES), 3)), local.copy()
    for j, parent in enumerate(PARENTS):
        if parent < 0:
            positions[:, j] = root
        else:
            rotations[:, j] = rotations[:, parent] @ local[:, j]
            positions[:, j] = positions[:, parent] + rotations[:, parent] @ OFFSETS[j]
    return positions, rotations


def quaternion(matrix: np.ndarray) -> np.ndarray:
    """x y z w of a rotation matrix that is no half turn."""
    w = 0.5 * math.sqrt(max(1e-12, 1.0 + np.trace(matrix)))
    skew = np.array([matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0], matrix[1, 0] - matrix[0, 1]])
    return np.array([*(skew / (4.0 * w)), w])


def zxy(matrix: np.ndarray) -> list[float]:
    """Degrees about z, x and y, in this order, that make up a rotation matrix."""
    z, y = math.atan2(-matrix[0, 1], matrix[1, 1]), math.atan2(-matrix[2, 0], matrix[2, 2])
    return [math.degrees(angle) for angle in (z, math.asin(max(-1.0, min(1.0, matrix[2, 1]))), y)]


def xyz(matrices: np.ndarray) -> np.ndarray:
    """(..., 3) degrees about x, y and z of fixed axes, in this order, that make up rotation matrices."""
    m = matrices
    angles = [np.arctan2(m[..., 2, 1], m[..., 2, 2]), -np.arcsin(m[..., 2, 0])]
    return np.degrees(np.stack([*angles, np.arctan2(m[..., 1, 0], m[..., 0, 0])], axis=-1))


def bvh(
    names: tuple[str, ...] = NAMES,
    unit: float = 0.01,
    frames: int = 90,
    axes: dict[str, np.ndarray] | None = None,
) -> str:
    """The figure in a file whose unit is ``unit`` metres, its joints called ``names``.

    ``axes`` are those of a joint in the axes that it has in FIGURE: with them the file has another rest
    pose, and the same motion.
    """
    own = [(axes or {}).get(name, np.eye(3)) for name in NAMES]
    of_parent = [own[parent] if parent >= 0 else np.eye(3) for parent in PARENTS]
    lines = ["HIERARCHY"]

    def joint(j: int, depth: int) -> None:
        order.append(j)
        pad, children = "\t" * depth, [k for k, parent in enumerate(PARENTS) if parent == j]
        offset = " ".join(f"{value / unit:.6f}" for value in of_parent[j].T @ OFFSETS[j])
        place = "" if depth else "Xposition Yposition Zposition "
        lines.extend(
            [f"{pad}{'JOINT' if depth else 'ROOT'} {names[j]}", f"{pad}{{", f"{pad}\tOFFSET {offset}"]
        )
        lines.append(f"{pad}\tCHANNELS {3 if depth else 6} {place}Zrotation Xrotation Yrotation")
        for child in children:
            joint(child, depth + 1)
        if not children:
            lines.extend([f"{pad}\tEnd Site", f"{pad}\t{{", f"{pad}\t\tOFFSET 0 1 0", f"{pad}\t}}"])
        lines.append(f"{pad}}}")

    order: list[int] = []
    joint(0, 0)
    lines += ["MOTION", f"Frames: {frames}", f"Frame Time: {1.0 / FPS:.8f}"]
    for pose, root in zip(local_matrices(frames), root_path(frames), strict=True):
        angles = [value for j in order for value in zxy(of_parent[j].T @ pose[j] @ own[j])]
        lines.append(" ".join(f"{value:.7f}" for value in (*(root / unit), *angles)))
    return "\n".join(lines) + "\n"


def glb(extensions: dict[str, object] | None = None, unit: float = 1.0, frames: int = 90) -> bytes:
    """The figure as binary glTF, in ``unit`` metres."""
    content, blob = _gltf_parts(extensions, unit, frames)
    text = json.dumps(content).encode()
    text += b" " * (-len(text) % 4)
    body = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(blob), 0x004E4942) + blob
    return b"glTF" + struct.pack("<II", 2, 12 + len(body)) + body


def gltf(frames: int = 90) -> str:
    """The figure as glTF in text, its buffer in it."""
    content, blob = _gltf_parts(None, 1.0, frames)
    uri = "data:application/octet-stream;base64," + base64.b64encode(blob).decode()
    return json.dumps(content | {"buffers": [{"byteLength": len(blob), "uri": uri}]})


def _gltf_parts(
    extensions: dict[str, object] | None, unit: float, frames: int
) -> tuple[dict[str, object], bytes]:
    """The JSON of the figure and its one buffer."""
    blob = b""
    views: list[dict[str, int]] = []
    accessors: list[dict[str, object]] = []

    def store(values: np.ndarray, kind: str) -> int:
        nonlocal blob
        data = values.astype("<f4").tobytes()
        views.append({"buffer": 0, "byteOffset": len(blob), "byteLength": len(data)})
        accessors.append(
            {"bufferView": len(views) - 1, "componentType": 5126, "count": len(values), "type": kind}
        )
        blob += data
        return len(accessors) - 1

    times = store(np.arange(frames) / FPS, "SCALAR")
    local = local_matrices(frames)
    samplers = [{"input": times, "output": store(root_path(frames) / unit, "VEC3")}]
    channels = [{"sampler": 0, "target": {"node": 0, "path": "translation"}}]
    for j in range(len(NAMES)):
        output = store(np.array([quaternion(m) for m in local[:, j]]), "VEC4")
        samplers.append({"input": times, "output": output})
        channels.append({"sampler": len(samplers) - 1, "target": {"node": j, "path": "rotation"}})
    nodes: list[dict[str, object]] = []
    for j, name in enumerate(NAMES):
        children = [k for k, parent in enumerate(PARENTS) if parent == j]
        node: dict[str, object] = {"name": name, "translation": (OFFSETS[j] / unit).tolist()}
        nodes.append(node | ({"children": children} if children else {}))
    content: dict[str, object] = {
        "asset": {"version": "2.0"}, "nodes": nodes, "buffers": [{"byteLength": len(blob)}],
        "bufferViews": views, "accessors": accessors,
        "animations": [{"name": "walk", "samplers": samplers, "channels": channels}],
        "extensions": extensions or {},
    }  # fmt: skip
    return content, blob


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


_SECOND = 46186158000  # of FBX's clock


def fbx(frames: int = 90, up: int = 1) -> str:
    """The figure as FBX in text, in centimetres; rotations are about x, y and z of fixed axes."""
    objects: list[str] = []
    links: list[str] = []

    def curve(number: int, owner: int, channel: str, values: np.ndarray) -> None:
        times = ",".join(str(round(t * _SECOND / FPS)) for t in range(frames))
        keys = ",".join(f"{value:.7f}" for value in values)
        objects.append(
            f'AnimationCurve: {number}, "AnimCurve::", "" {{\n KeyVer: 4008\n'
            f" KeyTime: *{frames} {{\n a: {times}\n }}\n"
            f" KeyValueFloat: *{frames} {{\n a: {keys}\n }}\n KeyAttrFlags: *1 {{\n a: 4\n }}\n"
            f" KeyAttrDataFloat: *4 {{\n a: 0,0,0,0\n }}\n KeyAttrRefCount: *1 {{\n a: {frames}\n }}\n}}"
        )
        links.append(f'C: "OP",{number},{owner}, "d|{channel}"')

    def curves(number: int, model: int, what: str, values: np.ndarray) -> None:
        objects.append(f'AnimationCurveNode: {number}, "AnimCurveNode::{what[4]}", "" {{\n}}')
        links.extend([f'C: "OO",{number},2', f'C: "OP",{number},{model}, "{what}"'])
        for i, channel in enumerate("XYZ"):
            curve(number + 1 + i, number, channel, values[:, i])

    local = local_matrices(frames)
    for j, name in enumerate(NAMES):
        offset = ",".join(str(value) for value in 100.0 * OFFSETS[j])
        objects.append(
            f'Model: {1000 + j}, "Model::{name}", "LimbNode" {{\n Version: 232\n Properties70:  {{\n'
            f'  P: "Lcl Translation", "Lcl Translation", "", "A",{offset}\n }}\n}}'
        )
        links.append(f'C: "OO",{1000 + j},{1000 + PARENTS[j] if PARENTS[j] >= 0 else 0}')
        curves(10000 + 10 * j, 1000 + j, "Lcl Rotation", xyz(local[:, j]))
    curves(9000, 1000, "Lcl Translation", 100.0 * root_path(frames))
    stop = round((frames - 1) * _SECOND / FPS)
    content = "\n".join(objects)
    return (
        "; FBX 7.4.0 project file\n"
        "FBXHeaderExtension:  {\n FBXHeaderVersion: 1003\n FBXVersion: 7400\n}\n"
        "GlobalSettings:  {\n Version: 1000\n Properties70:  {\n"
        f' P: "UpAxis", "int", "Integer", "",{up}\n P: "UpAxisSign", "int", "Integer", "",1\n'
        f' P: "FrontAxis", "int", "Integer", "",{3 - up}\n'
        f' P: "FrontAxisSign", "int", "Integer", "",{3 - 2 * up}\n'
        ' P: "CoordAxis", "int", "Integer", "",0\n P: "CoordAxisSign", "int", "Integer", "",1\n'
        ' P: "UnitScaleFactor", "double", "Number", "",1\n P: "TimeMode", "enum", "", "",6\n }\n}\n'
        f"Objects:  {{\n{content}\n"
        'AnimationStack: 1, "AnimStack::walk", "" {\n Properties70:  {\n'
        '  P: "LocalStart", "KTime", "Time", "",0\n'
        f'  P: "LocalStop", "KTime", "Time", "",{stop}\n }}\n}}\n'
        'AnimationLayer: 2, "AnimLayer::base", "" {\n}\n}\n'
        "Connections:  {\n" + "\n".join([*links, 'C: "OO",2,1']) + "\n}\n"
    )


ANIM_HEAD = "%YAML 1.1\n%TAG !u! tag:unity3d.com,2011:\n--- !u!74 &7400000\nAnimationClip:\n  m_Name: walk\n"
ANIM_TAIL = (
    "  m_FloatCurves: []\n  m_PPtrCurves: []\n  m_SampleRate: {fps:g}\n  m_AnimationClipSettings:\n"
    "    serializedVersion: 2\n    m_StartTime: 0\n    m_StopTime: {end:.7g}\n    m_LoopTime: 1\n"
    "  m_EditorCurves: []\n"
)


def anim_curve(path: str, times: np.ndarray, values: np.ndarray, slopes: str = "0") -> str:
    """One curve as Unity sets it, of ``values`` (T, 3 or 4), lines longer than 80 characters broken."""

    def vector(numbers: list[str]) -> str:
        return (
            "{" + ", ".join(f"{axis}: {number}" for axis, number in zip("xyzw", numbers, strict=False)) + "}"
        )

    def folded(line: str) -> str:
        at = line.rfind(" ", 0, 81) if len(line) > 80 else -1
        return line if at < 0 else f"{line[:at]}\n          {line[at + 1 :]}"

    lines = ["  - curve:", "      serializedVersion: 2", "      m_Curve:"]
    slope, weight = vector([slopes] * values.shape[1]), vector(["0.33333334"] * values.shape[1])
    for time, value in zip(times, values, strict=True):
        lines += ["      - serializedVersion: 3", f"        time: {time:.9g}"]
        lines.append(folded(f"        value: {vector([f'{number:.9g}' for number in value])}"))
        lines += [f"        inSlope: {slope}", f"        outSlope: {slope}", "        tangentMode: 0"]
        lines += ["        weightedMode: 0", f"        inWeight: {weight}", f"        outWeight: {weight}"]
    lines += ["      m_PreInfinity: 2", "      m_PostInfinity: 2", "      m_RotationOrder: 4"]
    return "\n".join([*lines, f"    path: {path}"]) + "\n"


def anim(
    names: tuple[str, ...] = NAMES,
    frames: int = 90,
    euler_angles: bool = False,
    above: str = "Armature/",
    axes: dict[str, np.ndarray] | None = None,
) -> str:
    """The figure as a clip of Unity, whose world is this one in a mirror across x; ``axes`` as in bvh()."""
    times, mirror = np.arange(frames) / FPS, np.diag([-1.0, 1.0, 1.0])
    own = [(axes or {}).get(name, np.eye(3)) for name in NAMES]
    of_parent = [own[parent] if parent >= 0 else np.eye(3) for parent in PARENTS]
    local = mirror @ np.swapaxes(of_parent, -1, -2) @ local_matrices(frames) @ own @ mirror
    curves: dict[str, list[str]] = {"Rotation": [], "CompressedRotation": [], "Euler": [], "Position": []}
    paths: list[str] = []
    for j, parent in enumerate(PARENTS):
        paths.append(above + names[j] if parent < 0 else f"{paths[parent]}/{names[j]}")
        offset = of_parent[j].T @ OFFSETS[j]
        moved = (root_path(frames) if parent < 0 else np.tile(offset, (frames, 1))) @ mirror
        curves["Position"].append(anim_curve(paths[j], times, moved))
        if euler_angles:  # Unity turns about z, then x, then y, which stay where they are
            angles = np.array([[-angle for angle in zxy(m.T)] for m in local[:, j]])[:, [1, 2, 0]]
            curves["Euler"].append(anim_curve(paths[j], times, angles))
        else:
            curves["Rotation"].append(
                anim_curve(paths[j], times, np.array([quaternion(m) for m in local[:, j]]))
            )
    content = ANIM_HEAD
    for kind, parts in curves.items():
        content += f"  m_{kind}Curves:{'' if parts else ' []'}\n" + "".join(parts)
    return content + "  m_ScaleCurves: []\n" + ANIM_TAIL.format(fps=FPS, end=times[-1])


def of_clip(clip: Clip, body: Body, frames: int) -> SourceMotion:
    """The joints of ``body`` in the first ``frames`` of ``clip``, z up, as a file would hold them."""
    _, qpos = continued(clip, 0, frames)
    world = forward_kinematics(body.model, qpos, np.zeros((len(qpos), body.model.nv)))
    rest = forward_kinematics(body.model, body.model.qpos0[None], np.zeros((1, body.model.nv)))
    rows = [body.body_names.index(name) for name in body.bones.values()]
    parents = [int(body.model.body_parentid[row]) for row in rows]
    return SourceMotion(
        kind="test", take="", fps=clip.fps, joints=tuple(body.bones),
        parents=tuple(rows.index(parent) if parent in rows else -1 for parent in parents),
        rest_positions=rest.xpos[0, rows], rest_rotations=rest.xquat[0, rows],
        positions=world.xpos[:, rows], rotations=world.xquat[:, rows],
        up="z", metres=1.0, roles={},
    )  # fmt: skip


def human(source: SourceMotion) -> tuple[SkeletonMotion, Finding]:
    match = match_rig(source.joints, source.parents, source.roles, {})
    return to_skeleton(source, match, name="test", origin="test", licence="none")
