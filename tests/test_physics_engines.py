"""What every engine must do alike: forces, randomised bodies, pushes and worlds that blow up."""

from __future__ import annotations

import copy
import dataclasses

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from physics_bodies import walker
from physics_engines import ENGINE_PARAMS, SUBSTEPS, engine, nominal, standing, start, variant

from synthjax.physics import SUBSTEP
from synthjax.types import PhysicsState

pytestmark = pytest.mark.parametrize("name", ENGINE_PARAMS)


def _roll(name: str, state: PhysicsState, ctrl: jax.Array, steps: int) -> PhysicsState:
    for _ in range(steps):
        state = engine(name).step(nominal(), state, ctrl)
    return state


def test_ground_carries_the_weight_of_a_standing_body(name):
    state, ctrl = standing(name)
    state = _roll(name, state, ctrl, 50)
    weight = walker().model.body_mass.sum() * 9.81
    feet = walker().body_ids(("LeftFoot", "RightFoot"))
    np.testing.assert_allclose(state.ground_force[:, :, 2].sum(1), weight, rtol=0.02)
    np.testing.assert_allclose(state.ground_force[:, feet, 2].sum(1), weight, rtol=0.02)
    np.testing.assert_allclose(state.ground_load.sum(1), weight, rtol=0.02)
    np.testing.assert_allclose(state.ground_contact[:, feet], 4)
    assert not state.bad.any()
    assert not state.overflow.any()


def test_one_control_step_agrees_with_mj_step(name):
    state, ctrl = start(name)
    got = engine(name).step(nominal(), state, ctrl)
    expected = _mj_step(engine(name).physics.model, state, ctrl)
    for field in ("qpos", "qvel"):
        error = np.abs(getattr(got.kinematics, field) - expected[field]).max(axis=1)
        assert np.median(error) <= (1e-6 if field == "qpos" else 1e-5)
        assert np.mean(error < (1e-4 if field == "qpos" else 1e-3)) >= 0.95
    close = np.abs(got.kinematics.qvel - expected["qvel"]).max(axis=1) < 1e-3
    for field in ("ground_force", "ground_load", "ground_contact"):
        np.testing.assert_allclose(getattr(got, field)[close], expected[field][close], rtol=1e-3, atol=0.1)
    np.testing.assert_allclose(got.actuator_force[close], expected["actuator_force"][close], atol=0.01)


def test_trajectories_stay_with_mj_step(name):
    """Eight control steps, each from where the one before has ended; contacts come and go on the way."""
    state, ctrl = start(name)
    model, worlds = engine(name).physics.model, slice(0, 20)
    expected = [mujoco.MjData(model) for _ in range(20)]
    for i, data in enumerate(expected):
        data.qpos, data.qvel = state.kinematics.qpos[i], state.kinematics.qvel[i]
        data.ctrl, data.xfrc_applied = ctrl[i], state.xfrc_applied[i]
    for _ in range(8):
        state = engine(name).step(nominal(), state, ctrl)
        for data in expected:
            mujoco.mj_step(model, data, SUBSTEPS)
        for field, within in (("qpos", 1e-4), ("qvel", 1e-2)):
            wanted = np.stack([getattr(data, field) for data in expected])
            error = np.abs(getattr(state.kinematics, field)[worlds] - wanted).max(axis=1)
            assert np.median(error) < within, field
            assert np.mean(error < 30 * within) >= 0.9, field
    moved = np.abs(wanted - start(name)[0].kinematics.qvel[worlds]).max(axis=1)
    assert np.median(moved) > 1.0  # m/s or rad/s: they went somewhere


def _mj_step(model: mujoco.MjModel, state: PhysicsState, ctrl: jax.Array) -> dict[str, np.ndarray]:
    """The same control step by a plain loop over MjData, forces through mj_contactForce."""
    rows = []
    floor = model.geom("floor").id
    for i in range(len(ctrl)):
        data = mujoco.MjData(model)
        data.qpos, data.qvel = state.kinematics.qpos[i], state.kinematics.qvel[i]
        data.ctrl, data.xfrc_applied = ctrl[i], state.xfrc_applied[i]
        for _ in range(SUBSTEPS):
            mujoco.mj_step(model, data)
        row = {
            "ground_force": np.zeros((model.nbody, 3)),
            "ground_load": np.zeros(model.nbody),
            "ground_contact": np.zeros(model.nbody),
        }
        force = np.zeros(6)
        for c, contact in enumerate(data.contact):
            mujoco.mj_contactForce(model, data, c, force)
            assert contact.geom[0] == floor  # the normal then points from the ground to the body
            body = model.geom_bodyid[contact.geom[1]]
            row["ground_force"][body] += force[0] * contact.frame[:3]
            row["ground_load"][body] += np.linalg.norm(force[:3])
            row["ground_contact"][body] += 1
        rows.append(row | {f: getattr(data, f).copy() for f in ("qpos", "qvel", "actuator_force")})
    return {key: np.stack([row[key] for row in rows]) for key in rows[0]}


@pytest.mark.parametrize("name_of_scale", ["mass", "friction", "strength", "damping", "armature"])
def test_each_randomised_property_acts_as_in_a_model_built_with_it(name, name_of_scale):
    state, ctrl = start(name)
    scale = 0.5 if name_of_scale == "friction" else 1.5
    got = engine(name).step(variant(**{name_of_scale: scale}), state, ctrl).kinematics.qvel
    model = _scaled(engine(name).physics.model, name_of_scale, scale)
    expected = _mj_step(model, state, ctrl)["qvel"]
    unchanged = engine(name).step(nominal(), state, ctrl).kinematics.qvel
    assert np.median(np.abs(got - expected).max(axis=1)) < 1e-4
    assert np.max(np.abs(got - unchanged)) > 0.05


def test_a_world_s_own_substep_is_mujoco_s_time_step(name):
    """Half of the worlds with a third of the nominal one, in one call."""
    state, ctrl = start(name)
    physics = engine(name).physics
    short = jnp.arange(len(ctrl)) % 2 == 0
    substep = jnp.where(short, physics.sim_dt / 3, physics.sim_dt)
    got = jax.jit(jax.vmap(physics.step))({SUBSTEP: substep}, state, ctrl).kinematics.qvel
    model = copy.copy(physics.model)
    model.opt.timestep = physics.sim_dt / 3
    for chosen, of in ((short, model), (~short, physics.model)):
        expected = _mj_step(of, state, ctrl)["qvel"]
        error = np.abs(np.asarray(got) - expected).max(axis=1)
        assert np.median(error[chosen]) < 1e-4
        assert np.median(error[~chosen]) > 0.05


def _scaled(model: mujoco.MjModel, name: str, scale: float) -> mujoco.MjModel:
    """Independent of make_variants: mj_setConst on a copy of the model."""
    model = copy.copy(model)
    if name == "mass":
        model.body_mass[:] *= scale
        model.body_inertia[:] *= scale
    elif name == "friction":
        model.pair_friction[:] *= scale
    elif name == "strength":
        model.actuator_gainprm[:] *= scale
        model.actuator_biasprm[:] *= scale
        model.actuator_forcerange[:] *= scale
    elif name == "damping":
        model.dof_damping[:] *= scale
    else:
        model.dof_armature[:] *= scale
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


def test_push_moves_the_body_along_it(name):
    state, ctrl = standing(name)
    push = jnp.zeros_like(state.xfrc_applied).at[:, 1, 0].set(200.0)
    pushed = _roll(name, dataclasses.replace(state, xfrc_applied=push), ctrl, 5)
    still = _roll(name, state, ctrl, 5)
    gained = (pushed.kinematics.linvel - still.kinematics.linvel)[:, 1, 0]
    assert (gained > 0.1).all()
    np.testing.assert_array_equal(pushed.xfrc_applied, push)


def test_world_that_blows_up_is_marked_and_not_reset(name):
    state, ctrl = start(name)
    before = state.kinematics.qpos
    qvel = state.kinematics.qvel.at[1, 2].set(jnp.nan).at[2, 7].set(1e12)
    state = dataclasses.replace(state, kinematics=dataclasses.replace(state.kinematics, qvel=qvel))
    ctrl = ctrl.at[3, 0].set(1e12).at[4, 1].set(jnp.nan)
    after = engine(name).step(nominal(), state, ctrl)
    expected = np.isin(np.arange(len(ctrl)), [1, 2, 3, 4])
    np.testing.assert_array_equal(after.bad, expected)
    np.testing.assert_array_equal(after.kinematics.qpos[1:5], before[1:5])
    for leaf in jax.tree.leaves(after):
        assert np.isfinite(leaf).all()
    alone = engine(name).step(nominal(), *start(name))
    np.testing.assert_array_equal(after.kinematics.qpos[5:], alone.kinematics.qpos[5:])


def test_restore_equals_init_and_select_chooses_per_world(name):
    state, ctrl = start(name)
    physics = engine(name).physics
    restored = jax.jit(jax.vmap(physics.restore))(state.kinematics)
    stepped = engine(name).step(nominal(), state, ctrl)
    done = jnp.arange(len(ctrl)) % 2 == 0
    mixed = jax.jit(jax.vmap(physics.select))(done, restored, stepped)
    jax.tree.map(lambda m, r: np.testing.assert_array_equal(m[::2], r[::2]), mixed, restored)
    jax.tree.map(lambda m, s: np.testing.assert_array_equal(m[1::2], s[1::2]), mixed, stepped)
    init = engine(name).init(nominal(), state.kinematics.qpos, state.kinematics.qvel)
    jax.tree.map(np.testing.assert_array_equal, restored, init)
