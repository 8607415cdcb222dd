"""The imitation environment against frames straight from the clip file and rules worked out by hand."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from imitation_worlds import (
    LOOP,
    LYING,
    ONCE,
    STEP,
    TURNED,
    WORLDS,
    body,
    clips,
    env,
    frame,
    placed,
    reset_at,
    rigidly_moved,
    shifted,
    step,
    with_body_at,
)
from scipy.spatial.transform import Rotation, Slerp

from synthjax.envs.observation import ObservationLayout
from synthjax.envs.reset_table import StartNoise
from synthjax.envs.sampler import init_sampler
from synthjax.training.program import TrainProgram, TrainState

LAST = clips()[LOOP].num_frames - 1


def _worlds(bodies, frames, clip=LOOP, environment=None):
    """WORLDS worlds, the given ones first and the last repeated."""
    clip = clip if isinstance(clip, list) else [clip] * len(bodies)
    fill = WORLDS - len(bodies)
    return placed(
        environment or env(),
        bodies + bodies[-1:] * fill,
        clip + clip[-1:] * fill,
        frames + frames[-1:] * fill,
    )


# ---------------------------------------------------------------------- starts


def _clip_pose(clip, time: float) -> np.ndarray:
    """qpos (nq,) at ``time``, by SciPy's slerp; a looping clip is closed by its first frame."""
    closing = clip.qpos[0].copy()
    closing[:3] += clip.loop_offset
    qpos = np.vstack([clip.qpos, closing]) if clip.loop else clip.qpos
    at = np.arange(len(qpos)) / clip.fps
    linear = [np.interp(time, at, column) for column in qpos.T]
    turns = Slerp(at, Rotation.from_quat(np.roll(qpos[:, 3:7], -1, axis=-1)))
    linear[3:7] = np.roll(turns(time).as_quat(), 1)
    return np.array(linear)


def test_a_start_without_noise_lies_on_the_reference():
    rows = [0, 7, 25, env().resets.states.shape[0] - 1]
    state = reset_at(env(), rows)
    data = mujoco.MjData(body().model)
    for world in range(WORLDS):
        clip = clips()[int(state.task.clip[world])]
        pose = _clip_pose(clip, float(state.task.time[world]))
        k = jax.tree.map(lambda x, world=world: np.asarray(x[world]), state.physics.kinematics)
        sign = np.sign(k.qpos[3:7] @ pose[3:7])
        pose[3:7] *= sign
        np.testing.assert_allclose(k.qpos, pose, atol=2e-6)
        data.qpos, data.qvel = pose, k.qvel
        mujoco.mj_forward(body().model, data)
        np.testing.assert_allclose(k.xpos, data.xpos, atol=1e-5)
        velocity = np.zeros(6)
        hand = body().model.body("LeftHand").id
        mujoco.mj_objectVelocity(body().model, data, mujoco.mjtObj.mjOBJ_XBODY, hand, velocity, 0)
        np.testing.assert_allclose(k.angvel[hand], velocity[:3], atol=1e-4)
        np.testing.assert_allclose(k.linvel[hand], velocity[3:], atol=1e-4)
    assert not np.any(state.task.age)
    assert not np.any(state.terminated | state.truncated)


def test_start_times_fill_every_bin_evenly():
    table = env().resets
    for index, clip in enumerate(clips()):
        times = np.asarray(table.time)[np.asarray(table.clip) == index]
        bins = int(table.bins_in_clip[index])
        assert bins == round(clip.duration / 0.1)
        # Two starts a bin: at a quarter and at three quarters of it
        expected = (np.arange(2 * bins) + 0.5) / (2 * bins) * clip.duration
        np.testing.assert_allclose(times, expected, rtol=1e-5)
        first = int(table.bin_start[index])
        found = table.bin_of(np.full(2 * bins, index), times)
        np.testing.assert_array_equal(found, first + np.arange(2 * bins) // 2)


def test_start_noise_stays_within_its_half_widths_and_fills_them():
    width = StartNoise(joint_angle=0.05, joint_rate=0.5, root_velocity=0.15)
    noisy, exact = (np.asarray(env(start_noise=n).resets.states) for n in (width, StartNoise(0.0, 0.0, 0.0)))
    model = body().model
    difference = noisy - exact
    hinges = difference[:, 7 : model.nq]
    velocity = difference[:, model.nq : model.nq + 3]
    spin = difference[:, model.nq + 3 : model.nq + 6]
    rates = difference[:, model.nq + 6 : model.nq + model.nv]
    for values, limit in ((hinges, 0.05), (rates, 0.5), (velocity, 0.15)):
        assert 0.9 * limit < np.abs(values).max() <= limit * (1 + 1e-3)
        assert abs(values.mean()) < 0.1 * limit
    assert not difference[:, :7].any()
    assert not spin.any()
    # The derived fields belong to the noisy pose, not to the clean one.
    data = mujoco.MjData(model)
    data.qpos = noisy[5, : model.nq]
    mujoco.mj_kinematics(model, data)
    xpos = noisy[5, model.nq + model.nv :][: 3 * model.nbody].reshape(-1, 3)
    np.testing.assert_allclose(xpos, data.xpos, atol=1e-5)
    assert np.abs(xpos - exact[5, model.nq + model.nv :][: 3 * model.nbody].reshape(-1, 3)).max() > 1e-3


def test_resets_are_drawn_by_the_contexts_probabilities():
    chosen = 17
    only = jnp.zeros(env().resets.num_bins).at[chosen].set(1.0)
    ctx = env().init_context()
    ctx = ctx.replace(sampler=ctx.sampler.replace(probabilities=only))
    state = jax.jit(jax.vmap(env().reset, (None, 0)))(ctx, jax.random.split(jax.random.key(0), WORLDS))
    np.testing.assert_array_equal(env().resets.bin_of(state.task.clip, state.task.time), chosen)


# ---------------------------------------------------------------------- what a step means


def test_the_reward_at_t_plus_1_is_against_the_reference_at_t_plus_1():
    start = 20
    bodies = [frame(start + STEP), frame(start), frame(start + 2 * STEP)]
    after = step(env(), _worlds(bodies, [start] * 3))
    assert float(after.reward[0]) == pytest.approx(1.0, abs=2e-4)  # the sum of DeepMimic's weights
    assert float(after.reward[1]) < 0.97
    assert float(after.reward[2]) < 0.97
    assert float(after.metrics["body_error_mm"][0]) < 0.1
    # Mean distance of all bodies between the two frames, straight from the file
    expected = np.linalg.norm(frame(start).xpos[1:] - frame(start + STEP).xpos[1:], axis=-1).mean()
    assert float(after.metrics["body_error_mm"][1]) == pytest.approx(1000 * expected, rel=1e-3)
    np.testing.assert_array_equal(after.task.age, 1)


def test_the_zero_action_stays_near_the_reference():
    environment = env(still=False)
    state = reset_at(environment, [0, 5, 11, 17])
    for _ in range(2):
        state = step(environment, state)
    assert not np.any(state.terminated | state.physics.bad)
    assert float(np.max(state.metrics["body_error_mm"])) < 60.0
    assert float(np.min(state.reward)) > 0.8
    # It was real physics: the root is not where the clip has it to the micrometre.
    assert float(np.min(state.metrics["body_error_mm"])) > 0.01


def test_an_episode_ends_when_any_body_is_too_far():
    on = frame(20 + STEP)
    bodies = [
        with_body_at(on, "LeftHand", [0.0, 0.0, 0.29]),
        with_body_at(on, "LeftHand", [0.0, 0.0, 0.31]),
        shifted(on, np.array([0.36, 0.47, 0.0])),  # root and all 0.592 m away in the world
        shifted(on, np.array([0.36, 0.49, 0.0])),  # 0.608 m: the reference is a place, too
    ]
    after = step(env(), _worlds(bodies, [20] * 4))
    np.testing.assert_array_equal(after.terminated, [False, True, False, True])
    np.testing.assert_array_equal(after.truncated, False)
    assert float(np.min(after.reward[::2])) > 0
    np.testing.assert_array_equal(after.reward[1::2], 0.0)
    np.testing.assert_array_equal(after.metrics["failed"], [0.0, 1.0, 0.0, 1.0])


def test_the_contexts_limit_decides_how_far_the_body_may_drift():
    on = frame(20 + STEP)
    state = _worlds([shifted(on, np.array([0.0, d, 0.0])) for d in (0.24, 0.26, -0.24, -0.26)], [20] * 4)
    ctx = env().init_context().replace(drift_limit=jnp.asarray(0.25))
    after = jax.jit(jax.vmap(env().step, in_axes=(None, 0, 0)))(
        ctx, state, np.zeros((WORLDS, env().action_dim), np.float32)
    )
    np.testing.assert_array_equal(after.terminated, [False, True, False, True])


def test_a_fall_is_a_ground_contact_that_the_reference_does_not_have():
    on = frame(20 + STEP)
    state = _worlds([on] * 4, [20] * 4, [LOOP, LOOP, LYING, LYING])
    contact = np.zeros((WORLDS, body().model.nbody), np.float32)
    for world, part in enumerate(["Head", "LeftFoot", "Head", "Spine"]):
        contact[world, body().model.body(part).id] = 2.0
    after = step(env(), state.replace(physics=state.physics.replace(ground_contact=contact)))
    np.testing.assert_array_equal(after.terminated, [True, False, False, True])


def test_the_time_limit_truncates():
    assert env().max_steps == 200  # ten seconds of 1/20 s
    on, away = frame(20 + STEP), shifted(frame(20), np.array([5.0, 0, 0]))
    state = _worlds([on, on, away], [20] * 3)
    state = state.replace(task=state.task.replace(age=np.array([198, 199, 199, 199], np.int32)))
    after = step(env(), state)
    np.testing.assert_array_equal(after.truncated[:3], [False, True, False])
    np.testing.assert_array_equal(after.terminated[:3], [False, False, True])  # a failure is no time limit
    np.testing.assert_array_equal(after.metrics["completed"][:3], [0.0, 1.0, 0.0])


def test_a_clip_without_loop_truncates_at_its_end_and_a_loop_goes_on():
    offset = clips()[LOOP].loop_offset
    bodies = [frame(LAST, ONCE), frame(LAST - 1, ONCE), frame(LAST), shifted(frame(1), offset)]
    # The clips hold frames 0 to LAST; the loop closes at LAST + 1, so LAST + 2 is frame 1 of the next cycle.
    starts = [LAST - STEP + 0.01, LAST - STEP - 1, LAST - STEP, LAST + 2 - STEP]
    after = step(env(), _worlds(bodies, starts, [ONCE, ONCE, LOOP, LOOP]))
    np.testing.assert_array_equal(after.truncated, [True, False, False, False])
    np.testing.assert_array_equal(after.terminated, False)
    np.testing.assert_allclose(after.reward, [after.reward[0], 1.0, 1.0, 1.0], atol=5e-4)
    assert float(after.task.time[3]) > clips()[LOOP].duration


def test_a_world_that_blows_up_ends_with_zero_reward_and_finite_numbers():
    environment = env(still=False)
    state = reset_at(environment, [0, 5, 11, 17])
    good = step(environment, state)
    qvel = np.array(state.physics.kinematics.qvel)
    qvel[1], qvel[2] = np.nan, 1e12
    kinematics = state.physics.kinematics.replace(qvel=qvel)
    after = step(environment, state.replace(physics=state.physics.replace(kinematics=kinematics)))
    np.testing.assert_array_equal(after.terminated, [False, True, True, False])
    np.testing.assert_array_equal(after.metrics["bad_world"], [0.0, 1.0, 1.0, 0.0])
    np.testing.assert_array_equal(after.reward[1:3], 0.0)
    assert np.isfinite(after.obs).all()
    assert all(np.isfinite(value).all() for value in after.metrics.values())
    np.testing.assert_array_equal(after.obs[0], good.obs[0])  # the others do not notice


def test_metrics_have_the_same_names_after_a_reset_and_after_a_step():
    state = reset_at(env(), [0, 1, 2, 3])
    assert set(state.metrics) == set(step(env(), state).metrics)


def test_select_takes_whole_worlds():
    old, new = reset_at(env(), [0, 1, 2, 3]), reset_at(env(), [8, 9, 10, 11], seed=1)
    done = np.array([True, False, False, True])
    chosen = jax.jit(jax.vmap(env().select))(done, new, old)

    def check(picked, a, b):
        if jnp.issubdtype(picked.dtype, jax.dtypes.prng_key):
            picked, a, b = (jax.random.key_data(x) for x in (picked, a, b))
        for world in range(WORLDS):
            np.testing.assert_array_equal(picked[world], (a if done[world] else b)[world])

    jax.tree.map(check, chosen, new, old)


# ---------------------------------------------------------------------- actions


@functools.cache
def _control(environment):
    return jax.jit(environment.control)


def _scale(environment) -> np.ndarray:
    return environment.body.action_scale * environment.config.action_scale


def test_actions_are_offsets_from_the_next_reference_pose():
    environment = env(action_scale=0.4)
    action = np.linspace(-2, 2, environment.action_dim).astype(np.float32)
    control = _control(environment)(action, frame(9))
    # 0.1 s of the reference's own speed makes up for servos with kd = 0.1 kp.
    zero = frame(9).qpos[7:] + 0.1 * frame(9).qvel[6:]
    np.testing.assert_allclose(control, zero + 0.4 * body().action_scale * action, atol=1e-6)


def test_absolute_actions_are_offsets_from_the_standing_pose():
    environment = env(action_mode="absolute")
    action = np.linspace(-2, 2, environment.action_dim).astype(np.float32)
    control = _control(environment)(action, frame(9))
    # Hinges that the policy does not steer go on following the reference.
    following = frame(9).qpos[7:] + 0.1 * frame(9).qvel[6:]
    zero = np.where(np.isin(body().joints, body().main_joints), body().standing_qpos[7:], following)
    np.testing.assert_allclose(control, zero + _scale(environment) * action, atol=1e-6)


def test_torque_actions_are_clipped_shares_of_the_motors():
    environment = env(actuation="torque", drive="direct")
    action = np.linspace(-2, 2, environment.action_dim).astype(np.float32)
    control = _control(environment)(action, frame(9))
    np.testing.assert_allclose(control, _scale(environment) * np.clip(action, -1, 1), atol=1e-6)
    assert environment.curriculum.steered.all()  # a motor that is not steered would hold nothing


def test_steered_hinges():
    main = env().curriculum.steered
    assert {name for name, steered in zip(body().joints, main, strict=True) if steered} == set(
        body().main_joints
    )
    assert env(steered="all").curriculum.steered.all()


# ---------------------------------------------------------------------- observations


def test_observation_layout_covers_the_vector_in_order():
    layout = env().layout
    assert [name for name, _ in layout.sizes] == [
        "root_height", "root_rotation", "root_linear_velocity", "root_angular_velocity", "joint_angles",
        "joint_rates", "body_positions", "previous_action", "phase", "target1_root_offset",
        "target1_root_offset_near", "target1_root_rotation", "target1_joint_errors",
        "target1_key_body_errors",
    ]  # fmt: skip
    # 1 + 6 + 3 + 3 + 63 + 63 + 22 * 3 + 63 + 2 + 3 + 3 + 6 + 63 + 5 * 3
    assert env().obs_dim == layout.dim == 360
    ends = [0] + [part.stop for part in layout.slices.values()]
    assert [part.start for part in layout.slices.values()] == ends[:-1]
    assert ends[-1] == 360


def test_layout_hash_changes_with_names_sizes_and_order():
    def of(*parts: tuple[str, int]) -> str:
        return ObservationLayout.of({name: np.zeros(size) for name, size in parts}).hash

    base = of(("a", 3), ("b", 2))
    assert len(base) == 12
    assert int(base, 16) >= 0
    assert base == of(("a", 3), ("b", 2))
    assert (
        len({base, of(("a", 2), ("b", 3)), of(("b", 2), ("a", 3)), of(("a", 3), ("c", 2)), of(("a", 5))}) == 5
    )
    assert env().layout.hash != env(lookahead=(1, 4)).layout.hash


def test_observation_parts_hold_what_they_say():
    """World 0 observes its body and the reference one control step after t+1, in its heading frame."""
    at, offset = 20 + STEP, 11
    k, target = frame(at + offset), frame(at + STEP)
    action = np.zeros((WORLDS, env().action_dim), np.float32)
    action[0] = np.linspace(-1, 1, env().action_dim)
    after = step(env(), _worlds([k], [20]), action)
    parts = {name: np.asarray(after.obs[0, where]) for name, where in env().layout.slices.items()}

    root = Rotation.from_quat(np.roll(k.xquat[1], -1))
    facing = root.apply([1.0, 0.0, 0.0])
    heading = Rotation.from_euler("z", np.arctan2(facing[1], facing[0]))
    local = heading.inv()
    target_root = Rotation.from_quat(np.roll(target.xquat[1], -1))
    keys = body().body_ids(body().key_bodies)
    time = at / clips()[LOOP].fps
    phase = 2 * np.pi * time / clips()[LOOP].duration
    expected = {
        "root_height": k.xpos[1, 2:],
        "root_rotation": (local * root).as_matrix()[:, :2].T.ravel(),
        "root_linear_velocity": local.apply(k.linvel[1]),
        "root_angular_velocity": local.apply(k.angvel[1]),
        "joint_angles": k.qpos[7:],
        "joint_rates": 0.1 * k.qvel[6:],
        "body_positions": local.apply(k.xpos[1:] - k.xpos[1]).ravel(),
        "previous_action": action[0],
        "phase": [np.sin(phase), np.cos(phase)],
        "target1_root_offset": local.apply(target.xpos[1] - k.xpos[1]),
        "target1_root_offset_near": np.clip(local.apply(target.xpos[1] - k.xpos[1]), -0.1, 0.1),
        "target1_root_rotation": (local * target_root).as_matrix()[:, :2].T.ravel(),
        "target1_joint_errors": target.qpos[7:] - k.qpos[7:],
        "target1_key_body_errors": local.apply(
            (target.xpos[keys] - target.xpos[1]) - (k.xpos[keys] - k.xpos[1])
        ).ravel(),
    }
    assert np.abs(expected["target1_root_offset"]).max() > 0.1 > np.abs(expected["target1_root_offset"]).min()
    assert list(parts) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(parts[name], values, atol=2e-4, err_msg=name)


def test_observation_and_reward_do_not_depend_on_place_and_heading():
    k = frame(24)
    after = step(env(), _worlds([k, rigidly_moved(k)], [20, 20], [LOOP, TURNED]))
    np.testing.assert_allclose(after.obs[1], after.obs[0], atol=2e-5)
    assert 0 < float(after.reward[0]) < 0.999
    assert float(after.reward[1]) == pytest.approx(float(after.reward[0]), abs=1e-5)


# ---------------------------------------------------------------------- in the training program


class _Idle:
    """An agent that does nothing: the zero action."""

    def placement(self, split, copied):
        return copied

    def act(self, state, obs, key, deterministic=False):
        return jnp.zeros(env().action_dim), {}


def test_collect_hands_over_the_true_last_observation_and_starts_anew():
    """Worlds 0 and 1 reach the time limit in the second of three steps; world 2 fails in the first."""
    on = frame(20 + STEP)
    state = _worlds([on, on, shifted(on, np.array([5.0, 0.0, 0.0])), on], [20] * 4)
    limit = env().max_steps
    state = state.replace(task=state.task.replace(age=np.array([limit - 2, limit - 2, 0, 0], np.int32)))
    program = TrainProgram(env(), _Idle(), WORLDS, 3)
    train = TrainState(
        agent=None, env=state, ctx=env().init_context(), key=jax.random.key(0), iteration=jnp.zeros((), int)
    )
    worlds, data, _, stats, _ = jax.jit(program.collect)(train)

    np.testing.assert_array_equal(data.truncated[:2, :3], [[False] * 3, [True, True, False]])
    np.testing.assert_array_equal(data.terminated[0], [False, False, True, False])
    once = step(env(), state)
    twice = step(env(), once)
    np.testing.assert_allclose(data.next_obs[0], once.obs, atol=1e-5)
    np.testing.assert_allclose(data.obs[1, [0, 1, 3]], once.obs[np.array([0, 1, 3])], atol=1e-5)
    # The last observation of the old episode, and after it the first of a new one
    np.testing.assert_allclose(data.next_obs[1, :2], twice.obs[:2], atol=1e-5)
    for last, first in (
        (twice.obs[0], data.obs[2, 0]),
        (twice.obs[1], data.obs[2, 1]),
        (once.obs[2], data.obs[1, 2]),
    ):
        assert np.abs(first - last).max() > 1e-2
        assert np.abs(_all_first_observations() - np.asarray(first)).max(axis=1).min() < 1e-5
    np.testing.assert_array_equal(worlds.task.age[:2], 1)
    assert float(np.sum(stats["visits"])) == 3 * WORLDS
    assert float(np.sum(stats["failures"])) == float(np.sum(data.terminated))
    assert float(stats["completed"]) == 2
    assert float(stats["ended"]) == 2 + float(np.sum(data.terminated))


@functools.cache
def _all_first_observations() -> np.ndarray:
    rows = env().resets.states.shape[0]
    keys = jax.random.split(jax.random.key(0), rows)
    starts = jax.jit(jax.vmap(functools.partial(env().start_from, env().resets)))
    return np.asarray(starts(jnp.arange(rows), keys).obs)


def test_failures_count_in_the_bin_where_they_happen():
    """Also beyond the first cycle of a loop, and at the very end of a clip without one."""
    frames = [LAST + 1 + 14.0, 14.0, float(LAST), LAST + 2.0]
    state = _worlds([frame(0)] * 4, frames, [LOOP, LOOP, ONCE, ONCE])
    state = state.replace(terminated=np.array([True, False, True, False]))
    stats = jax.jit(env().episode_stats)(state)
    table = env().resets
    # Frame 14 is at 0.233 s: the third bin of about 0.1 s
    walk, end = int(table.bin_start[LOOP]) + 2, int(table.bin_start[ONCE] + table.bins_in_clip[ONCE]) - 1
    expected = np.zeros(table.num_bins)
    expected[[walk, end]] = 1.0
    np.testing.assert_array_equal(stats["failures"], expected)
    np.testing.assert_array_equal(stats["visits"], 2 * expected)


def test_context_moves_towards_the_bins_that_fail():
    bins = env().resets.num_bins
    failures = np.zeros(bins, np.float32)
    failures[5] = 3.0
    ends = {"completed": np.float32(0.0), "ended": np.float32(3.0)}
    visits = np.full(bins, 10.0, np.float32)
    ctx = jax.jit(env().update_context)(
        env().init_context(), {"failures": failures, "visits": visits, **ends}
    )
    # Three failures in ten steps of each bin are few, so the limit shrinks
    assert 3 / (10 * bins) < env().config.drift.narrow_below
    assert float(ctx.drift_limit) == pytest.approx(0.6 * 0.99)
    many = {"failures": np.full(bins, 1.0, np.float32), "visits": visits, **ends}
    assert float(jax.jit(env().update_context)(ctx, many).drift_limit) == pytest.approx(0.6 * 0.99 * 1.01)
    uniform = init_sampler(bins).probabilities[0]
    assert float(ctx.sampler.probabilities[5]) > 2 * float(uniform)
