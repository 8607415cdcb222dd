"""Settled falls: they lie, they rest, and they are the same for the same seed."""

from __future__ import annotations

import copy
import dataclasses
import functools

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from synthjax.bodies import Body, make_body
from synthjax.envs.falls import LYING, settled_falls
from synthjax.envs.getup_starts import SIDES, balanced_falls, content_hash, getup_starts, side_of
from synthjax.errors import UserError


@functools.cache
def body() -> Body:
    return make_body("synth", "pd")


@functools.cache
def falls() -> np.ndarray:
    return settled_falls(body(), 24, seed=3)[0]


def test_falls_lie_and_rest() -> None:
    model = body().model
    data = mujoco.MjData(model)
    for row in falls():
        assert row[2] < LYING * body().standing_height
        data.qpos[:] = row
        data.qvel[:] = 0.0
        mujoco.mj_forward(model, data)
        # On the floor and not in it: the deepest contact of a body at rest is a few millimetres.
        assert data.ncon > 0
        assert data.contact.dist[: data.ncon].min() > -0.02
        assert (row[7:] > model.jnt_range[1:, 0] - 0.1).all()
        assert (row[7:] < model.jnt_range[1:, 1] + 0.1).all()


def test_falls_are_of_many_kinds_and_of_the_seed_alone() -> None:
    attitudes = Rotation.from_quat(falls()[:, [4, 5, 6, 3]])
    apart = [(attitudes[0].inv() * other).magnitude() for other in attitudes[1:]]
    assert np.ptp(apart) > 1.0
    np.testing.assert_array_equal(settled_falls(body(), 24, seed=3)[0], falls())
    assert not np.allclose(settled_falls(body(), 24, seed=4)[0], falls())


@pytest.mark.slow
def test_balanced_falls_take_the_sides_in_turn() -> None:
    qpos = balanced_falls(body(), seed=0)
    np.testing.assert_array_equal(side_of(qpos), np.arange(256) % len(SIDES))
    assert not np.array_equal(qpos, getup_starts(body(), 256))


def test_bodies_of_another_shape_fall_by_themselves() -> None:
    """The shipped states would float above, or stand in, the ground."""
    model = copy.deepcopy(body().model)
    model.body_mass[3] *= 2.0
    heavier = dataclasses.replace(body(), model=model)
    assert not np.allclose(getup_starts(heavier, 8), getup_starts(body(), 8))


def test_a_fall_that_blows_up_leaves_no_trace_on_screen_or_disk() -> None:
    """MuJoCo's own way is a line on stderr and a file in the working folder, whatever engine trains."""
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(None)
    try:
        settled_falls(body(), 1, seed=0)
        assert mujoco.get_mju_user_warning() is not None
    finally:
        mujoco.set_mju_user_warning(before)


def test_a_body_that_never_lies_is_told() -> None:
    with pytest.raises(UserError, match="does not come to rest"):
        settled_falls(dataclasses.replace(body(), standing_qpos=0.01 * body().standing_qpos), 4, seed=0)


def test_evaluations_start_from_the_same_256_states_everywhere() -> None:
    qpos = getup_starts(body(), 256)
    assert content_hash(qpos) == "0ddf5651a3fd"
    np.testing.assert_array_equal(side_of(qpos), np.arange(256) % len(SIDES))
    assert (qpos[:, 2] < LYING * body().standing_height).all()
    assert not qpos[:, :2].any()
    np.testing.assert_array_equal(getup_starts(make_body("synth", "torque"), 8), qpos[:8])


def test_the_256_start_states_lie_still_for_a_second() -> None:
    """Limp, so that nothing but the ground holds them: they sag into it a little and stay where they are."""
    model = copy.copy(body().model)
    model.opt.timestep = 1 / 120
    model.actuator_gainprm[:] = model.actuator_biasprm[:] = 0.0
    data = mujoco.MjData(model)
    torso = [model.body(body().bones[bone]).id for bone in ("Hips", "Spine", "Chest")]
    limit = 0.3 * body().standing_height
    for row in getup_starts(body(), 256):
        mujoco.mj_resetData(model, data)
        data.qpos[:] = row
        for _ in range(12):
            mujoco.mj_step(model, data, 10)
            assert data.xpos[torso, 2].max() < limit
            assert np.linalg.norm(data.qpos[:3] - row[:3]) < 0.08
        assert np.abs(data.qvel[:3]).max() < 0.1


@pytest.mark.parametrize(
    ("side", "axis", "angle"),
    [("front", "y", 90), ("back", "y", -90), ("left", "x", -90), ("right", "x", 90)],
)
def test_the_side_is_the_one_that_a_body_lies_on(side: str, axis: str, angle: float) -> None:
    """A body faces +x with +y at its left: leaning forward by a quarter turn about y it lies on its front."""
    for yaw in (0.0, 2.0):
        rotation = Rotation.from_euler("z", yaw) * Rotation.from_euler(axis, angle, degrees=True)
        qpos = body().standing_qpos[None].copy()
        qpos[0, 3:7] = np.roll(rotation.as_quat(), 1)
        assert SIDES[side_of(qpos)[0]] == side
