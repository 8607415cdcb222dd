"""A body's visible geoms as triangles, for whatever draws it without MuJoCo."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

SHOWN_GROUPS = (0, 1, 2)  # those that MuJoCo's own viewers show
_SEGMENTS = 16  # around an axis
_RINGS = 5  # from a pole of a sphere to its equator


@dataclasses.dataclass(frozen=True)
class Surface:
    """Triangles of one body of a model, in that body's frame, seen from outside counter-clockwise."""

    points: np.ndarray  # (V, 3) m
    normals: np.ndarray  # (V, 3) unit vectors
    triangles: np.ndarray  # (F, 3) int, rows of ``points``


def body_surface(model: mujoco.MjModel, body: int) -> Surface:
    """The geoms of ``body`` (its id) in the shown groups; planes and height fields are left out."""
    parts = []
    for geom in np.flatnonzero(model.geom_bodyid == body):
        if model.geom_group[geom] not in SHOWN_GROUPS:
            continue
        part = _geom_surface(model, int(geom))
        turn = Rotation.from_quat(model.geom_quat[geom], scalar_first=True)
        points = turn.apply(part.points) + model.geom_pos[geom]
        parts.append(Surface(points, turn.apply(part.normals), part.triangles))
    return _joined([part for part in parts if len(part.triangles)])


def _joined(parts: list[Surface]) -> Surface:
    if not parts:
        return Surface(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3), int))
    starts = np.cumsum([0] + [len(part.points) for part in parts[:-1]])
    return Surface(
        np.concatenate([part.points for part in parts]),
        np.concatenate([part.normals for part in parts]),
        np.concatenate([part.triangles + start for part, start in zip(parts, starts, strict=True)]),
    )


def _geom_surface(model: mujoco.MjModel, geom: int) -> Surface:
    """In the geom's own frame."""
    kind, (a, b, c) = model.geom_type[geom], model.geom_size[geom]
    if kind == mujoco.mjtGeom.mjGEOM_SPHERE:
        return capsule_surface(a, 0.0)
    if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
        return capsule_surface(a, b)
    if kind == mujoco.mjtGeom.mjGEOM_ELLIPSOID:
        ball, size = capsule_surface(1.0, 0.0), np.array([a, b, c])
        normals = ball.normals / size
        return Surface(
            ball.points * size, normals / np.linalg.norm(normals, axis=-1, keepdims=True), ball.triangles
        )
    if kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        profile = [(0, b, 0, 1), (a, b, 0, 1), (a, b, 1, 0), (a, -b, 1, 0), (a, -b, 0, -1), (0, -b, 0, -1)]
        return _revolved(np.array(profile, dtype=float))
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        return _box(np.array([a, b, c]))
    if kind == mujoco.mjtGeom.mjGEOM_MESH:
        return _mesh(model, int(model.geom_dataid[geom]))
    return _joined([])


def capsule_surface(radius: float, half_length: float) -> Surface:
    """A sphere that is drawn apart along z by ``half_length`` either way: a capsule."""
    polar = np.concatenate([np.linspace(0.0, 0.5, _RINGS + 1), np.linspace(0.5, 1.0, _RINGS + 1)]) * np.pi
    sine, cosine = np.sin(polar), np.cos(polar)
    apart = np.repeat([half_length, -half_length], _RINGS + 1)
    return _revolved(np.stack([radius * sine, radius * cosine + apart, sine, cosine], axis=-1))


def _revolved(profile: np.ndarray) -> Surface:
    """``profile`` (P, 4) of radius, z and their normal, from the top downwards, turned about z."""
    angle = np.linspace(0.0, 2.0 * np.pi, _SEGMENTS, endpoint=False)
    around = np.stack([np.cos(angle), np.sin(angle)], axis=-1)

    def turned(radius: np.ndarray, z: np.ndarray) -> np.ndarray:
        flat = radius[:, None, None] * around
        along = np.broadcast_to(z[:, None, None], (len(z), _SEGMENTS, 1))
        return np.concatenate([flat, along], axis=-1).reshape(-1, 3)

    here = np.arange((len(profile) - 1) * _SEGMENTS)
    beside = here - here % _SEGMENTS + (here + 1) % _SEGMENTS
    below, below_beside = here + _SEGMENTS, beside + _SEGMENTS
    triangles = np.concatenate([
        np.stack([here, below, below_beside], axis=-1),
        np.stack([here, below_beside, beside], axis=-1),
    ])  # fmt: skip
    points = turned(profile[:, 0], profile[:, 1])
    return Surface(points, turned(profile[:, 2], profile[:, 3]), _without_slivers(points, triangles))


def _box(half: np.ndarray) -> Surface:
    points: list[np.ndarray] = []
    normals: list[np.ndarray] = []
    triangles: list[list[list[int]]] = []
    for axis in range(3):
        for sign in (1.0, -1.0):
            normal = sign * np.eye(3)[axis]
            first, second = np.eye(3)[(axis + 1) % 3], sign * np.eye(3)[(axis + 2) % 3]
            start = 4 * len(triangles)
            corners = [normal + u * first + v * second for u, v in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
            points += [half * corner for corner in corners]
            normals += [normal] * 4
            triangles.append([[start, start + 1, start + 2], [start, start + 2, start + 3]])
    return Surface(np.array(points), np.array(normals), np.array(triangles).reshape(-1, 3))


def _mesh(model: mujoco.MjModel, mesh: int) -> Surface:
    """With the normals of its faces."""
    first, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
    start, faces = model.mesh_faceadr[mesh], model.mesh_facenum[mesh]
    corners = model.mesh_vert[first : first + count].astype(float)[model.mesh_face[start : start + faces]]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normals, axis=-1)
    corners, normals = corners[length > 0.0], (normals / np.maximum(length, 1e-300)[:, None])[length > 0.0]
    return Surface(
        corners.reshape(-1, 3), np.repeat(normals, 3, axis=0), np.arange(3 * len(corners)).reshape(-1, 3)
    )


def _without_slivers(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Those of ``triangles`` that have an area: not all do at the poles, and at the equator of a ball."""
    a, b, c = (points[triangles[:, i]] for i in range(3))
    kept: np.ndarray = triangles[np.linalg.norm(np.cross(b - a, c - a), axis=-1) > 1e-12]
    return kept
