"""The Synth body: from the table of bones to a compiled MuJoCo model."""

from __future__ import annotations

import math
from collections.abc import Iterator

import mujoco
import numpy as np

from synthjax.bodies import assembly
from synthjax.bodies import synth_table as table
from synthjax.bodies.spec import Body
from synthjax.errors import UserError, unknown

ACTUATIONS = ("pd", "torque", "strong")
DRIVES = ("servo", "direct")
# The original clips actions to 0.4 of its gears; "strong" uses twice the full gears.
TORQUE_CTRL_LIMIT, TORQUE_FORCE_LIMIT = 0.4, 150.0
STRONG_CTRL_LIMIT, STRONG_FORCE_LIMIT = 2.0, 300.0
# Torque limit of the position servos in multiples of the table's gears.  At twice the gear the run
# clip saturates the knees on 45 % of its steps; at six times it does not.
SERVO_FORCE_FACTOR = {"pd": 6.0, "torque": TORQUE_CTRL_LIMIT, "strong": STRONG_CTRL_LIMIT}
SIDES = ("Left", "Right")


def make_synth(
    actuation: str = "pd",
    drive: str = "servo",
    *,
    self_collision: bool = True,
    total_mass: float = table.DEFAULT_MASS,
) -> Body:
    """The Synth: a free root and 63 hinges on 21 bones.

    Args:
      actuation: how strong the motors are: ``pd`` (six times the gears), ``torque`` (the original's
        limits) or ``strong`` (twice the gears).
      drive: ``servo`` (controls are joint angles, and a servo stays within the motors' strength) or
        ``direct`` (controls are the torques of the original's motors, which ``pd`` has not).
      self_collision: leg-leg, foot-foot and arm-torso contact pairs.
      total_mass: kg.

    Raises:
      UserError: unknown actuation or drive, or one that does not go with the other.
    """
    check_motors(actuation, drive)
    spec = mujoco.MjSpec()
    spec.modelname = "synth"
    spec.compiler.degree = False
    assembly.solver_options(spec)
    assembly.add_ground(spec)

    masses = bone_masses(total_mass)
    kp: dict[str, float] = {}
    gear: dict[str, float] = {}
    for name, bone, side in _bones():
        parent = spec.worldbody if not bone.parent else spec.body(_parent_name(bone, side))
        body = parent.add_body(name=name, pos=_mirror(bone.offset, side))
        _add_geoms(body, name, bone, side, masses[name])
        if bone.hinges is None:
            body.add_freejoint(name="root")
            continue
        for axis, hinge in zip("XYZ", bone.hinges, strict=True):
            joint = _add_hinge(body, f"{name}_{axis}", axis, hinge, side)
            kp[joint], gear[joint] = bone.kp, hinge.gear
    spec.body("Hips").pos = [0.0, 0.0, standing_height()]

    pairs = table.SELF_COLLISIONS if self_collision else ()
    assembly.add_contacts(spec, [name for name, _, _ in _bones()], pairs)
    if drive == "servo":
        factor, full = SERVO_FORCE_FACTOR[actuation], SERVO_FORCE_FACTOR["pd"]
        servos = {name: assembly.servo(kp[name], factor * g, full * g) for name, g in gear.items()}
        assembly.add_position_motors(spec, servos)
        softened = np.array([servo.softened for servo in servos.values()])
        scale = np.array([assembly.position_scale(spec.joint(name).range) for name in kp])
    else:
        limits = {
            "torque": (TORQUE_CTRL_LIMIT, TORQUE_FORCE_LIMIT),
            "strong": (STRONG_CTRL_LIMIT, STRONG_FORCE_LIMIT),
        }
        ctrl_limit, force_limit = limits[actuation]
        assembly.add_torque_motors(spec, gear, ctrl_limit, force_limit)
        softened = np.ones((len(gear), 2))
        scale = np.full(len(gear), ctrl_limit)

    model = spec.compile()
    joints = tuple(kp)
    standing = model.qpos0.copy()
    return Body(
        name="synth",
        actuation=actuation,
        drive=drive,
        model=model,
        xml=spec.to_xml(),
        joints=joints,
        bones={name: name for name, _, _ in _bones()},
        chains={chain: _joints_of(bones, joints) for chain, bones in table.CHAINS.items()},
        groups={
            group: _joints_of([n for b in bones for n in (b, f"Left{b}", f"Right{b}")], joints)
            for group, bones in table.GROUPS.items()
        },
        key_bodies=table.KEY_BODIES,
        feet=table.FEET,
        fall_bodies=table.FALL_BODIES,
        ground_geom=assembly.GROUND,
        standing_qpos=standing,
        action_scale=scale,
        softened=softened,
    )


def check_motors(actuation: str, drive: str) -> None:
    """Whether motors so strong can be driven so.

    Raises:
      UserError: unknown actuation or drive, or torques for ``pd``.
    """
    if actuation not in ACTUATIONS:
        raise unknown("actuation preset", actuation, ACTUATIONS)
    if drive not in DRIVES:
        raise unknown("drive", drive, DRIVES)
    if actuation == "pd" and drive == "direct":
        raise UserError(
            "The motors 'pd' are servos: choose --body.actuation torque or strong, or --body.drive servo."
        )


def standing_height() -> float:
    """Height of the root in metres when the soles are on the ground in the rest pose."""
    bones = {bone.name: bone for bone in table.BONES}
    foot = bones["Foot"]
    sole = foot.geom.start[2] - foot.geom.end[2]
    return -(sole + sum(bones[name].offset[2] for name in ("UpperLeg", "LowerLeg", "Foot")))


def bone_masses(total: float) -> dict[str, float]:
    """Mass in kg of each bone: a bone keeps ``mass_share`` of its subtree, siblings split the rest.

    A bone without children keeps all that it is given, so that the masses add up to ``total``.
    """
    children: dict[str, list[str]] = {}
    share: dict[str, float] = {}
    for name, bone, side in _bones():
        share[name] = bone.mass_share
        if bone.parent:
            children.setdefault(_parent_name(bone, side), []).append(name)

    masses: dict[str, float] = {}

    def distribute(name: str, subtree: float) -> None:
        below = children.get(name, [])
        masses[name] = subtree * share[name] if below else subtree
        for child in below:
            distribute(child, (subtree - masses[name]) / len(below))

    distribute("Hips", total)
    return masses


def _bones(parent: str = "", parent_side: str = "") -> Iterator[tuple[str, table.Bone, str]]:
    """(name, bone, side) of every bone below ``parent``; side is "" for the middle.

    Depth first, as MuJoCo numbers bodies, so that actuators and ``qpos`` are in the same order.
    """
    for bone in table.BONES:
        if bone.parent != parent:
            continue
        for side in SIDES if bone.sided and not parent_side else (parent_side,):
            yield f"{side}{bone.name}", bone, side
            yield from _bones(bone.name, side)


def _parent_name(bone: table.Bone, side: str) -> str:
    sided = {b.name: b.sided for b in table.BONES}
    return f"{side}{bone.parent}" if sided[bone.parent] else bone.parent


def _joints_of(bones: tuple[str, ...] | list[str], joints: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(joint for joint in joints if joint.rpartition("_")[0] in bones)


def _mirror(vector: tuple[float, float, float], side: str) -> list[float]:
    x, y, z = vector
    return [x, -y if side == "Right" else y, z]


def _add_hinge(body: mujoco.MjsBody, name: str, axis: str, hinge: table.Hinge, side: str) -> str:
    lower, upper = math.radians(hinge.lower), math.radians(hinge.upper)
    if side == "Right" and axis != "X":  # twist and abduction mirror, flexion does not
        lower, upper = -upper, -lower
    joint = body.add_joint(
        name=name, type=mujoco.mjtJoint.mjJNT_HINGE, axis=table.AXES[axis], range=[lower, upper],
        limited=True, armature=0.01,
    )  # fmt: skip
    joint.stiffness = assembly.set_first(joint.stiffness, hinge.stiffness)
    joint.damping = assembly.set_first(joint.damping, hinge.damping)
    return name


def _add_geoms(body: mujoco.MjsBody, name: str, bone: table.Bone, side: str, mass: float) -> None:
    geom = bone.geom
    start = _mirror(geom.start, side)
    skin = {"rgba": [0.72, 0.77, 0.82, 1.0], "contype": 0, "conaffinity": 0}
    if geom.kind == "capsule":
        body.add_geom(
            name=name, type=mujoco.mjtGeom.mjGEOM_CAPSULE, fromto=[*start, *_mirror(geom.end, side)],
            size=[geom.radius, 0, 0], mass=mass, **skin,
        )  # fmt: skip
    elif geom.kind == "box":
        body.add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_BOX, pos=start, size=geom.end, mass=mass, **skin)
    else:
        body.add_geom(
            name=name,
            type=mujoco.mjtGeom.mjGEOM_SPHERE,
            pos=start,
            size=[geom.radius, 0, 0],
            mass=mass,
            **skin,
        )
    if bone.name == "Foot":
        bumper = table.FOOT_BUMPER
        body.add_geom(
            name=f"{name}_bumper", type=mujoco.mjtGeom.mjGEOM_CAPSULE, size=[bumper.radius, 0, 0], mass=0,
            fromto=[*_mirror(bumper.start, side), *_mirror(bumper.end, side)], group=3, **skin,
        )  # fmt: skip
