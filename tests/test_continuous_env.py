"""Always-on life: starts, observation, forces, and that nothing ends but a broken world."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from continuous_worlds import CONFIG, WORLDS, body, env, falls, standing, start, step
from imitation_worlds import rigidly_moved

from synthjax.envs.body_parts import SLOTS, BodyParts
from synthjax.envs.continuous_reward import reward_inputs
from synthjax.envs.continuous_starts import start_table
from synthjax.errors import UserError
from synthjax.motion.library import resolve_motions
from synthjax.rewards import Phase


def test_starts_are_falls_frames_and_standing_in_their_shares() -> None:
    environment = env()
    frames = int(environment.guide.library.length.sum())  # of the clips and of the ways to them
    assert len(environment.guide.library.names) == 4
    assert len(environment.starts.rows) == CONFIG.falls + frames + 1
    shares = np.split(np.asarray(environment.starts.probabilities), [CONFIG.falls, CONFIG.falls + frames])
    np.testing.assert_allclose([part.sum() for part in shares], [0.3, 0.6, 0.1], rtol=1e-5)
    # 1 - 0.9 - 0.1 is -3e-17, and the logarithm of that not a number.
    clips = resolve_motions("getup_facedown", body())
    assert (start_table(body(), clips, 4, 0.9, 0.1, seed=0)[1] >= 0.0).all()
    keys = jax.random.split(jax.random.key(1), 400)
    reset = jax.jit(jax.vmap(environment.reset, in_axes=(None, 0)))
    height = reset(environment.init_context(), keys).physics.kinematics.xpos[:, 1, 2]
    assert 0.3 < float(jnp.mean(height < 0.3 * body().standing_height)) < 0.8
    assert 0.05 < float(jnp.mean(height == np.float32(body().standing_height))) < 0.15


def test_lives_are_of_different_lengths() -> None:
    """Worlds of one age would end together, and a batch would show one part of life."""
    environment = env()
    keys = jax.random.split(jax.random.key(2), 200)
    ages = jax.jit(jax.vmap(environment.reset, in_axes=(None, 0)))(environment.init_context(), keys).task.age
    assert sorted(set(np.asarray(ages).tolist())) == list(range(environment.max_steps // 2 + 1))


def test_the_original_s_reward_comes_with_its_own_phases_and_no_guide() -> None:
    original, ours = env(still=True, reward="seed"), env(still=True)
    # At 0.72 of 0.95 m: standing for us once it is, and lower than the original's 0.7 m.
    k = standing(ours)
    low = k.replace(xpos=k.xpos.at[:, 1, 2].set(0.72 * body().standing_height))
    for environment, expected in ((original, Phase.RECOVERING), (ours, Phase.STANDING)):
        state = start(environment, k)
        state = state.replace(physics=state.physics.replace(kinematics=low))
        assert (step(environment, state).task.phase == expected).all()
    assert "reward_guide" in start(ours, k).metrics
    assert "reward_guide" not in start(original, k).metrics


def test_phases_of_the_starts() -> None:
    assert (start(env(), standing(env())).task.phase == Phase.STANDING).all()
    assert (start(env(), falls(env())).task.phase == Phase.FALLEN).all()


def test_nothing_ends_but_time_and_a_broken_world() -> None:
    """Of a life that is not to end when its guide starts over, which comes before its time."""
    environment = env(ends_when_lost=False, life_seconds=1.5)
    state = start(environment, falls(environment))
    broken = state.physics.kinematics.qvel.at[1].set(1e12)
    state = state.replace(
        physics=state.physics.replace(kinematics=state.physics.kinematics.replace(qvel=broken))
    )
    # Far from where they lie: the guide of all of them starts over.
    far = state.task.guide.replace(time=jnp.full(WORLDS, 10.0))
    state = state.replace(task=state.task.replace(guide=far))
    started_over = np.zeros(WORLDS, bool)
    for age in range(1, 31):
        state = step(environment, state)
        started_over |= np.asarray(state.task.guide.restarted)
        np.testing.assert_array_equal(state.terminated, [False, age == 1, False, False])
        np.testing.assert_array_equal(state.truncated[2:], [age == 30] * 2)
        assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves((state.obs, state.reward)))
    assert started_over[2:].all()
    np.testing.assert_array_equal(state.metrics["failed"][2:], [1.0, 1.0])  # it ended lying


@pytest.mark.parametrize("ends", [True, False])
def test_a_life_ends_when_its_guide_starts_over(ends: bool) -> None:
    """So that it is worth nothing from there; where lives are to go on it does not end."""
    environment = env(still=True, ends_when_lost=ends, life_seconds=5.0)
    state = start(environment, falls(environment))
    far = state.task.guide.replace(time=jnp.full(WORLDS, 10.0))
    state = state.replace(task=state.task.replace(guide=far))
    terminated = []
    for _ in range(20):
        state = step(environment, state)
        terminated.append(np.asarray(state.terminated))
        assert not state.truncated.any()
        assert not state.metrics["bad_world"].any()
        assert (state.reward > 0.0).all()
    ended = np.flatnonzero(np.array(terminated)[:, 0])
    assert len(ended) == int(ends)
    np.testing.assert_allclose(ended * environment.control_dt, 0.7, atol=0.051)  # s of being left behind


def test_being_with_the_guide_pays_by_hand() -> None:
    """0.5 (0.2 + 0.8 p) exp(-(d / 0.5)²), at the share p of the way and the pose distance d."""
    environment = env(still=True)
    guide, dt = environment.guide, environment.control_dt
    hinge = 7 + body().joints.index(body().main_joints[0])
    # The end of all ways: upright as the clip ends, and as tall as the body stands.
    done = start(environment, standing(environment)).task.guide
    k = jax.vmap(guide.sample)(done)
    k = k.replace(xpos=k.xpos.at[:, 1, 2].set(body().standing_height))
    bent = k.replace(qpos=k.qpos.at[:, hinge].add(0.9))
    for where, squared in ((k, 0.0), (bent, 0.81 / len(body().main_joints))):
        state = start(environment, where)
        state = state.replace(task=state.task.replace(guide=done))
        paid = np.asarray(step(environment, state).metrics["reward_guide"])
        np.testing.assert_allclose(paid, 0.5 * np.exp(-squared / 0.25), rtol=1e-4)
    # Where the clip has two seconds left: the guide comes to the body there.
    at = start(environment, k).task.guide.replace(
        clip=jnp.zeros(WORLDS, jnp.int32), time=jnp.full(WORLDS, guide.library.duration[0] - 2.0)
    )
    state = start(environment, jax.vmap(guide.sample)(at))
    state = state.replace(task=state.task.replace(guide=at.replace(time=at.time - dt)))
    share = 1.0 - 2.0 / float(guide.library.duration.max())
    paid = np.asarray(step(environment, state).metrics["reward_guide"])
    np.testing.assert_allclose(paid, 0.5 * (0.2 + 0.8 * share), rtol=1e-3)


@pytest.mark.parametrize(("actuation", "drive"), [("pd", "servo"), ("torque", "servo"), ("torque", "direct")])
def test_what_rewards_are_computed_from(actuation: str, drive: str) -> None:
    """A body that rises by 1 cm with half of its motors' torque, on its left foot and its right hand."""
    synth = body(actuation, drive)
    parts, model, bones = BodyParts.of(synth), synth.model, synth.bones
    k = jax.tree.map(lambda x: x[0], standing(env()))
    limits = np.abs(model.actuator_forcerange if drive == "servo" else model.actuator_ctrlrange).max(axis=1)
    force = np.zeros((model.nbody, 3), np.float32)
    for bone, newtons in {"LeftFoot": 200.0, "LeftToes": 100.0, "RightHand": 50.0, "Hips": 70.0}.items():
        force[model.body(bones[bone]).id, 2] = newtons
    now = jax.tree.map(lambda x: x[0], start(env(), standing(env())).physics).replace(
        actuator_force=-0.5 * limits, ground_force=force
    )
    before = now.replace(kinematics=k.replace(xpos=k.xpos.at[1, 2].add(-0.01)))
    inputs = reward_inputs(
        parts, before, now, standing_height=synth.standing_height,
        poses=np.stack([k.qpos[7:] + 0.3, k.qpos[7:] - 0.1]), action=np.ones(model.nu),
        previous_action=np.zeros(model.nu), phase=np.asarray(2), control_dt=0.05,
    )  # fmt: skip
    np.testing.assert_allclose(inputs.control, -0.2, rtol=1e-5)  # the original's whole torque is at 0.4
    np.testing.assert_allclose(inputs.motor_use, 0.5, rtol=1e-5)
    np.testing.assert_allclose(inputs.foot_force, [300.0, 0.0])
    np.testing.assert_allclose(inputs.hand_force, [0.0, 50.0])
    np.testing.assert_allclose(inputs.knee_force, [0.0, 0.0])
    assert float(inputs.height - inputs.previous_height) == pytest.approx(0.01, abs=1e-6)
    assert float(inputs.pose_distance) == pytest.approx(0.1, rel=1e-4)
    assert float(inputs.up) == pytest.approx(1.0)
    assert float(inputs.weight) == pytest.approx(9.81 * model.body_mass.sum(), rel=1e-5)


def test_a_standing_body_is_carried_by_its_feet() -> None:
    environment = env()
    state = start(environment, standing(environment))
    for _ in range(8):
        state = step(environment, state)
    seen = {name: np.asarray(state.obs[0, part]) for name, part in environment.layout.slices.items()}
    assert seen["loads"][:2].sum() == pytest.approx(1.0, abs=0.1)  # body weights, on the feet
    np.testing.assert_array_equal(seen["contacts"], [1, 1, 0, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(seen["up"], [0.0, 0.0, 1.0], atol=0.1)
    assert float(state.reward[0]) > 0.7
    assert (state.task.phase >= Phase.STANDING).all()


def test_a_lying_body_earns_little() -> None:
    environment = env(still=True)
    lying = step(environment, start(environment, falls(environment)))
    assert float(jnp.max(lying.reward)) < 0.25


def test_observation_and_reward_do_not_depend_on_place_and_heading() -> None:
    environment = env(still=True)
    here = step(environment, start(environment, falls(environment)))
    there = step(environment, start(environment, rigidly_moved(falls(environment))))
    np.testing.assert_allclose(here.obs, there.obs, atol=2e-3)
    np.testing.assert_allclose(here.reward, there.reward, atol=1e-4)


def test_bounded_parts_stay_in_their_bounds() -> None:
    environment = env()
    state = start(environment, falls(environment))
    state = step(environment, state, 20.0 * jax.random.normal(jax.random.key(0), (environment.action_dim,)))
    parts = {name: np.asarray(state.obs[:, part]) for name, part in environment.layout.slices.items()}
    for name, top in {"strain": 1.0, "contacts": 1.0, "loads": 2.0, "guide_progress": 1.5}.items():
        assert parts[name].min() >= 0.0, name
        assert parts[name].max() <= top, name


def test_the_first_step_does_not_pay_for_where_the_body_was_put() -> None:
    """Reward of a climb and cost of a jump in the action are of the life's own past."""
    environment = env(still=True)
    state = step(environment, start(environment, standing(environment)))
    np.testing.assert_allclose(state.metrics["reward_upward_velocity"], 0.0, atol=1e-7)
    np.testing.assert_allclose(state.metrics["reward_action_rate"], 0.0, atol=1e-7)


@pytest.mark.parametrize(
    ("actuation", "drive"),
    [("pd", "servo"), ("torque", "servo"), ("torque", "direct"), ("strong", "direct")],
)
def test_torque_limits_are_those_that_the_motors_reach(actuation: str, drive: str) -> None:
    """At a control far beyond its range each motor gives its limit, read from MuJoCo's own joint torques."""
    import mujoco

    driven = body(actuation, drive)
    model, parts = driven.model, BodyParts.of(driven)
    data = mujoco.MjData(model)
    data.qpos[:] = driven.standing_qpos
    data.ctrl[:] = 1e6
    mujoco.mj_forward(model, data)
    np.testing.assert_allclose(data.qfrc_actuator[6:], parts.torque_limit, rtol=1e-5)
    np.testing.assert_allclose(parts.gear * data.actuator_force, data.qfrc_actuator[6:], rtol=1e-5)


def test_contact_slots_take_the_toes_with_the_feet() -> None:
    parts = BodyParts.of(body())
    names = np.array(body().body_names)
    for slot, row in zip(SLOTS, np.asarray(parts.contact_slots), strict=True):
        toes = [slot.replace("Foot", "Toes")] if slot.endswith("Foot") else []
        assert sorted(names[row > 0]) == sorted([slot, *toes])


def test_a_body_without_a_needed_bone_is_told() -> None:
    bones = {bone: name for bone, name in body().bones.items() if bone != "Head"}
    with pytest.raises(UserError, match="has no Head"):
        BodyParts.of(dataclasses.replace(body(), bones=bones))
