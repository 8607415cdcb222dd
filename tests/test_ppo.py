"""PPO's numbers against hand-worked cases, slow loops and closed forms; and it solves a regulator."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from regulator import EFFORT, GAIN, LQR, Regulator

from synthjax.agents.discounting import over_durations
from synthjax.agents.distributions import gaussian_kl, gaussian_log_prob
from synthjax.agents.normalizer import MAX_COUNT, init_normalizer, normalize, update_normalizer
from synthjax.agents.ppo import PPO, PPOConfig, PPOState
from synthjax.agents.ppo.losses import (
    clipped_surrogate,
    explained_variance,
    generalized_advantage,
    normalize_advantages,
)
from synthjax.training.program import TrainProgram, TrainState
from synthjax.types import Transition

# Compiled once each: op by op, JAX would compile every operation of every shape.
_gae = jax.jit(generalized_advantage)
_normalize_advantages = jax.jit(normalize_advantages)
_explained_variance = jax.jit(explained_variance)
_log_prob, _kl = jax.jit(gaussian_log_prob), jax.jit(gaussian_kl)
_update_normalizer, _normalize = jax.jit(update_normalizer), jax.jit(normalize)

# ---------------------------------------------------------------------- advantages


def _column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


BOTH = np.ones((2, 1), bool)  # two valid steps


def test_gae_of_an_unbroken_stretch():
    advantages, targets = _gae(
        _column(1, 2), _column(4, 8), _column(8, 16), _column(0, 0) > 0, _column(0, 0) > 0, BOTH, 0.5, 0.5
    )
    # delta_1 = 2 + 0.5 * 16 - 8 = 2; delta_0 = 1 + 0.5 * 8 - 4 = 1; A_0 = 1 + 0.25 * 2 = 1.5
    np.testing.assert_allclose(advantages[:, 0], [1.5, 2.0])
    # targets: 1.5 + 4 and 2 + 8
    np.testing.assert_allclose(targets[:, 0], [5.5, 10.0])


def test_gae_at_a_termination_bootstraps_nothing_and_stops():
    advantages, _ = _gae(
        _column(1, 2), _column(4, 8), _column(100, 16), _column(1, 0) > 0, _column(0, 0) > 0, BOTH, 0.5, 0.5
    )
    # delta_0 = 1 - 4 = -3, and neither V(s_1) = 100 nor A_1 = 2 of the next episode reaches it
    np.testing.assert_allclose(advantages[:, 0], [-3.0, 2.0])


def test_gae_at_a_time_limit_bootstraps_and_stops():
    advantages, _ = _gae(
        _column(1, 2), _column(4, 8), _column(100, 16), _column(0, 0) > 0, _column(1, 0) > 0, BOTH, 0.5, 0.5
    )
    # delta_0 = 1 + 0.5 * 100 - 4 = 47 from the true last observation; A_1 = 2 does not reach it
    np.testing.assert_allclose(advantages[:, 0], [47.0, 2.0])


def test_gae_ends_before_a_step_that_is_not_valid_with_the_bootstrap_of_its_last_observation():
    none, valid = np.zeros((4, 1), bool), np.array([1, 1, 0, 1], bool)[:, None]
    advantages, targets = _gae(
        _column(1, 2, 1e9, 4), _column(4, 8, 1e9, 2), _column(8, 16, 1e9, 6), none, none, valid, 0.5, 0.5
    )
    # delta_1 = 2 + 0.5 * 16 - 8 = 2, from the 16 that the second step led to and not from the third;
    # A_0 = 1 + 0.5 * 8 - 4 + 0.25 * 2 = 1.5; delta_3 = 4 + 0.5 * 6 - 2 = 5
    kept = [0, 1, 3]
    np.testing.assert_allclose(advantages[kept, 0], [1.5, 2.0, 5.0])
    np.testing.assert_allclose(targets[kept, 0], [5.5, 10.0, 7.0])


def test_gae_of_steps_of_different_lengths():
    """Half a step discounts by the square root of what a whole one does."""
    half_and_whole = _column(0.5, 1.0)
    gamma, gae_lambda = (over_durations(0.25, half_and_whole) for _ in range(2))
    advantages, _ = _gae(
        _column(1, 2),
        _column(4, 8),
        _column(8, 16),
        _column(0, 0) > 0,
        _column(0, 0) > 0,
        _column(1, 1) > 0,
        gamma,
        gae_lambda,
    )
    # delta_1 = 2 + 0.25 * 16 - 8 = -2; delta_0 = 1 + 0.5 * 8 - 4 = 1; A_0 = 1 + 0.5 * 0.5 * -2 = 0.5
    np.testing.assert_allclose(advantages[:, 0], [0.5, -2.0])
    assert over_durations(0.25, None) == 0.25


def _slow_gae(reward, value, next_value, terminated, truncated, valid, gamma, lam):
    """The definition: sums of (gamma lambda)^k delta_{t+k} up to the end of the episode."""
    length, worlds = reward.shape
    result = np.zeros((length, worlds))
    for n in range(worlds):
        for t in range(length):
            weight = 1.0
            for k in range(t, length):
                future = 0.0 if terminated[k, n] else gamma * next_value[k, n]
                result[t, n] += weight * (reward[k, n] + future - value[k, n])
                if terminated[k, n] or truncated[k, n] or not valid[(k + 1) % length, n]:
                    break
                weight *= gamma * lam
    return result


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), gamma=st.floats(0, 1), lam=st.floats(0, 1), rate=st.floats(0, 0.6))
def test_gae_is_its_definition(seed, gamma, lam, rate):
    rng = np.random.default_rng(seed)
    shape = (9, 3)
    reward, value, next_value = rng.normal(size=(3, *shape))
    terminated, truncated, held = rng.random((3, *shape)) < rate
    steps = reward, value, next_value, terminated, truncated, ~held
    expected = _slow_gae(*steps, gamma, lam)
    advantages, targets = _gae(*steps, gamma, lam)
    np.testing.assert_allclose(advantages, expected, atol=5e-5)
    np.testing.assert_allclose(targets, expected + value, atol=5e-5)


def test_advantages_are_standardised_over_the_whole_batch_and_then_clipped():
    advantages = np.random.default_rng(0).normal(3.0, 7.0, (50, 40))
    standard = _normalize_advantages(advantages, np.ones((50, 40)), 100.0)
    np.testing.assert_allclose(standard, (advantages - advantages.mean()) / advantages.std(), atol=1e-5)
    # Nine zeros and a ten: mean 1, deviation sqrt((9 * 1 + 81) / 10) = 3, so the ten is at 9 / 3 = 3
    spike, ones = np.zeros(10), np.ones(10)
    spike[4] = 10.0
    np.testing.assert_allclose(_normalize_advantages(spike, ones, 2.0)[3:5], [-1 / 3, 2.0], rtol=1e-6)
    np.testing.assert_allclose(_normalize_advantages(spike, ones, 4.0)[4], 3.0, rtol=1e-6)
    assert not np.any(_normalize_advantages(np.full(10, 5.0), ones, 4.0))


def test_explained_variance():
    targets, ones = np.array([1.0, 2.0, 3.0, 6.0]), np.ones(4)
    for values, expected in (
        (targets + 5.0, 1.0),  # an offset is no variance
        (np.full(4, 3.0), 0.0),
        (-targets, -3.0),  # residuals are twice the targets, so their variance is four times theirs: 1 - 4
        (0.5 * targets, 0.75),  # half the targets leave half of them: 1 - 1 / 4
    ):
        assert float(_explained_variance(values, targets, ones)) == pytest.approx(expected)


# ---------------------------------------------------------------------- distributions


def test_log_probability_is_scipys():
    rng = np.random.default_rng(1)
    action, mean = rng.normal(size=(2, 6, 5))
    std = rng.uniform(0.05, 2.0, 5)
    expected = scipy.stats.norm.logpdf(action, mean, std)
    np.testing.assert_allclose(_log_prob(action, mean, std), expected.sum(axis=-1), rtol=1e-5)
    active = np.array([True, False, True, True, False])
    np.testing.assert_allclose(
        _log_prob(action, mean, std, active), expected[:, active].sum(axis=-1), rtol=1e-5
    )
    # One deviation for all dimensions counts once for each of them
    expected = scipy.stats.norm.logpdf(action, mean, 0.3).sum(axis=-1)
    np.testing.assert_allclose(_log_prob(action, mean, 0.3), expected, rtol=1e-5)


def test_kl_is_the_integral_of_its_definition():
    means_p, stds_p = np.array([0.3, -1.0]), np.array([0.5, 1.2])
    means_q, stds_q = np.array([-0.2, 0.4]), np.array([0.9, 0.7])
    expected = 0.0
    for mean_p, std_p, mean_q, std_q in zip(means_p, stds_p, means_q, stds_q, strict=True):
        p, q = scipy.stats.norm(mean_p, std_p), scipy.stats.norm(mean_q, std_q)

        def integrand(x: float, p=p, q=q) -> float:
            return p.pdf(x) * (p.logpdf(x) - q.logpdf(x))

        expected += scipy.integrate.quad(integrand, mean_p - 12 * std_p, mean_p + 12 * std_p)[0]
    assert float(_kl(means_p, stds_p, means_q, stds_q)) == pytest.approx(expected, rel=1e-5)
    assert float(_kl(means_p, stds_p, means_p, stds_p)) == pytest.approx(0.0, abs=1e-6)


# ---------------------------------------------------------------------- the surrogate


@jax.jit
def _surrogate(log_prob: jax.Array, old_log_prob: jax.Array, advantage: jax.Array):
    """((loss, clipped share), gradient with respect to ``log_prob``)."""
    objective = functools.partial(clipped_surrogate, clip_ratio=0.2)
    return jax.value_and_grad(objective, has_aux=True)(
        log_prob, old_log_prob, advantage, jnp.ones_like(advantage)
    )


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "pulls"),
    [
        (1.5, 2.0, -2.4, False),  # better already, and gone too far: -1.2 * 2, no gradient
        (0.5, 2.0, -1.0, True),  # better but less likely: -0.5 * 2
        (1.5, -2.0, 3.0, True),  # worse but more likely: 1.5 * 2
        (0.5, -2.0, 1.6, False),  # worse, and gone too far: 0.8 * 2, no gradient
        (1.1, 2.0, -2.2, True),  # inside the range nothing is clipped
        (0.9, -2.0, 1.8, True),
    ],
)
def test_surrogate_in_every_quadrant(ratio, advantage, loss, pulls):
    old = np.array([-1.3])
    (value, clipped), gradient = _surrogate(old + np.log(ratio), old, np.array([advantage]))
    assert float(value) == pytest.approx(loss, rel=1e-5)
    # The derivative of -ratio A by the log-probability is -ratio A
    assert float(gradient[0]) == pytest.approx(-ratio * advantage if pulls else 0.0, rel=1e-5)
    assert float(clipped) == (abs(ratio - 1) > 0.2)


def test_surrogate_is_a_mean():
    log_prob, advantage = np.log([1.5, 0.5, 1.5, 1.1]), np.array([2.0, 2.0, -2.0, 2.0])
    (loss, clipped), _ = _surrogate(log_prob, np.zeros(4), advantage)
    assert float(loss) == pytest.approx((-2.4 - 1.0 + 3.0 - 2.2) / 4, rel=1e-5)
    assert float(clipped) == 0.75


# ---------------------------------------------------------------------- the normaliser


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_normaliser_equals_float64_over_uneven_batches(offset):
    rng = np.random.default_rng(2)
    batches = [
        rng.normal(offset + rng.normal(0, 3), rng.uniform(0.5, 4), (n, 3)).astype(np.float32)
        for n in (1, 700, 2048, 5, 1, 700, 5)
    ]
    state = init_normalizer(3)
    for batch in batches:
        state = _update_normalizer(state, batch)
    everything = np.concatenate(batches).astype(np.float64)
    assert float(state.count) == len(everything)
    np.testing.assert_allclose(state.mean, everything.mean(axis=0), rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(state.variance, everything.var(axis=0), rtol=2e-4)
    x = everything[:100]
    expected = np.clip((x - everything.mean(axis=0)) / everything.std(axis=0), -2, 2)
    np.testing.assert_allclose(_normalize(state, x, 2.0), expected, atol=2e-3)


def test_normaliser_takes_leading_axes_as_samples():
    batch = np.random.default_rng(3).normal(size=(4, 5, 2)).astype(np.float32)
    folded = _update_normalizer(init_normalizer(2), batch)
    flat = _update_normalizer(init_normalizer(2), batch.reshape(20, 2))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), folded, flat)


def test_normaliser_before_any_sample_is_the_identity():
    np.testing.assert_array_equal(
        _normalize(init_normalizer(3), np.array([-3.0, 0.5, 9.0]), 5.0), [-3.0, 0.5, 5.0]
    )


def test_a_constant_part_is_not_blown_up():
    state = _update_normalizer(init_normalizer(3), np.full((5, 3), 2.0))
    # Deviation zero counts as 0.01: a change of 0.001 is a tenth of it
    np.testing.assert_allclose(_normalize(state, np.full(3, 2.001), 5.0), 0.1, rtol=1e-3)


def test_count_stops_at_its_cap_and_statistics_go_on_moving():
    size, batches = 10_000, 50
    state = init_normalizer(1).replace(count=jnp.asarray(MAX_COUNT))
    for _ in range(batches):
        state = _update_normalizer(state, np.ones((size, 1)))
    assert float(state.count) == MAX_COUNT
    # Each batch has the weight w = b / (cap + b): mean = 1 - (1 - w)^50
    weight = size / (MAX_COUNT + size)
    assert float(state.mean[0]) == pytest.approx(1 - (1 - weight) ** batches, rel=1e-3)


# ---------------------------------------------------------------------- the agent

OBS, ACTIONS = 3, 2
# With a step of 1e-9 to 1e-5 the policy stays where it is: what an update sees can be worked out.
STILL = PPOConfig(
    num_envs=4, unroll_length=8, num_minibatches=4, num_epochs=3, hidden=(8,), learning_rate=1e-6,
    min_learning_rate=1e-9, max_learning_rate=1e-5, target_kl=0.05, max_noise=0.2, min_noise=0.05,
    max_noise_failure=0.1, min_noise_failure=0.005, failure_decay=0.9,
)  # fmt: skip
AGENT = PPO(STILL, OBS, ACTIONS)
_act = jax.jit(lambda agent, state, obs, key: agent.act(state, obs, key), static_argnums=0)
_update = jax.jit(lambda agent, state, data: agent.update(state, data, jax.random.key(5)), static_argnums=0)


@functools.cache
def _first(agent: PPO = AGENT) -> PPOState:
    first_obs = np.random.default_rng(0).normal(size=(64, OBS)).astype(np.float32)
    return jax.jit(agent.init)(jax.random.key(0), first_obs)


def _data(mean_shift: float = 0.0, obs_offset: float = 0.0) -> Transition:
    """A batch that the policy has acted on; ``mean_shift`` falsifies the means that it remembers."""
    rng = np.random.default_rng(1)
    shape = (STILL.unroll_length, STILL.num_envs)
    obs, next_obs = (obs_offset + rng.normal(size=(2, *shape, OBS))).astype(np.float32)
    action, extras = _act(AGENT, _first(), obs, jax.random.key(2))
    return Transition(
        obs=obs,
        action=action,
        reward=rng.normal(size=shape).astype(np.float32),
        next_obs=next_obs,
        terminated=rng.random(shape) < 0.1,
        truncated=np.zeros(shape, bool),
        valid=np.ones(shape, bool),
        extras=extras | {"mean": np.asarray(extras["mean"]) + np.float32(mean_shift)},
    )


def test_act_samples_around_its_mean_and_tells_the_density():
    obs = np.tile(np.array([0.3, -1.0, 2.0], np.float32), (20_000, 1))
    action, extras = _act(AGENT, _first(), obs, jax.random.key(0))
    mean, nothing = AGENT.act(_first(), obs, jax.random.key(0), deterministic=True)  # nothing averaged yet
    assert nothing == {}
    np.testing.assert_allclose(extras["mean"], mean, atol=1e-6)
    sigma = STILL.max_noise
    expected = scipy.stats.norm.logpdf(action, mean, sigma).sum(axis=-1)
    np.testing.assert_allclose(extras["log_prob"], expected, atol=1e-3)
    # Standard errors: sigma / sqrt(20000) = 0.0014 of the mean, sigma / sqrt(40000) = 0.001 of the deviation
    np.testing.assert_allclose(np.mean(action - mean, axis=0), 0.0, atol=5 * 0.0014)
    np.testing.assert_allclose(np.std(action, axis=0), sigma, atol=5 * 0.001)
    assert np.max(np.abs(mean)) < 0.1  # a fresh policy hardly acts


def test_masked_actions_stay_zero_and_out_of_the_density():
    state = AGENT.with_gains(_first(), jnp.array([1.0, 0.0]))
    obs = np.random.default_rng(4).normal(size=(100, OBS)).astype(np.float32)
    action, extras = _act(AGENT, state, obs, jax.random.key(0))
    assert not np.any(action[:, 1])
    assert not np.any(extras["mean"][:, 1])
    expected = scipy.stats.norm.logpdf(action[:, 0], extras["mean"][:, 0], STILL.max_noise)
    np.testing.assert_allclose(extras["log_prob"], expected, atol=1e-3)


def test_gains_shrink_actions_and_change_nothing_else():
    """The same policy, half as wide in one action and without the other: that is no change of policy."""
    obs = np.random.default_rng(4).normal(size=(8, 4, OBS)).astype(np.float32)
    state = AGENT.with_gains(_first(), jnp.array([0.5, 0.0])).replace(learning_rate=jnp.asarray(1e-9))
    action, extras = _act(AGENT, state, obs, jax.random.key(0))
    full, _ = _act(AGENT, _first(), obs, jax.random.key(0))
    np.testing.assert_allclose(action, full * np.array([0.5, 0.0]), atol=1e-6)
    expected = scipy.stats.norm.logpdf(action[..., 0], extras["mean"][..., 0], 0.5 * STILL.max_noise)
    np.testing.assert_allclose(extras["log_prob"], expected, atol=1e-3)
    steady, _ = AGENT.act(state, obs, jax.random.key(0), deterministic=True)
    np.testing.assert_allclose(steady, extras["mean"], atol=1e-6)
    before = state.params["policy"]["params"]["Dense_1"]["kernel"]
    data = _data().replace(obs=obs, action=action, extras=extras)
    still, metrics = _update(AGENT, state, data)
    assert float(metrics["kl"]) < 1e-6
    assert float(metrics["clip_fraction"]) == 0.0
    assert float(metrics["action_noise"]) == pytest.approx(STILL.max_noise)
    # A mean that was 0.01 off, of a deviation of 0.1: KL 0.005; of the locked action's nothing counts
    shifted = extras | {"mean": extras["mean"] + np.array([0.01, 0.3], np.float32) * np.array([1, 0])}
    _, metrics = _update(AGENT, state, data.replace(extras=shifted))
    assert float(metrics["kl"]) == pytest.approx(0.005, rel=1e-2)
    moved, _ = _update(AGENT, state.replace(learning_rate=jnp.asarray(1e-5)), data)
    after = moved.params["policy"]["params"]["Dense_1"]["kernel"]
    assert np.all(np.any(after != before, axis=0) == np.array([True, False]))
    np.testing.assert_array_equal(moved.gains, still.gains)


@pytest.mark.parametrize(
    ("failures", "noise"),
    [
        (1.0, 0.2),
        (0.1, 0.2),
        # Log-linear in the logarithm: sqrt(0.1 * 0.005) = 0.02236 is halfway, so sqrt(0.2 * 0.05) = 0.1
        (0.0223606798, 0.1),
        (0.005, 0.05),
        (0.0, 0.05),
    ],
)
def test_noise_follows_failures_between_its_ends(failures, noise):
    assert float(AGENT.noise(jnp.asarray(failures))) == pytest.approx(noise, rel=1e-5)


@pytest.mark.parametrize(
    ("updates", "target"),
    # 0.05 for 20 of the 100 updates, then to a hundredth of it: 0.05 * 0.01^(1/2) halfway, at 60
    [(0, 0.05), (20, 0.05), (60, 0.005), (100, 0.0005), (130, 0.0005)],
)
def test_the_kl_target_settles_towards_the_end_of_a_run(updates, target):
    agent = PPO(dataclasses.replace(STILL, settle_from=0.2, settled_kl=0.01), OBS, ACTIONS, num_updates=100)
    assert float(agent.target_kl(jnp.asarray(updates))) == pytest.approx(target, rel=1e-5)
    assert float(AGENT.target_kl(jnp.asarray(updates))) == pytest.approx(0.05)  # without an end
    # KL 25 * 0.02² = 0.01 raises the step size under the first target and lowers it under the last
    state = _first(agent).replace(updates=jnp.asarray(updates), learning_rate=jnp.asarray(1e-6))
    after, _ = _update(agent, state, _data(mean_shift=0.02))
    assert (float(after.learning_rate) > 1e-6) == (target > 0.02)
    assert (float(after.learning_rate) < 1e-6) == (target <= 0.005)
    assert int(after.updates) == updates + 1


def test_failures_are_averaged_over_batches():
    data = _data()
    after, _ = _update(AGENT, _first(), data)
    # It starts at max_noise_failure, so that a fresh agent explores
    assert float(after.failure_rate) == pytest.approx(0.9 * 0.1 + 0.1 * data.terminated.mean(), rel=1e-5)


def test_deterministic_actions_are_those_of_the_averaged_policy():
    data = _data()
    first = _first().replace(learning_rate=jnp.asarray(1e-5))
    after, _ = _update(AGENT, first, data)
    decay = STILL.average_decay
    expected = jax.tree.map(
        lambda old, new: decay * old + (1 - decay) * new, first.params["policy"], after.params["policy"]
    )
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-9), after.average, expected)
    moved = after.replace(average=jax.tree.map(lambda x: x + 1.0, after.average))
    obs = data.obs[0]
    same, _ = AGENT.act(moved, obs, jax.random.key(0))
    explored, _ = AGENT.act(after, obs, jax.random.key(0))
    np.testing.assert_array_equal(same, explored)  # exploration does not see the average
    steady, other = (AGENT.act(s, obs, jax.random.key(0), deterministic=True)[0] for s in (after, moved))
    assert np.abs(np.asarray(steady) - np.asarray(other)).max() > 0.1


@pytest.mark.parametrize(
    ("shift", "before", "expected"),
    [
        # KL of two actions shifted by s at deviation 0.2: 2 s² / (2 * 0.04) = 25 s².  Target 0.05.
        # 25 * 0.08² = 0.16 > 0.1: lowered at each of the 3 * 4 minibatches
        (0.08, 1e-6, 1e-6 / 1.2**12),
        # 25 * 0.02² = 0.01 < 0.025: raised each time
        (0.02, 1e-6, 1e-6 * 1.2**12),
        # 25 * 0.045² = 0.051: between the two thresholds nothing happens
        (0.045, 1e-6, 1e-6),
        (0.08, 2e-9, 1e-9),
        (0.02, 8e-6, 1e-5),
    ],
)
def test_learning_rate_follows_the_kl_within_its_bounds(shift, before, expected):
    state = _first().replace(learning_rate=jnp.asarray(before))
    after, metrics = _update(AGENT, state, _data(mean_shift=shift))
    assert float(after.learning_rate) == pytest.approx(expected, rel=1e-4)
    assert float(metrics["kl"]) == pytest.approx(25 * shift**2, rel=1e-2)


def test_normaliser_is_updated_once_and_frozen_while_its_batch_is_learned():
    # The policy stands still: KL and clipping could only come from observations that are normalised
    # otherwise than when the actions were chosen.
    state = _first().replace(learning_rate=jnp.asarray(1e-9))
    data = _data(obs_offset=3.0)
    after, metrics = _update(AGENT, state, data)
    assert float(metrics["kl"]) < 1e-6
    assert float(metrics["clip_fraction"]) == 0.0
    assert float(after.normalizer.count) == 64 + 32
    once = _update_normalizer(state.normalizer, data.obs)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), after.normalizer, once)


def test_values_bootstrap_from_the_true_next_observation():
    data = _data()
    _, plain = _update(AGENT, _first(), data)
    ended = np.where(data.terminated[..., None], np.float32(1e3), data.next_obs)
    _, same = _update(AGENT, _first(), data.replace(next_obs=ended))
    _, other = _update(AGENT, _first(), data.replace(next_obs=data.next_obs + np.float32(1.0)))
    assert float(same["value_loss"]) == pytest.approx(float(plain["value_loss"]), rel=1e-6)
    assert float(other["value_loss"]) != pytest.approx(float(plain["value_loss"]), rel=1e-3)


def test_values_are_of_exact_observations_and_discounts_of_durations():
    data = _data()
    same = data.replace(
        exact_obs=data.obs, next_exact_obs=data.next_obs, duration=np.ones(data.reward.shape, np.float32)
    )
    _, before = _update(AGENT, _first(), data)
    _, after = _update(AGENT, _first(), same)
    assert float(after["value_loss"]) == pytest.approx(float(before["value_loss"]), rel=1e-5)
    assert float(after["policy_loss"]) == pytest.approx(float(before["policy_loss"]), rel=1e-4, abs=1e-6)
    # Noise on what the policy sees is nothing to the value, and the other way round.
    far = np.float32(0.3)
    _, noisy = _update(AGENT, _first(), same.replace(obs=data.obs + far))
    assert float(noisy["explained_variance"]) == pytest.approx(float(after["explained_variance"]), rel=1e-4)
    _, moved = _update(AGENT, _first(), same.replace(exact_obs=data.obs + far))
    assert float(moved["explained_variance"]) != pytest.approx(float(after["explained_variance"]), rel=1e-3)
    shorter, short = _update(AGENT, _first(), same.replace(duration=0.5 * same.duration))
    # Twice as many failures a nominal step, with the weight of one batch.
    decay, failures = AGENT.config.failure_decay, data.terminated.mean()
    expected = decay * AGENT.config.max_noise_failure + (1.0 - decay) * 2.0 * failures
    assert float(shorter.failure_rate) == pytest.approx(expected, rel=1e-5)
    assert failures > 0.0
    assert float(short["value_loss"]) != pytest.approx(float(after["value_loss"]), rel=1e-3)


# ---------------------------------------------------------------------- a problem with a known answer


@functools.cache
def _program() -> TrainProgram:
    env = Regulator()
    return TrainProgram(env, PPO(LQR, env.obs_dim, env.action_dim), LQR.num_envs, LQR.unroll_length)


def _trained(seed: int, iterations: int) -> TrainState:
    program = _program()
    state = program.start(seed)
    for _ in range(iterations // 20):
        state, _ = program.epoch(state, 20)
    return state


def _optimal_gain(gamma: float) -> float:
    """Gain k of the best u = -k x without a time limit, by the discounted Riccati equation."""
    root, one = np.sqrt(gamma), np.eye(1)
    cost = scipy.linalg.solve_discrete_are(root * one, root * GAIN * one, one, EFFORT * one).item()
    return gamma * GAIN * cost / (EFFORT + gamma * GAIN**2 * cost)


def test_ppo_solves_a_regulator_beyond_its_time_limit():
    gain = _optimal_gain(LQR.gamma)
    assert gain == pytest.approx(10 / 9)
    state = _trained(seed=0, iterations=120).agent
    axis = np.linspace(-0.8, 0.8, 9, dtype=np.float32)
    x = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    action, _ = _program().agent.act(state, x, jax.random.key(0), deterministic=True)
    slope, *_ = np.linalg.lstsq(x, np.asarray(action), rcond=None)
    # Were the time limit taken for an end, the best gains would be 0.86 and then 0.
    np.testing.assert_allclose(slope, -gain * np.eye(2), atol=0.1 * gain)


def test_training_repeats_itself_for_a_seed():
    first, again, other = (_trained(seed, 20) for seed in (1, 1, 2))
    jax.tree.map(np.testing.assert_array_equal, first.agent, again.agent)
    jax.tree.map(np.testing.assert_array_equal, first.env.obs, again.env.obs)
    assert not np.array_equal(first.env.obs, other.env.obs)
    assert int(first.iteration) == 20
