"""Help for a body that lies for long: when it comes, what it does, and who never gets it."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from continuous_worlds import WORLDS, body, env, falls, standing, start, step

from synthjax import configs
from synthjax.agents.ppo import PPO, PPOConfig
from synthjax.agents.sac import SAC, SACConfig
from synthjax.configs.checks import validate
from synthjax.envs.assist import (
    AssistConfig,
    AssistPoses,
    advance_assist,
    assist_poses,
    can_come,
    is_due,
    no_assist,
)
from synthjax.envs.continuous import ContinuousEnv
from synthjax.envs.continuous_task import ContinuousConfig
from synthjax.errors import UserError
from synthjax.motion.library import resolve_motions
from synthjax.rewards import Phase
from synthjax.training.program import TrainProgram
from synthjax.types import EnvState

DT = 0.05
# Three control steps of lying, then two of being held; the next help takes one step more, five at the most.
QUICK = AssistConfig(seconds=0.15, more_seconds=0.05, most_seconds=0.25, hold_seconds=0.1)
LIFE = {"life_seconds": 1e9, "ends_when_lost": False, "assist": QUICK}


def offered(state: EnvState) -> EnvState:
    """``state`` as training starts it, and not an evaluation."""
    assist = state.task.assist.replace(offered=jnp.ones(WORLDS, bool))
    return state.replace(task=state.task.replace(assist=assist))


@functools.cache
def poses() -> AssistPoses:
    clips = resolve_motions("getup_facedown,getup_faceup", body())
    return assist_poses(body(), clips, noise=0.02, lowest=0.32, seed=0)


# ---------------------------------------------------------------------- when it comes


def timeline(config: AssistConfig, lies: list[int], offer: bool = True) -> list[str]:
    """What happens to a body in each control step: "h" it is held, else whether it lies or not."""
    state, told = no_assist(offer), []
    for lying in lies:
        due = bool(is_due(config, state, DT))
        held = due or int(state.held) > 0
        told.append("h" if held else "-|"[1 - lying])
        # A body that is held is in a pose that does not lie.
        state = advance_assist(config, state, jnp.asarray(due), jnp.asarray(bool(lying) and not held), DT)
    return told


def test_help_comes_after_its_time_and_each_time_later() -> None:
    told = "".join(timeline(QUICK, [1] * 27))
    #               3       4        5 and never more
    assert told == "---hh----hh-----hh-----hh--"


def test_only_lying_on_end_counts() -> None:
    told = timeline(QUICK, [1, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 1])
    assert "".join(told) == "--|--|---hh-"


def test_nobody_is_helped_who_is_not_offered_it() -> None:
    assert "".join(timeline(QUICK, [1] * 12, offer=False)) == "-" * 12


def test_the_original_s_times() -> None:
    """30 + 5 k seconds up to 300, and 150 control steps of 25 a second."""
    for count, seconds in ((0, 30), (1, 35), (10, 80), (54, 300), (100, 300)):
        state = no_assist(True).replace(count=jnp.asarray(count))
        lying = {n: state.replace(fallen=jnp.asarray(n)) for n in (20 * seconds - 1, 20 * seconds)}
        assert [bool(is_due(AssistConfig(), s, DT)) for s in lying.values()] == [False, True]
    begun = advance_assist(AssistConfig(), no_assist(True), jnp.asarray(True), jnp.asarray(False), 0.04)
    assert int(begun.held) == 150 - 1
    assert int(begun.count) == 1


# ---------------------------------------------------------------------- poses


def test_poses_are_standing_and_frames_that_do_not_lie_with_a_little_noise() -> None:
    nq, tall = body().model.nq, body().standing_height
    upright = np.asarray(poses().standing)[:, :nq]
    np.testing.assert_allclose(upright[:, :7] - body().standing_qpos[:7], 0.0, atol=1e-6)
    noise = upright[:, 7:] - body().standing_qpos[7:]
    assert 0.018 < np.abs(noise).max() <= 0.0201
    assert abs(noise.mean()) < 0.001
    frames = np.asarray(poses().frames)[:, :nq]
    clips = resolve_motions("getup_facedown,getup_faceup", body())
    kept = np.concatenate([clip.qpos[clip.qpos[:, 2] >= 0.32 * tall] for clip in clips])
    assert 0 < len(kept) == len(frames) < sum(clip.num_frames for clip in clips)
    np.testing.assert_allclose(frames[:, 2:7], kept[:, 2:7], atol=1e-5)
    assert np.abs(frames[:, 7:] - kept[:, 7:]).max() <= 0.0201
    for rows in (poses().standing, poses().frames):
        np.testing.assert_array_equal(np.asarray(rows)[:, nq : nq + body().model.nv], 0.0)


def test_every_third_pose_is_standing_and_all_stay_where_the_body_lies() -> None:
    draw = jax.jit(jax.vmap(poses().draw, in_axes=(0, None, 0)))
    place = np.array([3.0, -7.0], np.float32)
    counts = jnp.arange(60)
    drawn = draw(counts, place, jax.random.split(jax.random.key(0), 60))
    np.testing.assert_array_equal(drawn.qpos[:, :2], np.tile(place, (60, 1)))
    rows = {0: np.asarray(poses().standing), 1: np.asarray(poses().frames)}
    for count, qpos in zip(np.asarray(counts), np.asarray(drawn.qpos), strict=True):
        own, other = rows[int(count % 3 > 0)], rows[int(count % 3 == 0)]
        assert (own[:, 7 : len(qpos)] == qpos[7:]).all(axis=1).any()
        assert not (other[:, 7 : len(qpos)] == qpos[7:]).all(axis=1).any()
    # The whole body is there, as MuJoCo derives it from the pose.
    data = mujoco.MjData(body().model)
    for index in (0, 1):
        data.qpos[:] = drawn.qpos[index]
        mujoco.mj_kinematics(body().model, data)
        np.testing.assert_allclose(drawn.xpos[index], data.xpos, atol=1e-5)
        np.testing.assert_allclose(drawn.xquat[index], data.xquat, atol=1e-5)


# ---------------------------------------------------------------------- in the environment


@pytest.mark.slow
def test_a_fallen_body_is_helped_held_and_let_go() -> None:
    """On native physics; world 1 stands, and is left alone."""
    environment = env(**LIFE)
    where = falls(environment)
    where = jax.tree.map(lambda a, b: a.at[1].set(b[0]), where, standing(environment))
    state = offered(start(environment, where))
    action = 0.3 * jax.random.normal(jax.random.key(1), (environment.action_dim,))
    states = []
    for _ in range(7):
        before, state = state, step(environment, state, action)
        states.append(state)
        held = ~np.asarray(state.valid)
        np.testing.assert_array_equal(state.metrics["assisted"], held)
        np.testing.assert_array_equal(np.asarray(state.reward)[held], 0.0)
        # Held time is no time, of which the body would not be on its feet.
        assert float(environment.episode_stats(state)["steps"]) == WORLDS - held.sum()
        assert np.all(np.isnan(np.asarray(state.metrics["reward"])[held]))
        assert not np.any(np.asarray(state.metrics["on_feet"])[held])
        assert not np.any(state.terminated | state.truncated)
        assert np.all(np.isfinite(state.obs))
        assert not np.any(before.metrics["bad_world"])
    lying = [0, 2, 3]
    valid = np.stack([s.valid for s in states])
    np.testing.assert_array_equal(valid[:, lying], np.tile([[1, 1, 1, 0, 0, 1, 1]], (3, 1)).T > 0)
    assert valid[:, 1].all()  # it has not fallen
    fallen, posed, held, free = states[2], states[3], states[4], states[5]
    root = environment.parts.root
    for world in lying:
        before, after = (s.physics.kinematics for s in (fallen, posed))
        np.testing.assert_array_equal(after.qpos[world, :2], before.qpos[world, :2])
        assert float(after.xpos[world, root, 2]) == pytest.approx(body().standing_height, abs=1e-5)
        np.testing.assert_array_equal(after.qvel[world], 0.0)
        assert int(posed.task.phase[world]) == Phase.STANDING
        assert bool(posed.task.fresh[world])
        np.testing.assert_array_equal(posed.task.previous_action[world], 0.0)
        jax.tree.map(
            lambda a, b, world=world: np.testing.assert_array_equal(a[world], b[world]),
            held.physics.kinematics, after,
        )  # fmt: skip
        np.testing.assert_array_equal(held.obs[world], posed.obs[world])
        assert np.any(free.physics.kinematics.qvel[world])
        # What the pose was worth is not earned by the first step in freedom.
        assert float(free.metrics["reward_action_rate"][world]) == pytest.approx(0.0, abs=1e-7)
    np.testing.assert_array_equal(np.asarray(free.task.age), 6)
    np.testing.assert_array_equal(np.asarray(free.task.assist.count), [1, 0, 1, 1])


@pytest.mark.slow
def test_evaluations_are_never_helped() -> None:
    """What a state of an evaluation goes through is what happens where there is no help at all."""
    helped, alone = env(**LIFE), env()
    assert (helped.assists, alone.assists) == (True, False)
    one, other = start(helped, falls(helped)), start(alone, falls(alone))
    for _ in range(8):
        one, other = step(helped, one), step(alone, other)
        assert one.valid.all()
    assert (one.task.phase == Phase.FALLEN).all()
    assert (one.task.assist.fallen > 3).all()  # its time would have come
    np.testing.assert_array_equal(one.physics.kinematics.qpos, other.physics.kinematics.qpos)
    assert "assisted" not in other.metrics


def test_training_offers_help_where_lives_are_long_enough_for_it() -> None:
    keys = jax.random.split(jax.random.key(0), WORLDS)
    environment = env(**LIFE)
    state = jax.jit(jax.vmap(environment.reset, in_axes=(None, 0)))(environment.init_context(), keys)
    assert state.task.assist.offered.all()


def test_the_default_training_is_what_it_was_without_help() -> None:
    """Its lives are cut before anybody could be helped; longer ones are helped without asking."""
    default = ContinuousConfig()
    assert not can_come(default.assist, default.life_seconds)
    assert not can_come(default.assist, 30.0)
    assert can_come(default.assist, 31.0)
    assert not can_come(AssistConfig(seconds=0.0), 1e9)
    assert not env().assists


def test_a_life_that_is_cut_while_it_is_held_is_neither_a_success_nor_a_failure() -> None:
    environment = env(**LIFE)
    state = offered(start(environment, falls(environment)))
    old = jnp.full(WORLDS, environment.max_steps - 5, jnp.int32)
    state = state.replace(task=state.task.replace(age=old))
    for number in range(1, 6):
        state = step(environment, state)
        np.testing.assert_array_equal(state.valid, number < 4)
        np.testing.assert_array_equal(state.truncated, number == 5)
        assert not state.metrics["completed"].any()
        assert not state.metrics["failed"].any()


# ---------------------------------------------------------------------- what is learned


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ppo", "sac"])
def test_agents_learn_from_what_is_not_held(name: str) -> None:
    environment: ContinuousEnv = env(**LIFE)
    sizes = {"num_envs": WORLDS, "unroll_length": 8}
    agent = {
        "ppo": lambda: PPO(
            PPOConfig(**sizes, num_minibatches=2, num_epochs=1, hidden=(8,)),
            environment.obs_dim, environment.action_dim,
        ),
        "sac": lambda: SAC(
            SACConfig(
                **sizes, capacity=64, minibatch_size=8, learning_starts=8, policy_hidden=(8,),
                critic_hidden=(8,),
            ),
            environment.obs_dim, environment.action_dim,
        ),
    }[name]()  # fmt: skip
    program = TrainProgram(environment, agent, WORLDS, 8)
    lying = offered(start(environment, falls(environment)))
    state = program.start(0).replace(env=lying)
    first = float(state.agent.normalizer.count)
    state, report = program.epoch(state, 1)
    # Three steps of lying, two in a pose, and three of falling from it: a quarter of the eight
    assert float(report.metrics["assisted"]) == pytest.approx(0.25)
    assert float(state.agent.normalizer.count) - first == 0.75 * 8 * WORLDS
    if name == "sac":
        assert int(state.agent.replay.size[0]) == 0.75 * 8 * WORLDS
    assert all(np.isfinite(value) for value in report.metrics.values())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seconds": -1.0}, "--task.assist.seconds"),
        ({"more_seconds": -1.0}, "--task.assist.more-seconds"),
        ({"most_seconds": 20.0}, "--task.assist.most-seconds"),
        ({"hold_seconds": 0.0}, "--task.assist.hold-seconds"),
        ({"noise": -0.1}, "--task.assist.noise"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, float], told: str) -> None:
    config = configs.get("continuous")
    assist = dataclasses.replace(config.task.assist, **changes)
    with pytest.raises(UserError, match=told):
        validate(dataclasses.replace(config, task=dataclasses.replace(config.task, assist=assist)))
    off = dataclasses.replace(config.task.assist, seconds=0.0)
    validate(dataclasses.replace(config, task=dataclasses.replace(config.task, assist=off)))
