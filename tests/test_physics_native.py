"""Native MuJoCo against a plain loop of mj_step."""

from __future__ import annotations

import functools
import threading

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from physics_bodies import box, mat, walker

from synthjax.bodies import make_body
from synthjax.configs import PhysicsConfig
from synthjax.errors import UserError
from synthjax.motion.library import resolve_motions
from synthjax.physics import make_physics
from synthjax.physics.native import NativePhysics
from synthjax.training.build import build_physics
from synthjax.types import PhysicsState

SIM_DT, SUBSTEPS = 0.005, 4


def _worlds(n: int, seed: int = 0) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    body = walker()
    rng = np.random.default_rng(seed)
    qpos = np.tile(body.standing_qpos, (n, 1))
    qpos[:, 2] += rng.uniform(0, 0.05, n)
    qpos[:, 7:] += rng.normal(0, 0.2, (n, body.model.nu))
    qvel = rng.normal(0, 0.5, (n, body.model.nv))
    ctrl = rng.normal(0, 0.3, (n, body.model.nu))
    xfrc = rng.normal(0, 20, (n, body.model.nbody, 6))
    return tuple(jnp.asarray(a, jnp.float32) for a in (qpos, qvel, ctrl, xfrc))  # type: ignore[return-value]


def _stepped(physics: NativePhysics, *worlds: jax.Array) -> PhysicsState:
    return _two_steps(physics)(*worlds)


@functools.cache
def _two_steps(physics: NativePhysics):
    def one(qpos, qvel, ctrl, xfrc):
        state = physics.init({}, qpos, qvel).replace(xfrc_applied=xfrc)
        return physics.step({}, physics.step({}, state, ctrl), ctrl)

    return jax.jit(jax.vmap(one))


def _object_velocity(model: mujoco.MjModel, data: mujoco.MjData, body: int) -> np.ndarray:
    velocity = np.zeros(6)
    mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_XBODY, body, velocity, 0)
    return velocity


def test_vmapped_step_equals_a_loop_of_mj_step():
    physics = NativePhysics(walker(), SIM_DT, SUBSTEPS)
    qpos, qvel, ctrl, xfrc = _worlds(6)
    got = _stepped(physics, qpos, qvel, ctrl, xfrc)
    model = physics.model
    for i in range(len(qpos)):
        data = mujoco.MjData(model)
        data.qpos, data.qvel, data.ctrl, data.xfrc_applied = qpos[i], qvel[i], ctrl[i], xfrc[i]
        for _ in range(2):  # the state between control steps is float32
            for _ in range(SUBSTEPS):
                mujoco.mj_step(model, data)
            force = data.actuator_force.copy()
            for field in (data.qpos, data.qvel, data.qacc_warmstart):
                field[:] = field.astype(np.float32)
        mujoco.mj_forward(model, data)
        kin = got.kinematics
        np.testing.assert_array_equal(kin.qpos[i], data.qpos)
        np.testing.assert_array_equal(kin.qvel[i], data.qvel)
        np.testing.assert_allclose(got.actuator_force[i], force, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(kin.xpos[i], data.xpos, atol=1e-6)
        np.testing.assert_allclose(kin.xquat[i], data.xquat, atol=1e-6)
        velocities = np.stack([_object_velocity(model, data, b) for b in range(model.nbody)])
        np.testing.assert_allclose(kin.angvel[i], velocities[:, :3], atol=1e-5)
        np.testing.assert_allclose(kin.linvel[i], velocities[:, 3:], atol=1e-5)
    assert not got.bad.any()


def test_result_does_not_depend_on_threads_or_grouping():
    worlds = _worlds(5)
    one = _stepped(NativePhysics(walker(), SIM_DT, SUBSTEPS, nthread=1), *worlds)
    physics = NativePhysics(walker(), SIM_DT, SUBSTEPS, nthread=3)
    three = _stepped(physics, *worlds)
    jax.tree.map(np.testing.assert_array_equal, one, three)
    alone = _stepped(physics, *(w[2:3] for w in worlds))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[2:3], b), one, alone)


def test_nested_vmap_with_unbatched_arguments():
    physics = NativePhysics(walker(), SIM_DT, SUBSTEPS)
    qpos, qvel, ctrl, _ = _worlds(3)

    def one(qpos, ctrl):
        return physics.step({}, physics.init({}, qpos, qvel[0]), ctrl).kinematics.qpos

    crossed = jax.jit(jax.vmap(jax.vmap(one, (None, 0)), (0, None)))(qpos, ctrl[:2])
    alone = jax.jit(one)
    expected = jnp.stack([jnp.stack([alone(q, c) for c in ctrl[:2]]) for q in qpos])
    np.testing.assert_array_equal(crossed, expected)


def test_threads_that_share_one_physics_do_not_disturb_each_other():
    physics = NativePhysics(walker(), SIM_DT, SUBSTEPS)
    batches = [_worlds(4, seed) for seed in range(4)]
    expected = [_stepped(physics, *b) for b in batches]
    got: dict[int, object] = {}

    def work(i: int) -> None:
        got[i] = _stepped(physics, *batches[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(batches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, result in enumerate(expected):
        jax.tree.map(np.testing.assert_array_equal, result, got[i])


def test_blown_up_world_leaves_no_trace_on_screen_or_disk(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    physics = NativePhysics(box(), SIM_DT, SUBSTEPS)
    state = physics.init({}, jnp.asarray(box().standing_qpos, jnp.float32), jnp.full(6, jnp.nan))
    assert physics.step({}, state, jnp.zeros(0)).bad
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("memory", "lost"), [("300K", False), ("50K", True), ("40K", True)])
def test_contacts_and_constraints_without_room_are_counted(memory: str, lost: bool):
    """With 50 KB the constraints find no room, with 40 KB neither do some of the contacts."""
    body = mat(memory)
    physics = NativePhysics(body, SIM_DT, SUBSTEPS)
    state = physics.init({}, jnp.asarray(body.standing_qpos, jnp.float32), jnp.zeros(6))
    after = physics.step({}, state, jnp.zeros(0))
    data = mujoco.MjData(physics.model)
    data.qpos[:] = np.float32(body.standing_qpos)
    mujoco.mj_step(physics.model, data, SUBSTEPS)
    mujoco.mj_fwdPosition(physics.model, data)  # where the last substep has led to counts as well
    full = (mujoco.mjtWarning.mjWARN_CONTACTFULL, mujoco.mjtWarning.mjWARN_CNSTRFULL)
    assert int(after.overflow) == sum(data.warning[kind].number for kind in full)
    assert bool(after.overflow > 0) == lost
    assert not after.bad  # it lacks contacts, but has not blown up


def test_trajectories_of_the_synth_equal_mj_step_with_the_solver_of_a_run():
    """Half a second of walking from four frames, each control step from where the one before has ended."""
    body = make_body("synth")
    physics = build_physics(PhysicsConfig(engine="native"), body)
    (walk,) = resolve_motions("walk", body)
    frames = np.linspace(0, walk.num_frames, 4, endpoint=False).astype(int)
    ahead = (
        frames[:, None] + 3 * np.arange(1, 11)
    ) % walk.num_frames  # 60 frames and 20 control steps a second
    ctrl = jnp.asarray(walk.qpos[ahead][..., 7:], jnp.float32)
    start = (jnp.asarray(x[frames], jnp.float32) for x in (walk.qpos, walk.qvel))

    def trajectory(qpos: jax.Array, qvel: jax.Array, ctrl: jax.Array) -> PhysicsState:
        def step(state: PhysicsState, ctrl: jax.Array) -> tuple[PhysicsState, PhysicsState]:
            state = physics.step({}, state, ctrl)
            return state, state

        return jax.lax.scan(step, physics.init({}, qpos, qvel), ctrl)[1]

    got = jax.jit(jax.vmap(trajectory))(*start, ctrl)
    assert not got.bad.any()
    assert (got.ground_contact.sum(axis=-1) > 0).mean() > 0.9
    for world, frame in enumerate(frames):
        data = mujoco.MjData(physics.model)
        data.qpos[:], data.qvel[:] = np.float32(walk.qpos[frame]), np.float32(walk.qvel[frame])
        for step in range(ctrl.shape[1]):
            data.ctrl[:] = ctrl[world, step]
            mujoco.mj_step(physics.model, data, physics.n_substeps)
            for field in (data.qpos, data.qvel, data.qacc_warmstart):  # between steps it is float32
                field[:] = field.astype(np.float32)
            np.testing.assert_array_equal(got.kinematics.qpos[world, step], data.qpos)
            np.testing.assert_array_equal(got.kinematics.qvel[world, step], data.qvel)


def test_unknown_engine_names_the_near_match():
    with pytest.raises(UserError, match="native"):
        make_physics("nativ", walker(), SIM_DT, SUBSTEPS)
