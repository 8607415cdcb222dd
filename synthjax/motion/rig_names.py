"""Names of joints in the rigs that motions come on: what is left of a name, and which bone that can be.

A name is cut into words at separators, capitals and digits; a namespace, the words that all names of a rig
begin with, and the side are taken off: "mixamorig:LeftUpLeg" and "upleg_l" are both ("Left", "upleg").
"""

from __future__ import annotations

import re
from collections.abc import Sequence

LEFT, RIGHT = "Left", "Right"
_SIDES = {"left": LEFT, "l": LEFT, "lft": LEFT, "right": RIGHT, "r": RIGHT, "rgt": RIGHT, "rt": RIGHT}
_MIDDLE = {"c", "m", "mid", "center", "centre"}
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
# Words that rigs put before or behind every name.
_PREFIXES = {
    "mixamorig", "character", "bip", "j", "sec", "def", "org", "cc", "base", "valve", "biped", "bind", "b",
    "jnt", "joint", "sk", "bn", "skeleton", "armature", "rig", "hum",
}  # fmt: skip
_SUFFIXES = {"joint", "jnt", "bone", "bind", "jt", "skin"}
_COMMON = 0.8  # share of names that begin with a word which says nothing

# What each place of a limb is called, the more telling names first: "shoulder" is the upper arm of a rig
# only if it has no other, and "foot" hangs from the ankle where there is one.
LEG = (
    ("femur", "upleg", "upperleg", "thigh", "thighbend", "upperlimbleg", "hip", "leg"),
    ("tibia", "lowerleg", "lowleg", "loleg", "knee", "shin", "shinbend", "calf", "leg"),
    ("ankle", "foot"),
)
ARM = (
    ("humerus", "upperarm", "uparm", "upperarmbend", "shldr", "shldrbend", "arm", "shoulder"),
    ("radius", "lowerarm", "lowarm", "loarm", "forearm", "forearmbend", "elbow"),
    ("wrist", "hand"),
)
TOES = ("toes", "toe", "toebase", "toe0", "ball", "foot", "metatarsals")
SHOULDER = ("clavicle", "collar", "shoulder")
HIPS = ("hips", "pelvis", "hip")
ROOTS = ("root", "cog")  # hips if the legs hang from it; else it stands on the floor below them
NECK = ("neck", "lowerneck", "neck1", "neck01", "necklower", "necktwist01", "spine004")
HEAD = ("head", "spine006")

# A name that only this rig has, for the report.
_RIGS = {
    "mixamorig": "Mixamo",
    "jbip": "VRoid",
    "ccbase": "Character Creator",
    "bip001": "3ds Max Biped",
    "bip01": "3ds Max Biped",
    "lfemur": "CMU (ASF)",
    "lhipjoint": "CMU (BVH, FBX)",
    "lthighbend": "Daz Genesis",
    "lthightwist": "Daz Genesis",
    "lshldr": "Daz",
    "lupperarm": "Daz Genesis 9",
    "defthigh": "Rigify",
    "orgthigh": "Rigify",
    "spine001": "Rigify",
    "leftelbow": "SMPL or BioVision",
    "lelbow": "SMPL or BioVision",
    "calfl": "Unreal",
    "leftupperarm": "Unity or VRM",
    "upperarml": "Bandai-Namco",
    "leftupleg": "MotionBuilder",
}


def split_names(names: Sequence[str], bare: bool = False) -> list[tuple[str, str]]:
    """Side ("Left", "Right" or "") and the rest in small letters, for each of ``names``.

    ``bare`` also takes off words like "joint" at their ends; in CMU's rigs that makes a hip of what is none.
    """
    words = [_words(name) for name in names]
    if bare:
        words = [w[:-1] if len(w) > 1 and w[-1] in _SUFFIXES else w for w in words]
    for _ in range(2):  # "J_Bip_L_UpperArm" has two
        first = [w[0] for w in words if len(w) > 1]
        common = {w for w in first if len(first) > 3 and first.count(w) >= _COMMON * len(words)}
        words = [w[1:] if len(w) > 1 and w[0] in common - _SIDES.keys() else w for w in words]
    return [_side(_stripped(w)) for w in words]


def rig_name(names: Sequence[str]) -> str:
    """What kind of rig has such names, as far as that can be told."""
    plain = [re.sub(r"[^a-z0-9]", "", name.lower()) for name in names]
    for sign, rig in _RIGS.items():
        if any(sign in name for name in plain):
            return rig
    return "rig of its own"


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(re.split(r"[:|]", name)[-1])]


def _stripped(words: list[str]) -> list[str]:
    """Without what rigs put before every name; a number may follow it, as in "Bip01"."""
    while len(words) > 1 and (words[0] in _PREFIXES or words[0].isdigit()):
        words = words[1:]
    return words


def _side(words: list[str]) -> tuple[str, str]:
    if len(words) > 1 and words[0] in _MIDDLE:
        return "", "".join(words[1:])
    for at in (0, -1):
        if len(words) > 1 and words[at] in _SIDES:
            return _SIDES[words[at]], "".join(words[1:] if at == 0 else words[:-1])
    core = "".join(words)
    # "lfemur" and "leftcollar": a side without a border, if what follows is the name of a part.
    for mark in ("left", "right", "l", "r"):
        rest = core.removeprefix(mark)
        if rest != core and rest in _PARTS and core not in _PARTS:
            return _SIDES[mark], rest
    return "", core


_PARTS = {name for place in (*LEG, *ARM, TOES, SHOULDER) for name in place}
