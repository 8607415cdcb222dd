"""Torque demand of clips whose forces are known: standing still and falling freely."""

from __future__ import annotations

import numpy as np
import pytest

from synthjax.bodies import Body, make_body
from synthjax.motion.clip import Clip
from synthjax.motion.dynamics import demand
from synthjax.motion.ground import flights, ground_contacts
from synthjax.motion.kinematics import finite_velocities, forward_kinematics

FPS, FRAMES = 60.0, 40


@pytest.fixture(scope="module")
def body() -> Body:
    return make_body("synth")


def clip_of(body: Body, height: np.ndarray) -> Clip:
    """The rest pose with its root ``height`` (T,) above where it stands."""
    qpos = np.tile(body.standing_qpos, (len(height), 1))
    qpos[:, 2] += height
    qvel = finite_velocities(body.model, qpos, FPS)
    world = forward_kinematics(body.model, qpos, qvel)
    return Clip(
        name="test", fps=FPS, joint_names=body.joints, body_names=body.body_names, qpos=qpos, qvel=qvel,
        xpos=world.xpos, xquat=world.xquat, linvel=world.linvel, angvel=world.angvel,
        contacts=ground_contacts(body, qpos, world.linvel), loop=False, loop_offset=np.zeros(3),
        source="test", licence="none",
    )  # fmt: skip


def test_standing_still_is_balanced_by_the_soles(body: Body) -> None:
    clip = clip_of(body, np.zeros(FRAMES))
    touching = {name for i, name in enumerate(clip.body_names) if clip.contacts[0, i]}
    assert touching == {"LeftFoot", "RightFoot", "LeftToes", "RightToes"}
    needed = demand(body, clip)
    np.testing.assert_allclose(needed.residual, 0.0, atol=1e-3)
    assert (
        np.abs(needed.torque).max() < 40.0
    )  # straight legs: far less than the 270 N m of half the weight at 1 m
    spine = body.joints.index("Spine_Y")
    np.testing.assert_allclose(needed.torque[:, spine], 0.0, atol=1e-6)  # nothing twists


def test_a_body_held_in_the_air_lacks_its_whole_weight(body: Body) -> None:
    np.testing.assert_allclose(demand(body, clip_of(body, np.full(FRAMES, 0.5))).residual, 1.0, atol=1e-6)


def test_a_free_fall_needs_no_force_and_is_a_flight(body: Body) -> None:
    time = (np.arange(FRAMES) - 0.5 * FRAMES) / FPS
    peak = 0.5 * 9.81 * time[0] ** 2
    clip = clip_of(body, peak - 0.5 * 9.81 * time**2)
    needed = demand(body, clip)
    inside = slice(12, -12)  # ends have one-sided differences
    np.testing.assert_allclose(needed.residual[inside], 0.0, atol=1e-3)
    np.testing.assert_allclose(needed.torque[inside], 0.0, atol=1e-2)
    assert flights(body, clip.qpos, FPS, loop=False)[inside].all()


def test_a_slow_lift_is_no_flight(body: Body) -> None:
    height = 0.1 * (1.0 - np.cos(np.linspace(0.0, 2.0 * np.pi, 120)))
    assert not flights(body, clip_of(body, height).qpos, FPS, loop=False).any()
