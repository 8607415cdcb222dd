"""What turns a skeleton of bones into a body for training: ground, contact pairs, sensors, motors.

Used for the Synth and for users' own MJCF alike, so that both meet the physics seam in one form.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import mujoco
import numpy as np

GROUND = "ground"
FRICTION = (1.0, 1.0, 0.005, 0.0001, 0.0001)
# Time constant 0.02 s: the smallest that is stable at the training substep of 1/120 s
# (MuJoCo's refsafe would raise anything under two substeps silently).
SOLREF = (0.02, 1.0)
SERVO_LAG = 0.1  # s, kd / kp of servos whose motors are strong enough for them
# rad: a servo has at least this error before it gives all that its motor has.
SERVO_YIELD = 0.1
# rad/s at which a weak servo's damping, which acts beside the motor's limit, takes all that the motor has.
# Damping for stronger motors would hold weak joints like treacle: arms and knees at 1 rad/s.
SERVO_SPEED = 5.0
# Position target per unit of action: a share of half the hinge's range, at most so many radians.
POSITION_SCALE_SHARE, MAX_POSITION_SCALE = 0.75, 1.0


def solver_options(spec: mujoco.MjSpec) -> None:
    """Training settings: few Newton iterations from a warm start are enough for 1/120 s substeps.

    Three to a hundred iterations differ by 5 % in speed on a CPU, but the cap keeps the accelerator
    engines, which run all worlds for as many iterations as the worst one needs, fast.
    """
    option = spec.option
    option.integrator = mujoco.mjtIntegrator.mjINT_EULER
    option.solver = mujoco.mjtSolver.mjSOL_NEWTON
    option.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL
    option.iterations = 6
    option.ls_iterations = 8
    option.tolerance = 1e-6


def add_ground(spec: mujoco.MjSpec) -> None:
    """A visible floor plane that collides only through explicit pairs."""
    spec.add_texture(
        name="checker", type=mujoco.mjtTexture.mjTEXTURE_2D, builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        width=256, height=256, rgb1=[0.42, 0.46, 0.50], rgb2=[0.36, 0.40, 0.44],
    )  # fmt: skip
    material = spec.add_material(name="checker", texrepeat=[1, 1], texuniform=True)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "checker"
    spec.worldbody.add_geom(
        name=GROUND, type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 1], material="checker",
        contype=0, conaffinity=0,
    )  # fmt: skip


def add_contacts(
    spec: mujoco.MjSpec, ground: Iterable[str], self_collisions: Iterable[tuple[str, str]]
) -> None:
    """Explicit contact pairs: each geom of ``ground`` with the floor, and the given pairs of geoms.

    Every ground pair gets a sensor that reports its contacts one by one: the only route to contact
    forces that agrees on native MuJoCo, MJX and Warp.  Self-collisions are frictionless, which is
    what keeps legs apart at a third of the constraints.
    """
    for geom in ground:
        spec.add_pair(
            name=f"{GROUND}_{geom}",
            geomname1=GROUND,
            geomname2=geom,
            condim=3,
            friction=FRICTION,
            solref=SOLREF,
        )
        add_contact_sensor(spec, geom)
    for first, second in self_collisions:
        spec.add_pair(name=f"{first}_{second}", geomname1=first, geomname2=second, condim=1, solref=SOLREF)


def add_contact_sensor(spec: mujoco.MjSpec, geom: str) -> None:
    """``found force normal`` of up to four contacts between the floor and ``geom``."""
    data = mujoco.mjtConDataField
    fields = sum(
        1 << int(field) for field in (data.mjCONDATA_FOUND, data.mjCONDATA_FORCE, data.mjCONDATA_NORMAL)
    )
    spec.add_sensor(
        name=f"{GROUND}_{geom}", type=mujoco.mjtSensor.mjSENS_CONTACT,
        objtype=mujoco.mjtObj.mjOBJ_GEOM, objname=GROUND, reftype=mujoco.mjtObj.mjOBJ_GEOM, refname=geom,
        intprm=[fields, 0, 4],
    )  # fmt: skip


class Servo(NamedTuple):
    """A position servo: torque = kp (ctrl - q) within +-limit, and -kd qd beside it; ctrl is in rad."""

    kp: float  # N m/rad
    kd: float  # N m s/rad
    limit: float  # N m
    # How many times stiffer, and more damped, it would be if its motor were strong enough for its bone.
    softened: tuple[float, float] = (1.0, 1.0)


def stiff_servo(kp: float, limit: float) -> Servo:
    """A servo with the gain ``kp`` (N m/rad), whatever its ``limit`` (N m)."""
    return Servo(kp, SERVO_LAG * kp, limit)


def servo(kp: float, limit: float, full: float) -> Servo:
    """A servo with the gain ``kp`` (N m/rad) that its bone asks for, or what its motor allows.

    Args:
      kp: N m/rad.
      limit: N m that the motor gives.
      full: N m of the motor that the bone's gains are meant for.  Damping is never less than the share of
        that motor which ``limit`` is.
    """
    kd = SERVO_LAG * kp
    stiffness = min(kp, limit / SERVO_YIELD)
    damping = min(kd, max(limit / SERVO_SPEED, kd * limit / full))
    return Servo(stiffness, damping, limit, (kp / stiffness, kd / damping))


def add_position_motors(spec: mujoco.MjSpec, servos: Mapping[str, Servo]) -> None:
    """Position servos of the joints that ``servos`` names.

    The derivative part sits in the joint's damping, which MuJoCo's Euler integrator treats implicitly: as an
    actuator term it would be unstable on the light bones.
    """
    for name, (kp, kd, limit, _) in servos.items():
        joint = spec.joint(name)
        joint.stiffness = np.zeros_like(joint.stiffness)
        joint.damping = set_first(joint.damping, kd)
        motor = spec.add_actuator(
            name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT,
            forcerange=[-limit, limit], forcelimited=True,
        )  # fmt: skip
        motor.set_to_position(kp=kp)


def position_scale(limits: np.ndarray) -> float:
    """Radians of position target per unit of action: a share of the hinge's range, capped.

    Equal noise on all 63 hinges would shake the trunk's nine far more than one joint of a coarser body,
    and push hinges of a few degrees against their stops.

    Args:
      limits: (2,) rad.
    """
    half_range = 0.5 * (limits[1] - limits[0])
    return float(min(MAX_POSITION_SCALE, POSITION_SCALE_SHARE * half_range))


def add_torque_motors(
    spec: mujoco.MjSpec, gears: Mapping[str, float], ctrl_limit: float, force_limit: float
) -> None:
    """Torque motors: torque = gear ctrl, |ctrl| <= ctrl_limit, |torque| <= force_limit in N m."""
    for name, gear in gears.items():
        motor = spec.add_actuator(
            name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT, gear=[gear, 0, 0, 0, 0, 0],
            ctrlrange=[-ctrl_limit, ctrl_limit], ctrllimited=True,
            forcerange=[-force_limit, force_limit], forcelimited=True,
        )  # fmt: skip
        motor.set_to_motor()


def set_first(value: float | np.ndarray, number: float) -> float | np.ndarray:
    """``number`` in the first coefficient of a spec field that is a scalar or a short polynomial."""
    if np.ndim(value) == 0:
        return number
    result = np.zeros_like(value)
    result[0] = number
    return result
