"""Motors that begin stronger than the body's own, and starts that fail more often."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from continuous_worlds import WORLDS, body, env, falls, standing, start, step
from imitation_worlds import StillPhysics

from synthjax import configs
from synthjax.agents.ppo import PPOConfig
from synthjax.envs.continuous import ContinuousEnv
from synthjax.envs.continuous_task import ContinuousConfig
from synthjax.envs.guide import GuideConfig
from synthjax.envs.observation import flatten
from synthjax.envs.weakening import Weakening, WeakeningConfig, WeakeningState, start_kinds
from synthjax.errors import UserError
from synthjax.motion.library import resolve_motions
from synthjax.rewards.phases import Phase
from synthjax.training.build import build
from synthjax.training.changed_bodies import changed_bodies, judged_bodies
from synthjax.training.checkpoint import CheckpointManager
from synthjax.training.run_folder import save_config
from synthjax.training.saved import load_policy
from synthjax.types import PhysicsState

CONFIG = WeakeningConfig(start=15.0, target=0.5, pace=0.02, mastered_weight=0.2)
KINDS = np.array([0, 0, 1, 2])
PROBABILITIES = jnp.array([0.1, 0.1, 0.3, 0.5])


class Obedient(StillPhysics):
    """Worlds whose hinges are at once where servos are asked to have them."""

    def step(self, variant: Any, state: PhysicsState, ctrl: jax.Array) -> PhysicsState:
        k = state.kinematics
        return dataclasses.replace(
            state, kinematics=dataclasses.replace(k, qpos=jnp.concatenate([k.qpos[:7], ctrl]))
        )


def weakening(fastest: float = 1.0, **changes: float) -> Weakening:
    return Weakening(dataclasses.replace(CONFIG, **changes), body("torque"), KINDS, PROBABILITIES, fastest)


def lives(succeeded: list[float], failed: list[float]) -> dict[str, jax.Array]:
    return {"lives_succeeded": jnp.array(succeeded), "lives_failed": jnp.array(failed)}


def test_fifteen_times_the_torque_motors_are_the_servos_of_pd() -> None:
    """Not only their limits: gains and damping as well, which weak motors have less of."""
    weak, strong = body("torque").model, body("pd").model
    motors = weakening()
    _, task = motors.draw(motors.init(), jax.random.key(0))
    for name, values in motors.variant(task, {}).items():
        np.testing.assert_allclose(values, getattr(strong, name), rtol=1e-6)
        assert not np.allclose(getattr(weak, name), getattr(strong, name))


def test_motors_of_the_bodys_own_strength_are_its_own() -> None:
    motors, model = weakening(), body("torque").model
    _, task = motors.draw(motors.init(), jax.random.key(0))
    task = dataclasses.replace(task, ease=jnp.ones(()))
    for name, values in motors.variant(task, {}).items():
        np.testing.assert_allclose(values, getattr(model, name), rtol=1e-6)


def test_a_world_of_its_own_keeps_what_it_was_given() -> None:
    """A body whose motors were drawn weaker has motors weaker by the same factor, and its mass."""
    motors, model = weakening(), body("torque").model
    _, task = motors.draw(motors.init(), jax.random.key(0))
    given = {
        "actuator_forcerange": 0.8 * jnp.asarray(model.actuator_forcerange),
        "body_mass": jnp.asarray(model.body_mass),
    }
    varied = motors.variant(task, given)
    np.testing.assert_allclose(varied["actuator_forcerange"], 12.0 * model.actuator_forcerange, rtol=1e-6)
    np.testing.assert_array_equal(varied["body_mass"], given["body_mass"])


def test_skill_is_the_success_of_all_starts_as_often_as_they_are_meant() -> None:
    motors = weakening(success_step=1.0)
    state = motors.update(motors.init(), lives([3.0, 0.0, 1.0], [1.0, 0.0, 1.0]))
    np.testing.assert_allclose(state.success, [0.75, 0.3, 0.5])  # of the second kind no life has ended
    np.testing.assert_allclose(motors.skill(state.success), 0.2 * 0.75 + 0.3 * 0.3 + 0.5 * 0.5, rtol=1e-6)


@pytest.mark.parametrize(
    ("success", "strength", "expected"),
    [
        (1.0, 2.0, 2.0 * np.exp(-0.01)),  # weaker
        (0.75, 2.0, 2.0 * np.exp(-0.005)),  # by half as much
        (0.5, 2.0, 2.0),  # at the target
        (0.0, 2.0, 2.0 * np.exp(0.01)),  # stronger again
        (1.0, 1.0, 1.0),  # never weaker than the body
        (0.0, 15.0, 15.0),  # nor stronger than they began
    ],
)
def test_motors_follow_success(success: float, strength: float, expected: float) -> None:
    motors = weakening()
    before = WeakeningState(ease=jnp.asarray(strength), success=jnp.full(3, success))
    after = motors.update(before, lives([0.0] * 3, [0.0] * 3))
    np.testing.assert_allclose(after.ease, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("ease", "success", "expected", "motors", "speed"),
    [
        (2.0, 0.5, 2.0, 2.0, 1.0),  # strong motors behind a guide as fast as its clips
        (1.0, 1.0, np.exp(-0.01), 1.0, np.exp(0.01)),  # then it gets faster
        (0.9, 0.0, 0.9 * np.exp(0.01), 1.0, np.exp(-0.01) / 0.9),  # and slower again
        (0.8, 1.0, 0.8, 1.0, 1.25),  # up to the speed that it is meant to have
    ],
)
def test_a_guide_gets_faster_once_motors_are_the_bodys_own(
    ease: float, success: float, expected: float, motors: float, speed: float
) -> None:
    quick, model = weakening(fastest=1.25), body("torque").model
    before = WeakeningState(ease=jnp.asarray(ease), success=jnp.full(3, success))
    after = quick.update(before, lives([0.0] * 3, [0.0] * 3))
    np.testing.assert_allclose(after.ease, expected, rtol=1e-6)
    shown = quick.metrics(after)
    np.testing.assert_allclose(shown["motor_strength"], motors, rtol=1e-6)
    np.testing.assert_allclose(shown["guide_speed"], speed, rtol=1e-6)
    _, task = quick.draw(after, jax.random.key(0))
    np.testing.assert_allclose(quick.guide_share(task), speed / 1.25, rtol=1e-6)
    limits = quick.variant(task, {})["actuator_forcerange"]
    np.testing.assert_allclose(limits, motors * model.actuator_forcerange, rtol=1e-6)


def test_a_slow_guide_is_slow_from_the_start() -> None:
    slow = weakening(fastest=0.5)
    _, task = slow.draw(slow.init(), jax.random.key(0))
    assert float(slow.guide_share(task)) == 1.0
    assert float(slow.metrics(slow.init())["guide_speed"]) == 0.5


def test_starts_that_fail_are_drawn_more_often() -> None:
    motors = weakening()
    success = jnp.array([1.0, 0.0, 0.5])
    state = dataclasses.replace(motors.init(), success=success)
    keys = jax.random.split(jax.random.key(0), 40_000)
    index, task = jax.vmap(lambda key: motors.draw(state, key))(keys)
    weights = np.array([0.1 * 0.2, 0.1 * 0.2, 0.3 * 1.0, 0.5 * 0.6])
    share = np.bincount(np.asarray(index), minlength=4) / len(keys)
    deviation = np.sqrt(weights / weights.sum() / len(keys))
    assert (np.abs(share - weights / weights.sum()) < 4 * deviation).all()
    np.testing.assert_array_equal(task.kind, KINDS[np.asarray(index)])


def test_lives_are_counted_by_the_kind_of_their_start() -> None:
    motors = weakening()
    _, task = jax.vmap(lambda key: motors.draw(motors.init(), key))(jax.random.split(jax.random.key(0), 3))
    # The first has stood for long enough, the second is cut before that, the third goes on.
    task = dataclasses.replace(task, kind=jnp.array([2, 0, 2]), stood=jnp.array([2.0, 1.9, 1.0]))
    stats = motors.stats(task, jnp.zeros(3, bool), jnp.array([1.0, 1.0, 0.0]))
    np.testing.assert_array_equal(stats["lives_succeeded"], [0.0, 0.0, 1.0])
    np.testing.assert_array_equal(stats["lives_failed"], [1.0, 0.0, 0.0])


def test_a_life_that_was_lost_has_failed_once_whatever_comes() -> None:
    """Four lives of one kind: lost now, lost now as it ends, and two that were lost before."""
    motors = weakening()
    _, task = motors.draw(motors.init(), jax.random.key(0))
    task = jax.tree.map(lambda x: jnp.broadcast_to(x, (4,)), task)
    task = dataclasses.replace(task, kind=jnp.ones(4, int), lost=jnp.array([False, False, True, True]))
    task = dataclasses.replace(task, stood=jnp.array([0.0, 2.0, 2.0, 0.0]))
    lost, ended = jnp.array([True, True, False, True]), jnp.array([0.0, 1.0, 1.0, 1.0])
    stats = motors.stats(task, lost, ended)
    np.testing.assert_array_equal(stats["lives_succeeded"], [0.0, 0.0, 0.0])
    np.testing.assert_array_equal(stats["lives_failed"], [0.0, 2.0, 0.0])


@pytest.mark.parametrize("ends", [True, False])
def test_a_life_counts_as_failed_when_its_guide_starts_over(ends: bool) -> None:
    """Also one that goes on, in the same step: what comes later counts no more."""
    weak = env(still=True, actuation="torque", weakening=CONFIG, ends_when_lost=ends, life_seconds=1.5)
    _, weakened = jax.vmap(lambda key: weak.weakening.draw(weak.weakening.init(), key))(
        jax.random.split(jax.random.key(0), WORLDS)
    )
    state = start(weak, falls(weak))
    state = dataclasses.replace(state, task=dataclasses.replace(state.task, weakening=weakened))
    counted = []
    for _ in range(30):
        # Always far from where they lie.
        far = dataclasses.replace(state.task.guide, time=jnp.full(WORLDS, 10.0))
        state = step(weak, dataclasses.replace(state, task=dataclasses.replace(state.task, guide=far)))
        stats = weak.episode_stats(state)
        assert float(jnp.sum(stats["lives_succeeded"])) == 0.0
        counted.append(float(jnp.sum(stats["lives_failed"])))
    assert state.truncated.all()
    assert np.sum(counted) == WORLDS
    np.testing.assert_allclose(np.argmax(counted) * weak.control_dt, 0.7, atol=0.051)


def test_kinds_are_groups_of_falls_and_times_of_clips() -> None:
    clips = env(still=True).clips[:2]
    kinds = start_kinds(list(clips), falls=16, others=1, seconds=0.5)
    assert len(kinds) == 16 + sum(clip.num_frames for clip in clips) + 1
    np.testing.assert_array_equal(kinds[:16], np.repeat(np.arange(8), 2))
    first = kinds[16 : 16 + clips[0].num_frames]
    np.testing.assert_array_equal(first, 8 + np.arange(clips[0].num_frames) // round(clips[0].fps / 2))
    assert (np.diff(kinds) >= 0).all()
    assert set(kinds) == set(range(kinds.max() + 1))
    assert (kinds == kinds[-1]).sum() == 1  # standing is of no clip


def test_only_lives_of_training_have_strong_motors() -> None:
    weak = env(actuation="torque", weakening=CONFIG)
    plain = env(actuation="torque")
    keys = jax.random.split(jax.random.key(0), WORLDS)
    born = jax.jit(jax.vmap(lambda key: weak.reset(weak.init_context(), key)))(keys)
    np.testing.assert_array_equal(born.task.weakening.ease, np.full(WORLDS, 15.0))
    k = standing(plain)
    judged, same = (step(e, start(e, k), 0.5) for e in (weak, plain))
    np.testing.assert_array_equal(judged.physics.kinematics.qpos, same.physics.kinematics.qpos)
    assert judged.task.weakening is None
    np.testing.assert_array_equal(judged.metrics["motor_strength"], np.full(WORLDS, 15.0))
    assert "motor_strength" not in same.metrics


def test_the_guide_of_an_evaluation_is_at_its_full_speed() -> None:
    """1.25 times that of its clips; that of a life with strong motors has the speed of its clips.

    So has what is observed, and what servos are asked for: here physics keep it as the body's hinges.
    """
    quick = ContinuousEnv(
        body("torque"),
        Obedient(body("torque"), 1 / 120, 6),
        resolve_motions("getup_facedown", body("torque")),
        ContinuousConfig(falls=8, weakening=CONFIG, guide=GuideConfig(speed=1.25, slowest=1.0)),
    )
    judged = start(quick, falls(quick))
    _, task = quick.weakening.draw(quick.init_context().weakening, jax.random.key(0))
    task = jax.tree.map(lambda x: jnp.broadcast_to(x, (WORLDS, *x.shape)), task)
    born = dataclasses.replace(judged, task=dataclasses.replace(judged.task, weakening=task))
    for state, speed in ((judged, 1.25), (born, 1.0)):
        moved = step(quick, state)
        ahead = dataclasses.replace(state.task.guide, time=state.task.guide.time + speed * quick.control_dt)
        np.testing.assert_allclose(moved.task.guide.time, ahead.time, rtol=1e-4)
        asked = jax.vmap(quick.guide.sample)(ahead).qpos[:, 7:]
        np.testing.assert_allclose(moved.physics.kinematics.qpos[:, 7:], asked, atol=1e-5)
        after = dataclasses.replace(ahead, time=ahead.time + speed * quick.control_dt)
        errors = jax.vmap(quick.guide.sample)(after).qpos[:, 7:] - asked
        seen = moved.obs[:, quick.layout.slices["guide_joint_errors"]]
        np.testing.assert_allclose(seen, errors, atol=1e-5)


def test_the_first_observation_is_that_of_a_life_s_own_guide() -> None:
    quick = env(actuation="torque", weakening=CONFIG, guide=GuideConfig(speed=1.25))
    state = jax.jit(quick.reset)(quick.init_context(), jax.random.key(0))
    again = jax.jit(lambda state: flatten(quick.observe(state.physics, state.task)))(state)
    np.testing.assert_allclose(state.obs, again, atol=1e-6)


def test_strong_motors_move_the_body_as_those_of_pd_do() -> None:
    """And the body's own do not: some joint is a tenth of a radian away from where pd has it."""
    weak = env(actuation="torque", weakening=CONFIG)
    born = start(weak, standing(weak))
    _, task = weak.weakening.draw(weak.init_context().weakening, jax.random.key(0))
    task = jax.tree.map(lambda x: jnp.broadcast_to(x, (WORLDS, *x.shape)), task)
    strong = dataclasses.replace(born, task=dataclasses.replace(born.task, weakening=task))
    moved = [np.asarray(step(weak, state, 1.0).physics.kinematics.qpos)[0, 7:] for state in (born, strong)]
    pd = env()
    like_pd = np.asarray(step(pd, start(pd, standing(pd)), 1.0).physics.kinematics.qpos)[0, 7:]
    np.testing.assert_allclose(moved[1], like_pd, atol=1e-4)
    assert np.abs(moved[0] - moved[1]).max() > 0.1


@pytest.mark.slow
def test_a_life_that_has_stood_for_a_while_has_succeeded() -> None:
    weak = env(still=True, actuation="torque", weakening=dataclasses.replace(CONFIG, stand_seconds=0.125))
    keys = jax.random.split(jax.random.key(0), WORLDS)
    state = jax.vmap(lambda key: weak.reset(weak.init_context(), key))(keys)
    stands = start(weak, standing(weak))
    state = dataclasses.replace(stands, task=dataclasses.replace(stands.task, weakening=state.task.weakening))
    for ended in (0.0, 0.0, 1.0):  # after 0.05, 0.1 and 0.15 s
        state = step(weak, state)
        assert (np.asarray(state.task.phase) >= Phase.STANDING.value).all()
        np.testing.assert_array_equal(state.metrics["completed"], np.full(WORLDS, ended))
        np.testing.assert_array_equal(state.truncated, np.full(WORLDS, ended, bool))
    stats = weak.episode_stats(state)
    assert float(jnp.sum(stats["lives_succeeded"])) == WORLDS
    ctx = weak.update_context(weak.init_context(), stats)
    skill = weak.weakening.skill
    assert float(skill(ctx.weakening.success)) > float(skill(weak.init_context().weakening.success))


@pytest.mark.slow
def test_a_run_weakens_without_compiling_and_goes_on_where_it_was(tmp_path: Path) -> None:
    config = configs.get("continuous", actuation="torque")
    # Any skill is enough, so that every update weakens: by half at the first one, .3, as no life ends.
    always = dataclasses.replace(config.task.weakening, target=0.0, pace=np.log(2.0) / 0.3)
    agent = PPOConfig(num_envs=4, unroll_length=4, num_minibatches=2, num_epochs=1, hidden=(8,))
    task = dataclasses.replace(config.task, falls=4, weakening=always)
    run = build(dataclasses.replace(config, agent=agent, task=task))
    state = run.program.start(0)
    state, report = run.program.epoch(state, 2)
    np.testing.assert_allclose(state.ctx.weakening.ease, 15.0 / 4.0, rtol=1e-5)
    assert float(report.metrics["motor_strength"]) == pytest.approx(0.5 * (15.0 + 7.5))
    state, report = run.program.epoch(state, 2)
    np.testing.assert_allclose(state.ctx.weakening.ease, 15.0 / 16.0, rtol=1e-5)
    assert float(report.metrics["motor_strength"]) == pytest.approx(0.5 * (3.75 + 1.875))
    assert all(np.isfinite(value) for value in report.metrics.values())
    # Lives that have not ended keep the motors that they were born with.
    born = np.unique(state.env.task.weakening.ease)[:, None]
    assert np.isclose(born, [15.0, 7.5, 3.75, 1.875, 0.9375], rtol=1e-5).any(axis=1).all()

    manager = CheckpointManager(tmp_path)
    manager.save(1, state, run.training_identity)
    template = jax.eval_shape(run.program.init, jax.random.key(0))
    restored, _ = manager.restore_latest(template, run.training_identity)
    jax.tree.map(np.testing.assert_array_equal, restored.ctx, state.ctx)
    stays = dataclasses.replace(task, weakening=WeakeningConfig())
    other = dataclasses.replace(run, config=dataclasses.replace(run.config, task=stays))
    with pytest.raises(UserError, match=r"'none with motors that weaken, starts of 0\.25 s'"):
        manager.restore_latest(template, other.training_identity)

    # Whoever acts has the body's own motors, from the first life on.
    save_config(tmp_path, run.config)
    acting = load_policy(tmp_path).run.env
    assert acting.init_context().weakening is None
    assert acting.config.guide.speed == 1.2

    final, report = run.program.epoch(state, 2)
    np.testing.assert_allclose(final.ctx.weakening.ease, 1.0 / 1.2, rtol=1e-5)  # and no faster
    assert float(report.metrics["motor_strength"]) == 1.0
    assert float(report.metrics["guide_speed"]) == pytest.approx(0.5 * (16.0 / 15.0 + 1.2))


def test_torques_without_servos_do_not_weaken() -> None:
    with pytest.raises(UserError, match="drive servo"):
        Weakening(CONFIG, body("torque", "direct"), KINDS, PROBABILITIES)
    Weakening(WeakeningConfig(), body("torque", "direct"), KINDS, PROBABILITIES)


def test_policies_are_judged_with_motors_of_any_strength() -> None:
    name, variants = judged_bodies(body("torque"), 3, changed=False, motors=15.0)
    assert name == "nominal body, motors 15 times as strong"
    for field, values in variants.items():
        np.testing.assert_allclose(values, np.stack([getattr(body("pd").model, field)] * 3), rtol=1e-6)
    changed, own = changed_bodies(body("torque"), 3), ("actuator_forcerange", "body_mass")
    name, variants = judged_bodies(body("torque"), 3, changed=True, motors=2.0)
    assert name == "bodies changed by up to 20 %, motors 2 times as strong"
    for field, factor in zip(own, (2.0, 1.0), strict=True):
        np.testing.assert_allclose(variants[field], factor * np.asarray(changed[field]), rtol=1e-6)
    assert judged_bodies(body("torque"), 3, changed=False, motors=1.0) == ("nominal body", {})
    with pytest.raises(UserError, match="leave it out"):
        judged_bodies(body("torque", "direct"), 3, changed=False, motors=2.0)


def test_motors_that_stay_change_nothing() -> None:
    motors = weakening(start=1.0)
    assert motors.init() is None
    index, task = motors.draw(None, jax.random.key(0))
    assert task is None
    assert int(index) in range(4)
    assert motors.variant(None, {}) == {}
    assert motors.guide_share(None) == 1.0
    assert motors.metrics(None) == {}
    assert motors.stats(None, jnp.zeros(1, bool), jnp.zeros(1)) == {}
