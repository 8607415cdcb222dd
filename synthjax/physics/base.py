"""The one seam between the project and a physics engine."""

from __future__ import annotations

from typing import Protocol

import jax
import mujoco

from synthjax.types import Kinematics, PhysicsState

# Model fields that may differ between worlds, by MjModel name.  Values are stacked arrays; a world
# without variation passes an empty dictionary.
ModelVariant = dict[str, jax.Array]
# The one field that no body is made with: a world's own substep () in s, and with it its control step.
SUBSTEP = "opt.timestep"


class Physics(Protocol):
    """Steps one world as a pure function, made for ``jax.vmap``, ``jax.lax.scan`` and ``jax.jit``."""

    name: str
    model: mujoco.MjModel  # the nominal model, on the host
    sim_dt: float
    n_substeps: int

    @property
    def control_dt(self) -> float: ...

    def init(self, variant: ModelVariant, qpos: jax.Array, qvel: jax.Array) -> PhysicsState:
        """State at ``qpos`` (nq,), ``qvel`` (nv,), with derived fields computed by the engine."""
        ...

    def restore(self, kinematics: Kinematics) -> PhysicsState:
        """State from already derived fields, without a call of the engine; forces are zero."""
        ...

    def step(self, variant: ModelVariant, state: PhysicsState, ctrl: jax.Array) -> PhysicsState:
        """One control step: ``n_substeps`` of ``sim_dt`` under constant ``ctrl`` (nu,).

        A variant with ``SUBSTEP`` has its own ``sim_dt``: the same number of substeps, of another length.
        """
        ...

    def select(self, pred: jax.Array, on_true: PhysicsState, on_false: PhysicsState) -> PhysicsState:
        """``on_true`` where ``pred`` () holds, else ``on_false``."""
        ...
