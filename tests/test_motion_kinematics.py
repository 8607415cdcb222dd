"""Forward kinematics and finite differences against MuJoCo and against each other."""

from __future__ import annotations

import itertools

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from synthjax.bodies import Body, make_body
from synthjax.motion.kinematics import finite_velocities, forward_kinematics
from synthjax.motion.seam import close_cycle

FPS = 240.0


@pytest.fixture(scope="module")
def body() -> Body:
    return make_body("synth")


def moving(body: Body, frames: int, fps: float = FPS) -> np.ndarray:
    """A smooth tumbling motion, (frames, nq)."""
    time = np.arange(frames) / fps
    qpos = np.tile(body.standing_qpos, (frames, 1))
    rates = np.random.default_rng(0).uniform(1.0, 4.0, body.model.nq)
    qpos[:, :3] += 0.3 * np.sin(time[:, None] * rates[:3])
    qpos[:, 7:] += 0.3 * np.sin(time[:, None] * rates[7:])
    tumble = Rotation.from_euler("ZY", np.stack([2.0 * time, 3.0 * np.sin(time)], axis=-1))
    qpos[:, 3:7] = tumble.as_quat(scalar_first=True)
    return qpos


def test_forward_kinematics_matches_mj_forward(body: Body) -> None:
    qpos = moving(body, 5)
    qvel = np.random.default_rng(1).normal(size=(5, body.model.nv))
    trajectory = forward_kinematics(body.model, qpos, qvel)
    data = mujoco.MjData(body.model)
    velocity = np.zeros(6)
    for t in range(5):
        data.qpos[:], data.qvel[:] = qpos[t], qvel[t]
        mujoco.mj_forward(body.model, data)
        np.testing.assert_allclose(trajectory.xpos[t], data.xpos, atol=1e-12)
        np.testing.assert_allclose(trajectory.xquat[t], data.xquat, atol=1e-12)
        for i in range(1, body.model.nbody):
            mujoco.mj_objectVelocity(body.model, data, mujoco.mjtObj.mjOBJ_XBODY, i, velocity, 0)
            np.testing.assert_allclose(trajectory.angvel[t, i], velocity[:3], atol=1e-9)
            np.testing.assert_allclose(trajectory.linvel[t, i], velocity[3:], atol=1e-9)


def test_velocities_are_the_rates_of_positions_and_orientations(body: Body) -> None:
    qpos = moving(body, 9)
    trajectory = forward_kinematics(body.model, qpos, finite_velocities(body.model, qpos, FPS))
    for t in range(1, 8):
        linear = (trajectory.xpos[t + 1] - trajectory.xpos[t - 1]) * (0.5 * FPS)
        before, after = (
            Rotation.from_quat(trajectory.xquat[s, 1:], scalar_first=True) for s in (t - 1, t + 1)
        )
        angular = (after * before.inv()).as_rotvec() * (0.5 * FPS)
        np.testing.assert_allclose(trajectory.linvel[t], linear, atol=5e-3)
        np.testing.assert_allclose(trajectory.angvel[t, 1:], angular, atol=2e-2)
    assert np.abs(trajectory.angvel[:, 1]).max() > 1.0  # a turning root is never stored as still


def test_a_loop_differs_across_its_seam(body: Body) -> None:
    """One cycle of a steady walk ahead: the same velocity everywhere, also at both ends."""
    frames, offset = 20, np.array([2.0, 0.5, 0.0])
    phase = 2.0 * np.pi * np.arange(frames) / frames
    qpos = np.tile(body.standing_qpos, (frames, 1))
    qpos[:, :3] += np.arange(frames)[:, None] / frames * offset
    qpos[:, 7:] += 0.2 * np.sin(phase)[:, None]
    qvel = finite_velocities(body.model, qpos, 10.0, offset)
    np.testing.assert_allclose(qvel[:, :3], np.tile(offset / 2.0, (frames, 1)), atol=1e-12)
    expected = 0.2 * np.cos(phase) * np.sin(2.0 * np.pi / frames) * 10.0  # exact central difference
    np.testing.assert_allclose(qvel[:, 6:], np.tile(expected[:, None], (1, 63)), atol=1e-12)


def test_closing_a_cycle_removes_the_jump_in_position_and_velocity(body: Body) -> None:
    frames, fps = 61, 60.0
    qpos = moving(body, frames, fps)
    closed, offset = close_cycle(body.model, qpos, fps)
    assert closed.shape == (frames - 1, body.model.nq)
    np.testing.assert_allclose(offset, [*(qpos[-1, :2] - qpos[0, :2]), 0.0])
    path = np.concatenate([closed[-3:], closed[:3]])
    path[3:, :3] += offset
    steps = np.array([_difference(body.model, a, b) * fps for a, b in itertools.pairwise(path)])
    jumps = np.abs(np.diff(steps, axis=0))
    ordinary = np.abs(np.diff(qpos[:, 7:], n=2, axis=0)).max() * fps
    assert jumps[1:3, 6:].max() < 0.4 + ordinary
    before = np.abs((qpos[1] - qpos[0]) - (qpos[-1] - qpos[-2]))[7:].max() * fps
    assert before > 1.0  # there was something to remove


def _difference(model: mujoco.MjModel, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    out = np.zeros(model.nv)
    mujoco.mj_differentiatePos(model, out, 1.0, a, b)
    return out
