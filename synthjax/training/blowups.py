"""The last steps of a world that has become non-finite, kept on the device until somebody wants them.

Every unroll leaves a trail of what its worlds were before each step.  When one of them blows up, its part of
the trail of this unroll and of the one before is taken out: one world an epoch, so that it costs little.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct

from synthjax.types import EnvState


@struct.dataclass
class Trail:
    """Control steps of worlds, with leading axes of their own."""

    qpos: jax.Array  # (..., nq) before the step
    qvel: jax.Array  # (..., nv) before the step
    action: jax.Array  # (..., action_dim) of the policy
    bad: jax.Array  # (...) bool, the step made the world non-finite or unstable
    done: jax.Array  # (...) bool, a new episode begins after the step
    duration: jax.Array | None = None  # (...) of the step, in nominal control steps; None: one


@struct.dataclass
class Blowup:
    """The first world of an epoch that blew up, (1, ...): each device has its own."""

    found: jax.Array  # (1,) bool; without it the trail means nothing
    trail: Trail  # (1, T + 1, ...) the step that blew up and the T before it, of whatever episodes


def trail_of(before: EnvState, action: jax.Array, stepped: EnvState) -> Trail:
    """One control step of worlds."""
    body = before.physics.kinematics
    return Trail(
        qpos=body.qpos,
        qvel=body.qvel,
        action=action,
        bad=stepped.physics.bad,
        done=stepped.terminated | stepped.truncated,
        duration=stepped.duration,
    )


def no_trail(env: EnvState, action_dim: int, length: int) -> Trail:
    """(length, N, ...) steps that belong to nothing that follows: what an epoch begins with."""
    qpos, qvel = env.physics.kinematics.qpos, env.physics.kinematics.qvel
    worlds = qpos.shape[0]
    return Trail(
        qpos=jnp.zeros((length, *qpos.shape), qpos.dtype),
        qvel=jnp.zeros((length, *qvel.shape), qvel.dtype),
        action=jnp.zeros((length, worlds, action_dim), qpos.dtype),
        bad=jnp.zeros((length, worlds), bool),
        done=jnp.ones((length, worlds), bool),
        duration=None if env.duration is None else jnp.ones((length, worlds)),
    )


def no_blowup(trail: Trail) -> Blowup:
    """Nothing has happened yet to the worlds of ``trail`` (T, N, ...)."""
    steps = trail.bad.shape[0] + 1
    empty = jax.tree.map(lambda x: jnp.zeros((1, steps, *x.shape[2:]), x.dtype), trail)
    return Blowup(found=jnp.zeros(1, bool), trail=empty)


def first_blowup(known: Blowup, before: Trail, now: Trail) -> Blowup:
    """``known``, or else the first world that blew up in ``now``, the unroll (T, N, ...) after ``before``."""

    def take() -> Blowup:
        length = now.bad.shape[0]
        # Flattened with time first, so that the first one is the earliest.
        step, world = jnp.divmod(jnp.argmax(now.bad), now.bad.shape[1])

        def cut(old: jax.Array, new: jax.Array) -> jax.Array:
            both = jnp.concatenate([old[:, world], new[:, world]])
            return jax.lax.dynamic_slice_in_dim(both, step, length + 1)[None]

        return Blowup(found=jnp.ones(1, bool), trail=jax.tree.map(cut, before, now))

    return jax.lax.cond(~known.found[0] & jnp.any(now.bad), take, lambda: known)
