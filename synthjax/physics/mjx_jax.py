"""MJX with its XLA implementation: runs on any device that JAX knows, without a host callback."""

from __future__ import annotations

import copy
import dataclasses

import jax
import jax.numpy as jnp
import mujoco
from mujoco import mjx

from synthjax.bodies.spec import Body
from synthjax.physics import states
from synthjax.physics.base import ModelVariant
from synthjax.physics.contacts import GroundContacts
from synthjax.types import Kinematics, PhysicsState


_MINDIST = 1  # mjSENS_CONTACT: keep the contacts with the smallest distance


class MjxPhysics:
    """``mjx.step`` on a Data that is rebuilt from the slim state at every control step."""

    name = "mjx"

    def __init__(self, body: Body, sim_dt: float, n_substeps: int) -> None:
        """``sim_dt`` in seconds."""
        self.model = copy.copy(body.model)
        self.model.opt.timestep = sim_dt
        self.sim_dt = sim_dt
        self.n_substeps = n_substeps
        self._contacts = GroundContacts.of(body)
        # MJX 3.17 fills a sensor with reduce="none" from the wrong contacts once a model has more than
        # one pair.  Ordered by distance it finds the right ones, and all of them fit into the slots.
        readable = copy.copy(self.model)
        readable.sensor_intprm[readable.sensor_type == mujoco.mjtSensor.mjSENS_CONTACT, 1] = _MINDIST
        self._nominal = mjx.put_model(readable, impl="jax")
        self._data = mjx.make_data(self.model, impl="jax")

    @property
    def control_dt(self) -> float:
        return self.n_substeps * self.sim_dt

    def init(self, variant: ModelVariant, qpos: jax.Array, qvel: jax.Array) -> PhysicsState:
        """State at ``qpos`` (nq,), ``qvel`` (nv,), with derived fields computed by the engine."""
        data = self._data.replace(qpos=qpos, qvel=qvel)
        return states.restored(self._kinematics(self._model(variant), data), self.model.nu)

    def restore(self, kinematics: Kinematics) -> PhysicsState:
        """State from already derived fields, without a call of the engine; forces are zero."""
        return states.restored(kinematics, self.model.nu)

    def step(self, variant: ModelVariant, state: PhysicsState, ctrl: jax.Array) -> PhysicsState:
        """One control step: ``n_substeps`` of ``sim_dt`` under constant ``ctrl`` (nu,)."""
        model = self._model(variant)
        data = self._data.replace(
            qpos=state.kinematics.qpos,
            qvel=state.kinematics.qvel,
            qacc_warmstart=state.warmstart,
            xfrc_applied=state.xfrc_applied,
            ctrl=ctrl,
        )
        # TF32 matrix products destabilise the solver on a GPU; networks keep the default.
        with jax.default_matmul_precision("highest"):
            blind = _without_sensors(model)
            data = jax.lax.fori_loop(0, self.n_substeps, lambda _, d: mjx.step(blind, d), data)
            data = mjx.sensor_acc(model, data)  # reads the contacts and forces of the last substep
            kinematics = self._kinematics(model, data)
        contact, load, force = self._contacts.sum_per_body(data.sensordata[self._contacts.sensor_index])
        stepped = dataclasses.replace(
            state,
            kinematics=kinematics,
            warmstart=data.qacc_warmstart,
            actuator_force=data.actuator_force,
            ground_contact=contact,
            ground_load=load,
            ground_force=force,
            bad=jnp.zeros((), bool),
            overflow=jnp.zeros((), jnp.int32),  # MJX-JAX has room for every possible contact
        )
        return states.keep_usable(state, stepped, ctrl)

    def select(self, pred: jax.Array, on_true: PhysicsState, on_false: PhysicsState) -> PhysicsState:
        """``on_true`` where ``pred`` () holds, else ``on_false``."""
        return states.select(pred, on_true, on_false)

    def _model(self, variant: ModelVariant) -> mjx.Model:
        return self._nominal.replace(**variant)

    def _kinematics(self, model: mjx.Model, data: mjx.Data) -> Kinematics:
        """Derived fields of the state that ``data`` holds now, not of the one before the last substep."""
        data = mjx.com_vel(model, mjx.com_pos(model, mjx.kinematics(model, data)))
        com = data.subtree_com[self.model.body_rootid]
        linvel, angvel = states.origin_velocities(data.cvel, com, data.xpos)
        return Kinematics(
            qpos=data.qpos,
            qvel=data.qvel,
            xpos=data.xpos,
            xquat=data.xquat,
            linvel=linvel,
            angvel=angvel,
        )


def _without_sensors(model: mjx.Model) -> mjx.Model:
    """``model`` whose steps skip all sensors: they are read once, after the last substep."""
    flags = model.opt.disableflags | mjx.DisableBit.SENSOR
    return model.replace(opt=model.opt.replace(disableflags=flags))
