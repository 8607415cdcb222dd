"""What the three engines do alike with a :class:`PhysicsState`."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import mujoco

from synthjax.types import Kinematics, PhysicsState

MAX_VALUE = mujoco.mjMAXVAL  # beyond this MuJoCo calls a state unstable


def restored(kinematics: Kinematics, nu: int) -> PhysicsState:
    """State at ``kinematics`` before any step: no warm start, no pushes, zero forces."""
    qvel, xpos = kinematics.qvel, kinematics.xpos
    nbody = xpos.shape[0]
    return PhysicsState(
        kinematics=kinematics,
        warmstart=jnp.zeros_like(qvel),
        xfrc_applied=jnp.zeros((nbody, 6), qvel.dtype),
        actuator_force=jnp.zeros((nu,), qvel.dtype),
        ground_contact=jnp.zeros((nbody,), qvel.dtype),
        ground_load=jnp.zeros((nbody,), qvel.dtype),
        ground_force=jnp.zeros((nbody, 3), qvel.dtype),
        bad=jnp.zeros((), bool),
        overflow=jnp.zeros((), jnp.int32),
    )


def origin_velocities(cvel: jax.Array, com: jax.Array, xpos: jax.Array) -> tuple[jax.Array, jax.Array]:
    """World-frame velocities of the body frame origins from MuJoCo's com-based ones.

    Args:
      cvel: (nbody, 6) angular then linear velocity at ``com``, rad/s and m/s.
      com: (nbody, 3) centre of mass of the kinematic tree that each body belongs to, m.
      xpos: (nbody, 3) body frame origins, m.

    Returns:
      linear (nbody, 3), m/s, and angular (nbody, 3), rad/s.
    """
    angular = cvel[:, :3]
    return cvel[:, 3:] + jnp.cross(angular, xpos - com), angular


def keep_usable(previous: PhysicsState, stepped: PhysicsState, ctrl: jax.Array) -> PhysicsState:
    """Marks a world that has blown up, and keeps its numbers finite so that nothing else is poisoned.

    A world is bad when the engine said so, or when a control or its new state is not finite or is
    beyond MuJoCo's own bound.  It then keeps the state BEFORE the step (entries that were not finite
    even there become zero, and the solver's warm start starts over) with ``bad`` set: the episode
    must end, and its last numbers are the last believable ones.  ``bad`` speaks of this step only.
    """
    kin = stepped.kinematics
    watched = (kin.qpos, kin.qvel, stepped.warmstart, stepped.actuator_force, ctrl)
    usable = functools.reduce(jnp.logical_and, [jnp.all(jnp.abs(x) < MAX_VALUE) for x in watched])
    bad = stepped.bad | ~usable

    def finite(x: jax.Array) -> jax.Array:
        return jnp.where(jnp.abs(x) < MAX_VALUE, x, 0.0)

    fallback = dataclasses.replace(
        previous,
        kinematics=jax.tree.map(finite, previous.kinematics),
        warmstart=jnp.zeros_like(previous.warmstart),
        xfrc_applied=finite(previous.xfrc_applied),
        overflow=stepped.overflow,
    )
    return dataclasses.replace(select(bad, fallback, stepped), bad=bad)


def select(pred: jax.Array, on_true: PhysicsState, on_false: PhysicsState) -> PhysicsState:
    """``on_true`` where ``pred`` () holds, else ``on_false``."""
    return jax.tree.map(lambda a, b: jnp.where(pred, a, b), on_true, on_false)
