"""A body as a skeleton for other programs: Unity's bone names, a T-pose at rest, metres, y up, facing +z.

All bodies are joints, those that are no bone of a human too, so that nothing of the motion is lost.  In
the T-pose every joint's axes are those of the world, and its rotations are zero.
"""

from __future__ import annotations

import dataclasses
import itertools

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from synthjax.bodies import Body
from synthjax.bodies.surface import body_surface
from synthjax.motion.clip import Clip

_ARM = ("UpperArm", "LowerArm", "Hand")
_MOVES = 1e-4  # m, a joint that moves less against its parent has a fixed offset
_LEAST_TIP = 0.03  # m, length of a last bone without geoms


@dataclasses.dataclass(frozen=True)
class ExportRig:
    """The joints of a body in its T-pose; they hang from the hips, wherever the model's root is."""

    names: tuple[str, ...]  # HumanBodyBones names, where a body is a bone; else the body's own
    parents: tuple[int, ...]  # parents before children, joint 0 is the root
    bodies: tuple[int, ...]  # body id of each joint
    rest: np.ndarray  # (J, 3) origins, y up, hips above the origin of the world
    turns: Rotation  # J world orientations of the model's body frames in the T-pose, z up
    bones: dict[str, int]  # HumanBodyBones name -> joint

    @property
    def offsets(self) -> np.ndarray:
        """(J, 3) of each joint from its parent, of the root from the origin."""
        parents = np.array(self.parents)
        start = np.where(parents[:, None] >= 0, self.rest[parents], 0.0)
        out: np.ndarray = self.rest - start
        return out


@dataclasses.dataclass(frozen=True)
class JointMotion:
    """What each joint does relative to its parent, and the root to the world."""

    rotations: np.ndarray  # (T, J, 4) w x y z, without changes of sign from frame to frame
    translations: np.ndarray  # (T, J, 3) m
    moving: np.ndarray  # (J,) bool, whose translation is not the rig's offset in every frame


def export_rig(body: Body) -> ExportRig:
    """The skeleton of ``body``: its standing pose with both arms straight to the sides, palms down."""
    model, data = body.model, mujoco.MjData(body.model)
    data.qpos[:] = body.standing_qpos
    mujoco.mj_kinematics(model, data)
    root = model.body(body.bones["Hips"]).id
    order, parents = _rerooted(model, root)
    rest = data.xpos[order] - data.xpos[root] * np.array([1.0, 1.0, 0.0])
    turns = Rotation.from_quat(data.xquat[order], scalar_first=True)
    bones = {bone: order.index(model.body(name).id) for bone, name in body.bones.items()}
    for side, across in (("Left", 1.0), ("Right", -1.0)):
        for upper, lower in itertools.pairwise(_ARM):
            if f"{side}{upper}" in bones and f"{side}{lower}" in bones:
                rest, turns = _pointed(
                    rest, turns, parents, bones[f"{side}{upper}"], bones[f"{side}{lower}"], across
                )
    return ExportRig(_names(body, order, bones), tuple(parents), tuple(order), to_y_up(rest), turns, bones)


def joint_motion(clip: Clip, rig: ExportRig) -> JointMotion:
    """``clip`` on the joints of ``rig``; a loop gets its closing frame, so that it can be played round."""
    frames = np.arange(clip.num_frames + clip.loop) % clip.num_frames
    xpos, xquat = clip.xpos[frames][:, rig.bodies], clip.xquat[frames][:, rig.bodies]
    xpos[clip.num_frames :] += clip.loop_offset
    points = to_y_up(xpos)
    world = []
    for j in range(len(rig.names)):
        turned = Rotation.from_quat(xquat[:, j], scalar_first=True) * rig.turns[j].inv()
        world.append(_permuted(turned))
    rotations, translations = np.zeros((*points.shape[:2], 4)), np.zeros(points.shape)
    for j, parent in enumerate(rig.parents):
        if parent < 0:
            local, translations[:, j] = world[j], points[:, j]
        else:
            above = world[parent].inv()
            local = above * world[j]
            translations[:, j] = above.apply(points[:, j] - points[:, parent])
        rotations[:, j] = local.as_quat(scalar_first=True)
    flips = np.where((rotations[1:] * rotations[:-1]).sum(axis=-1) < 0.0, -1.0, 1.0)
    rotations[1:] *= np.cumprod(flips, axis=0)[..., None]
    moving = np.abs(translations - rig.offsets).max(axis=(0, 2)) > _MOVES
    moving[0] = True
    return JointMotion(rotations, translations, moving)


def bone_tips(rig: ExportRig, body: Body) -> dict[int, np.ndarray]:
    """Where the bones without children end, as the farthest point of their geoms: joint -> (3,) from it."""
    tips = {}
    for j in set(range(len(rig.names))) - set(rig.parents):
        points = to_y_up(rig.turns[j].apply(body_surface(body.model, rig.bodies[j]).points.reshape(-1, 3)))
        centre = points.mean(axis=0) if len(points) else np.zeros(3)
        if np.linalg.norm(centre) < _LEAST_TIP:  # a ball about the joint has no direction of its own
            centre = rig.offsets[j]
        along = centre / max(float(np.linalg.norm(centre)), 1e-12)
        tips[j] = along * max(float((points @ along).max(initial=0.0)), _LEAST_TIP)
    return tips


def to_y_up(vectors: np.ndarray) -> np.ndarray:
    """(..., 3) from z up, facing +x, to y up, facing +z; left is +y and becomes +x."""
    return vectors[..., [1, 2, 0]]


def from_y_up(vectors: np.ndarray) -> np.ndarray:
    """The inverse of :func:`to_y_up`."""
    return vectors[..., [2, 0, 1]]


def _permuted(rotation: Rotation) -> Rotation:
    """The same rotation, about axes that have been renamed by :func:`to_y_up`."""
    quat = rotation.as_quat()
    return Rotation.from_quat(np.concatenate([to_y_up(quat[..., :3]), quat[..., 3:]], axis=-1))


def _rerooted(model: mujoco.MjModel, root: int) -> tuple[list[int], list[int]]:
    """Body ids from ``root`` on, parents first, and the place of each one's parent, -1 for ``root``."""
    tree = np.flatnonzero(model.body_rootid == model.body_rootid[root]).tolist()
    beside: dict[int, list[int]] = {body: [] for body in tree}
    for body in tree:
        above = int(model.body_parentid[body])
        if above in beside:
            beside[above].append(body)
            beside[body].append(above)
    order, parents = [root], [-1]
    for place, body in enumerate(order):  # grows as it goes
        for other in sorted(set(beside[body]) - set(order)):
            order.append(other)
            parents.append(place)
    return order, parents


def _pointed(
    rest: np.ndarray, turns: Rotation, parents: list[int], joint: int, end: int, across: float
) -> tuple[np.ndarray, Rotation]:
    """The pose after ``joint`` is turned the shortest way so that ``end`` lies to its left or right."""
    along = rest[end] - rest[joint]
    wanted = np.array([0.0, across, 0.0])
    turn, _ = Rotation.align_vectors([wanted], [along / np.linalg.norm(along)])
    below = [joint]
    for j, parent in enumerate(parents):
        if parent in below:
            below.append(j)
    rest, quats = rest.copy(), turns.as_quat()
    rest[below] = rest[joint] + turn.apply(rest[below] - rest[joint])
    quats[below] = (turn * turns[below]).as_quat()
    return rest, Rotation.from_quat(quats)


def _names(body: Body, order: list[int], bones: dict[str, int]) -> tuple[str, ...]:
    names = {joint: bone for bone, joint in bones.items()}
    for joint, number in enumerate(order):
        own = "_".join((body.model.body(number).name or f"body {number}").split())
        while joint not in names and own in names.values():
            own += "_"
        names.setdefault(joint, own)
    return tuple(names[joint] for joint in range(len(order)))
