"""The fixed rule of evaluation and its figures, against poses and traces made by hand."""

from __future__ import annotations

import dataclasses
import functools

import jax
import numpy as np
import pytest
from imitation_worlds import (
    CONFIG,
    LOOP,
    ONCE,
    SIM_DT,
    SUBSTEPS,
    StillPhysics,
    body,
    clips,
    env,
    frame,
    rigidly_moved,
    shifted,
    with_body_at,
)

from synthjax.envs.distances import aligned_distances, foot_skate, root_relative_distances
from synthjax.envs.imitation import ImitationEnv
from synthjax.training.evaluation import EpisodeTrace, fails, run_episodes
from synthjax.training.mesh import worlds_mesh
from synthjax.training.scores import errors_by_body, score, scores_by_clip, time_bins
from synthjax.types import Kinematics, PhysicsState

# ---------------------------------------------------------------------- the rule

_restore = jax.jit(env().physics.restore)
_fails = jax.jit(functools.partial(fails, env()))


def _failed(k: Kinematics, *, undesired: float = 0.0, bad: bool = False) -> bool:
    """The rule for a body at ``k`` when the reference is at frame 10."""
    physics = _restore(k).replace(bad=np.asarray(bad))
    return bool(_fails(physics, frame(10), np.float32(undesired)))


def test_the_reference_itself_does_not_fail():
    assert not _failed(frame(10))


@pytest.mark.parametrize("yaw", [0.0, 1.3, -2.8])
def test_place_and_heading_do_not_fail(yaw):
    assert not _failed(rigidly_moved(frame(10), yaw, np.array([40.0, -7.0, 0.0])))


def test_height_fails_beyond_half_a_metre():
    assert not _failed(shifted(frame(10), np.array([0.0, 0.0, 0.49])))
    assert _failed(shifted(frame(10), np.array([0.0, 0.0, 0.51])))


def test_one_body_beyond_half_a_metre_fails_wherever_the_whole_stands():
    near, far = (with_body_at(frame(10), "LeftHand", [0.0, d, 0.0]) for d in (0.49, 0.51))
    assert not _failed(near)
    assert _failed(far)
    # The offset is measured in the body's own heading, so moving everything changes nothing.
    assert not _failed(rigidly_moved(near))
    assert _failed(rigidly_moved(far))


def test_a_fall_contact_fails():
    assert _failed(frame(10), undesired=1.0)


def test_a_world_that_blew_up_fails():
    assert _failed(frame(10), bad=True)


def test_distances_by_hand():
    moved = shifted(with_body_at(frame(10), "Head", [0.0, 0.0, 0.2]), np.array([1.0, 2.0, 0.1]))
    head, rest = body().model.body("Head").id - 1, body().model.body("LeftFoot").id - 1
    aligned = jax.jit(functools.partial(aligned_distances, 1))(moved, frame(10))
    relative = jax.jit(functools.partial(root_relative_distances, 1))(moved, frame(10))
    assert aligned.shape == (body().model.nbody - 1,)
    # 0.1 m of height for every body, and 0.2 m more for the head; relative to the root only the head's
    np.testing.assert_allclose(aligned[np.array([head, rest])], [0.3, 0.1], atol=1e-5)
    np.testing.assert_allclose(relative[np.array([head, rest])], [0.2, 0.0], atol=1e-5)


# ---------------------------------------------------------------------- foot skate


def _feet(linvel: list[float], angvel: list[float], height: float, down: list[bool]):
    """Both feet at ``height`` with these velocities; ``down`` says which touch the ground."""
    feet = body().body_ids(("LeftFoot", "RightFoot"))
    k = frame(0)
    xpos, linear, angular = np.array(k.xpos), np.zeros_like(k.linvel), np.zeros_like(k.angvel)
    xpos[feet, 2], linear[feet], angular[feet] = height, linvel, angvel
    contact = np.zeros(body().model.nbody, np.float32)
    contact[feet] = np.array(down, np.float32) * 3  # three contact points count as one foot
    physics = _restore(k.replace(xpos=xpos, linvel=linear, angvel=angular)).replace(ground_contact=contact)
    speed, count = jax.jit(foot_skate)(feet, physics)
    return float(speed), int(count)


def test_a_sliding_foot_skates():
    # 0.3 and 0.4 m/s across, and 5 m/s upwards that is no skating: 0.5 m/s each
    assert _feet([0.3, 0.4, 5.0], [0.0, 0.0, 0.0], 0.08, [True, True]) == (pytest.approx(1.0), 2)


def test_a_foot_in_the_air_does_not_count():
    assert _feet([0.3, 0.4, 0.0], [0.0, 0.0, 0.0], 0.08, [False, True]) == (pytest.approx(0.5), 1)
    assert _feet([0.3, 0.4, 0.0], [0.0, 0.0, 0.0], 0.08, [False, False]) == (0.0, 0)


def test_a_rolling_foot_does_not_skate():
    # A wheel of radius 0.08 m that turns at 5 rad/s about +y moves ahead at 0.4 m/s
    assert _feet([0.4, 0.0, 0.0], [0.0, 5.0, 0.0], 0.08, [True, True]) == (pytest.approx(0.0, abs=1e-6), 2)
    # Spinning on the spot the other way round it slips by both
    assert _feet([0.4, 0.0, 0.0], [0.0, -5.0, 0.0], 0.08, [True, False]) == (pytest.approx(0.8), 1)


def test_a_foot_that_tips_over_its_toes_does_not_skate():
    # The frame is 0.2 m behind and 0.08 m above the toes, and turns about them at 2 rad/s:
    # v = w x r = (0, 2, 0) x (-0.2, 0, 0.08) = (0.16, 0, 0.4)
    assert _feet([0.16, 0.0, 0.4], [0.0, 2.0, 0.0], 0.08, [True, True]) == (pytest.approx(0.0, abs=1e-6), 2)


# ---------------------------------------------------------------------- episodes

STEPS, FAILING_STEP = 3, 2  # a body that stands still would itself fail after four steps of walking


class _DoomedPhysics(StillPhysics):
    """Still worlds; those whose first target is absurd blow up in their second step."""

    def step(self, variant, state: PhysicsState, ctrl: jax.Array) -> PhysicsState:
        steps = state.warmstart.at[0].add(1.0)  # nothing reads it in a world that stands still
        return state.replace(warmstart=steps, bad=(steps[0] == FAILING_STEP) & (ctrl[0] > 1e3))


def _scripted(actions: jax.Array, obs: jax.Array, keys: jax.Array) -> jax.Array:
    """A policy whose parameters are the actions of each world."""
    return actions


@functools.cache
def _doomed_env() -> ImitationEnv:
    # Its own termination would end everything at once: evaluation must not care.
    config = dataclasses.replace(CONFIG, termination_distance=1e-6, max_episode_seconds=0.05)
    return ImitationEnv(body(), _DoomedPhysics(body(), SIM_DT, SUBSTEPS), list(clips()), config)


@functools.cache
def _episodes() -> tuple[np.ndarray, EpisodeTrace]:
    """Three episodes of three steps: one to the end, one that blows up, one whose clip ends.

    All stand still at their start while the reference walks away.
    """
    environment = _doomed_env()
    once = int(environment.resets.bin_start[ONCE] + environment.resets.bins_in_clip[ONCE])
    starts = np.array([4, 8, 2 * once - 2], np.int32)  # the last is 1.5 starts before its clip's end
    actions = np.zeros((3, environment.action_dim), np.float32)
    actions[1, 0] = 1e6
    keys = jax.random.split(jax.random.key(0), 3)
    first = jax.vmap(functools.partial(environment.start_from, environment.resets))(starts, keys)
    trace = run_episodes(environment, _scripted, actions, first, STEPS, worlds_mesh(len(starts), len(starts)))
    return np.asarray(first.task.time), jax.device_get(trace)


def _error_by_hand(clip: int, start: float, step: int) -> float:
    """Mean distance in m between the bodies at ``start`` seconds and ``step`` control steps later."""
    c = clips()[clip]
    xpos = np.concatenate([c.xpos, c.xpos[:1] + c.loop_offset]) if c.loop else c.xpos
    flat = xpos.reshape(len(xpos), -1)

    def at(time: float) -> np.ndarray:
        frames = np.arange(len(flat)) / c.fps
        return np.array([np.interp(time, frames, column) for column in flat.T]).reshape(-1, 3)

    return np.linalg.norm(at(start) - at(start + step / 20), axis=-1)[1:].mean()


def test_episodes_run_to_their_failure_or_their_clips_end():
    times, trace = _episodes()
    np.testing.assert_array_equal(trace.alive[:, 0], True)
    np.testing.assert_array_equal(trace.failed[:, 0], False)
    # The failing step is lived through, and is the last.
    np.testing.assert_array_equal(trace.alive[:, 1], [True, True, False])
    np.testing.assert_array_equal(trace.failed[:, 1], [False, True, False])
    # The step that reaches the clip's end is its last one.
    steps = int(np.ceil((clips()[ONCE].duration - times[2]) * 20))
    assert steps == 2
    np.testing.assert_array_equal(trace.over[:, 2], np.arange(1, STEPS + 1) == steps)
    np.testing.assert_array_equal(trace.alive[:, 2], np.arange(1, STEPS + 1) <= steps)
    np.testing.assert_array_equal(trace.failed[:, 2], False)
    np.testing.assert_array_equal(trace.clip, [[LOOP, LOOP, ONCE]] * STEPS)


def test_errors_are_against_the_reference_of_the_same_time():
    times, trace = _episodes()
    for world in (0, 1):
        expected = [_error_by_hand(LOOP, times[world], step) for step in range(1, STEPS + 1)]
        np.testing.assert_allclose(trace.body_error[:, world], expected, atol=1e-3)
        np.testing.assert_allclose(trace.body_errors[:, world].mean(axis=-1), expected, atol=1e-3)
        np.testing.assert_allclose(
            trace.clip_time[:, world], times[world] + np.arange(1, STEPS + 1) / 20, atol=1e-5
        )
    np.testing.assert_allclose(trace.qpos, np.broadcast_to(trace.qpos[0], trace.qpos.shape))
    np.testing.assert_array_equal(trace.steps_left[:2, 2], [1, 0])
    assert np.isinf(trace.steps_left[:, :2]).all()
    # A clip without loop stays at its end, and is not counted at its beginning.
    assert trace.clip_time[-1, 2] == pytest.approx(clips()[ONCE].duration)


def test_scores_of_these_episodes():
    times, trace = _episodes()
    scores = score(trace)
    assert scores.episodes == 3
    assert scores.completion == pytest.approx(2 / 3)
    # The failed one has lasted two of its three steps; the others are whole.
    assert scores.episode_fraction == pytest.approx((1 + 2 / 3 + 1) / 3)
    only_failed = score(trace, np.array([False, True, False]))
    expected = np.mean([_error_by_hand(LOOP, times[1], step) for step in (1, 2)])
    assert only_failed.body_error_mm == pytest.approx(1000 * expected, rel=0.01)


# ---------------------------------------------------------------------- figures


def _trace() -> EpisodeTrace:
    """Four steps of three episodes: a whole one, one that fails in step 2, one whose clip ends in step 3.

    What is behind an episode's end is absurd on purpose.
    """
    no, yes = False, True
    return EpisodeTrace(
        alive=np.array([[yes, yes, yes], [yes, yes, yes], [yes, no, yes], [yes, no, no]]),
        failed=np.array([[no, no, no], [no, yes, no], [no, no, no], [no, no, no]]),
        over=np.array([[no, no, no], [no, no, no], [no, no, yes], [no, no, no]]),
        clip=np.array([[0, 0, 1]] * 4),
        clip_time=np.array([[0.10, 0.40, 0.0], [0.20, 0.45, 0.1], [0.30, 9.0, 0.2], [0.55, 9.0, 9.0]]),
        steps_left=np.full((4, 3), np.inf),
        body_error=np.array([[0.1, 0.5, 0.2], [0.2, 0.7, 0.2], [0.3, 99, 0.2], [0.4, 99, 99]]),
        body_errors=np.stack([
            [[0.1, 0.5, 0.2], [0.2, 0.7, 0.2], [0.3, 99, 0.2], [0.4, 99, 99]],
            [[0.1, 0.1, 0.1], [0.1, 0.1, 0.1], [0.1, 99, 1.0], [0.1, 99, 99]],
        ], axis=-1),
        relative_error=np.array([[0.1, 0.1, 0.1], [0.1, 0.1, 0.1], [0.1, 99, 0.1], [0.1, 99, 99]]),
        joint_error=np.array([[0.2, 0.2, 0.2], [0.2, 0.2, 0.2], [0.2, 99, 0.2], [0.2, 99, 99]]),
        skate_speed=np.array([[0.1, 0.0, 0.3], [0.1, 0.0, 0.3], [0.0, 99, 0.3], [0.0, 99, 99]]),
        feet_down=np.array([[1, 0, 2], [2, 0, 1], [0, 9, 1], [0, 9, 9]]),
        qpos=np.array([[[1, 0], [0, 0], [5, 5]], [[2, 0], [0, 1], [5, 6]], [[3, 0], [0, 99], [7, 7]],
                       [[4, 0], [0, 99], [5, 99]]], float),
        reference_qpos=np.array([[[1, 0], [0, 0], [0, 5]], [[2.5, 0], [0, 0.4], [2, 5]],
                                 [[4, 0], [0, 99], [4, 5]], [[5.5, 0], [0, 99], [99, 5]]], float),
    )  # fmt: skip


def test_figures_by_hand():
    scores = score(_trace())
    assert scores.episodes == 3
    assert scores.completion == pytest.approx(2 / 3)
    # 2 of 4 steps for the failed one
    assert scores.episode_fraction == pytest.approx((1 + 0.5 + 1) / 3)
    # Nine living steps: (0.1 + 0.2 + 0.3 + 0.4) + (0.5 + 0.7) + 3 * 0.2 = 2.8
    assert scores.body_error_mm == pytest.approx(2800 / 9)
    assert scores.root_relative_error_mm == pytest.approx(100.0)
    assert scores.joint_error_deg == pytest.approx(11.459156)  # 0.2 rad
    # (0.1 + 0.1 + 3 * 0.3) m/s over (1 + 2 + 2 + 1 + 1) feet
    assert scores.foot_skate == pytest.approx(1.1 / 7)
    # Episode 0: 3 m of 4.5 m; episode 1: its reference moves 0.4 m, too little; episode 2: 2 m along
    # the reference's 4 m, and 2 m to the side that do not count
    assert scores.distance_ratio == pytest.approx((3 / 4.5 + 2 / 4) / 2)


def test_a_clip_without_loop_is_measured_to_its_end():
    """The failed episode would have had one more step, not two: it lasted two thirds."""
    trace = _trace()
    trace = trace.replace(steps_left=np.where(np.arange(4)[:, None] == 1, 1.0, trace.steps_left))
    assert score(trace, np.array([False, True, False])).episode_fraction == pytest.approx(2 / 3)


def test_figures_of_chosen_episodes():
    scores = score(_trace(), np.array([False, True, False]))
    assert (scores.episodes, scores.completion, scores.episode_fraction) == (1, 0.0, 0.5)
    assert scores.body_error_mm == pytest.approx(600.0)
    assert scores.distance_ratio is None
    assert scores.foot_skate is None


def test_figures_by_clip():
    by_clip = scores_by_clip(_trace(), ["walk", "roll", "unused"])
    assert set(by_clip) == {"walk", "roll"}
    assert by_clip["walk"].completion == pytest.approx(0.5)
    assert by_clip["roll"].body_error_mm == pytest.approx(200.0)


def test_errors_of_each_body_are_over_the_living_steps():
    errors = errors_by_body(_trace(), ["Hips", "Head"])
    assert errors == {"Hips": pytest.approx(2800 / 9), "Head": pytest.approx(1800 / 9)}


def test_quarter_seconds_by_hand():
    bins = time_bins(_trace(), ["walk", "roll", "unused"])
    assert set(bins) == {"walk", "roll"}
    assert bins["walk"] == [
        {"from_s": 0.0, "steps": 2, "failures": 0, "body_error_mm": pytest.approx(150.0)},
        # 0.3 and 0.4 and 0.45 s: errors 0.3, 0.5, 0.7
        {"from_s": 0.25, "steps": 3, "failures": 1, "body_error_mm": pytest.approx(500.0)},
        {"from_s": 0.5, "steps": 1, "failures": 0, "body_error_mm": pytest.approx(400.0)},
    ]
    assert bins["roll"] == [{"from_s": 0.0, "steps": 3, "failures": 0, "body_error_mm": pytest.approx(200.0)}]
