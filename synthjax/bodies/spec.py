"""What the rest of the project knows about a body: names, groups and the compiled model."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping

import mujoco
import numpy as np

# The hips have hinges on bodies whose root is the chest.
MAIN_BONES = (
    "Hips",
    "Spine",
    *(f"Left{bone}" for bone in ("UpperArm", "LowerArm", "UpperLeg", "LowerLeg", "Foot")),
    *(f"Right{bone}" for bone in ("UpperArm", "LowerArm", "UpperLeg", "LowerLeg", "Foot")),
)
MAIN_HALF_RANGE = 0.24  # rad; a hinge of less than +-14 degrees only gives way


@dataclasses.dataclass(frozen=True)
class Body:
    """A humanoid, its MuJoCo model and the names by which everything refers to its parts.

    All lists hold NAMES; ids are looked up once with :meth:`body_ids`.  ``joints`` and the model's
    actuators are in the same order, which is the order of ``qpos[7:]``.
    """

    name: str  # "synth", or the stem of the user's file
    actuation: str  # how strong the motors are: "pd", "torque" or "strong"
    drive: str  # what a control is: "servo" (a joint angle in rad) or "direct" (a torque in gears)
    model: mujoco.MjModel  # compiled, with ground, contact pairs and contact sensors
    xml: str  # the MJCF that ``model`` was compiled from
    joints: tuple[str, ...]  # actuated hinges, in qpos order
    bones: Mapping[str, str]  # HumanBodyBones name -> body name, e.g. "LeftFoot" -> "LeftFoot"
    chains: Mapping[str, tuple[str, ...]]  # kinematic chain -> joint names, partitions ``joints``
    groups: Mapping[str, tuple[str, ...]]  # curriculum group (trunk, legs, arms, head, fine) -> joints
    key_bodies: tuple[str, ...]  # end effectors: head, hands, feet
    feet: tuple[str, ...]  # bodies that are meant to carry the body (feet and toes)
    fall_bodies: tuple[str, ...]  # bodies whose ground contact means a fall (head, torso, thighs, upper arms)
    ground_geom: str  # name of the ground plane geom
    standing_qpos: np.ndarray  # (nq,) upright on the ground
    action_scale: np.ndarray  # (nu,) rad (servo) or gears (direct) per unit of action
    # (nu, 2) how many times stiffer, and more damped, a servo would be if its motor were strong enough
    # for its bone
    softened: np.ndarray

    @property
    def standing_height(self) -> float:
        """Root height in metres when standing."""
        return float(self.standing_qpos[2])

    @property
    def servo_lag(self) -> np.ndarray:
        """How far behind a moving target joints stay, (nu,) s: kd / kp of their servos, 0 without them."""
        if self.drive != "servo":
            return np.zeros(self.model.nu)
        dofs = self.model.jnt_dofadr[self.model.actuator_trnid[:, 0]]
        return np.asarray(self.model.dof_damping[dofs] / self.model.actuator_gainprm[:, 0])

    def body_ids(self, names: tuple[str, ...]) -> np.ndarray:
        """MuJoCo body ids of ``names``, (len(names),)."""
        return np.array([self.model.body(name).id for name in names])

    @property
    def chain_actuators(self) -> tuple[tuple[int, ...], ...]:
        """Actuator ids of each chain; every actuator is in exactly one.

        Chains, and the joints in each, come in alphabetical order: neither the order of the model nor that
        of a mapping file then decides which output of a network drives which joint.
        """
        transmissions = self.model.actuator_trnid[:, 0]
        driver = {self.model.joint(int(joint)).name: a for a, joint in enumerate(transmissions)}
        return tuple(tuple(driver[joint] for joint in joints) for joints in self._sorted_chains)

    @property
    def chains_hash(self) -> str:
        """Twelve hexadecimal digits that change with the chains' joints or with the order of the chains."""
        return hashlib.sha256(repr(self._sorted_chains).encode()).hexdigest()[:12]

    @property
    def _sorted_chains(self) -> list[list[str]]:
        return [sorted(joints) for _, joints in sorted(self.chains.items()) if joints]

    @property
    def main_joints(self) -> tuple[str, ...]:
        """The hinges that move the body: wide ones of the trunk's base, the arms and the legs.

        The others (hands, toes, neck, the stiff segments of the trunk) follow well enough by themselves.
        """
        bodies = {self.bones[bone] for bone in MAIN_BONES if bone in self.bones}
        return tuple(name for name in self.joints if self._is_main(name, bodies))

    def _is_main(self, joint: str, bodies: set[str]) -> bool:
        lower, upper = self.model.joint(joint).range
        owner = self.model.body(int(self.model.joint(joint).bodyid[0])).name
        return owner in bodies and 0.5 * (upper - lower) >= MAIN_HALF_RANGE

    @property
    def body_names(self) -> tuple[str, ...]:
        """All body names in id order; row 0 is the world."""
        return tuple(self.model.body(i).name for i in range(self.model.nbody))

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that change with the body's MJCF."""
        return hashlib.sha256(self.xml.encode()).hexdigest()[:12]
