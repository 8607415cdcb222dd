"""Native MuJoCo on all CPU cores: the whole batch of worlds in one host call."""

from __future__ import annotations

import collections
import copy
import dataclasses
import math

import jax
import jax.numpy as jnp
import mujoco
import mujoco.batch
import numpy as np

from synthjax.bodies.spec import Body
from synthjax.engine_log import silence_warnings
from synthjax.physics import states
from synthjax.physics.base import ModelVariant
from synthjax.physics.contacts import GroundContacts
from synthjax.types import Kinematics, PhysicsState

_INPUTS = ("qpos", "qvel", "qacc_warmstart", "ctrl", "xfrc_applied")
_FULL = [int(mujoco.mjtWarning.mjWARN_CONTACTFULL), int(mujoco.mjtWarning.mjWARN_CNSTRFULL)]


class NativePhysics:
    """``mujoco.batch.Batch`` behind ``jax.pure_callback``: state in, state out, so a pure function.

    Under ``jax.vmap`` (nested too) all worlds travel in one call as one packed array each way, in the
    caller's precision, while MuJoCo computes in float64.  Results do not depend on the number of
    threads or on how worlds are grouped into calls.
    """

    name = "native"

    def __init__(self, body: Body, sim_dt: float, n_substeps: int, nthread: int = 0) -> None:
        """``sim_dt`` in seconds; ``nthread`` 0 means all CPU cores."""
        silence_warnings()
        self.model = copy.copy(body.model)
        self.model.opt.timestep = sim_dt
        # Otherwise MuJoCo would teleport an unstable world back to qpos0 and report nothing.
        self.model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
        self.sim_dt = sim_dt
        self.n_substeps = n_substeps
        self._nthread = nthread
        self._contacts = GroundContacts.of(self.model, body.ground_geom)
        self._layout = _Layout(self.model, self._contacts.sensor_index)
        self._workers: dict[tuple[int, tuple[str, ...]], collections.deque[_Worker]] = {}

    @property
    def control_dt(self) -> float:
        return self.n_substeps * self.sim_dt

    def init(self, variant: ModelVariant, qpos: jax.Array, qvel: jax.Array) -> PhysicsState:
        """State at ``qpos`` (nq,), ``qvel`` (nv,), with derived fields computed by the engine."""
        m = self.model
        rest = [jnp.zeros(n, qpos.dtype) for n in (m.nv, m.nu, 6 * m.nbody)]
        out = self._call(0, variant, jnp.concatenate([qpos, qvel.astype(qpos.dtype), *rest]))
        return states.restored(self._kinematics(out), m.nu)

    def restore(self, kinematics: Kinematics) -> PhysicsState:
        """State from already derived fields, without a call of the engine; forces are zero."""
        return states.restored(kinematics, self.model.nu)

    def step(self, variant: ModelVariant, state: PhysicsState, ctrl: jax.Array) -> PhysicsState:
        """One control step: ``n_substeps`` of ``sim_dt`` under constant ``ctrl`` (nu,)."""
        kin = state.kinematics
        parts = (kin.qpos, kin.qvel, state.warmstart, ctrl, state.xfrc_applied.reshape(-1))
        out = self._call(self.n_substeps, variant, jnp.concatenate([p.astype(kin.qpos.dtype) for p in parts]))
        contact, load, force = self._contacts.sum_per_body(out["ground"])
        stepped = dataclasses.replace(
            state,
            kinematics=self._kinematics(out),
            warmstart=out["qacc_warmstart"],
            actuator_force=out["actuator_force"],
            ground_contact=contact,
            ground_load=load,
            ground_force=force,
            bad=out["bad"][0] > 0,
            overflow=out["overflow"][0].astype(jnp.int32),
        )
        return states.keep_usable(state, stepped, ctrl)

    def select(self, pred: jax.Array, on_true: PhysicsState, on_false: PhysicsState) -> PhysicsState:
        """``on_true`` where ``pred`` () holds, else ``on_false``."""
        return states.select(pred, on_true, on_false)

    def _kinematics(self, out: dict[str, jax.Array]) -> Kinematics:
        com = out["com"][self._layout.tree_of_body]
        linvel, angvel = states.origin_velocities(out["cvel"], com, out["xpos"])
        return Kinematics(
            qpos=out["qpos"],
            qvel=out["qvel"],
            xpos=out["xpos"],
            xquat=out["xquat"],
            linvel=linvel,
            angvel=angvel,
        )

    def _call(self, n_substeps: int, variant: ModelVariant, packed: jax.Array) -> dict[str, jax.Array]:
        names = tuple(sorted(variant))

        def host(packed: np.ndarray, *fields: np.ndarray) -> np.ndarray:
            return self._run(n_substeps, names, np.asarray(packed), [np.asarray(f) for f in fields])

        result = jax.ShapeDtypeStruct((self._layout.width,), packed.dtype)
        out = jax.pure_callback(
            host, result, packed, *(variant[name] for name in names), vmap_method="expand_dims"
        )
        return self._layout.split(out)

    def _run(
        self, n_substeps: int, names: tuple[str, ...], packed: np.ndarray, fields: list[np.ndarray]
    ) -> np.ndarray:
        """One host call: (..., nin) in, (..., nout) out.  NumPy only: JAX in here can deadlock."""
        batch_ndim = packed.ndim - 1
        lead = np.broadcast_shapes(packed.shape[:-1], *(f.shape[:batch_ndim] for f in fields))
        nsim = math.prod(lead)
        if packed.shape[:-1] != lead:
            packed = np.broadcast_to(packed, (*lead, packed.shape[-1]))
        # A worker serves one thread at a time: several devices may call at once.
        free = self._workers.setdefault((nsim, names), collections.deque())
        try:
            worker = free.pop()
        except IndexError:
            worker = _Worker(self.model, nsim, self._nthread, self._layout, names)
        for target, values in zip(worker.fields, fields, strict=True):
            shape = values.shape[batch_ndim:]
            target[...] = np.broadcast_to(values, (*lead, *shape)).reshape(nsim, *shape)
        out = worker.run(n_substeps, packed.reshape(nsim, -1))
        free.append(worker)
        return out.reshape(*lead, -1)


class _Layout:
    """Where each result lies in a world's packed output row."""

    def __init__(self, model: mujoco.MjModel, sensor_index: np.ndarray) -> None:
        roots, self.tree_of_body = np.unique(model.body_rootid, return_inverse=True)
        self.roots = roots
        self.sensors = _as_slice(sensor_index)
        self.shapes: dict[str, tuple[int, ...]] = {
            "qpos": (model.nq,),
            "qvel": (model.nv,),
            "qacc_warmstart": (model.nv,),
            "xpos": (model.nbody, 3),
            "xquat": (model.nbody, 4),
            "cvel": (model.nbody, 6),
            "com": (len(roots), 3),
            "actuator_force": (model.nu,),
            "ground": (len(sensor_index),),
            "bad": (1,),
            "overflow": (1,),
        }
        ends = np.cumsum([math.prod(s) for s in self.shapes.values()]).tolist()
        starts = [0, *ends[:-1]]
        self.slices = dict(zip(self.shapes, map(slice, starts, ends), strict=True))
        self.width = ends[-1]

    def split(self, row: jax.Array) -> dict[str, jax.Array]:
        """A row (width,) as named arrays."""
        return {name: row[self.slices[name]].reshape(shape) for name, shape in self.shapes.items()}


class _Worker:
    """A Batch with its bound arrays; borrowed by one host call at a time."""

    def __init__(
        self, model: mujoco.MjModel, nsim: int, nthread: int, layout: _Layout, names: tuple[str, ...]
    ) -> None:
        self._batch = mujoco.batch.Batch(model, nsim, nthread)
        self._layout = layout
        self._nsim = nsim
        self.fields = [self._batch.expand(name) for name in names]
        bound = {name: self._batch.bind(name) for name in _INPUTS}
        ends = np.cumsum([math.prod(view.shape[1:]) for view in bound.values()]).tolist()
        self._inputs = [
            (view, slice(end - math.prod(view.shape[1:]), end))
            for view, end in zip(bound.values(), ends, strict=True)
        ]
        direct = ("qpos", "qvel", "qacc_warmstart", "xpos", "xquat", "cvel", "actuator_force")
        self._outputs = [(layout.slices[name], self._batch.bind(name)) for name in direct]
        self._com = self._batch.bind("subtree_com")
        self._sensordata = self._batch.bind("sensordata")
        self._time = self._batch.bind("time")
        self._warnings = self._batch.warning[:, :, 1]

    def run(self, n_substeps: int, packed: np.ndarray) -> np.ndarray:
        """Steps all worlds (only derives their fields when ``n_substeps`` is 0)."""
        layout, nsim = self._layout, self._nsim
        for view, columns in self._inputs:
            view[...] = packed[:, columns].reshape(view.shape)
        self._time[...] = 0.0
        before = self._warnings.copy()
        if n_substeps:
            self._batch.step(nstep=n_substeps, stage=mujoco.mjtStage.mjSTAGE_VEL.value)
        else:
            self._batch.forward(stage=mujoco.mjtStage.mjSTAGE_VEL.value)
        # Not reused: XLA may still be copying it when another thread borrows this worker.
        out = np.empty((nsim, layout.width), packed.dtype)
        with np.errstate(over="ignore", invalid="ignore"):  # a bad world may not fit into float32
            for columns, view in self._outputs:
                out[:, columns] = view.reshape(nsim, -1)
        out[:, layout.slices["com"]] = self._com[:, layout.roots].reshape(nsim, -1)
        out[:, layout.slices["ground"]] = self._sensordata[:, layout.sensors]
        risen = self._warnings - before
        full = risen[:, _FULL].sum(axis=1)
        out[:, layout.slices["overflow"]] = full[:, None]
        out[:, layout.slices["bad"]] = (risen.sum(axis=1) > full)[:, None]
        return out


def _as_slice(index: np.ndarray) -> slice | np.ndarray:
    """``index`` as a slice where it is contiguous, which copies several times faster."""
    if len(index) and np.array_equal(index, np.arange(index[0], index[0] + len(index))):
        return slice(int(index[0]), int(index[-1]) + 1)
    return index
