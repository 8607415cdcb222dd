"""Which joint of a file is which bone of a human: by the file's own word, by names, and by the tree."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence

from rich.table import Table
from rich.text import Text

from synthjax.errors import UserError, printable
from synthjax.motion import rig_names
from synthjax.motion.rig_names import LEFT, RIGHT

# Without these nothing can be retargeted; parents before children.
NEEDED = (
    "Hips", "Neck",
    *(f"{side}{bone}" for side in (LEFT, RIGHT) for bone in (
        "UpperLeg", "LowerLeg", "Foot", "UpperArm", "LowerArm", "Hand")),
)  # fmt: skip
WANTED = (
    "Hips", "Spine", "Chest", "UpperChest", "Neck", "Head",
    *(f"{side}{bone}" for side in (LEFT, RIGHT) for bone in (
        "UpperLeg", "LowerLeg", "Foot", "Toes", "Shoulder", "UpperArm", "LowerArm", "Hand")),
)  # fmt: skip
GUESS = "guessed from the tree"
_SHOWN, _LONGEST = 40, 60  # names in an error, and characters of a name

_Add = Callable[[str, int | None, str], None]  # bone, joint, how it was found


@dataclasses.dataclass(frozen=True)
class RigMatch:
    """The joint (its index) of each bone that was found, and how."""

    rig: str  # kind of rig, for people
    joints: Mapping[str, int]
    how: Mapping[str, str]  # "the file says so", "mapping file", "name", "place in the trunk" or GUESS


class _Tree:
    """The joints of a file, asked about who hangs from whom."""

    def __init__(self, names: Sequence[str], parents: Sequence[int]) -> None:
        self.parents = parents
        self.splits = (rig_names.split_names(names), rig_names.split_names(names, bare=True))

    def path(self, joint: int) -> list[int]:
        """From the root to ``joint``, both included."""
        out = [joint]
        while self.parents[out[-1]] >= 0:
            out.append(self.parents[out[-1]])
        return out[::-1]

    def below(self, joint: int, above: int) -> bool:
        return joint != above and above in self.path(joint)

    def common(self, *joints: int) -> int | None:
        """The deepest joint from which all of ``joints`` hang, if they are in one tree."""
        levels = itertools.takewhile(
            lambda level: len(set(level)) == 1,
            zip(*(self.path(joint)[:-1] for joint in joints), strict=False),
        )
        return next((level[0] for level in reversed(list(levels))), None)

    def named(self, side: str, name: str) -> list[int]:
        found = ([j for j, split in enumerate(splits) if split == (side, name)] for splits in self.splits)
        return next(filter(None, found), [])


def match_rig(
    names: Sequence[str],
    parents: Sequence[int],
    roles: Mapping[str, int] | None = None,
    chosen: Mapping[str, int] | None = None,
) -> RigMatch:
    """The bones of a human among joints; whatever is ``chosen`` or has ``roles`` is not looked for.

    Bones that are not found are left out: :func:`demand_humanoid` says whether those matter.
    """
    tree = _Tree(names, parents)
    chosen = dict(chosen or {})
    roles = {bone: joint for bone, joint in (roles or {}).items() if bone in WANTED and bone not in chosen}
    found = {**roles, **chosen}
    how = {**dict.fromkeys(roles, "the file says so"), **dict.fromkeys(chosen, "mapping file")}
    if roles:
        # A file that names its bones names all that it has.
        rig = "VRM humanoid"
    else:
        rig = rig_names.rig_name(names)
        for bone, joint, word in _search(tree, found):
            found[bone], how[bone] = joint, word
    return RigMatch(
        rig,
        {bone: found[bone] for bone in WANTED if bone in found},
        {bone: how[bone] for bone in WANTED if bone in how},
    )


def _search(tree: _Tree, given: Mapping[str, int]) -> list[tuple[str, int, str]]:
    found = dict(given)
    out: list[tuple[str, int, str]] = []

    def add(bone: str, joint: int | None, word: str) -> None:
        if joint is not None and bone not in found:
            found[bone] = joint
            out.append((bone, joint, word))

    for side in (LEFT, RIGHT):
        for bones, places in (
            (("UpperLeg", "LowerLeg", "Foot"), rig_names.LEG),
            (("UpperArm", "LowerArm", "Hand"), rig_names.ARM),
        ):
            limb = tuple(f"{side}{bone}" for bone in bones)
            for bone, joint, word in _limb(tree, side, limb, places, found):
                add(bone, joint, word)
        add(f"{side}Toes", _first(tree, side, rig_names.TOES, below=found.get(f"{side}Foot")), "name")
        if (arm := found.get(f"{side}UpperArm")) is not None:
            above = tree.path(arm)[:-1]
            shoulder = next((j for n in rig_names.SHOULDER for j in tree.named(side, n) if j in above), None)
            add(f"{side}Shoulder", shoulder, "name")
    _trunk(tree, found, add)
    return out


def _limb(
    tree: _Tree,
    side: str,
    bones: tuple[str, ...],
    places: Sequence[Sequence[str]],
    found: Mapping[str, int],
) -> list[tuple[str, int, str]]:
    """The first names of the three places that hang from one another; else two and what is between."""
    options = [
        [found[bone]] if bone in found else [j for name in names for j in tree.named(side, name)]
        for bone, names in zip(bones, places, strict=True)
    ]
    for joints in itertools.product(*options):
        if tree.below(joints[1], joints[0]) and tree.below(joints[2], joints[1]):
            return [(bone, joint, "name") for bone, joint in zip(bones, joints, strict=True)]
    for upper, end in itertools.product(options[0], options[2]):
        between = tree.path(end)[:-1]
        if upper in between and len(inner := between[between.index(upper) + 1 :]) == 1:
            return list(zip(bones, (upper, inner[0], end), ("name", GUESS, "name"), strict=True))
    return [
        (bone, joints[0], "name") for bone, joints in zip(bones, options, strict=True) if len(joints) == 1
    ]


def _first(tree: _Tree, side: str, names: Sequence[str], below: int | None) -> int | None:
    if below is None:
        return None
    return next((j for n in names for j in tree.named(side, n) if tree.below(j, below)), None)


def _trunk(tree: _Tree, found: dict[str, int], add: _Add) -> None:
    """Hips, spine, neck and head from where the limbs meet: every rig calls its spine otherwise."""
    legs = [found[b] for b in ("LeftUpperLeg", "RightUpperLeg") if b in found]
    arms = [found[b] for b in ("LeftUpperArm", "RightUpperArm") if b in found]
    if len(legs) < 2 or len(arms) < 2:
        return
    pelvis, chest = tree.common(*legs), tree.common(*arms)
    if pelvis is None or chest is None:
        return
    named = [j for n in rig_names.HIPS for j in tree.named("", n) if all(tree.below(leg, j) for leg in legs)]
    named += [j for n in rig_names.ROOTS for j in tree.named("", n) if j == pelvis]
    deepest = max(named, key=lambda j: len(tree.path(j)), default=None)
    add("Hips", *((pelvis, GUESS) if deepest is None else (deepest, "name")))
    trunk = tree.path(chest)
    spine = [j for j in trunk[1:] if j not in tree.path(found["Hips"])]
    bones = {1: ("UpperChest",), 2: ("Spine", "UpperChest")}.get(len(spine), ("Spine", "Chest", "UpperChest"))
    places = (spine[0], spine[(len(spine) - 1) // 2], spine[-1]) if len(spine) > 2 else tuple(spine)
    for bone, joint in zip(bones, places, strict=False):
        add(bone, joint, "place in the trunk")
    heads = [j for n in rig_names.HEAD for j in tree.named("", n)]
    head = min((j for j in heads if tree.below(j, chest)), key=lambda j: len(tree.path(j)), default=None)
    necks = [j for n in rig_names.NECK for j in tree.named("", n) if tree.below(j, chest)]
    neck = min(necks, key=lambda j: len(tree.path(j)), default=None)
    if neck is None and head is not None:
        way = tree.path(head)
        add("Neck", way[way.index(chest) + 1], GUESS)
    add("Neck", neck, "name")
    add("Head", head, "name")


def demand_humanoid(match: RigMatch, names: Sequence[str], file: str) -> None:
    """Raises :class:`UserError` with what is missing and the joints that there are."""
    missing = [bone for bone in NEEDED if bone not in match.joints]
    if not missing:
        return
    shown = ", ".join(name[:_LONGEST] for name in names[:_SHOWN]) + (
        f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    )
    raise UserError(
        f"'{file}' is not on a humanoid rig that is known: which of its joints ({shown}) "
        f"{'is' if len(missing) == 1 else 'are'} {', '.join(missing)} cannot be told; if it is a human, say "
        "it with --rig FILE."
    )


def rig_table(match: RigMatch, names: Sequence[str]) -> Table:
    """Bone, joint and how it was found, and which of the wanted ones are missing."""
    table = Table(title=f"Rig: {match.rig}", title_justify="left")
    for column in ("bone", "joint", "found by"):
        table.add_column(column)
    for bone in WANTED:
        if bone in match.joints:
            # No markup, whatever a file calls its joints.
            name = Text(printable(names[match.joints[bone]][:_LONGEST]))
            guessed = match.how[bone] == GUESS
            table.add_row(bone, name, match.how[bone], style="yellow" if guessed else None)
        else:
            table.add_row(bone, "-", "missing, not needed", style="dim")
    return table
