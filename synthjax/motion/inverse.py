"""Inverse kinematics of a whole motion with mink (needs the extra ``synthjax[motion]``)."""

from __future__ import annotations

import numpy as np

from synthjax.bodies import Body
from synthjax.errors import UserError
from synthjax.motion.targets import Targets

try:
    import mink
except ModuleNotFoundError:
    raise UserError("Retargeting needs mink: pip install 'synthjax[motion]'.") from None

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
_LOCKED = np.radians(3.0)  # a knee that is straighter does not find how to bend
_CONVERGED = 1e-5  # rad and m: each step is a small share of the one before, so no later one matters


def _weight(table: dict[str, float], name: str) -> float:
    return next((cost for suffix, cost in table.items() if name.endswith(suffix)), 0.0)


def solve(body: Body, targets: Targets) -> np.ndarray:
    """Trajectory (T, nq) that meets ``targets`` within the joint limits, free hinges near the rest pose.

    Each frame starts from its neighbour, once forwards and once back from the end; the sweep that
    comes closer is taken, since a limb that starts on the wrong side of a limit can stay there.
    """
    forth = np.arange(targets.num_frames)
    first = body.model.qpos0.copy()
    first[:3] = targets.positions["Hips"][0]
    first[3:7] = targets.rotations["Hips"][0].as_quat(scalar_first=True)
    forwards = _sweep(body, targets, forth, first)
    backwards = _sweep(body, targets, forth[::-1], forwards[0][-1])
    return min(forwards, backwards, key=lambda sweep: sweep[1])[0]


def refine(body: Body, targets: Targets, qpos: np.ndarray) -> np.ndarray:
    """``qpos`` (T, nq) moved to ``targets``, every frame by itself and no more than needed.

    A closed cycle stays closed.
    """
    problem = _Problem(body, targets)
    out = np.zeros_like(qpos)
    for t, q in enumerate(_unlocked(body, qpos)):
        problem.configuration.update(q)
        problem.rest.set_target(q)
        problem.advance(t, _ITERATIONS)
        out[t] = problem.configuration.q
    return out


def _unlocked(body: Body, qpos: np.ndarray) -> np.ndarray:
    """``qpos`` (T, nq) with knees a little bent: no small turn of any joint makes a straight leg shorter."""
    out = qpos.copy()
    for name in (joint for joint in body.joints if joint.endswith("LowerLeg_X")):
        joint = body.model.joint(name)
        way = 1.0 if joint.range.sum() > 0.0 else -1.0
        address = joint.qposadr[0]
        out[:, address] = way * np.maximum(way * out[:, address], _LOCKED)
    return out


def _sweep(body: Body, targets: Targets, order: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, float]:
    """Solutions (T, nq) with the frames taken in ``order`` from ``first`` (nq,), and their mean cost."""
    problem = _Problem(body, targets)
    problem.configuration.update(first)
    problem.rest.set_target(body.model.qpos0)
    out, cost = np.zeros((targets.num_frames, body.model.nq)), 0.0
    for step, t in enumerate(order):
        problem.advance(t, _ITERATIONS if step else _ITERATIONS_FIRST)
        out[t] = problem.configuration.q
        cost += problem.cost() / len(order)
    return out, cost


class _Problem:
    """The least-squares problem of one frame, kept between frames for its warm start."""

    def __init__(self, body: Body, targets: Targets) -> None:
        self.targets = targets
        self.configuration = mink.Configuration(body.model)
        self.tasks: dict[str, mink.FrameTask] = {}
        for bone in {**targets.positions, **targets.rotations}:
            position = _weight(_POSITION, bone) if bone in targets.positions else 0.0
            orientation = _weight(_ORIENTATION, bone) if bone in targets.rotations else 0.0
            if position or orientation:
                self.tasks[bone] = mink.FrameTask(body.bones[bone], "body", position, orientation)
        # Indexing a Rotation costs as much as an iteration.
        self.quats = {bone: r.as_quat(scalar_first=True) for bone, r in targets.rotations.items()}
        self.rest = mink.PostureTask(body.model, _posture_cost(body))
        self.limits = [mink.ConfigurationLimit(body.model)]

    def advance(self, t: int, iterations: int) -> None:
        """Gauss-Newton steps towards the targets of frame ``t``, at most ``iterations``."""
        for bone, task in self.tasks.items():
            position = self.targets.positions.get(bone)
            quats = self.quats.get(bone)
            goal = mink.SE3.from_rotation_and_translation(
                mink.SO3(np.array([1.0, 0.0, 0.0, 0.0]) if quats is None else quats[t]),
                np.zeros(3) if position is None else position[t],
            )
            task.set_target(goal)
        tasks = [*self.tasks.values(), self.rest]
        for _ in range(iterations):
            # dt = 1 makes each iteration one whole step.
            step = mink.solve_ik(
                self.configuration, tasks, 1.0, solver="daqp", damping=1e-4, limits=self.limits
            )
            self.configuration.integrate_inplace(step, 1.0)
            if np.abs(step).max() < _CONVERGED:
                break

    def cost(self) -> float:
        """Weighted square distance from the targets, posture left out."""
        errors = (task.cost * task.compute_error(self.configuration) for task in self.tasks.values())
        return float(sum(error @ error for error in errors))


def _posture_cost(body: Body) -> np.ndarray:
    """(nv,) weight of each degree of freedom; zero for the root."""
    cost = np.zeros(body.model.nv)
    for joint in body.joints:
        cost[body.model.joint(joint).dofadr] = _weight(_POSTURE, joint) or _POSTURE_DEFAULT
    return cost
