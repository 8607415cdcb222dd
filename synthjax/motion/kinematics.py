"""Forward kinematics and velocities of joint trajectories, on the host with native MuJoCo."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np


@dataclasses.dataclass(frozen=True)
class BodyTrajectory:
    """World kinematics of every body over ``T`` frames; linear velocities are of body frame origins."""

    xpos: np.ndarray  # (T, nbody, 3)
    xquat: np.ndarray  # (T, nbody, 4)
    linvel: np.ndarray  # (T, nbody, 3) world axes
    angvel: np.ndarray  # (T, nbody, 3) world axes


def forward_kinematics(model: mujoco.MjModel, qpos: np.ndarray, qvel: np.ndarray) -> BodyTrajectory:
    """Body poses and velocities for each row of ``qpos`` (T, nq) and ``qvel`` (T, nv)."""
    data = mujoco.MjData(model)
    frames, nbody = len(qpos), model.nbody
    out = BodyTrajectory(
        np.zeros((frames, nbody, 3)),
        np.zeros((frames, nbody, 4)),
        np.zeros((frames, nbody, 3)),
        np.zeros((frames, nbody, 3)),
    )
    for t in range(frames):
        data.qpos[:] = qpos[t]
        data.qvel[:] = qvel[t]
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_comVel(model, data)
        out.xpos[t] = data.xpos
        out.xquat[t] = data.xquat
        # cvel is the spatial velocity (angular, linear) at the centre of mass of the body's tree.
        lever = data.xpos - data.subtree_com[model.body_rootid]
        out.angvel[t] = data.cvel[:, :3]
        out.linvel[t] = data.cvel[:, 3:] + np.cross(data.cvel[:, :3], lever)
    return out


def finite_velocities(
    model: mujoco.MjModel, qpos: np.ndarray, fps: float, loop_offset: np.ndarray | None = None
) -> np.ndarray:
    """``qvel`` (T, nv) of ``qpos`` (T, nq) by central differences on the configuration manifold.

    With ``loop_offset`` (3,) the frames are one cycle without its closing frame, and the ends take
    their neighbours across the seam; without it the ends use one-sided differences.
    """
    before, after = np.roll(qpos, 1, axis=0), np.roll(qpos, -1, axis=0)
    span = np.full(len(qpos), 2.0 / fps)
    if loop_offset is not None:
        before[0, :3] -= loop_offset
        after[-1, :3] += loop_offset
    else:
        before[0], after[-1] = qpos[0], qpos[-1]
        span[[0, -1]] = 1.0 / fps
    return np.stack([differentiate(model, b, a, dt) for b, a, dt in zip(before, after, span, strict=True)])


def hinge_limits(model: mujoco.MjModel) -> np.ndarray:
    """(nq - 7, 2) rad, stops of each hinge in qpos order; infinite where there are none."""
    free = np.array([-np.inf, np.inf])
    return np.where(model.jnt_limited[1:, None].astype(bool), model.jnt_range[1:], free)


def central_rate(values: np.ndarray, fps: float, loop: bool) -> np.ndarray:
    """Time derivative of ``values`` (T, ...) by central differences, across the seam of a loop."""
    if loop:
        return (np.roll(values, -1, axis=0) - np.roll(values, 1, axis=0)) * (0.5 * fps)
    return np.gradient(values, 1.0 / fps, axis=0)


def differentiate(model: mujoco.MjModel, start: np.ndarray, end: np.ndarray, dt: float) -> np.ndarray:
    """The velocity (nv,) that carries ``start`` (nq,) to ``end`` (nq,) in ``dt`` seconds.

    Its angular part is in the root's axes at ``start``, as for every free joint.
    """
    qvel = np.zeros(model.nv)
    mujoco.mj_differentiatePos(model, qvel, dt, start, end)
    return qvel
