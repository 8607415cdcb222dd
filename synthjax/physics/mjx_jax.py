"""MJX with its XLA implementation: runs on any device that JAX knows, without a host callback."""

from __future__ import annotations

import copy
import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from mujoco import mjx

from synthjax.bodies.spec import Body
from synthjax.physics import states
from synthjax.physics.base import ModelVariant
from synthjax.physics.contacts import GroundContacts
from synthjax.physics.mjx_model import mjx_model
from synthjax.types import Kinematics, PhysicsState


class Inputs(NamedTuple):
    """What the dynamics of one world start from, by the names of MuJoCo's Data."""

    qpos: jax.Array  # (nq,)
    qvel: jax.Array  # (nv,)
    qacc_warmstart: jax.Array  # (nv,)
    xfrc_applied: jax.Array  # (nbody, 6)
    ctrl: jax.Array  # (nu,)


class Outputs(NamedTuple):
    """What the dynamics of one world leave behind; forces belong to the last substep."""

    qpos: jax.Array  # (nq,)
    qvel: jax.Array  # (nv,)
    qacc_warmstart: jax.Array  # (nv,)
    actuator_force: jax.Array  # (nu,)
    sensordata: jax.Array  # (nsensordata,)
    overflow: jax.Array  # () int32


class MjxPhysics:
    """``mjx.step`` on a Data that is rebuilt from the slim state at every control step."""

    name = "mjx"

    def __init__(self, body: Body, sim_dt: float, n_substeps: int) -> None:
        """``sim_dt`` in seconds."""
        self.model = copy.copy(body.model)
        self.model.opt.timestep = sim_dt
        self.sim_dt = sim_dt
        self.n_substeps = n_substeps
        model, self._pair_source = mjx_model(body)
        model.opt.timestep = sim_dt
        self._contacts = GroundContacts.of(model, body.ground_geom)
        self._nominal = mjx.put_model(model, impl="jax")
        self._data = mjx.make_data(model, impl="jax")

    @property
    def control_dt(self) -> float:
        return self.n_substeps * self.sim_dt

    def init(self, variant: ModelVariant, qpos: jax.Array, qvel: jax.Array) -> PhysicsState:
        """State at ``qpos`` (nq,), ``qvel`` (nv,), with derived fields computed by the engine."""
        return states.restored(self._kinematics(variant, qpos, qvel), self.model.nu)

    def restore(self, kinematics: Kinematics) -> PhysicsState:
        """State from already derived fields, without a call of the engine; forces are zero."""
        return states.restored(kinematics, self.model.nu)

    def step(self, variant: ModelVariant, state: PhysicsState, ctrl: jax.Array) -> PhysicsState:
        """One control step: ``n_substeps`` of ``sim_dt`` under constant ``ctrl`` (nu,)."""
        kin = state.kinematics
        out = self._advance(variant, Inputs(kin.qpos, kin.qvel, state.warmstart, state.xfrc_applied, ctrl))
        contact, load, force = self._contacts.sum_per_body(out.sensordata[self._contacts.sensor_index])
        stepped = dataclasses.replace(
            state,
            kinematics=self._kinematics(variant, out.qpos, out.qvel),
            warmstart=out.qacc_warmstart,
            actuator_force=out.actuator_force,
            ground_contact=contact,
            ground_load=load,
            ground_force=force,
            bad=jnp.zeros((), bool),
            overflow=out.overflow,
        )
        return states.keep_usable(state, stepped, ctrl)

    def select(self, pred: jax.Array, on_true: PhysicsState, on_false: PhysicsState) -> PhysicsState:
        """``on_true`` where ``pred`` () holds, else ``on_false``."""
        return states.select(pred, on_true, on_false)

    def _advance(self, variant: ModelVariant, inputs: Inputs) -> Outputs:
        model = self._varied(variant)
        blind = _without_sensors(model)
        data = self._data.replace(**inputs._asdict())
        # TF32 matrix products destabilise the solver on a GPU; networks keep the default.
        with jax.default_matmul_precision("highest"):
            data = jax.lax.fori_loop(0, self.n_substeps, lambda _, d: mjx.step(blind, d), data)
            data = mjx.sensor_acc(model, data)  # reads the contacts and forces of the last substep
        return Outputs(
            qpos=data.qpos,
            qvel=data.qvel,
            qacc_warmstart=data.qacc_warmstart,
            actuator_force=data.actuator_force,
            sensordata=data.sensordata,
            overflow=jnp.zeros((), jnp.int32),  # MJX-JAX has room for every possible contact
        )

    def _varied(self, variant: ModelVariant) -> mjx.Model:
        own = {
            name: values[self._pair_source] if name.startswith("pair_") else values
            for name, values in variant.items()
        }
        return self._nominal.tree_replace(own)

    def _kinematics(self, variant: ModelVariant, qpos: jax.Array, qvel: jax.Array) -> Kinematics:
        model = self._varied(variant)
        with jax.default_matmul_precision("highest"):
            data = mjx.kinematics(model, self._data.replace(qpos=qpos, qvel=qvel))
            data = mjx.com_vel(model, mjx.com_pos(model, data))
        com = data.subtree_com[self.model.body_rootid]
        linvel, angvel = states.origin_velocities(data.cvel, com, data.xpos)
        return Kinematics(qpos, qvel, data.xpos, data.xquat, linvel, angvel)


def _without_sensors(model: mjx.Model) -> mjx.Model:
    """``model`` whose steps skip all sensors: they are read once, after the last substep."""
    flags = model.opt.disableflags | mjx.DisableBit.SENSOR
    return model.replace(opt=model.opt.replace(disableflags=flags))
