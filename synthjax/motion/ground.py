"""Where a body's geoms are above the floor: heights, contacts and flight phases of a trajectory."""

from __future__ import annotations

from typing import TypeVar

import jax
import mujoco
import numpy as np
from scipy.ndimage import gaussian_filter1d

from synthjax.bodies import Body

Array = TypeVar("Array", np.ndarray, jax.Array)

CONTACT_HEIGHT = 0.02  # m, a body lower than this touches the ground
TOUCH = 0.005  # m, what is so little higher than the lowest point of a part touches with it
_FOOT_SPEED = 1.0  # m/s, a foot faster than this swings through, however low
_FLIGHT_RISE = 0.04  # m
FLIGHT_EDGE = 0.035  # s
_LEVEL_SMOOTHING = 0.04  # s, standard deviation


def ground_geoms(body: Body) -> np.ndarray:
    """Ids of the geoms that can touch the ground: those paired with it, else all that collide."""
    model = body.model
    ground = model.geom(body.ground_geom).id
    pairs = np.stack([model.pair_geom1, model.pair_geom2], axis=-1)
    paired = pairs[(pairs == ground).any(axis=-1)]
    geoms = paired[paired != ground] if len(paired) else np.flatnonzero(model.geom_contype)
    return np.setdiff1d(geoms, [ground])


def lowest_points(body: Body, qpos: np.ndarray) -> np.ndarray:
    """Height of each body's lowest surface point, (T, nbody) metres; inf for bodies without geoms."""
    model, data = body.model, mujoco.MjData(body.model)
    geoms = ground_geoms(body)
    centre, up = np.zeros((len(qpos), len(geoms))), np.zeros((len(qpos), len(geoms), 3))
    for t, q in enumerate(qpos):
        data.qpos[:] = q
        mujoco.mj_kinematics(model, data)
        centre[t], up[t] = data.geom_xpos[geoms, 2], data.geom_xmat[geoms, 6:]
    out = np.full((len(qpos), model.nbody), np.inf)
    for i, geom in enumerate(geoms):
        owner = model.geom_bodyid[geom]
        out[:, owner] = np.minimum(out[:, owner], centre[:, i] - _reach_down(model, geom, up[:, i]))
    return out


def surface_points(model: mujoco.MjModel, data: mujoco.MjData, geom: int) -> np.ndarray:
    """(K, 3) surface points of a geom that can bear load: a box's corners, a capsule's ends, a centre."""
    size, kind = model.geom_size[geom], model.geom_type[geom]
    centre, axes = data.geom_xpos[geom], data.geom_xmat[geom].reshape(3, 3)
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T
        return centre + (signs * size) @ axes.T
    down = np.array([0.0, 0.0, -size[0]])
    if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
        return centre + down + np.array([[-size[1]], [size[1]]]) * axes[:, 2]
    return (centre + down)[None]


def part_points(body: Body, part: int) -> np.ndarray:
    """(K, 3) m, the surface points of one body in its own axes; its origin, of a body without geoms."""
    model, data = body.model, mujoco.MjData(body.model)
    mujoco.mj_kinematics(model, data)
    points = [surface_points(model, data, g) for g in ground_geoms(body) if model.geom_bodyid[g] == part]
    if not points:
        return np.zeros((1, 3))
    return np.asarray((np.concatenate(points) - data.xpos[part]) @ data.xmat[part].reshape(3, 3))


def touching_points(body: Body, qpos: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Where each of the bodies ``parts`` (P,) touches a floor that it stands on, (T, P, 3) m.

    The middle of its surface points that are at most :data:`TOUCH` higher than its lowest one; nan without
    geoms.
    """
    model, data = body.model, mujoco.MjData(body.model)
    touching = ground_geoms(body)
    geoms = [touching[model.geom_bodyid[touching] == part] for part in parts]
    out = np.full((len(qpos), len(parts), 3), np.nan)
    for t, q in enumerate(qpos):
        data.qpos[:] = q
        mujoco.mj_kinematics(model, data)
        for i, own in enumerate(geoms):
            if len(own):
                points = np.concatenate([surface_points(model, data, g) for g in own])
                out[t, i] = points[points[:, 2] <= points[:, 2].min() + TOUCH].mean(axis=0)
    return out


def _reach_down(model: mujoco.MjModel, geom: int, up: np.ndarray) -> np.ndarray:
    """Extent (T,) of a geom below its centre; ``up`` (T, 3) is the world's z in the geom's axes."""
    size, kind = model.geom_size[geom], model.geom_type[geom]
    if kind == mujoco.mjtGeom.mjGEOM_SPHERE:
        return np.full(len(up), size[0])
    if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
        return np.asarray(size[0] + np.abs(up[:, 2]) * size[1])
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        return np.asarray(np.abs(up) @ size)
    if kind == mujoco.mjtGeom.mjGEOM_ELLIPSOID:
        return np.asarray(np.linalg.norm(up * size, axis=-1))
    if kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        return np.asarray(np.abs(up[:, 2]) * size[1] + np.linalg.norm(up[:, :2], axis=-1) * size[0])
    if kind == mujoco.mjtGeom.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        start, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
        vertices = model.mesh_vert[start : start + count]
        return np.array([-(vertices @ u).min() for u in up])
    raise ValueError(f"no lowest point for geom type {mujoco.mjtGeom(kind).name}")


def centre_of_mass(body: Body, qpos: np.ndarray) -> np.ndarray:
    """Centre of mass of the whole body, (T, 3)."""
    model, data = body.model, mujoco.MjData(body.model)
    out = np.zeros((len(qpos), 3))
    for t, q in enumerate(qpos):
        data.qpos[:] = q
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        out[t] = data.subtree_com[1]
    return out


def flights(body: Body, qpos: np.ndarray, fps: float, loop: bool, edge: float = FLIGHT_EDGE) -> np.ndarray:
    """Which frames are without support, (T,) bool.

    A flight is an interval in which the lowest point rises by more than :data:`_FLIGHT_RISE` while
    the centre of mass falls freely, widened by ``edge`` seconds of take-off and landing.
    """
    lowest = _unrolled(lowest_points(body, qpos).min(axis=-1), loop)
    height = _unrolled(centre_of_mass(body, qpos)[:, 2], loop)
    acceleration = gaussian_filter1d(height, 0.04 * fps, order=2, mode="nearest") * fps**2
    falling = acceleration < -0.5 * 9.81
    flight = np.zeros(len(lowest), dtype=bool)
    for start, stop in intervals(lowest > np.percentile(lowest, 25) + _FLIGHT_RISE):
        flight[start:stop] = acceleration[start:stop].mean() < -0.5 * 9.81
    rim = round(edge * fps)
    for start, stop in intervals(flight | falling):
        if flight[start:stop].any():
            flight[max(0, start - rim) : stop + rim] = True
    return _one_cycle(flight, loop)


def floor_speed(xpos: Array, linvel: Array, angvel: Array) -> Array:
    """Horizontal speed in m/s of the material point of a part that is on the floor below its frame.

    Zero for a part that rolls or tips without slipping: v + ω x (0, 0, -z).

    Args:
      xpos: (..., 3) frame origins, m.
      linvel: (..., 3) their velocities, m/s.
      angvel: (..., 3) rad/s.

    Returns:
      (...,), of NumPy or JAX as the arguments are.
    """
    x = linvel[..., 0] - angvel[..., 1] * xpos[..., 2]
    y = linvel[..., 1] + angvel[..., 0] * xpos[..., 2]
    speed: Array = (x * x + y * y) ** 0.5
    return speed


def floor_level(body: Body, qpos: np.ndarray, fps: float, loop: bool, flight: np.ndarray) -> np.ndarray:
    """Height (T,) by which each frame must be lowered for its support to stand on the floor.

    Where the figure is supported, that is its lowest point; across flights it is interpolated, so
    that a jump keeps its height, but never above the lowest point.  Smoothing keeps the root's path free
    of jerks.
    """
    lowest = _unrolled(lowest_points(body, qpos).min(axis=-1), loop)
    supported = ~_unrolled(flight, loop)
    times = np.arange(len(lowest))
    level = np.minimum(np.interp(times, times[supported], lowest[supported]), lowest)
    return _one_cycle(gaussian_filter1d(level, _LEVEL_SMOOTHING * fps, mode="nearest"), loop)


def _unrolled(values: np.ndarray, loop: bool) -> np.ndarray:
    """Three cycles of a loop, so that its seam lies inside; else ``values`` themselves."""
    return np.tile(values, 3) if loop else values


def _one_cycle(values: np.ndarray, loop: bool) -> np.ndarray:
    """The middle one of three cycles."""
    frames = len(values) // 3
    return values[frames : 2 * frames] if loop else values


def intervals(mask: np.ndarray) -> list[tuple[int, int]]:
    """Half-open index ranges in which ``mask`` (T,) holds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def ground_contacts(body: Body, qpos: np.ndarray, linvel: np.ndarray) -> np.ndarray:
    """Which bodies touch the ground, (T, nbody) bool: near the floor and, for feet, nearly at rest.

    ``linvel`` is (T, nbody, 3), world axes.
    """
    contacts = lowest_points(body, qpos) < CONTACT_HEIGHT
    feet = body.body_ids(body.feet)
    contacts[:, feet] &= np.linalg.norm(linvel[:, feet, :2], axis=-1) < _FOOT_SPEED
    return contacts
