"""Joints as they hang in the rigs that people use, with all their helpers."""

from __future__ import annotations

import itertools

# Chains of the trunk, of a limb after its side's mark, the two marks, and what is found of trunk and left
# side: hips, three of the spine, neck, head, four of the leg, four of the arm.
REAL: dict[str, tuple[str, str, tuple[str, str], str]] = {
    "Rigify": (
        "rig>root>MCH-torso.parent>ORG-spine>DEF-spine>DEF-spine.001>DEF-spine.002>DEF-spine.003 "
        "DEF-spine.003>DEF-spine.004>DEF-spine.005>DEF-spine.006",
        "DEF-spine>DEF-pelvis.{0} DEF-spine>DEF-thigh.{0}>DEF-thigh.{0}.001>DEF-shin.{0}>DEF-shin.{0}.001 "
        "DEF-shin.{0}.001>DEF-foot.{0}>DEF-toe.{0} DEF-spine.003>DEF-shoulder.{0}>DEF-upper_arm.{0} "
        "DEF-upper_arm.{0}>DEF-upper_arm.{0}.001>DEF-forearm.{0}>DEF-forearm.{0}.001>DEF-hand.{0} "
        "DEF-hand.{0}>DEF-thumb.01.{0}",
        ("L", "R"),
        "DEF-spine DEF-spine.001 DEF-spine.002 DEF-spine.003 DEF-spine.004 DEF-spine.006 "
        "DEF-thigh.L DEF-shin.L DEF-foot.L DEF-toe.L "
        "DEF-shoulder.L DEF-upper_arm.L DEF-forearm.L DEF-hand.L",
    ),
    "Rigify's metarig": (
        "metarig>spine>spine.001>spine.002>spine.003>spine.004>spine.005>spine.006>face",
        "spine>pelvis.{0} spine>thigh.{0}>shin.{0}>foot.{0}>toe.{0} foot.{0}>heel.02.{0} "
        "spine.003>shoulder.{0}>upper_arm.{0}>forearm.{0}>hand.{0}>palm.01.{0} spine.003>breast.{0}",
        ("L", "R"),
        "spine spine.001 spine.002 spine.003 spine.004 spine.006 thigh.L shin.L foot.L toe.L "
        "shoulder.L upper_arm.L forearm.L hand.L",
    ),
    "Daz Genesis 8": (
        "Genesis8Male>hip>abdomenLower>abdomenUpper>chestLower>chestUpper>neckLower>neckUpper>head "
        "hip>pelvis",
        "pelvis>{0}ThighBend>{0}ThighTwist>{0}Shin>{0}Foot>{0}Metatarsals>{0}Toe>{0}BigToe "
        "chestLower>{0}Pectoral chestUpper>{0}Collar>{0}ShldrBend>{0}ShldrTwist>{0}ForearmBend "
        "{0}ForearmBend>{0}ForearmTwist>{0}Hand>{0}Thumb1",
        ("l", "r"),
        "pelvis abdomenLower abdomenUpper chestUpper neckLower head lThighBend lShin lFoot lToe "
        "lCollar lShldrBend lForearmBend lHand",
    ),
    "CMU (ASF)": (
        "root>lowerback>upperback>thorax>lowerneck>upperneck>head",
        "root>{0}hipjoint>{0}femur>{0}tibia>{0}foot>{0}toes "
        "thorax>{0}clavicle>{0}humerus>{0}radius>{0}wrist>{0}hand>{0}fingers {0}hand>{0}thumb",
        ("l", "r"),
        "root lowerback upperback thorax lowerneck head lfemur ltibia lfoot ltoes "
        "lclavicle lhumerus lradius lwrist",
    ),
    "Mixamo": (
        "Armature>mixamorig:Hips>mixamorig:Spine>mixamorig:Spine1>mixamorig:Spine2>mixamorig:Neck "
        "mixamorig:Neck>mixamorig:Head>mixamorig:HeadTop_End",
        "mixamorig:Hips>mixamorig:{0}UpLeg>mixamorig:{0}Leg>mixamorig:{0}Foot>mixamorig:{0}ToeBase "
        "mixamorig:{0}ToeBase>mixamorig:{0}Toe_End mixamorig:Spine2>mixamorig:{0}Shoulder>mixamorig:{0}Arm "
        "mixamorig:{0}Arm>mixamorig:{0}ForeArm>mixamorig:{0}Hand>mixamorig:{0}HandThumb1",
        ("Left", "Right"),
        "mixamorig:Hips mixamorig:Spine mixamorig:Spine1 mixamorig:Spine2 mixamorig:Neck mixamorig:Head "
        "mixamorig:LeftUpLeg mixamorig:LeftLeg mixamorig:LeftFoot mixamorig:LeftToeBase "
        "mixamorig:LeftShoulder mixamorig:LeftArm mixamorig:LeftForeArm mixamorig:LeftHand",
    ),
    "Bandai-Namco": (
        "joint_Root>Hips>Spine>Chest>Neck>Head",
        "Hips>UpperLeg_{0}>LowerLeg_{0}>Foot_{0}>Toes_{0} "
        "Chest>Shoulder_{0}>UpperArm_{0}>LowerArm_{0}>Hand_{0}",
        ("L", "R"),
        "Hips Spine - Chest Neck Head UpperLeg_L LowerLeg_L Foot_L Toes_L "
        "Shoulder_L UpperArm_L LowerArm_L Hand_L",
    ),
}


def real(rig: str) -> tuple[tuple[str, ...], list[int], list[str]]:
    """Names and parents of all joints of a rig, and the joints that are found, with "-" for none."""
    trunk, limbs, sides, expected = REAL[rig]
    above: dict[str, str] = {}
    for chain in (*trunk.split(), *(limb for side in sides for limb in limbs.format(side).split())):
        above |= {child: parent for parent, child in itertools.pairwise(chain.split(">"))}
    names = tuple(dict.fromkeys([trunk.split(">")[0], *above]))
    return names, [names.index(above[name]) if name in above else -1 for name in names], expected.split()
