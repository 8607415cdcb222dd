"""Motion files on a body's own skeleton, as ``motion export`` writes them: no retargeting."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from synthjax.bodies import Body
from synthjax.motion.clip import Clip
from synthjax.motion.derive import make_clip
from synthjax.motion.exporters import WRITERS
from synthjax.motion.exporters.rig import ExportRig, export_rig, from_y_up
from synthjax.motion.kinematics import differentiate, forward_kinematics, hinge_limits
from synthjax.motion.skeleton import SkeletonMotion
from synthjax.motion.source import SourceMotion

_SAME_PLACE = 2e-3  # m, between a joint of the file and the body's
_SAME_TURN = 2e-3  # rad, likewise
_BEYOND = 0.1  # rad, by which a simulated hinge may be pressed into its stop
_SQUARE = 1e-6  # cosine between hinge axes
_CLOSED = 1e-3  # rad or m, between the last frame of a loop and its first one, moved
_WHOLE_RATE = 0.01  # frames a second, by which a rounded frame time may be off


def own_clip(
    source: SourceMotion | SkeletonMotion,
    path: Path,
    body: Body,
    *,
    origin: str = "",
    licence: str = "unknown",
) -> Clip | None:
    """The clip in ``source``, read from ``path``, if it holds :func:`own_poses`, else None.

    A file whose last frame is its first one, moved, is a loop: so loops are exported.
    """
    if path.suffix.lower() not in WRITERS.keys() - {".npz"}:
        return None
    qpos = own_poses(source, body) if isinstance(source, SourceMotion) else None
    if qpos is None:
        return None
    whole = round(source.fps)
    fps = float(whole) if abs(source.fps - whole) < _WHOLE_RATE else source.fps
    offset = _cycle(body, qpos)
    return make_clip(
        body,
        path.stem,
        fps,
        qpos if offset is None else qpos[:-1],
        loop_offset=offset,
        source=origin or path.name,
        licence=licence,
    )


def _cycle(body: Body, qpos: np.ndarray) -> np.ndarray | None:
    """The root's way per cycle (3,), if the last frame closes one."""
    offset = (qpos[-1, :3] - qpos[0, :3]) * np.array([1.0, 1.0, 0.0])
    closing = qpos[0].copy()
    closing[:3] += offset
    gap = differentiate(body.model, qpos[-1], closing, 1.0)
    steps = np.array([differentiate(body.model, a, b, 1.0) for a, b in itertools.pairwise(qpos)])
    inside, seam = np.abs(np.diff(steps, axis=0)).max(initial=0.0), np.abs(steps[0] - steps[-1]).max()
    closed = np.abs(gap).max() < _CLOSED and seam < _CLOSED + 1.5 * inside
    return offset if closed and len(qpos) > 2 else None


def own_poses(source: SourceMotion, body: Body) -> np.ndarray | None:
    """``qpos`` (T, nq) of ``body`` in the motion of ``source``.

    None where the joints have other names or lengths than those of :func:`export_rig`, or poses that the
    body's hinges do not reach: such a motion has to be retargeted.
    """
    rig = export_rig(body)
    if not set(rig.names) <= set(source.joints):
        return None
    rows = [source.joints.index(name) for name in rig.names]
    rest = source.rest_positions[rows] - source.rest_positions[rows[0]]
    wanted = from_y_up(rig.rest - rig.rest[0])
    # Other programs write files back with other axes, and in other units where the format has none.
    with np.errstate(all="ignore"):
        far = np.linalg.norm(rest, axis=-1)
        lengths = np.linalg.norm(wanted, axis=-1)
        scale = source.metres or float(lengths.max() / far.max())
        if not np.abs(scale * far - lengths).max() <= _SAME_PLACE:  # also if there are no lengths at all
            return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of joints in one line
        axes, _ = Rotation.align_vectors(wanted, scale * rest)
    points = scale * source.positions[:, rows]
    xpos = axes.apply(points.reshape(-1, 3)).reshape(points.shape)
    turns = [_body_turns(source, row, axes) * turn for row, turn in zip(rows, rig.turns, strict=True)]
    qpos = _solve(body, rig, xpos, turns)
    return qpos if qpos is not None and _reaches(body, rig, qpos, xpos, turns) else None


def _body_turns(source: SourceMotion, row: int, axes: Rotation) -> Rotation:
    """T turns of a joint from the T-pose, z up; ``axes`` carries the world of the file to ours."""
    now = Rotation.from_quat(source.rotations[:, row], scalar_first=True)
    return axes * now * Rotation.from_quat(source.rest_rotations[row], scalar_first=True).inv() * axes.inv()


def _solve(body: Body, rig: ExportRig, xpos: np.ndarray, turns: list[Rotation]) -> np.ndarray | None:
    """Root pose and hinge angles, (T, nq); None if hinges of a body are not at right angles."""
    model = body.model
    qpos = np.zeros((len(xpos), model.nq))
    joint_of = {number: joint for joint, number in enumerate(rig.bodies)}
    for number, joint in joint_of.items():
        first, count = model.body_jntadr[number], model.body_jntnum[number]
        if count and model.jnt_type[first] == mujoco.mjtJoint.mjJNT_FREE:
            qpos[:, :3] = xpos[:, joint]
            qpos[:, 3:7] = turns[joint].as_quat(scalar_first=True)
        elif count:
            fixed = Rotation.from_quat(model.body_quat[number], scalar_first=True)
            relative = fixed.inv() * turns[joint_of[int(model.body_parentid[number])]].inv() * turns[joint]
            hinges = slice(first, first + count)
            angles = hinge_angles(relative, model.jnt_axis[hinges], hinge_limits(model)[first - 1 :][:count])
            if angles is None:
                return None
            qpos[:, model.jnt_qposadr[hinges]] = angles + model.qpos0[model.jnt_qposadr[hinges]]
    return qpos


def hinge_angles(relative: Rotation, axes: np.ndarray, limits: np.ndarray) -> np.ndarray | None:
    """Angles (T, n) of one to three hinges that together turn by ``relative`` (T,), the outermost first.

    Of two answers the one that is farther within ``limits`` (n, 2); one or two hinges may not reach the
    whole turn.  None if ``axes`` (n, 3), unit vectors, are not at right angles.
    """
    if len(axes) == 1:
        quat = relative.as_quat()
        angle = 2.0 * np.arctan2(quat[:, :3] @ axes[0], quat[:, 3])
        return np.asarray((angle + np.pi) % (2.0 * np.pi) - np.pi)[:, None]
    three = axes if len(axes) == 3 else np.stack([*axes, np.cross(axes[0], axes[1])])
    if len(axes) > 3 or np.abs(three @ three.T - np.eye(3)).max() > _SQUARE:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of two hinges in one line the sum of the angles still holds
        angles = relative.as_davenport(three, "intrinsic")
    # The outer two half a turn further give the same with the middle one on its other side.
    other = np.stack([angles[:, 0] + np.pi, np.pi - angles[:, 1], angles[:, 2] + np.pi], axis=-1)
    other = (other + np.pi) % (2.0 * np.pi) - np.pi
    both = np.stack([angles, other])[..., : len(axes)]
    beyond = np.maximum(limits[:, 0] - both, both - limits[:, 1]).max(axis=-1)
    return np.asarray(np.where((beyond[1] < beyond[0])[:, None], both[1], both[0]))


def _reaches(body: Body, rig: ExportRig, qpos: np.ndarray, xpos: np.ndarray, turns: list[Rotation]) -> bool:
    limits = hinge_limits(body.model)
    hinges = qpos[:, 7:]
    if (hinges < limits[:, 0] - _BEYOND).any() or (hinges > limits[:, 1] + _BEYOND).any():
        return False
    reached = forward_kinematics(body.model, qpos, np.zeros((len(qpos), body.model.nv)))
    off = np.abs(reached.xpos[:, rig.bodies] - xpos).max()
    turned = max(
        (Rotation.from_quat(reached.xquat[:, number], scalar_first=True).inv() * turn).magnitude().max()
        for number, turn in zip(rig.bodies, turns, strict=True)
    )
    return bool(off < _SAME_PLACE and turned < _SAME_TURN)
