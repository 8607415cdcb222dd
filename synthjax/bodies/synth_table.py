"""The Synth humanoid as a table: bones, hinge limits, springs, motor gears and geometry.

The hinge table and the mass rule are those of the Unity project that this body comes from; the
geometry is a 1.73 m figure of primitives that replaces its skinned meshes.  Rest pose: upright,
arms hanging, facing +x, left is +y.  Hinge axes are X = right (flexion), Y = up (twist) and
Z = forward (abduction), nested in that order, so that a bone's rotation is an intrinsic X-Y-Z Euler
triple.
"""

from __future__ import annotations

import dataclasses

DEFAULT_MASS = 55.0  # kg, whole body
AXES = {"X": (0.0, -1.0, 0.0), "Y": (0.0, 0.0, 1.0), "Z": (1.0, 0.0, 0.0)}


@dataclasses.dataclass(frozen=True)
class Hinge:
    """One hinge of a bone: passive spring and damper, and the motor's gear."""

    lower: float  # deg
    upper: float  # deg
    stiffness: float  # N m/rad
    damping: float  # N m s/rad
    gear: float  # N m per unit of control


@dataclasses.dataclass(frozen=True)
class Geom:
    """A primitive in the bone's frame.  Capsules run between two points, boxes and spheres sit at one."""

    kind: str  # "capsule", "box" or "sphere"
    start: tuple[float, float, float]  # m; the centre of a box or sphere
    end: tuple[float, float, float] = (0.0, 0.0, 0.0)  # m; the half sizes of a box
    radius: float = 0.0  # m


@dataclasses.dataclass(frozen=True)
class Bone:
    """A bone of the left side or of the middle; the right side is its mirror image."""

    name: str  # without "Left"
    parent: str
    offset: tuple[float, float, float]  # m, in the parent's frame
    mass_share: float  # part of its subtree's mass that the bone itself keeps
    hinges: tuple[Hinge, Hinge, Hinge] | None  # X, Y, Z; None for the root
    geom: Geom
    kp: float  # N m/rad, position gain of the "pd" preset
    sided: bool = False  # has a left and a right copy


def _hinges(*rows: tuple[float, float, float, float, float]) -> tuple[Hinge, Hinge, Hinge]:
    x, y, z = (Hinge(*row) for row in rows)
    return x, y, z


# Ranges marked (w) are wider than the original's because one of the shipped clips saturates it
# there; docs/clips.md has the figures.
BONES: tuple[Bone, ...] = (
    Bone("Hips", "", (0, 0, 0), 0.278, None, Geom("capsule", (0, -0.05, 0), (0, 0.05, 0), 0.095), 0.0),
    Bone(
        "Spine", "Hips", (0, 0, 0.10), 0.144,
        _hinges((-60, 25, 6, 4, 40), (-15, 15, 6, 4, 30), (-25, 25, 6, 4, 40)),
        Geom("capsule", (0, -0.04, 0.05), (0, 0.04, 0.05), 0.085), 600.0,
    ),
    Bone(
        "Chest", "Spine", (0, 0, 0.11), 0.169,
        _hinges((-20, 10, 8, 5, 35), (-10, 10, 8, 5, 25), (-18, 18, 8, 5, 35)),
        Geom("capsule", (0, -0.05, 0.06), (0, 0.05, 0.06), 0.09), 600.0,
    ),
    Bone(
        "UpperChest", "Chest", (0, 0, 0.12), 0.331,
        _hinges((-20, 15, 10, 5, 25), (-10, 10, 10, 5, 25), (-12, 12, 10, 5, 25)),  # (w)
        Geom("capsule", (0, -0.06, 0.07), (0, 0.06, 0.07), 0.095), 600.0,
    ),
    Bone(
        "Neck", "UpperChest", (0, 0, 0.16), 0.05,
        _hinges((-25, 25, 5, 3, 10), (-40, 40, 5, 3, 10), (-20, 20, 6, 4, 10)),  # (w)
        Geom("capsule", (0, 0, 0.01), (0, 0, 0.08), 0.045), 50.0,
    ),
    Bone(
        "Head", "Neck", (0, 0, 0.09), 0.906,
        _hinges((-25, 25, 8, 5, 10), (-40, 40, 10, 5, 10), (-20, 20, 10, 5, 10)),  # (w)
        Geom("sphere", (0.02, 0, 0.10), radius=0.105), 50.0,
    ),
    Bone(
        "Shoulder", "UpperChest", (0, 0.04, 0.12), 0.130,
        _hinges((-10, 35, 3, 2, 15), (-20, 25, 3, 2, 15), (-10, 10, 5, 3, 15)),
        Geom("capsule", (0, 0.02, 0), (0, 0.12, 0), 0.04), 200.0, sided=True,
    ),
    Bone(
        "UpperArm", "Shoulder", (0, 0.14, 0), 0.313,
        _hinges((-65, 160, 2, 1, 50), (-85, 85, 3, 2, 50), (-60, 135, 1, 0.5, 50)),  # (w)
        Geom("capsule", (0, 0, -0.02), (0, 0, -0.25), 0.045), 200.0, sided=True,
    ),
    Bone(
        "LowerArm", "UpperArm", (0, 0, -0.28), 0.392,
        _hinges((-2, 140, 1, 0.2, 30), (-5, 10, 3, 1, 30), (-25, 5, 4, 3, 30)),
        Geom("capsule", (0, 0, -0.03), (0, 0, -0.22), 0.038), 150.0, sided=True,
    ),
    Bone(
        "Hand", "LowerArm", (0, 0, -0.25), 0.60,
        _hinges((-70, 80, 3, 2, 15), (-30, 20, 3, 2, 15), (-10, 10, 5, 3, 15)),
        Geom("capsule", (0, 0, -0.03), (0, 0, -0.12), 0.033), 50.0, sided=True,
    ),
    Bone(
        "UpperLeg", "Hips", (0, 0.09, -0.04), 0.389,
        _hinges((-30, 145, 3, 1, 120), (-55, 55, 4, 2, 40), (-45, 60, 4, 2, 40)),  # (w)
        Geom("capsule", (0, 0, -0.03), (0, 0, -0.38), 0.065), 300.0, sided=True,
    ),
    Bone(
        "LowerLeg", "UpperLeg", (0, 0, -0.42), 0.789,
        _hinges((-155, 2, 1, 0.2, 80), (-5, 5, 10, 5, 10), (-5, 5, 10, 5, 10)),  # (w)
        Geom("capsule", (0, 0, -0.03), (0, 0, -0.37), 0.048), 300.0, sided=True,
    ),
    Bone(
        "Foot", "LowerLeg", (0, 0, -0.41), 0.50,
        _hinges((-55, 55, 3, 2, 20), (-40, 40, 4, 3, 15), (-35, 35, 5, 3, 10)),  # (w)
        Geom("box", (0.03, 0, -0.05), (0.10, 0.045, 0.03)), 200.0, sided=True,
    ),
    Bone(
        "Toes", "Foot", (0.13, 0, -0.045), 0.90,
        _hinges((-30, 50, 2, 1, 10), (-5, 5, 5, 3, 10), (-5, 5, 5, 3, 10)),
        Geom("box", (0.035, 0, -0.015), (0.035, 0.043, 0.02)), 50.0, sided=True,
    ),
)  # fmt: skip

CHAINS: dict[str, tuple[str, ...]] = {
    "trunk": ("Spine", "Chest", "UpperChest"),
    "left_leg": ("LeftUpperLeg", "LeftLowerLeg", "LeftFoot", "LeftToes"),
    "right_leg": ("RightUpperLeg", "RightLowerLeg", "RightFoot", "RightToes"),
    "left_arm": ("LeftShoulder", "LeftUpperArm", "LeftLowerArm", "LeftHand"),
    "right_arm": ("RightShoulder", "RightUpperArm", "RightLowerArm", "RightHand"),
    "head": ("Neck", "Head"),
}

GROUPS: dict[str, tuple[str, ...]] = {
    "trunk": ("Spine", "Chest"),
    "legs": ("UpperLeg", "LowerLeg", "Foot"),
    "arms": ("Shoulder", "UpperArm", "LowerArm"),
    "head": ("Neck", "Head", "UpperChest"),
    "fine": ("Hand", "Toes"),
}

KEY_BODIES = ("Head", "LeftHand", "RightHand", "LeftFoot", "RightFoot")
FEET = ("LeftFoot", "RightFoot", "LeftToes", "RightToes")
FALL_BODIES = (
    "Hips", "Spine", "Chest", "UpperChest", "Neck", "Head",
    "LeftUpperLeg", "RightUpperLeg", "LeftUpperArm", "RightUpperArm",
)  # fmt: skip

# Leg-leg, foot-foot and arm-torso pairs.  Feet meet each other as capsules ("<bone>_bumper"):
# box-box contacts are slow on every engine and no better here.
SELF_COLLISIONS: tuple[tuple[str, str], ...] = (
    ("LeftUpperLeg", "RightUpperLeg"),
    ("LeftLowerLeg", "RightLowerLeg"),
    ("LeftUpperLeg", "RightLowerLeg"),
    ("LeftLowerLeg", "RightUpperLeg"),
    ("LeftFoot_bumper", "RightFoot_bumper"),
    ("LeftFoot_bumper", "RightLowerLeg"),
    ("LeftLowerLeg", "RightFoot_bumper"),
    *((f"{side}{arm}", torso) for side in ("Left", "Right") for arm in ("LowerArm", "Hand")
      for torso in ("Hips", "Spine", "Chest")),
    *((f"{side}Hand", f"{side}UpperLeg") for side in ("Left", "Right")),
)  # fmt: skip
FOOT_BUMPER = Geom("capsule", (-0.03, 0, -0.045), (0.16, 0, -0.045), 0.035)
