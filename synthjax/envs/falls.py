"""Fallen bodies: ragdolls dropped in any attitude and left to settle, computed once on the host."""

from __future__ import annotations

import copy

import mujoco
import mujoco.batch
import numpy as np

from synthjax.bodies import Body
from synthjax.engine_log import silence_warnings
from synthjax.errors import UserError

_DROP = 1.05  # standing heights of the root when it is let go
_BEND = 0.5  # share of the joint ranges that the pose is drawn from
_LIMP_DAMPING = 1.0  # N m s/rad of every hinge beside the body's own: flesh, not bearings
_SETTLE_SECONDS = 3.0
_STEP = 1 / 120  # s
_RESTING = 1.0  # m/s or rad/s, most of any velocity of a body at rest
LYING = 0.3  # standing heights that the root of a fallen body is below


def settled_falls(body: Body, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Poses of a limp body after a fall, at rest.

    The attitude at the start is uniform over all rotations, the pose over half of the joint ranges.  Falls
    that end above :data:`LYING`, or are not finite, are drawn anew.

    Args:
      body: the body that falls.
      count: N, wanted poses.
      seed: of attitudes, poses and velocities.

    Returns:
      ``qpos`` (N, nq) over the origin, and ``qvel`` (N, nv), which is zero.

    Raises:
      UserError: the body does not lie down.
    """
    rng = np.random.default_rng(seed)
    kept: list[np.ndarray] = []
    for _ in range(20):
        qpos, qvel = _drop(body, _attitudes(body, count, rng), rng)
        resting = np.isfinite(qpos).all(axis=1) & (np.abs(qvel).max(axis=1) < _RESTING)
        kept.append(qpos[resting & (qpos[:, 2] < LYING * body.standing_height)])
        if sum(map(len, kept)) >= count:
            qpos = np.concatenate(kept)[:count]
            return qpos, np.zeros((count, body.model.nv))
    raise UserError(
        f"The body '{body.name}' does not come to rest below {LYING} of its standing height when it falls: "
        "check its joint damping and the geoms that touch the ground."
    )


def _attitudes(body: Body, count: int, rng: np.random.Generator) -> np.ndarray:
    """Start poses (N, nq) in the air."""
    qpos = np.tile(body.standing_qpos, (count, 1))
    qpos[:, 2] = _DROP * body.standing_height
    attitude = rng.normal(size=(count, 4))
    qpos[:, 3:7] = attitude / np.linalg.norm(attitude, axis=1, keepdims=True)
    lower, upper = body.model.jnt_range[1:].T
    qpos[:, 7:] = _BEND * rng.uniform(lower, upper, (count, len(lower)))
    return np.concatenate([qpos[:, :7], np.clip(qpos[:, 7:], lower, upper)], axis=1)


def _drop(body: Body, qpos: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Where limp bodies (N, nq) let go with a little speed are later: (N, nq) over the origin, (N, nv)."""
    silence_warnings()  # a fall that blows up is drawn anew
    model = copy.copy(body.model)
    model.opt.timestep = _STEP
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    model.actuator_gainprm[:] = 0.0
    model.actuator_biasprm[:] = 0.0
    model.dof_damping[6:] += _LIMP_DAMPING
    batch = mujoco.batch.Batch(model, len(qpos), 0)
    position, velocity = batch.bind("qpos"), batch.bind("qvel")
    position[...] = qpos
    velocity[:, :6] = rng.normal(scale=0.5, size=(len(qpos), 6))
    batch.step(nstep=round(_SETTLE_SECONDS / _STEP), stage=mujoco.mjtStage.mjSTAGE_VEL.value)
    settled = np.array(position)
    settled[:, :2] = 0.0
    return settled, np.array(velocity)
