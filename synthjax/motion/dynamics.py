"""What a clip asks of a body's motors and of the ground: inverse dynamics with contact forces."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import nnls

from synthjax.bodies import Body
from synthjax.motion.clip import Clip
from synthjax.motion.ground import ground_geoms, surface_points
from synthjax.motion.kinematics import central_rate

_FRICTION = 1.0
_SMOOTHING = 0.03  # s, standard deviation, on the accelerations
_REACH = 0.03  # m, surface points so close to the lowest one of their body bear load
# Pull of the contact forces towards zero: small against the six rows that they balance.
_REGULARISATION = 1e-3


@dataclasses.dataclass(frozen=True)
class Demand:
    """Generalised forces behind a clip, frame by frame."""

    torque: np.ndarray  # (T, num_joints) N m, in the order of ``body.joints``
    residual: np.ndarray  # (T,) force on the root that no contact can give, in body weights


def demand(body: Body, clip: Clip) -> Demand:
    """Joint torques of ``clip`` when its contact bodies push on the ground within the friction cone.

    The contact forces are the smallest ones (non-negative least squares over the edges of the
    friction pyramid) that balance the root's six equations; what they cannot balance is
    ``residual``: zero for a motion that physics allows.
    """
    model, data = body.model, mujoco.MjData(body.model)
    acceleration = central_rate(clip.qvel, clip.fps, clip.loop)
    acceleration = gaussian_filter1d(
        acceleration, _SMOOTHING * clip.fps, axis=0, mode="wrap" if clip.loop else "nearest"
    )
    weight = float(model.body_subtreemass[1] * np.linalg.norm(model.opt.gravity))
    addresses = [model.joint(name).dofadr[0] for name in body.joints]
    torque = np.zeros((clip.num_frames, len(addresses)))
    residual = np.zeros(clip.num_frames)
    for t in range(clip.num_frames):
        data.qpos[:], data.qvel[:] = clip.qpos[t], clip.qvel[t]
        mujoco.mj_fwdPosition(model, data)
        mujoco.mj_fwdVelocity(model, data)
        force = np.zeros(model.nv)
        mujoco.mj_mulM(model, data, force, acceleration[t])
        force += data.qfrc_bias - data.qfrc_passive
        edges = _contact_edges(body, data, np.flatnonzero(clip.contacts[t]))
        if len(edges):
            rows = np.concatenate([edges[:, :6].T, _REGULARISATION * np.eye(len(edges))])
            size, _ = nnls(rows, np.concatenate([force[:6], np.zeros(len(edges))]))
            force = force - edges.T @ size
        torque[t] = force[addresses]
        residual[t] = np.linalg.norm(force[:3]) / weight
    return Demand(torque, residual)


def _contact_edges(body: Body, data: mujoco.MjData, bodies: np.ndarray) -> np.ndarray:
    """Generalised force (E, nv) of a unit force along each friction-pyramid edge of each contact point."""
    model = body.model
    jacobian = np.zeros((3, model.nv))
    edges = []
    for geom in ground_geoms(body):
        owner = model.geom_bodyid[geom]
        if owner not in bodies:
            continue
        corners = surface_points(model, data, geom)
        for point in corners[corners[:, 2] < corners[:, 2].min() + _REACH]:
            mujoco.mj_jac(model, data, jacobian, None, point, owner)
            for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                edges.append(np.array([_FRICTION * x, _FRICTION * y, 1.0]) @ jacobian)
    return np.array(edges)
