"""Bones found among the joint names of the usual rigs, and the human figure that is made of them."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import motion_sources as sources
import numpy as np
import pytest
from motion_sources import FIGURE, NAMES, PARENTS, turn, write
from real_rigs import REAL, real
from rich.console import Console
from scipy.spatial.transform import Rotation

from synthjax.errors import UserError
from synthjax.motion.importers import ReadOptions, read_source
from synthjax.motion.importing import Reading, read_human
from synthjax.motion.rig_file import read_rig_file
from synthjax.motion.rigs import GUESS, WANTED, demand_humanoid, match_rig, rig_table
from synthjax.motion.source import SourceMotion

# Names of the joints of the test's figure: of its trunk, of a limb after its side's mark, and the two marks.
TRUNK = "Hips Spine Chest Neck Head"
LIMBS = "UpperLeg LowerLeg Foot Toes Shoulder UpperArm LowerArm Hand"
RIGS: dict[str, tuple[str, str, tuple[str, str]]] = {
    "Unity": (TRUNK, "{}" + LIMBS.replace(" ", " {}"), ("Left", "Right")),
    "VRM": (TRUNK.lower(), "{}" + LIMBS.replace(" ", " {}"), ("left", "right")),
    "Mixamo": (
        "mixamorig:Hips mixamorig:Spine mixamorig:Spine2 mixamorig:Neck mixamorig:Head",
        "mixamorig:{}UpLeg mixamorig:{}Leg mixamorig:{}Foot mixamorig:{}ToeBase mixamorig:{}Shoulder "
        "mixamorig:{}Arm mixamorig:{}ForeArm mixamorig:{}Hand",
        ("Left", "Right"),
    ),
    "CMU (ASF)": (
        "root lowerback thorax lowerneck head",
        "{}femur {}tibia {}foot {}toes {}clavicle {}humerus {}radius {}wrist",
        ("l", "r"),
    ),
    "SMPL": (
        "pelvis spine1 spine3 neck head",
        "{}_hip {}_knee {}_ankle {}_foot {}_collar {}_shoulder {}_elbow {}_wrist",
        ("left", "right"),
    ),
    "SMPL in capitals": (
        "Pelvis Spine1 Spine3 Neck Head",
        "{}_Hip {}_Knee {}_Ankle {}_Foot {}_Collar {}_Shoulder {}_Elbow {}_Wrist",
        ("L", "R"),
    ),
    "Bandai-Namco": (TRUNK, LIMBS.replace(" ", "_{} ") + "_{}", ("L", "R")),
    "Daz Genesis 8": (
        "pelvis abdomenLower chestUpper neckLower head",
        "{}ThighBend {}Shin {}Foot {}Toe {}Collar {}ShldrBend {}ForearmBend {}Hand",
        ("l", "r"),
    ),
    "Daz Genesis 9": (
        "hip spine1 spine4 neck1 head",
        "{}_thigh {}_shin {}_foot {}_toes {}_shoulder {}_upperarm {}_forearm {}_hand",
        ("l", "r"),
    ),
    "Rigify": (
        "DEF-spine DEF-spine.001 DEF-spine.003 DEF-spine.004 DEF-spine.006",
        "DEF-thigh.{} DEF-shin.{} DEF-foot.{} DEF-toe.{} DEF-shoulder.{} DEF-upper_arm.{} DEF-forearm.{} "
        "DEF-hand.{}",
        ("L", "R"),
    ),
    "Unreal": (
        "pelvis spine_01 spine_03 neck_01 head",
        "thigh_{} calf_{} foot_{} ball_{} clavicle_{} upperarm_{} lowerarm_{} hand_{}",
        ("l", "r"),
    ),
    "3ds Max Biped": (
        "Bip01_Pelvis Bip01_Spine Bip01_Spine1 Bip01_Neck Bip01_Head",
        "Bip01_{}_Thigh Bip01_{}_Calf Bip01_{}_Foot Bip01_{}_Toe0 Bip01_{}_Clavicle Bip01_{}_UpperArm "
        "Bip01_{}_Forearm Bip01_{}_Hand",
        ("L", "R"),
    ),
    "VRoid": (
        "J_Bip_C_Hips J_Bip_C_Spine J_Bip_C_Chest J_Bip_C_Neck J_Bip_C_Head",
        "J_Bip_{}_UpperLeg J_Bip_{}_LowerLeg J_Bip_{}_Foot J_Bip_{}_ToeBase J_Bip_{}_Shoulder "
        "J_Bip_{}_UpperArm J_Bip_{}_LowerArm J_Bip_{}_Hand",
        ("L", "R"),
    ),
    "BioVision": (
        "Hips lowerback Chest2 Neck Head",
        "{}Hip {}Knee {}Ankle {}Toe {}Collar {}Shoulder {}Elbow {}Wrist",
        ("Left", "Right"),
    ),
    "a hero's": (
        "hero_root hero_body1 hero_body2 hero_neck hero_head",
        "hero_thigh_{}_jnt hero_calf_{}_jnt hero_foot_{}_jnt hero_ball_{}_jnt hero_clavicle_{}_jnt "
        "hero_uparm_{}_jnt hero_loarm_{}_jnt hero_hand_{}_jnt",
        ("lft", "rgt"),
    ),
}
RIGS["Mixamo without its colon"] = (
    *(text.replace(":", "") for text in RIGS["Mixamo"][:2]),
    ("Left", "Right"),
)


def renamed(rig: str) -> tuple[str, ...]:
    """The joints of the figure by the names of ``rig``."""
    trunk, limbs, sides = RIGS[rig]
    names = dict(zip(TRUNK.split(), trunk.split(), strict=True))
    for side, mark in zip(("Left", "Right"), sides, strict=True):
        limb = zip(LIMBS.split(), limbs.format(*[mark] * 8).split(), strict=True)
        names |= {f"{side}{bone}": name for bone, name in limb}
    return tuple(names[name] for name in NAMES)


# What the report calls them, where that is not the key above.
LABELS = {
    "Unity": "Unity or VRM", "VRM": "Unity or VRM", "SMPL": "SMPL or BioVision",
    "SMPL in capitals": "SMPL or BioVision", "BioVision": "SMPL or BioVision", "Daz Genesis 8": "Daz Genesis",
    "a hero's": "Unreal", "Mixamo without its colon": "Mixamo",
}  # fmt: skip


@pytest.mark.parametrize("rig", RIGS)
def test_every_joint_of_a_known_rig_is_found(rig: str) -> None:
    names = renamed(rig)
    match = match_rig(names, PARENTS)
    assert match.rig == LABELS.get(rig, rig)
    expected = {"UpperChest" if name == "Chest" else name: i for i, name in enumerate(NAMES)}
    assert match.joints == expected
    demand_humanoid(match, names, "a.bvh")
    guessed = [bone for bone, how in match.how.items() if how == GUESS]
    assert guessed == (["Hips"] if rig == "Rigify" else [])  # where its legs meet, called "spine"


@pytest.mark.parametrize("rig", REAL)
def test_bones_are_found_among_all_that_a_rig_has(rig: str) -> None:
    names, parents, expected = real(rig)
    match = match_rig(names, parents)
    found = {bone: names[joint] for bone, joint in match.joints.items() if not bone.startswith("Right")}
    wanted = zip([bone for bone in WANTED if not bone.startswith("Right")], expected, strict=True)
    assert found == {bone: name for bone, name in wanted if name != "-"}
    mirrored = {f"Left{bone[5:]}" for bone in match.joints if bone.startswith("Right")}
    assert mirrored == {bone for bone in found if bone.startswith("Left")}


def test_helpers_of_a_rig_are_left_alone() -> None:
    """Twist bones, and a hip on each side above the thigh, as in CMU's BVH files."""
    trunk = ("LowerBack", "Spine", "Spine1", "Neck", "Neck1", "Head")
    arms = tuple(
        f"{side}{part}" for side in ("Left", "Right") for part in ("Shoulder", "Arm", "ForeArm", "Hand")
    )
    left = ("LHipJoint", "LeftUpLeg", "LeftUpLegTwist", "LeftLeg", "LeftFoot")
    names = ("Hips", *left, "RHipJoint", "RightUpLeg", "RightLeg", "RightFoot", *trunk, *arms)
    parents = (-1, 0, 1, 2, 2, 4, 0, 6, 7, 8, 0, 10, 11, 12, 13, 14, 12, 16, 17, 18, 12, 20, 21, 22)
    found = {bone: names[joint] for bone, joint in match_rig(names, parents).joints.items()}
    assert found["LeftUpperLeg"] == "LeftUpLeg"
    assert found["LeftLowerLeg"] == "LeftLeg"
    assert [found[bone] for bone in ("Spine", "Chest", "UpperChest", "Neck")] == [
        "LowerBack",
        "Spine",
        "Spine1",
        "Neck",
    ]


def test_a_goal_for_inverse_kinematics_is_no_foot() -> None:
    """Of two joints of one name the one that hangs from the leg is taken."""
    names = (NAMES[0], "LeftFoot", *NAMES[1:])
    parents = (-1, 0, *(parent + (parent > 0) for parent in PARENTS[1:]))
    match = match_rig(names, parents)
    assert match.joints["LeftFoot"] == 1 + NAMES.index("LeftFoot")
    assert match.how["LeftLowerLeg"] == "name"


def test_an_unknown_knee_is_guessed_and_shown_as_such() -> None:
    names = tuple("[/knee]" if name == "LeftLowerLeg" else name for name in NAMES)
    match = match_rig(names, PARENTS)
    assert names[match.joints["LeftLowerLeg"]] == "[/knee]"
    assert match.how["LeftLowerLeg"] == GUESS
    table = rig_table(match, names)
    assert table.row_count == len(WANTED)
    shown = io.StringIO()
    Console(file=shown, width=100).print(table)
    assert "[/knee]" in shown.getvalue()  # a name of the file's is no markup
    rows = {row.split()[1]: row for row in shown.getvalue().splitlines() if len(row.split()) > 5}
    assert GUESS in rows["LeftLowerLeg"]
    assert "place in the trunk" in rows["UpperChest"]
    assert "missing, not needed" in rows["Chest"]


def test_names_do_nothing_to_the_terminal() -> None:
    names = tuple("\x1b[2J\n" + name if name == "LeftLowerLeg" else name for name in NAMES)
    shown = io.StringIO()
    Console(file=shown, width=100).print(rig_table(match_rig(names, PARENTS), names))
    assert "\x1b[2J" not in shown.getvalue()
    with pytest.raises(UserError) as refused:
        demand_humanoid(match_rig(names[:8], PARENTS[:8]), names[:8], "a.bvh")
    assert str(refused.value).isprintable()
    assert "[2J LeftLowerLeg" in str(refused.value)


def test_what_is_no_human_is_refused_with_the_lists() -> None:
    names = ("root", "Hips", "Front_Leg_Upper_L", "Front_Leg_Upper_R", "Tail")
    match = match_rig(names, (-1, 0, 1, 1, 1))
    with pytest.raises(UserError, match=r"Front_Leg_Upper_L.*are .*LeftFoot.*cannot be told.*--rig FILE"):
        demand_humanoid(match, names, "fox.glb")


def test_a_mapping_file_names_what_names_do_not(tmp_path: Path) -> None:
    names = tuple(f"joint{i}" for i in range(len(NAMES)))
    path = write(tmp_path, "walk.bvh", sources.bvh(names))
    with pytest.raises(UserError, match="not on a humanoid rig"):
        read_human(path)
    rows = [f'{bone} = "{names[NAMES.index(bone)]}"' for bone in NAMES if bone not in ("Shoulder", "Spine")]
    file = write(tmp_path, "rig.toml", 'up = "y"\nmetres = 0.01\n[bones]\n' + "\n".join(rows))
    mapped = read_human(path, rig=file).motion
    known = read_human(write(tmp_path, "known.bvh", sources.bvh())).motion
    np.testing.assert_allclose(
        mapped.positions[:, mapped.index("LeftHand")], known.positions[:, known.index("LeftHand")]
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("bones = 3", "must be a table"),
        ("[bones]\nHips = 3", "must be a table"),
        ('[bones]\nHip = "hip"', "Unknown bone"),
        ("upp = 1", "Unknown key"),
        ('up = "w"', "'up'"),
        ("metres = 0", "'metres'"),
        ("metres = nan", "'metres'"),
        ("[", "not a TOML file"),
        ('[bones]\nHips = "hippo"', "Unknown joint"),
        ('[bones]\nHips = "Hips end"', "several joints"),
    ],
)
def test_a_bad_mapping_file_is_refused(content: str, message: str, tmp_path: Path) -> None:
    names = tuple("Hips end" if name in ("Neck", "Head") else name for name in NAMES)
    path = write(tmp_path, "a.bvh", sources.bvh())
    with pytest.raises(UserError, match=message):
        read_rig_file(write(tmp_path, "rig.toml", content)).joints(names)
    with pytest.raises(UserError, match="no mapping file"):
        read_rig_file(path.with_name("none.toml"))


def forwards(reading: Reading) -> None:
    """The figure stands along z, its left is at +y as it looks along +x, its height is in metres."""
    motion = reading.motion
    at = {bone: motion.rest[i] for i, bone in enumerate(motion.bones)}
    np.testing.assert_allclose(at["LeftUpperLeg"], [0.0, 0.09, -0.05], atol=1e-4)
    np.testing.assert_allclose(at["RightToes"], [0.14, -0.09, -0.94], atol=1e-4)
    assert motion.bones[0] == "Hips"
    assert all(parent < i for i, parent in enumerate(motion.parents))
    positions, rotations = sources.world()
    # The file's x (left), y (up), z (ahead) are y, z, x of a figure that looks along x.
    turned = Rotation.from_quat(motion.rotations[:, 0], scalar_first=True)
    swap = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]])
    expected = Rotation.from_matrix(swap @ rotations[:, 0] @ swap.T)
    np.testing.assert_allclose((turned * expected.inv()).as_rotvec(), np.broadcast_to(
        (turned[0] * expected[0].inv()).as_rotvec(), (len(turned), 3)), atol=1e-5)  # fmt: skip
    # Where the floor is, is found from the feet.
    height = motion.positions[:, motion.index("Head"), 2] - positions[:, NAMES.index("Head"), 1]
    np.testing.assert_allclose(height, height[0], atol=1e-4)


@pytest.mark.parametrize("unit", [1.0, 0.01, 0.001, 0.0254])
def test_units_and_the_axis_that_points_up_are_found(unit: float, tmp_path: Path) -> None:
    reading = read_human(write(tmp_path, "a.bvh", sources.bvh(unit=unit)))
    forwards(reading)
    assert reading.facts["up axis"].startswith("y (found")
    assert f"{unit:.4g} m (found" in reading.facts["unit"]


@pytest.mark.parametrize("axis", ["x", "-x", "y", "-y", "z", "-z"])
def test_whatever_axis_points_up_is_found(axis: str, tmp_path: Path) -> None:
    """The figure, which stands along y, turned in a format that does not say what is up."""
    source = read_source(write(tmp_path, "a.bvh", sources.bvh(unit=1.0)), ReadOptions())
    assert isinstance(source, SourceMotion)
    plain, _ = sources.human(source)
    quarter = {"x": ("z", -90.0), "-x": ("z", 90.0), "y": ("y", 30.0), "-y": ("x", 180.0),
               "z": ("x", 90.0), "-z": ("x", -90.0)}[axis]  # fmt: skip
    motion, found = sources.human(turned(source, Rotation.from_matrix(turn(*quarter))))
    assert found.up == f"{axis} (found from the motion)"
    np.testing.assert_allclose(motion.rest, plain.rest, atol=1e-5)
    np.testing.assert_allclose(motion.positions[..., 2], plain.positions[..., 2], atol=1e-3)


def test_the_rest_pose_says_what_is_up_where_the_motion_does_not(tmp_path: Path) -> None:
    """The motion leans along the diagonal of the axes, then a file that says what is up, then a mapping."""
    source = read_source(write(tmp_path, "a.bvh", sources.bvh(unit=1.0)), ReadOptions())
    assert isinstance(source, SourceMotion)
    lean = Rotation.from_rotvec(np.arccos(3**-0.5) * np.array([1.0, 0.0, -1.0]) / 2**0.5)
    np.testing.assert_allclose(lean.apply([0.0, 1.0, 0.0]), 3**-0.5)
    leaning = dataclasses.replace(
        source, positions=turned(source, lean).positions, rotations=turned(source, lean).rotations
    )
    assert sources.human(leaning)[1].up == "y (found from the rest pose)"
    assert sources.human(dataclasses.replace(leaning, up="y"))[1].up == "y (stated)"
    file = write(tmp_path, "rig.toml", 'up = "y"')
    assert read_human(tmp_path / "a.bvh", rig=file).facts["up axis"] == "y (mapping file)"


def turned(source: SourceMotion, turn: Rotation) -> SourceMotion:
    """``source`` in a world that is turned, rest pose and all."""

    def quats(values: np.ndarray) -> np.ndarray:
        rotations = turn * Rotation.from_quat(values.reshape(-1, 4), scalar_first=True)
        return rotations.as_quat(scalar_first=True).reshape(values.shape)

    def points(values: np.ndarray) -> np.ndarray:
        return turn.apply(values.reshape(-1, 3)).reshape(values.shape)

    return dataclasses.replace(
        source,
        rest_positions=points(source.rest_positions),
        rest_rotations=quats(source.rest_rotations),
        positions=points(source.positions),
        rotations=quats(source.rotations),
    )


def test_a_wrong_unit_in_the_file_is_set_right(tmp_path: Path) -> None:
    """Centimetres in a format that has metres."""
    forwards(read_human(write(tmp_path, "a.glb", sources.glb())))
    reading = read_human(write(tmp_path, "b.glb", sources.glb(unit=0.01)))
    forwards(reading)
    assert "the file says 1 m" in reading.facts["unit"]


def test_a_stray_first_frame_is_left_out(tmp_path: Path) -> None:
    """CMU's BVH files begin with a T-pose."""
    lines = sources.bvh().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("Frame Time")) + 1
    pose = " ".join(["0", "95", "0"] + ["0"] * (3 * len(FIGURE)))
    lines[start:start] = [pose]
    text = "\n".join(lines).replace("Frames: 90", "Frames: 91")
    reading = read_human(write(tmp_path, "a.bvh", text))
    assert "first frame" in reading.facts["left out"]
    whole = read_human(write(tmp_path, "b.bvh", sources.bvh()))
    assert "left out" not in whole.facts
    np.testing.assert_allclose(reading.motion.positions, whole.motion.positions, atol=1e-6)


def test_the_neutral_pose_of_feet_and_head_does_not_depend_on_the_rest_pose(tmp_path: Path) -> None:
    """A file whose rest pose has crooked feet and a bowed head gives the same motion."""
    plain = read_human(write(tmp_path, "a.bvh", sources.bvh())).motion
    tilt = {name: turn("z", 15.0) @ turn("x", 20.0) for name in ("LeftFoot", "RightFoot", "Head")}
    other = read_human(write(tmp_path, "b.bvh", sources.bvh(axes=tilt))).motion
    np.testing.assert_allclose(other.positions, plain.positions, atol=1e-5)
    for bone in ("LeftFoot", "RightFoot"):
        a, b = (Rotation.from_quat(m.rotations[:, m.index(bone)], scalar_first=True) for m in (plain, other))
        assert np.degrees((a.inv() * b).magnitude().max()) < 0.5
    i = plain.index("Head")
    up = [Rotation.from_quat(m.rotations[:, i], scalar_first=True).apply([0, 0, 1]) for m in (plain, other)]
    np.testing.assert_allclose(up[1], up[0], atol=1e-4)


def test_a_rest_pose_that_does_not_stand_is_replaced_by_a_frame(tmp_path: Path) -> None:
    """LAFAN1's zero pose lies along one axis."""
    reading = read_human(write(tmp_path, "a.bvh", sources.bvh(axes=dict.fromkeys(NAMES, turn("z", 90.0)))))
    assert "frame" in reading.facts["neutral pose"]
    positions, _ = sources.world()
    motion = reading.motion
    height = motion.positions[:, motion.index("Head"), 2] - motion.positions[:, motion.index("LeftFoot"), 2]
    expected = positions[:, NAMES.index("Head"), 1] - positions[:, NAMES.index("LeftFoot"), 1]
    np.testing.assert_allclose(height, expected, atol=1e-4)
