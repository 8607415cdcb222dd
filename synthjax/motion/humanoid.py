"""From the joints of a file to a human figure: axes, units and neutral pose found, the rest left out."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.spatial.transform import Rotation

from synthjax.errors import UserError
from synthjax.motion.floor import fit_floor
from synthjax.motion.rigs import WANTED, RigMatch
from synthjax.motion.skeleton import SkeletonMotion
from synthjax.motion.source import SourceMotion

_PARENTS = {
    "Hips": "", "Spine": "Hips", "Chest": "Spine", "UpperChest": "Chest", "Neck": "UpperChest",
    "Head": "Neck",
    "UpperLeg": "Hips", "LowerLeg": "UpperLeg", "Foot": "LowerLeg", "Toes": "Foot",
    "Shoulder": "UpperChest", "UpperArm": "Shoulder", "LowerArm": "UpperArm", "Hand": "LowerArm",
}  # fmt: skip
_UNITS = {
    "metres": 1.0, "centimetres": 0.01, "millimetres": 0.001, "inches": 0.0254, "feet": 0.3048,
    "inches x 1/0.45 (CMU)": 0.0254 / 0.45,
}  # fmt: skip
_LEG = 0.85  # m, of a grown-up, from hip to ankle
_UPRIGHT = 0.7  # least cosine between the parts of a standing figure and the vertical
_STRAY_JUMP = 0.15  # rad, mean over the joints, of a frame that does not belong to the motion
_STRAY_RATIO = 8.0  # and so many times the usual step
_STANCE_SPEED = 0.35  # leg lengths a second, slower feet may stand
_STANCE_HEIGHT = 0.04  # leg lengths above the lowest place of the ankle
_LEVEL_FRAMES = 6  # fewer say nothing about what is level
_LEVEL_SPREAD = np.radians(20.0)  # of the normals in them
_LEVEL_TILT = np.radians(45.0)  # largest that a rest pose is wrong by


@dataclasses.dataclass(frozen=True)
class Finding:
    """What was found out about a file, each as a line for people."""

    up: str
    unit: str
    neutral: str
    dropped: str  # empty if all frames were kept
    floor: str


def to_skeleton(
    source: SourceMotion,
    match: RigMatch,
    *,
    name: str,
    origin: str,
    licence: str,
    up: str | None = None,
    metres: float | None = None,
) -> tuple[SkeletonMotion, Finding]:
    """The bones of ``match`` in metres, z up.

    ``up`` and ``metres`` overrule what the file says or what is found.

    Raises:
      UserError: a limb without length, or a figure that stands nowhere in the file.
    """
    bones = tuple(bone for bone in WANTED if bone in match.joints)
    rows = [match.joints[bone] for bone in bones]
    # Only what is needed is turned: files have many times more joints.
    positions, quats = source.positions[:, rows], source.rotations[:, rows]
    rest, rest_quats = source.rest_positions[rows], source.rest_rotations[rows]
    start = _stray_start(quats)
    positions, quats = positions[start:], quats[start:]

    at = {bone: i for i, bone in enumerate(bones)}
    leg = _leg_length(rest, at)
    if not leg > 0.0 or not np.isfinite(leg):
        raise UserError(f"The legs in motion '{name}' have no length: its bones are mapped wrongly.")
    axis, up_words = _find_up(up, source.up, positions, rest, at)
    scale, unit_words = _find_unit(metres, source.metres, leg)
    turn = _to_z_up(axis)
    positions, rest = scale * _apply(turn, positions), scale * turn.apply(rest)
    world = [turn * Rotation.from_quat(quats[:, i], scalar_first=True) for i in range(len(bones))]
    rest_world = turn * Rotation.from_quat(rest_quats, scalar_first=True)

    floor = fit_floor(positions[:, _soles(at)], source.fps, scale * leg)
    positions = floor.levelled(positions)
    world = [floor.turn * rotation for rotation in world]

    neutral = "the file's rest pose"
    if not _stands(rest, at):
        frame = int(np.argmax([_uprightness(p, at) for p in positions]))
        if not _stands(positions[frame], at):
            raise UserError(
                f"Motion '{name}' has neither a frame nor a rest pose in which the figure stands: start it "
                "with a T-pose."
            )
        rest = positions[frame]
        rest_world = Rotation.concatenate([rotation[frame] for rotation in world])
        neutral = f"frame {frame + start}, as the file's rest pose does not stand"
    ahead = _heading(rest, at)
    canonical = [now * then.inv() * ahead for now, then in zip(world, rest_world, strict=True)]
    if not source.roles:  # VRM's neutral pose is part of its standard
        neutral += _recalibrate(canonical, positions, rest, ahead, at, source.fps)
    rotations = np.stack([rotation.as_quat(scalar_first=True) for rotation in canonical], axis=1)
    motion = SkeletonMotion(
        name=name,
        fps=source.fps,
        bones=bones,
        parents=tuple(_parent(bone, at) for bone in bones),
        rest=ahead.inv().apply(rest - rest[at["Hips"]]),
        positions=positions,
        rotations=rotations,
        loop=False,
        source=origin,
        licence=licence,
    )
    dropped = "the first frame, a pose from which the motion jumps" if start else ""
    return motion, Finding(up_words, unit_words, neutral, dropped, floor.words)


def _soles(at: dict[str, int]) -> list[int]:
    """The balls of the feet, or the ankles of a source without toes: points at one height over the floor."""
    toes = [at[f"{side}Toes"] for side in ("Left", "Right") if f"{side}Toes" in at]
    return toes if len(toes) == 2 else [at["LeftFoot"], at["RightFoot"]]


def _parent(bone: str, at: dict[str, int]) -> int:
    side = next((s for s in ("Left", "Right") if bone.startswith(s)), "")
    bone = _PARENTS[bone.removeprefix(side)]
    while bone:
        for name in (f"{side}{bone}", bone):
            if name in at:
                return at[name]
        bone = _PARENTS[bone]
    return -1


def _apply(turn: Rotation, vectors: np.ndarray) -> np.ndarray:
    return turn.apply(vectors.reshape(-1, 3)).reshape(vectors.shape)


def _stray_start(quats: np.ndarray) -> int:
    """1 if the first frame is a pose of its own, as in CMU's BVH files; else 0.  ``quats`` (T, B, 4)."""
    if len(quats) < 4:
        return 0
    some = quats[: min(len(quats), 500)]
    step = 2.0 * np.arccos(np.clip(np.abs((some[1:] * some[:-1]).sum(axis=-1)), 0.0, 1.0)).mean(axis=-1)
    return int(step[0] > _STRAY_JUMP and step[0] > _STRAY_RATIO * np.percentile(step[1:], 95))


def _leg_length(points: np.ndarray, at: dict[str, int]) -> float:
    """Mean of both sides, of ``points`` (B, 3)."""
    pairs = [(f"{s}{a}", f"{s}{b}") for s in ("Left", "Right")
             for a, b in (("UpperLeg", "LowerLeg"), ("LowerLeg", "Foot"))]  # fmt: skip
    return 0.5 * float(sum(np.linalg.norm(points[at[b]] - points[at[a]]) for a, b in pairs))


def _long_axis(points: np.ndarray, at: dict[str, int]) -> np.ndarray:
    """(..., 3) from the feet to the neck."""
    feet = 0.5 * (points[..., at["LeftFoot"], :] + points[..., at["RightFoot"], :])
    axis: np.ndarray = points[..., at["Neck"], :] - feet
    return axis


def _find_up(
    given: str | None, stated: str | None, positions: np.ndarray, rest: np.ndarray, at: dict[str, int]
) -> tuple[str, str]:
    """The axis that points up, "-y" and the like, and where it is known from."""
    if given is not None:
        return given, f"{given} (mapping file)"
    if stated is not None:
        return stated, f"{stated} (stated)"
    clearest, words = "y", "y (assumed)"
    best = 0.0
    for axis, source in ((np.median(_long_axis(positions, at), axis=0), "the motion"),
                         (_long_axis(rest, at), "the rest pose")):  # fmt: skip
        share = np.abs(axis) / max(float(np.linalg.norm(axis)), 1e-12)
        largest = int(share.argmax())
        if share[largest] > max(best, _UPRIGHT):
            best = share[largest] + 0.2  # the rest pose only speaks where the motion does not
            clearest = ("-" if axis[largest] < 0.0 else "") + "xyz"[largest]
            words = f"{clearest} (found from {source})"
    return clearest, words


def _to_z_up(axis: str) -> Rotation:
    vector = np.eye(3)["xyz".index(axis[-1])] * (-1.0 if axis.startswith("-") else 1.0)
    if axis[-1] == "z":
        return Rotation.identity() if vector[2] > 0 else Rotation.from_euler("x", 180, degrees=True)
    return Rotation.from_rotvec(0.5 * np.pi * np.cross(vector, [0.0, 0.0, 1.0]))


def _find_unit(given: float | None, stated: float | None, leg: float) -> tuple[float, str]:
    """Metres in one unit of the file, and where that is known from."""
    metres, words = given or stated, "mapping file" if given else "stated"
    if metres is None or (not given and not _LEG / 3.0 < metres * leg < 3.0 * _LEG):
        wrong = f"; the file says {metres:.4g} m" if metres else ""
        unit, metres = min(_UNITS.items(), key=lambda item: abs(np.log(item[1] * leg / _LEG)))
        if not _LEG / 1.5 < metres * leg < 1.5 * _LEG:
            unit, metres = "of its own", _LEG / leg
        words = f"found from the legs, {unit}{wrong}"
    return metres, f"{metres:.4g} m ({words}); legs of {metres * leg:.2f} m"


def _uprightness(points: np.ndarray, at: dict[str, int]) -> float:
    """Least cosine between the trunk, the thighs or the shanks and the vertical, of ``points`` (B, 3)."""
    parts = [("Hips", "Neck")]
    for side in ("Left", "Right"):
        parts += [(f"{side}LowerLeg", f"{side}UpperLeg"), (f"{side}Foot", f"{side}LowerLeg")]
    along = np.array([points[at[b]] - points[at[a]] for a, b in parts])
    return float((along[:, 2] / np.maximum(np.linalg.norm(along, axis=-1), 1e-12)).min())


def _stands(points: np.ndarray, at: dict[str, int]) -> bool:
    across = points[at["LeftUpperLeg"]] - points[at["RightUpperLeg"]]
    level = np.linalg.norm(across[:2]) > 0.9 * np.linalg.norm(across) > 0.0
    return bool(level) and _uprightness(points, at) > _UPRIGHT


def _heading(rest: np.ndarray, at: dict[str, int]) -> Rotation:
    """Turn about z that carries +x to where the standing figure looks: left is where its left limbs are."""
    left = np.zeros(3)
    for part in ("UpperLeg", "UpperArm"):
        across = rest[at[f"Left{part}"]] - rest[at[f"Right{part}"]]
        left += across / max(float(np.linalg.norm(across)), 1e-12)
    return Rotation.from_euler("z", np.arctan2(-left[0], left[1]))


def _recalibrate(
    canonical: list[Rotation],
    positions: np.ndarray,
    rest: np.ndarray,
    ahead: Rotation,
    at: dict[str, int],
    fps: float,
) -> str:
    """Sets right, in place, what rest poses are careless about: the feet's and the head's neutral pose.

    The same motion with other rest poses becomes the same.  -> what was done, for people
    """
    leg = _leg_length(rest, at)
    for side in ("Left", "Right"):
        i, toes = at[f"{side}Foot"], at.get(f"{side}Toes")
        along = None if toes is None else ahead.inv().apply(rest[toes] - rest[i])
        ball = positions[:, i if toes is None else toes] / leg
        neutral = _neutral_foot(canonical[i], positions[:, i, 2] / leg, ball, along, fps)
        canonical[i] = canonical[i] * neutral
    trunk = positions[:, at["Neck"]] - positions[:, at["Hips"]]
    upright = trunk[:, 2] > _UPRIGHT * np.linalg.norm(trunk, axis=-1)
    if "Head" not in at or not upright.mean() > 0.5:
        return "; soles level while they stand"
    canonical[at["Head"]] = canonical[at["Head"]] * _level(canonical[at["Head"]], upright)
    return "; soles level while they stand, the head at its median"


def _neutral_foot(
    foot: Rotation, ankle: np.ndarray, ball: np.ndarray, along: np.ndarray | None, fps: float
) -> Rotation:
    """How the foot's neutral pose lies in the file's: level while it stands, and the toes ahead.

    In many rest poses, such as those of Acclaim files with their legs apart, it is not.  The foot stands
    while its ``ball`` (T, 3) does, whether or not the ankle moves on over it, and the ``ankle`` (T,) is low,
    both in leg lengths; ``along`` (3,) leads from it to the toes in the foot's axes, if the file has any.
    """
    speed = np.linalg.norm(np.gradient(ball, 1.0 / fps, axis=0), axis=-1)
    height = ankle - np.percentile(ankle, 2)
    level = _level(foot, (speed < _STANCE_SPEED) & (height < _STANCE_HEIGHT))
    if along is None:
        return level
    ahead = level.inv().apply(along)
    return level * Rotation.from_euler("z", np.arctan2(ahead[1], ahead[0]))


def _level(rotation: Rotation, frames: np.ndarray) -> Rotation:
    """The least tilt after which ``rotation`` (T,) is level at the median of the ``frames`` (T,) bool.

    None if these are few, scattered, or too far from level for a badly chosen rest pose.
    """
    if frames.sum() < _LEVEL_FRAMES:
        return Rotation.identity()
    normals = rotation[frames].inv().apply([0.0, 0.0, 1.0])
    mean = np.median(normals, axis=0)
    mean /= max(float(np.linalg.norm(mean)), 1e-12)
    spread = float(np.median(np.arccos(np.clip(normals @ mean, -1.0, 1.0))))
    angle = float(np.arccos(np.clip(mean[2], -1.0, 1.0)))
    if spread > _LEVEL_SPREAD or not 0.0 < angle < _LEVEL_TILT:
        return Rotation.identity()
    axis = np.cross([0.0, 0.0, 1.0], mean)
    return Rotation.from_rotvec(angle * axis / np.linalg.norm(axis))
