"""Inverse kinematics of a whole motion with mink (needs the extra ``synthjax[motion]``)."""

from __future__ import annotations

import mink
import numpy as np
from scipy.spatial.transform import Rotation

from synthjax.bodies import Body
from synthjax.motion.targets import Targets

# Weights of positions (1/m) and orientations (1/rad) in the least-squares problem.
_POSITION = {"Hips": 10.0, "Leg": 5.0, "Foot": 20.0, "Arm": 5.0, "Hand": 5.0}
_ORIENTATION = {"Hips": 5.0, "UpperChest": 3.0, "Head": 1.0, "Foot": 3.0}
# Pull of each hinge towards its reference angle (1/rad), by the end of its name.  What no target sees
# (hands, toes) stays put, the collar bones move only when the arm alone cannot reach, and knees and
# elbows bend about X: the twist belongs to the hip and the shoulder.
_POSTURE = {
    "LowerLeg_X": 0.05,
    "LowerArm_X": 0.05,
    **{f"{bone}_{axis}": 1.0 for bone in ("LowerLeg", "LowerArm") for axis in "YZ"},
    **{f"{bone}_{axis}": 1.0 for bone in ("Shoulder", "Hand", "Toes") for axis in "XYZ"},
}
_POSTURE_DEFAULT = 0.1
_ITERATIONS_FIRST, _ITERATIONS = 60, 6


def _weight(table: dict[str, float], name: str) -> float:
    return next((cost for suffix, cost in table.items() if name.endswith(suffix)), 0.0)


def solve(body: Body, targets: Targets, start: np.ndarray | None = None) -> np.ndarray:
    """Trajectory (T, nq) that meets ``targets`` within the joint limits.

    Without ``start`` every frame continues from the one before and free hinges are drawn to the rest
    pose.  With ``start`` (T, nq) every frame begins at its own row and is drawn to it, so that a
    closed cycle stays closed.
    """
    model = body.model
    configuration = mink.Configuration(model)
    tasks: dict[str, mink.FrameTask] = {}
    for bone in {**targets.positions, **targets.rotations}:
        position = _weight(_POSITION, bone) if bone in targets.positions else 0.0
        orientation = _weight(_ORIENTATION, bone) if bone in targets.rotations else 0.0
        if position or orientation:
            tasks[bone] = mink.FrameTask(body.bones[bone], "body", position, orientation)
    rest = mink.PostureTask(model, _posture_cost(body))
    limits = [mink.ConfigurationLimit(model)]

    if start is None:
        first = model.qpos0.copy()
        first[:3] = targets.positions["Hips"][0]
        first[3:7] = targets.rotations["Hips"][0].as_quat(scalar_first=True)
        configuration.update(first)
        rest.set_target(model.qpos0)
    out = np.zeros((targets.num_frames, model.nq))
    for t in range(targets.num_frames):
        for bone, task in tasks.items():
            position = targets.positions.get(bone)
            rotation = targets.rotations.get(bone)
            task.set_target(
                mink.SE3.from_rotation_and_translation(
                    mink.SO3(_quat(rotation, t)), np.zeros(3) if position is None else position[t]
                )
            )
        if start is not None:
            configuration.update(start[t])
            rest.set_target(start[t])
        for _ in range(_ITERATIONS if t or start is not None else _ITERATIONS_FIRST):
            # dt = 1 makes each iteration one Gauss-Newton step.
            step = mink.solve_ik(
                configuration, [*tasks.values(), rest], 1.0, solver="daqp", damping=1e-4, limits=limits
            )
            configuration.integrate_inplace(step, 1.0)
        out[t] = configuration.q
    return out


def _quat(rotation: Rotation | None, t: int) -> np.ndarray:
    return np.array([1.0, 0.0, 0.0, 0.0]) if rotation is None else rotation[t].as_quat(scalar_first=True)


def _posture_cost(body: Body) -> np.ndarray:
    """(nv,) weight of each degree of freedom; zero for the root."""
    cost = np.zeros(body.model.nv)
    for joint in body.joints:
        cost[body.model.joint(joint).dofadr] = _weight(_POSTURE, joint) or _POSTURE_DEFAULT
    return cost
