"""Joint centres and segment axes from markers on the skin: those of Vicon's Plug-in Gait, and CMU's.

Hips: Harrington et al. 2007, "Prediction of the hip joint centre in adults, children, and patients with
cerebral palsy based on magnetic resonance imaging", J. Biomech. 40, from the width and depth of the pelvis.
Knees and ankles: the chord function of Kadaba et al. 1990, "Measurement of lower extremity kinematics during
level walking", J. Orthop. Res. 8.  Shoulders: Rab et al. 2002, "A method for determination of upper extremity
kinematics", Gait & Posture 15.  Elbows: beside the plane of the arm, as in Plug-in Gait.  The subject's own
widths are not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from synthjax.errors import UserError
from synthjax.motion.source import SourceMotion

Markers = Mapping[str, np.ndarray]  # name -> (T, 3) m
# Joint centres (T, 3), and axes (T, 3, 3) of the segments below them: columns ahead, to the left, up.
_Segments = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]

_SIDES = (("L", "Left", 1.0), ("R", "Right", -1.0))
# Marker -> its names; on CMU's waist and shins they have others.
ALIASES: dict[str, tuple[str, ...]] = {
    "C7": ("C7",), "T10": ("T10",), "CLAV": ("CLAV",), "STRN": ("STRN",), "SACR": ("SACR",),
    **{
        f"{s}{marker}": (f"{s}{marker}", *(f"{s}{other}" for other in others))
        for s, _, _ in _SIDES
        for marker, others in {
            "ASI": ("FWT",), "PSI": ("BWT",), "THI": (), "KNE": (), "TIB": ("SHN",), "ANK": (), "HEE": (),
            "TOE": (), "SHO": (), "ELB": (), "WRA": (), "WRB": (), "FHD": (), "BHD": (),
        }.items()
    },
}  # fmt: skip
_BACK, _HEAD = {"LPSI", "RPSI"}, {"LFHD", "RFHD", "LBHD", "RBHD"}
HELPFUL = {"LTHI", "RTHI", "LTIB", "RTIB"} | _HEAD
OPTIONAL = HELPFUL | {"SACR"} | _BACK
# Half the width of a grown-up's joint and the radius of a marker, m.
_KNEE, _ANKLE, _ELBOW = 0.057, 0.042, 0.047
_BAND = 0.09  # m, from the joint of the head up to the middle of the markers on it
_SHOULDER = 0.17  # of the distance between the shoulders, below the marker on them
_LEG = (("UpperLeg", "Hips"), ("LowerLeg", "UpperLeg"), ("Foot", "LowerLeg"), ("Toes", "Foot"))
_ARM = (("UpperArm", "Chest"), ("LowerArm", "UpperArm"), ("Hand", "LowerArm"))
_PARENTS = {
    "Hips": "", "Chest": "Hips", "Neck": "Chest", "Head": "Neck",
    **{
        f"{side}{bone}": parent if parent in ("Hips", "Chest") else f"{side}{parent}"
        for _, side, _ in _SIDES
        for bone, parent in (*_LEG, *_ARM)
    },
}  # fmt: skip


def joints_of(path: Path, markers: Markers, fps: float) -> SourceMotion:
    """The figure under ``markers``, under the names of HumanBodyBones.

    Its rest pose is the frame in which it is straightest.

    Raises:
      UserError: markers that lie on one another, or none at the back of the pelvis.
    """
    if "SACR" not in markers and not markers.keys() >= _BACK:
        raise UserError(f"'{path}' lacks the markers LPSI and RPSI, or SACR, at the back of the pelvis.")
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [_pelvis_and_legs(markers), _thorax_and_arms(markers)]
        if markers.keys() >= _HEAD:
            parts.append(_head(markers))
        points = {joint: at for part, _ in parts for joint, at in part.items()}
        axes = {joint: frames for _, part in parts for joint, frames in part.items()}
        if not all(np.isfinite(values).all() for part in (points, axes) for values in part.values()):
            raise UserError(f"'{path}' has markers that lie on one another, or in one line: export it again.")
        straight = _straightest(points)
        trunk = points["Neck"] - points["Hips"]
        body = _frames(trunk, points["LeftUpperArm"] - points["RightUpperArm"])[straight]
    for joint in ("Hips", "Chest", "Neck"):
        axes[joint] = _untilted(axes[joint], trunk, straight)
    unneeded = {"SACR"} if markers.keys() >= _BACK else _BACK
    absent = [marker for marker in ALIASES if marker in OPTIONAL - unneeded - markers.keys()]
    joints = [joint for joint in _PARENTS if joint in points]
    positions = np.stack([points[joint] for joint in joints], axis=1)
    rotations = np.stack([_quaternions(axes[joint]) for joint in joints], axis=1)
    rest = rotations[straight].copy()
    # The trunk's and the head's axes say themselves how these are turned; limbs only ever point.
    rest[[joint in ("Hips", "Chest", "Neck", "Head") for joint in joints]] = _quaternions(body)
    return SourceMotion(
        kind="C3D, markers of Plug-in Gait" + (f" but for {', '.join(absent)}" if absent else ""),
        take="",
        fps=fps,
        joints=tuple(joints),
        parents=tuple(joints.index(_PARENTS[joint]) if _PARENTS[joint] else -1 for joint in joints),
        rest_positions=positions[straight],
        rest_rotations=rest,
        positions=positions,
        rotations=rotations,
        up=None,  # what files say of their screen is often not so
        metres=1.0,
        roles={},
    )


def _quaternions(axes: np.ndarray) -> np.ndarray:
    return np.asarray(Rotation.from_matrix(axes).as_quat(scalar_first=True))


def _pelvis_and_legs(m: Markers) -> _Segments:
    front = 0.5 * (m["LASI"] + m["RASI"])
    back = 0.5 * (m["LPSI"] + m["RPSI"]) if m.keys() >= _BACK else m["SACR"]
    across = m["LASI"] - m["RASI"]
    pelvis = _frames(np.cross(front - back, across), across)
    width, depth = (float(np.median(np.linalg.norm(v, axis=-1))) for v in (across, front - back))
    points: dict[str, np.ndarray] = {}
    axes = {"Hips": pelvis}
    for s, side, sign in _SIDES:
        place = [-0.24 * depth - 0.0099, sign * (0.33 * width + 0.0073), -0.30 * width - 0.0109]
        hip = front + pelvis @ place
        thigh = m[f"{s}THI"] - hip if f"{s}THI" in m else sign * pelvis[..., 1]
        knee = _chord(hip, m[f"{s}KNE"], thigh, _KNEE)
        shank = m[f"{s}TIB"] - knee if f"{s}TIB" in m else m[f"{s}KNE"] - knee
        ankle = _chord(knee, m[f"{s}ANK"], shank, _ANKLE)
        points |= {f"{side}UpperLeg": hip, f"{side}LowerLeg": knee, f"{side}Foot": ankle}
        points[f"{side}Toes"] = m[f"{s}TOE"]
        left = sign * (m[f"{s}ANK"] - ankle)
        axes[f"{side}UpperLeg"] = _frames(hip - knee, sign * (m[f"{s}KNE"] - knee))
        axes[f"{side}LowerLeg"] = _frames(knee - ankle, left)
        axes[f"{side}Foot"] = _frames(np.cross(m[f"{s}TOE"] - m[f"{s}HEE"], left), left)
        axes[f"{side}Toes"] = axes[f"{side}Foot"]
    points["Hips"] = 0.5 * (points["LeftUpperLeg"] + points["RightUpperLeg"])
    return points, axes


def _thorax_and_arms(m: Markers) -> _Segments:
    neck, chest = 0.5 * (m["CLAV"] + m["C7"]), 0.5 * (m["STRN"] + m["T10"])
    ahead = m["CLAV"] + m["STRN"] - m["C7"] - m["T10"]
    thorax = _frames(neck - chest, np.cross(neck - chest, ahead))
    points, axes = {"Chest": chest, "Neck": neck}, {"Chest": thorax, "Neck": thorax}
    drop = _SHOULDER * float(np.median(np.linalg.norm(m["LSHO"] - m["RSHO"], axis=-1)))
    for s, side, sign in _SIDES:
        shoulder = m[f"{s}SHO"] - drop * thorax[..., 2]
        wrist = 0.5 * (m[f"{s}WRA"] + m[f"{s}WRB"])
        elbow = _elbow(shoulder, m[f"{s}ELB"], wrist, sign)
        points |= {f"{side}UpperArm": shoulder, f"{side}LowerArm": elbow, f"{side}Hand": wrist}
        left = sign * (m[f"{s}ELB"] - elbow)
        axes[f"{side}UpperArm"] = _frames(shoulder - elbow, left)
        axes[f"{side}LowerArm"] = axes[f"{side}Hand"] = _frames(elbow - wrist, left)
    return points, axes


def _head(m: Markers) -> _Segments:
    across = m["LFHD"] + m["LBHD"] - m["RFHD"] - m["RBHD"]
    face = m["LFHD"] + m["RFHD"] - m["LBHD"] - m["RBHD"]
    head = _frames(np.cross(face, across), across)
    middle = 0.25 * (m["LFHD"] + m["LBHD"] + m["RFHD"] + m["RBHD"])
    return {"Head": middle - _BAND * head[..., 2]}, {"Head": head}


def _unit(vectors: np.ndarray) -> np.ndarray:
    out: np.ndarray = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return out


def _across(vectors: np.ndarray, line: np.ndarray) -> np.ndarray:
    """What of ``vectors`` (T, 3) is at right angles to ``line`` (T, 3), of length 1."""
    out: np.ndarray = vectors - (vectors * line).sum(axis=-1, keepdims=True) * line
    return out


def _frames(up: np.ndarray, left: np.ndarray) -> np.ndarray:
    """(T, 3, 3) axes as columns: the third along ``up``, the second as near to ``left`` as can be."""
    z = _unit(up)
    y = _unit(_across(left, z))
    return np.stack([np.cross(y, z), y, z], axis=-1)


def _chord(above: np.ndarray, marker: np.ndarray, outwards: np.ndarray, width: float) -> np.ndarray:
    """The joint (T, 3) under ``marker``, ``width`` from it and at a right angle to the joint ``above``.

    It lies in the plane of ``above``, ``marker`` and ``outwards``, away from the latter, a direction.
    """
    length = np.linalg.norm(marker - above, axis=-1, keepdims=True)
    along = _unit(marker - above)
    cosine = np.minimum(width / length, 1.0)
    side = np.sqrt(1.0 - cosine**2) * _unit(_across(outwards, along))
    out: np.ndarray = marker - width * (side + cosine * along)
    return out


def _elbow(shoulder: np.ndarray, marker: np.ndarray, wrist: np.ndarray, sign: float) -> np.ndarray:
    """The joint (T, 3) under ``marker``, which is across the plane of the arm from it.

    Of the two planes through shoulder and wrist that are so far from the marker, that in which the elbow is
    behind; for a straight arm they are one.
    """
    line = _unit(wrist - shoulder)
    off = _across(marker - shoulder, line)
    cosine = np.minimum(_ELBOW / np.linalg.norm(off, axis=-1, keepdims=True), 1.0)
    off = _unit(off)
    side = cosine * off + sign * np.sqrt(1.0 - cosine**2) * np.cross(line, off)
    out: np.ndarray = marker - _ELBOW * side
    return out


def _straightest(points: Mapping[str, np.ndarray]) -> int:
    """The frame in which trunk, thighs and shanks are most in one line."""
    trunk = _unit(points["Neck"] - points["Hips"])
    bones = [
        _unit(points[f"{side}{upper}"] - points[f"{side}{lower}"])
        for _, side, _ in _SIDES
        for upper, lower in (("UpperLeg", "LowerLeg"), ("LowerLeg", "Foot"))
    ]
    return int(np.min([(trunk * bone).sum(axis=-1) for bone in bones], axis=0).argmax())


def _untilted(frames: np.ndarray, trunk: np.ndarray, straight: int) -> np.ndarray:
    """``frames`` (T, 3, 3) without the tilt ahead that markers show on a straight body."""
    along = frames[straight].T @ trunk[straight]
    tilt = Rotation.from_euler("y", np.arctan2(along[0], along[2]))
    out: np.ndarray = frames @ tilt.as_matrix()
    return out
