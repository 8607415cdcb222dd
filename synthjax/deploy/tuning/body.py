"""The bundle's body in native MuJoCo, as a host has it: steps it, reads it, and may change it."""

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import numpy as np

from synthjax.deploy.bundle import Bundle
from synthjax.deploy.files import BODY
from synthjax.deploy.tuning.config import BodyChange
from synthjax.engine_log import silence_warnings
from synthjax.errors import UserError, unknown


class SimulatedBody:
    """One body; not thread-safe."""

    def __init__(self, bundle: Bundle, change: BodyChange):
        """Compiles the body of a bundle and changes it.

        Raises:
          UserError: ``change`` names a body that there is not, or MuJoCo cannot compile the body.
        """
        timing, physics = bundle.manifest["timing"], bundle.manifest["physics"]
        try:
            self.model = mujoco.MjModel.from_xml_string(bundle.files[BODY].decode())
        except ValueError as error:
            raise UserError(f"MuJoCo cannot compile {BODY} ({error}): export the bundle again.") from None
        self.model.opt.timestep, self.model.opt.iterations = timing["sim_dt"], physics["iterations"]
        self.model.opt.solver = getattr(mujoco.mjtSolver, f"mjSOL_{physics['solver']}")
        # Otherwise MuJoCo would put an unstable body back to its first pose and say nothing.
        self.model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
        # A policy that is being learned may well break its body, and MuJoCo would write about every time into
        # a file in the user's folder.
        silence_warnings()
        self.data = mujoco.MjData(self.model)
        change_model(self.model, self.data, change)
        self._ground = self.model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE

    def begin(self, start: Mapping[str, np.ndarray]) -> None:
        """Puts the body where an episode begins."""
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:], self.data.qvel[:] = start["qpos"], start["qvel"]
        self._derive()

    def step(self, substeps: int) -> None:
        """``substeps`` of sim_dt under the motor input as it is."""
        mujoco.mj_step(self.model, self.data, substeps)

    @property
    def sound(self) -> bool:
        """Whether all of its numbers are finite and MuJoCo has not given up on it."""
        data = self.data
        bad = (mujoco.mjtWarning.mjWARN_BADQPOS, mujoco.mjtWarning.mjWARN_BADQVEL)
        warned = any(data.warning[int(kind)].number for kind in (*bad, mujoco.mjtWarning.mjWARN_BADQACC))
        return not warned and bool(np.isfinite(data.qpos).all() and np.isfinite(data.qvel).all())

    def sensors(self) -> dict[str, np.ndarray]:
        """All that a model may ask for, by the names in the manifest.

        Positions and velocities are those after the last step, forces those of that step.
        """
        self._derive()
        data, model = self.data, self.model
        lever = data.xpos - data.subtree_com[model.body_rootid]
        linear = data.cvel[:, 3:] + np.cross(data.cvel[:, :3], lever)
        contacts, forces = self._contacts()
        return {
            "qpos": data.qpos,
            "qvel": data.qvel,
            "body_positions": data.xpos[1:],
            "body_rotations": data.xquat[1:],
            "body_velocities": np.concatenate([linear, data.cvel[:, :3]], axis=1)[1:],
            "actuator_force": data.actuator_force,
            "ground_contact": contacts[1:],
            "ground_force": forces[1:],
        }

    def _derive(self) -> None:
        """Poses and velocities of all bodies; a step leaves those before it."""
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)
        mujoco.mj_comVel(self.model, self.data)

    def _contacts(self) -> tuple[np.ndarray, np.ndarray]:
        """Of each body: points in which it touches the ground (nbody,), and its normal forces (nbody, 3)."""
        model, data = self.model, self.data
        counts, forces = np.zeros(model.nbody), np.zeros((model.nbody, 3))
        force = np.zeros(6)
        geoms, frames = data.contact.geom, data.contact.frame
        for index in np.flatnonzero(self._ground[geoms].any(axis=1)).tolist():
            first, second = geoms[index]
            # The normal points from the first geom to the second.
            body, sign = (second, 1.0) if self._ground[first] else (first, -1.0)
            mujoco.mj_contactForce(model, data, index, force)
            counts[model.geom_bodyid[body]] += 1
            forces[model.geom_bodyid[body]] += sign * force[0] * frames[index, :3]
        return counts, forces


def change_model(model: mujoco.MjModel, data: mujoco.MjData, change: BodyChange) -> None:
    """Changes a compiled model in place, with what MuJoCo derives from it.

    Raises:
      UserError: ``change.weak`` is no body.
    """
    model.body_mass *= change.mass
    model.body_inertia *= change.mass
    model.pair_friction *= change.friction
    motors = np.full(model.nu, change.strength)
    if change.weak:
        names = [model.body(index).name for index in range(1, model.nbody)]
        if change.weak not in names:
            raise unknown("body", change.weak, names)
        root = model.body(change.weak).id
        below = [b for b in range(model.nbody) if root in _up(model, b)]
        bodies = model.jnt_bodyid[model.actuator_trnid[:, 0]]
        motors = np.where(np.isin(bodies, below), motors * change.weak_strength, motors)
    model.actuator_gainprm *= motors[:, None]
    model.actuator_biasprm *= motors[:, None]
    model.actuator_forcerange *= motors[:, None]
    mujoco.mj_setConst(model, data)


def _up(model: mujoco.MjModel, body: int) -> list[int]:
    """``body`` and all that it hangs on, but for the world."""
    chain: list[int] = []
    while body:
        chain.append(body)
        body = int(model.body_parentid[body])
    return chain
