"""A user's humanoid as a body: MJCF and mapping file in, the same form as the Synth out."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import mujoco
import numpy as np

from synthjax.bodies import assembly
from synthjax.bodies import synth_table as table
from synthjax.bodies.mapping import BodyMapping, read_mapping
from synthjax.bodies.spec import Body
from synthjax.bodies.synth import SERVO_FORCE_FACTOR, check_motors, make_synth
from synthjax.bodies.transcribe import Skeleton, compile_mjcf, transcribe
from synthjax.errors import UserError, unknown

# Multiple of the MJCF's own motors that may be used, by actuation.
TORQUE_CTRL_LIMIT = {"torque": 1.0, "strong": 2.0}
# Bodies that are kept apart, by bone; the Synth's own pairs.
_APART = tuple(
    (first.removesuffix("_bumper"), second.removesuffix("_bumper")) for first, second in table.SELF_COLLISIONS
)
_ROUND = (mujoco.mjtGeom.mjGEOM_SPHERE, mujoco.mjtGeom.mjGEOM_CAPSULE)


def make_user_body(file: Path, actuation: str = "pd", drive: str = "servo") -> Body:
    """The body that the mapping file ``file`` describes; docs/bodies.md has its form and its defaults.

    Args:
      actuation: how strong the motors are: ``pd`` (six times the MJCF's), ``torque`` (the MJCF's) or
        ``strong`` (twice them).
      drive: ``servo`` or ``direct``, as of :func:`synthjax.bodies.synth.make_synth`.

    Raises:
      UserError: anything in the mapping or in the MJCF that cannot be used.
    """
    check_motors(actuation, drive)
    mapping = read_mapping(file)
    spec = mujoco.MjSpec()
    spec.modelname = file.stem
    spec.compiler.degree = False
    assembly.solver_options(spec)
    assembly.add_ground(spec)
    skeleton = transcribe(compile_mjcf(mapping), mapping, spec)
    joints = tuple(skeleton.joints)
    if not joints:
        raise UserError(f"'{mapping.mjcf.name}' has no hinges: there is nothing to train.")
    root = next(iter(skeleton.bodies))

    lowest, reach = _measure(spec, skeleton)
    spec.body(root).pos = [0.0, 0.0, -lowest]
    pairs = _self_collisions(spec.compile(), mapping, skeleton)
    assembly.add_contacts(spec, skeleton.geoms, pairs)
    kp, strength = _gains(spec.compile(), reach, mapping, skeleton)
    if drive == "servo":
        limits, full = (_limits(strength, mapping, skeleton, motors) for motors in (actuation, "pd"))
        servos = {name: assembly.servo(kp[name], limits[name], full[name]) for name in joints}
        for name in _stated_gains(mapping, skeleton):
            servos[name] = assembly.stiff_servo(kp[name], limits[name])
        assembly.add_position_motors(spec, servos)
        softened = np.array([servo.softened for servo in servos.values()])
        scale = np.array([assembly.position_scale(spec.joint(name).range) for name in joints])
    else:
        ctrl_limit = TORQUE_CTRL_LIMIT[actuation]
        softened = np.ones((len(joints), 2))
        assembly.add_torque_motors(spec, strength, ctrl_limit, ctrl_limit * max(strength.values()))
        scale = np.full(len(joints), ctrl_limit)

    model = spec.compile()
    bone_of_joint = {joint: _bone_above(body, skeleton) for joint, body in skeleton.joints.items()}
    bodies_of = functools.partial(_bodies_of, mapping, skeleton)
    return Body(
        name=file.stem,
        actuation=actuation,
        drive=drive,
        model=model,
        xml=spec.to_xml(),
        joints=joints,
        bones=skeleton.bones,
        chains=_partition("chains", mapping, joints, lambda j: _owner(table.CHAINS, bone_of_joint[j])),
        groups=_partition(
            "groups", mapping, joints, lambda j: _owner(table.GROUPS, _sideless(bone_of_joint[j]))
        ),
        key_bodies=bodies_of("key_bodies", table.KEY_BODIES),
        feet=bodies_of("feet", table.FEET),
        fall_bodies=_fall_bodies(mapping, skeleton),
        ground_geom=assembly.GROUND,
        standing_qpos=model.qpos0.copy(),
        action_scale=scale,
        softened=softened,
    )


def _measure(spec: mujoco.MjSpec, skeleton: Skeleton) -> tuple[float, float]:
    """Lowest point of the body and height of the hips above it in the rest pose, m; the root is at zero."""
    spec.body(next(iter(skeleton.bodies))).pos = [0.0, 0.0, 0.0]
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    far = 1e3
    ground = model.geom(assembly.GROUND).id
    data.geom_xpos[ground, 2] = -0.5 * far
    lowest = min(
        mujoco.mj_geomDistance(model, data, ground, model.geom(geom).id, far, None) for geom in skeleton.geoms
    )
    lowest -= 0.5 * far
    return lowest, float(data.body(skeleton.bones["Hips"]).xpos[2]) - lowest


def _self_collisions(
    model: mujoco.MjModel, mapping: BodyMapping, skeleton: Skeleton
) -> list[tuple[str, str]]:
    """Pairs of geoms: of the bodies that the mapping names, else of legs, feet, arms and trunk.

    Geoms that touch in the rest pose are left out: they would push each other for ever.  Without the
    mapping's word only spheres and capsules are paired, which are cheap on every engine.
    """
    wanted = mapping.self_collisions
    if wanted is None:
        named = [(skeleton.bones.get(a), skeleton.bones.get(b)) for a, b in _APART]
        pairs = [(a, b) for a, b in named if a is not None and b is not None and a != b]
    else:
        known = functools.partial(_known, key="self_collisions", mapping=mapping, skeleton=skeleton)
        pairs = [(known(first), known(second)) for first, second in wanted]
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    found: list[tuple[str, str]] = []
    for pair in pairs:
        sides = [[geom for geom, body in skeleton.geoms.items() if body == name] for name in pair]
        for first, second in itertools.product(*sides):
            ids = [model.geom(geom).id for geom in (first, second)]
            cheap = all(mujoco.mjtGeom(model.geom_type[g]) in _ROUND for g in ids)
            if (cheap or wanted is not None) and mujoco.mj_geomDistance(model, data, *ids, 1.0, None) > 0.0:
                found.append((first, second))
    return list(dict.fromkeys(found))


def _gains(
    model: mujoco.MjModel, reach: float, mapping: BodyMapping, skeleton: Skeleton
) -> tuple[dict[str, float], dict[str, float]]:
    """Position gain (N m/rad) and motor strength (N m) of each joint.

    What neither the mapping nor the MJCF states is the Synth's for the same bone, scaled by weight
    times leg length: the torque that holds a human figure in a given pose.
    """
    synth = make_synth()
    scale = float(model.body_subtreemass[1]) * reach
    scale /= float(synth.model.body_subtreemass[1]) * synth.standing_height
    for key, given in (("kp", mapping.kp), ("force", mapping.force)):
        for name in given:
            if name not in skeleton.joints and name not in skeleton.joints.values():
                raise unknown(
                    f"joint or jointed body under [{key}] in '{mapping.file}'",
                    name, {*skeleton.joints, *skeleton.joints.values()},
                )  # fmt: skip
    kp: dict[str, float] = {}
    strength: dict[str, float] = {}
    stated = _stated_gains(mapping, skeleton)
    for joint, body in skeleton.joints.items():
        typical_kp, typical_gear = _synth_gains(_bone_above(body, skeleton))
        force = mapping.force.get(joint, mapping.force.get(body))
        kp[joint] = stated.get(joint, scale * typical_kp)
        if force is None:
            force = min(
                skeleton.hard_limit.get(joint, np.inf),
                skeleton.strength.get(joint, scale * typical_gear),
            )
        strength[joint] = force
    return kp, strength


def _limits(
    strength: Mapping[str, float], mapping: BodyMapping, skeleton: Skeleton, actuation: str
) -> dict[str, float]:
    """Force limit of each joint's servo, N m, with motors of ``strength`` (N m)."""
    limits: dict[str, float] = {}
    for joint, body in skeleton.joints.items():
        if joint in mapping.force or body in mapping.force:
            limits[joint] = TORQUE_CTRL_LIMIT.get(actuation, 1.0) * strength[joint]
        else:
            factor = TORQUE_CTRL_LIMIT.get(actuation, SERVO_FORCE_FACTOR["pd"])
            limits[joint] = min(skeleton.hard_limit.get(joint, np.inf), factor * strength[joint])
    return limits


def _stated_gains(mapping: BodyMapping, skeleton: Skeleton) -> dict[str, float]:
    """Position gains (N m/rad) that the mapping states for a joint, or for all joints of a body."""
    given = {joint: mapping.kp.get(joint, mapping.kp.get(body)) for joint, body in skeleton.joints.items()}
    return {joint: kp for joint, kp in given.items() if kp is not None}


def _synth_gains(bone: str) -> tuple[float, float]:
    """Position gain (N m/rad) and strongest gear (N m) of a bone of the Synth; the root counts as spine."""
    row = next(row for row in table.BONES if row.name == (_sideless(bone) if bone != "Hips" else "Spine"))
    return row.kp, max(hinge.gear for hinge in row.hinges or ())


def _bone_above(body: str, skeleton: Skeleton) -> str:
    """The bone that ``body`` is, or that it hangs from."""
    bone_of = {name: bone for bone, name in reversed(skeleton.bones.items())}
    while body:
        if body in bone_of:
            return bone_of[body]
        body = skeleton.bodies[body]
    return "Hips"


def _sideless(bone: str) -> str:
    return bone.removeprefix("Left").removeprefix("Right")


def _owner(parts: Mapping[str, Sequence[str]], bone: str) -> str:
    """The chain or group that holds ``bone``; the root counts as trunk."""
    return next((part for part, bones in parts.items() if bone in bones), "trunk")


def _partition(
    key: str, mapping: BodyMapping, joints: tuple[str, ...], default: Callable[[str], str]
) -> dict[str, tuple[str, ...]]:
    """Chains or groups of joints; every joint is in exactly one."""
    given: Mapping[str, tuple[str, ...]] | None = getattr(mapping, key)
    if given is None:
        names = [default(joint) for joint in joints]
        return {
            name: tuple(joint for joint, part in zip(joints, names, strict=True) if part == name)
            for name in dict.fromkeys(names)
        }
    listed = [joint for part in given.values() for joint in part]
    for joint in listed:
        if joint not in joints:
            raise unknown(f"joint under [{key}] in '{mapping.file}'", joint, joints)
    wrong = sorted({joint for joint in (*joints, *listed) if listed.count(joint) != 1})
    if wrong:
        raise UserError(
            f"[{key}] in '{mapping.file}' must list every joint once: correct {', '.join(wrong)}."
        )
    return {name: tuple(joint for joint in joints if joint in part) for name, part in given.items()}


def _bodies_of(mapping: BodyMapping, skeleton: Skeleton, key: str, bones: Sequence[str]) -> tuple[str, ...]:
    """The bodies that the mapping lists under ``key``, else those of ``bones``."""
    given: tuple[str, ...] | None = getattr(mapping, key)
    if given is not None:
        return tuple(_known(name, key, mapping, skeleton) for name in given)
    return tuple(dict.fromkeys(skeleton.bones[bone] for bone in bones if bone in skeleton.bones))


def _fall_bodies(mapping: BodyMapping, skeleton: Skeleton) -> tuple[str, ...]:
    """As listed, else all bodies that are a bone of head, trunk, thighs and upper arms, or hang from one."""
    if mapping.fall_bodies is not None:
        return _bodies_of(mapping, skeleton, "fall_bodies", ())
    return tuple(body for body in skeleton.bodies if _bone_above(body, skeleton) in table.FALL_BODIES)


def _known(name: str, key: str, mapping: BodyMapping, skeleton: Skeleton) -> str:
    if name not in skeleton.bodies:
        raise unknown(f"body under '{key}' in '{mapping.file}'", name, skeleton.bodies)
    return name
