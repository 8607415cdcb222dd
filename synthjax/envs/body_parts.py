"""The parts of a body that a continuing task looks at, as ids and constants."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from synthjax.bodies import Body
from synthjax.errors import UserError

SLOTS = ("LeftFoot", "RightFoot", "LeftHand", "RightHand", "LeftLowerLeg", "RightLowerLeg", "Hips", "Head")


def chest_of(body: Body) -> int:
    """Id of the uppermost part of the chest that ``body`` has, of its root if it names none."""
    named = (body.bones[bone] for bone in ("UpperChest", "Chest", "Spine", "Hips") if bone in body.bones)
    name = next(named, None)
    return 1 if name is None else int(body.model.body(name).id)


@dataclasses.dataclass(frozen=True, eq=False)
class BodyParts:
    """Ids into the rows of a body's kinematics; pairs are (left, right)."""

    root: int
    head: int
    chest: int  # the uppermost part of it that the body has
    feet: np.ndarray  # (2,)
    hands: np.ndarray  # (2,)
    knees: np.ndarray  # (2,) lower legs
    bodies: np.ndarray  # (B,) all but the world
    sole_of_body: jax.Array  # (2, nbody) 1 where a body belongs to the left or right foot, toes too
    contact_slots: jax.Array  # (8, nbody) the same for the contact slots, in the order of SLOTS
    mass: float  # kg, of the whole body
    weight: float  # N
    standing_head_height: float  # m
    joint_range: jax.Array  # (nu, 2) rad
    gear: jax.Array  # (nu,) torque in N m per unit of actuator force
    torque_limit: jax.Array  # (nu,) N m

    @classmethod
    def of(cls, body: Body) -> BodyParts:
        """The parts of ``body``.

        Raises:
          UserError: the body lacks a bone that the task needs.
        """
        if missing := [name for name in SLOTS if name not in body.bones]:
            raise UserError(
                f"The body '{body.name}' has no {', '.join(missing)}: name them in its mapping file."
            )
        model = body.model
        ids = {bone: model.body(name).id for bone, name in body.bones.items()}

        def pair(bone: str) -> np.ndarray:
            return np.array([ids[f"Left{bone}"], ids[f"Right{bone}"]])

        def members(bone: str) -> np.ndarray:
            toes = ids.get(bone.replace("Foot", "Toes"), ids[bone])
            return np.isin(np.arange(model.nbody), [ids[bone], toes]).astype(np.float32)

        data = mujoco.MjData(model)
        data.qpos[:] = body.standing_qpos
        mujoco.mj_kinematics(model, data)
        mass = float(model.body_mass.sum())
        gear = model.actuator_gear[:, 0]
        force_range = np.abs(model.actuator_forcerange).max(axis=1)
        control_range = gear * np.abs(model.actuator_ctrlrange).max(axis=1)
        return cls(
            root=1,
            head=ids["Head"],
            chest=chest_of(body),
            feet=pair("Foot"),
            hands=pair("Hand"),
            knees=pair("LowerLeg"),
            bodies=np.arange(1, model.nbody),
            sole_of_body=jnp.asarray(np.stack([members("LeftFoot"), members("RightFoot")])),
            contact_slots=jnp.asarray(np.stack([members(bone) for bone in SLOTS])),
            mass=mass,
            weight=float(mass * np.linalg.norm(model.opt.gravity)),
            standing_head_height=float(data.xpos[ids["Head"], 2]),
            joint_range=jnp.asarray(model.jnt_range[1:], jnp.float32),
            gear=jnp.asarray(gear, jnp.float32),
            # Servos are limited by their force, motors by their control.
            torque_limit=jnp.asarray(force_range if body.drive == "servo" else control_range, jnp.float32),
        )
