"""MJX with its Warp implementation: the fastest engine on an NVIDIA GPU, and testable on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import warp
from mujoco import mjx
from mujoco.mjx.third_party.mujoco_warp import OverflowType

from synthjax.bodies.spec import Body
from synthjax.physics.base import ModelVariant
from synthjax.physics.contacts import GroundContacts
from synthjax.physics.mjx_jax import Inputs, MjxPhysics, Outputs

_T = TypeVar("_T")
_FEW_CONTACTS = 32  # per world: up to here the contact buffer has room for all

# Bits of Data.overflow that stand for lost contacts or constraints.  The others (solver iterations
# used up) are everyday with the few iterations that training affords.
_LOST = int(
    OverflowType.NEFC
    | OverflowType.NJMAX_NNZ
    | OverflowType.BROADPHASE
    | OverflowType.NARROWPHASE
    | OverflowType.CONTACT_MATCH
)


class WarpPhysics(MjxPhysics):
    """Dynamics by MuJoCo Warp; the derived fields of the new state by MJX-JAX.

    Warp's contact buffer is shared by all worlds of a call, so it must be sized for their number, which
    only ``jax.vmap`` knows: a batching rule of our own collects the worlds (of nested vmaps too) into
    one call and builds Warp's Data for just that many.  Building it anew at each control step costs
    one fill of memory, less than a batched reset that has to choose between two whole Data, and it
    keeps the state as slim as the other engines'.
    """

    name = "warp"

    def __init__(self, body: Body, sim_dt: float, n_substeps: int) -> None:
        """``sim_dt`` in seconds."""
        super().__init__(body, sim_dt, n_substeps)
        warp.config.log_level = max(warp.config.log_level, warp.LOG_WARNING)  # a line per kernel otherwise
        model = mjx.put_model(self.model, impl="warp")
        self._warp_model = model.tree_replace({"opt._impl.warn_overflow": 0})
        self._contacts = GroundContacts.of(self.model, body.ground_geom)
        # MJX-JAX allocates for every contact and limit that the model can have at once.
        most = mjx.make_data(self.model, impl="jax")._impl
        self._max_contacts, self._max_constraints = int(most.ncon), int(most.nefc)
        self._collected = _collect_worlds(self._advance_worlds)

    def _advance(self, variant: ModelVariant, inputs: Inputs) -> Outputs:
        dtype = inputs.qpos.dtype
        variant, inputs = jax.tree.map(lambda x: x.astype(jnp.float32), (variant, inputs))
        out = self._collected((variant, inputs))
        return jax.tree.map(lambda x: x if x.dtype == jnp.int32 else x.astype(dtype), out)

    def _advance_worlds(self, worlds: tuple[ModelVariant, Inputs]) -> Outputs:
        """``n_substeps`` of all worlds; every leaf has the same leading axis."""
        template = self._template(len(worlds[1].qpos))

        def one(variant: ModelVariant, inputs: Inputs) -> Outputs:
            model = self._warp_model.tree_replace(variant)
            data = template.replace(**inputs._asdict())
            data = jax.lax.fori_loop(0, self.n_substeps, lambda _, d: mjx.step(model, d), data)
            return Outputs(
                qpos=data.qpos,
                qvel=data.qvel,
                qacc_warmstart=data.qacc_warmstart,
                actuator_force=data.actuator_force,
                sensordata=data.sensordata,
                overflow=jax.lax.population_count(data._impl.overflow & _LOST).reshape(()),
            )

        return jax.vmap(one)(*worlds)

    def _template(self, num_worlds: int) -> mjx.Data:
        """Data with buffers for ``num_worlds`` worlds, as traceable fills instead of large constants.

        The contact buffer is shared, and its size costs time.  For a body of many geoms it holds half of
        what all worlds could have at once: not all lie flat on every geom, and an overflow is counted.
        """
        per_world = min(self._max_contacts, max(_FEW_CONTACTS, self._max_contacts // 2))
        contacts = max(self._max_contacts, num_worlds * per_world)
        with jax.ensure_compile_time_eval():
            data = mjx.make_data(
                self.model, impl="warp", naconmax=max(contacts, 1), njmax=max(self._max_constraints, 1)
            )
            leaves, tree = jax.tree.flatten(data)
            host = [np.asarray(leaf) for leaf in leaves]
        return jax.tree.unflatten(tree, [_fill(leaf) for leaf in host])


def _fill(leaf: np.ndarray) -> jax.Array:
    if leaf.size and (leaf == leaf.flat[0]).all():
        return jnp.full(leaf.shape, leaf.flat[0], leaf.dtype)
    return jnp.asarray(leaf)


def _collect_worlds(function: Callable[[_T], Outputs]) -> Callable[[_T], Outputs]:
    """A function of one world that calls ``function`` once for all worlds of the enclosing vmaps.

    ``function`` takes and returns trees whose leaves all have the same leading axis.
    """

    @jax.custom_batching.custom_vmap
    def many(worlds: _T) -> Outputs:
        return function(worlds)

    @many.def_vmap
    def _(axis_size: int, in_batched: list[_T], worlds: _T) -> tuple[Outputs, Outputs]:
        worlds = _spread(axis_size, in_batched[0], worlds)
        inner = jax.tree.leaves(worlds)[0].shape[1]
        flat = jax.tree.map(lambda x: x.reshape(axis_size * inner, *x.shape[2:]), worlds)
        out = jax.tree.map(lambda x: x.reshape(axis_size, inner, *x.shape[1:]), many(flat))
        return out, jax.tree.map(lambda _: True, out)

    @jax.custom_batching.custom_vmap
    def one(world: _T) -> Outputs:
        return jax.tree.map(lambda x: x[0], many(jax.tree.map(lambda x: x[None], world)))

    @one.def_vmap
    def _(axis_size: int, in_batched: list[_T], world: _T) -> tuple[Outputs, Outputs]:
        out = many(_spread(axis_size, in_batched[0], world))
        return out, jax.tree.map(lambda _: True, out)

    return one


def _spread(axis_size: int, batched: _T, tree: _T) -> _T:
    """``tree`` with a leading axis of ``axis_size`` on every leaf."""
    return jax.tree.map(
        lambda x, has_axis: x if has_axis else jnp.broadcast_to(x, (axis_size, *x.shape)), tree, batched
    )
