"""Kinematics as one row of numbers: gathering one row is far cheaper than gathering six arrays."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from synthjax.types import Kinematics


def pack_rows(
    qpos: np.ndarray,
    qvel: np.ndarray,
    xpos: np.ndarray,
    xquat: np.ndarray,
    linvel: np.ndarray,
    angvel: np.ndarray,
) -> np.ndarray:
    """The fields of :class:`Kinematics` over T frames, side by side.  -> (T, nq + nv + 13 nbody)."""
    return np.concatenate(
        [field.reshape(len(qpos), -1) for field in (qpos, qvel, xpos, xquat, linvel, angvel)], axis=1
    )


def unpack_row(row: jax.Array, nq: int, nv: int) -> Kinematics:
    """The kinematics of one packed row (nq + nv + 13 nbody,)."""
    nbody = (row.shape[-1] - nq - nv) // 13
    sizes = np.cumsum([nq, nv, 3 * nbody, 4 * nbody, 3 * nbody])
    qpos, qvel, xpos, xquat, linvel, angvel = jnp.split(row, sizes)
    return Kinematics(
        qpos=qpos,
        qvel=qvel,
        xpos=xpos.reshape(nbody, 3),
        xquat=xquat.reshape(nbody, 4),
        linvel=linvel.reshape(nbody, 3),
        angvel=angvel.reshape(nbody, 3),
    )
