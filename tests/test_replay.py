"""The replay against exact distributions, plain loops and hand-worked cases."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from synthjax.agents.sac import replay_bytes
from synthjax.agents.sac.priorities import ROW, importance_weights, sample, sampling_masses
from synthjax.agents.sac.replay import Entries, Replay, add, init_replay, sample_uniform, set_masses
from synthjax.agents.sac.replay import sample as sample_replay
from synthjax.agents.sac.returns import n_step_entries, update_reward_rate
from synthjax.types import Transition

OBS, ACTIONS = 3, 2
CAPACITY = 64  # entries of the rings below, in whole rows
_sample = jax.jit(sample, static_argnums=2)
_add = jax.jit(add)
_sample_replay = jax.jit(sample_replay, static_argnums=1)
_sample_uniform = jax.jit(sample_uniform, static_argnums=1)
_n_step = jax.jit(n_step_entries, static_argnums=(1, 2))


# ---------------------------------------------------------------------- drawing


def _counts(masses: np.ndarray, count: int, calls: int) -> np.ndarray:
    """How often each entry is drawn in ``calls`` calls of ``count`` draws."""
    table = masses.reshape(-1, ROW).astype(np.float32)
    rows = jnp.asarray(np.flatnonzero(table.sum(axis=1))[-1] + 1)
    keys = jax.random.split(jax.random.key(0), calls)
    draws = jax.lax.map(lambda key: _sample(table, rows, count, key), keys)
    return np.bincount(np.asarray(draws).ravel(), minlength=masses.size)


def test_entries_are_drawn_in_proportion_to_their_masses():
    rng = np.random.default_rng(0)
    masses = rng.gamma(0.5, size=10 * ROW) + 1e-3  # over four orders of magnitude
    masses[7 * ROW + 5 :] = 0.0  # the ring is not full
    draws, calls = 512, 400
    counts = _counts(masses, draws, calls)
    assert not np.any(counts[masses == 0])
    expected = draws * calls * masses / masses.sum()
    usual = expected >= 5
    # Stratification only lessens the statistic.
    statistic = np.sum((counts - expected)[usual] ** 2 / expected[usual])
    assert scipy.stats.chi2.sf(statistic, usual.sum() - 1) > 0.01
    assert not usual.all()
    rare = counts[~usual & (masses > 0)].sum(), expected[~usual].sum()
    assert abs(rare[0] - rare[1]) < 4 * np.sqrt(rare[1]) + 1


def test_a_wrong_distribution_would_be_noticed():
    """The chi-square test of above has the power to tell masses that are 10 % off."""
    rng = np.random.default_rng(0)
    masses = rng.uniform(0.5, 1.5, 10 * ROW)
    counts = _counts(masses * np.where(np.arange(masses.size) % 2, 1.1, 1.0), 512, 400)
    expected = counts.sum() * masses / masses.sum()
    assert scipy.stats.chisquare(counts, expected).pvalue < 1e-6


def test_rows_are_drawn_stratified():
    masses = np.random.default_rng(1).gamma(0.5, size=(20, ROW)).astype(np.float32)
    count = 1000
    index = np.asarray(_sample(masses, jnp.asarray(20), count, jax.random.key(3)))
    drawn = np.bincount(index // ROW, minlength=20)
    expected = count * masses.sum(axis=1) / masses.sum()
    assert np.all(np.abs(drawn - expected) < 2)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), filled=st.integers(1, 6 * ROW), spread=st.floats(0, 12))
def test_only_what_has_a_mass_is_drawn_however_wild_the_masses(seed, filled, spread):
    rng = np.random.default_rng(seed)
    masses = np.zeros(6 * ROW, np.float32)
    masses[:filled] = 10.0 ** rng.uniform(-spread, spread, filled)
    rows = jnp.asarray(-(-filled // ROW))
    index = np.asarray(_sample(masses.reshape(-1, ROW), rows, 64, jax.random.key(seed % 1000)))
    assert index.min() >= 0
    assert index.max() < filled


def test_a_million_entries_are_drawn_evenly_within_a_row():
    # One cumulative sum in float32 would resolve an entry of a million into about 16 steps.
    masses = np.ones((2**20 // ROW, ROW), np.float32)
    keys = jax.random.split(jax.random.key(0), 100)
    draws = jax.lax.map(lambda key: _sample(masses, jnp.asarray(len(masses)), 4096, key), keys)
    counts = np.bincount(np.asarray(draws).ravel() % ROW, minlength=ROW)
    assert scipy.stats.chisquare(counts).pvalue > 0.01


def test_masses_and_importance_weights_by_hand():
    masses = sampling_masses(jnp.array([0.0, -4.0, 9.0]), 0.5)
    np.testing.assert_allclose(masses, [1e-5**0.5, 2, 3], rtol=1e-5)
    # P = m / 14: the weights (N P)^-0.5 are to one another as 1, 1/2 and 1/3, and the largest is 1
    weights = importance_weights(jnp.array([1.0, 4.0, 9.0]), 0.5)
    np.testing.assert_allclose(weights, [1, 1 / 2, 1 / 3], rtol=1e-6)
    masses = jnp.array([4.0, 1.0, 2.0])
    np.testing.assert_allclose(importance_weights(masses, 1.0), [1 / 4, 1, 1 / 2], rtol=1e-6)
    np.testing.assert_allclose(importance_weights(masses, 0.0), 1.0)


def test_full_importance_weights_undo_the_bias():
    rng = np.random.default_rng(2)
    masses = rng.uniform(0.2, 3.0, 4 * ROW).astype(np.float32)
    values = rng.normal(size=masses.size) + masses  # what is drawn more often is larger
    index = np.asarray(_sample(masses.reshape(-1, ROW), jnp.asarray(4), 40_000, jax.random.key(0)))
    weights = np.asarray(importance_weights(masses[index], 1.0))
    estimate = np.sum(weights * values[index]) / np.sum(weights)
    assert abs(np.mean(values[index]) - values.mean()) > 0.2
    assert estimate == pytest.approx(values.mean(), abs=0.03)


# ---------------------------------------------------------------------- the ring


def _entries(first: int, count: int) -> Entries:
    """Entries that carry their own number in every field."""
    number = np.arange(first, first + count, dtype=np.float32)
    return Entries(
        obs=np.tile(number[:, None], (1, OBS)), action=np.tile(number[:, None], (1, ACTIONS)),
        reward=number, horizon=number, next_obs=np.tile(number[:, None] + 0.5, (1, OBS)), discount=number,
    )  # fmt: skip


def _stored(replay: Replay) -> list[float]:
    """The numbers of the entries in the ring, in its order, all fields agreeing."""
    stored = np.asarray(replay.masses) > 0
    assert stored.sum() == int(replay.size[0])
    numbers = np.asarray(replay.entries.reward)[stored]
    for leaf in jax.tree.leaves(replay.entries):
        columns = np.floor(np.asarray(leaf)[stored]).T
        np.testing.assert_array_equal(columns, np.broadcast_to(numbers, columns.shape))
    return numbers.tolist()


def test_the_ring_overwrites_the_oldest_and_wraps():
    replay = init_replay(CAPACITY, OBS, ACTIONS)
    replay = _add(replay, _entries(0, 40), np.ones(40, bool))
    assert _stored(replay) == list(range(40))
    assert (int(replay.cursor[0]), int(replay.size[0])) == (40, 40)
    replay = _add(replay, _entries(40, 40), np.ones(40, bool))
    # 24 fit, and 16 go over the oldest
    assert _stored(replay) == [*range(64, 80), *range(16, 64)]
    assert (int(replay.cursor[0]), int(replay.size[0])) == (16, 64)


def test_invalid_entries_take_no_place():
    valid = np.arange(40) % 3 > 0
    replay = _add(init_replay(CAPACITY, OBS, ACTIONS), _entries(0, 40), valid)
    assert _stored(replay) == np.flatnonzero(valid).tolist()
    for sampled in (
        _sample_replay(replay, 500, jax.random.key(0), 0.5)[1],
        _sample_uniform(replay, 500, jax.random.key(0)),
    ):
        assert set(np.asarray(sampled.reward).astype(int)) == set(np.flatnonzero(valid))
    nothing = _add(replay, _entries(100, 40), np.zeros(40, bool))
    jax.tree.map(np.testing.assert_array_equal, nothing, replay)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), adds=st.integers(1, 12), rate=st.floats(0, 1))
def test_the_ring_holds_the_last_valid_entries(seed, adds, rate):
    rng, replay, expected = np.random.default_rng(seed), init_replay(CAPACITY, OBS, ACTIONS), []
    for number in range(adds):
        valid = rng.random(23) < rate
        replay = _add(replay, _entries(23 * number, 23), valid)
        expected += (23 * number + np.flatnonzero(valid)).tolist()
    assert sorted(_stored(replay)) == expected[-CAPACITY:]


def test_uniform_samples_are_uniform():
    replay = _add(init_replay(2 * CAPACITY, OBS, ACTIONS), _entries(0, 100), np.ones(100, bool))
    replay = set_masses(replay, jnp.arange(50), jnp.full(50, 9.0))
    counts = np.bincount(np.asarray(_sample_uniform(replay, 50_000, jax.random.key(1)).reward).astype(int))
    assert counts.size == 100
    assert scipy.stats.chisquare(counts).pvalue > 0.01


def test_new_entries_are_as_likely_as_the_likeliest():
    replay = _add(init_replay(CAPACITY, OBS, ACTIONS), _entries(0, 3), np.ones(3, bool))
    np.testing.assert_array_equal(replay.masses[:3], 1.0)
    replay = set_masses(replay, jnp.arange(3), jnp.array([0.5, 7.0, 0.1]))
    replay = _add(replay, _entries(3, 2), np.ones(2, bool))
    np.testing.assert_allclose(replay.masses[:6], [0.5, 7.0, 0.1, 7.0, 7.0, 0.0])


def test_an_entry_drawn_twice_takes_the_larger_mass():
    replay = _add(init_replay(ROW, OBS, ACTIONS), _entries(0, 4), np.ones(4, bool))
    replay = set_masses(replay, jnp.array([2, 0, 2, 2]), jnp.array([0.3, 0.2, 0.4, 0.1]))
    np.testing.assert_allclose(replay.masses[:4], [0.2, 1.0, 0.4, 1.0])


def test_a_sample_names_its_entries_and_weighs_them():
    replay = _add(init_replay(CAPACITY, OBS, ACTIONS), _entries(0, 50), np.ones(50, bool))
    masses = np.linspace(0.1, 2.0, 50).astype(np.float32)
    replay = set_masses(replay, jnp.arange(50), masses)
    index, entries, weights = _sample_replay(replay, 200, jax.random.key(0), 0.7)
    np.testing.assert_array_equal(entries.reward, index)
    np.testing.assert_array_equal(entries.next_obs[:, 0], index + 0.5)
    drawn = masses[index] / masses.sum()
    np.testing.assert_allclose(weights, (50 * drawn) ** -0.7 / np.max((50 * drawn) ** -0.7), rtol=1e-5)


@pytest.mark.parametrize(("capacity", "whole"), [(4 * ROW, 4 * ROW), (4 * ROW + 1, 5 * ROW), (1, ROW)])
def test_bytes_are_those_of_the_arrays(capacity, whole):
    shapes = jax.eval_shape(functools.partial(init_replay, capacity, 11, 5))
    assert shapes.masses.shape == (whole,)
    counters = 8
    held = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))
    assert replay_bytes(capacity, 11, 5) == held - counters
    # Two rings of whole rows
    assert init_replay(capacity, 11, 5, num_devices=2).masses.shape == (-(-capacity // (2 * ROW)) * 2 * ROW,)


# ---------------------------------------------------------------------- n-step returns


def _unroll(reward, terminated=None, truncated=None, valid=None) -> Transition:
    """Worlds of which only rewards and ends matter; observation t of world n is (t, n)."""
    reward = np.asarray(reward, np.float32)
    reward = reward[:, None] if reward.ndim == 1 else reward
    none, all_ = np.zeros(reward.shape, bool), np.ones(reward.shape, bool)
    time, world = np.meshgrid(*map(np.arange, reward.shape), indexing="ij")
    return Transition(
        obs=np.stack([time, world], axis=-1).astype(np.float32),
        action=np.zeros((*reward.shape, 1), np.float32),
        reward=reward,
        next_obs=np.stack([time + 1, world], axis=-1).astype(np.float32),
        terminated=none if terminated is None else np.asarray(terminated, bool).reshape(reward.shape),
        truncated=none if truncated is None else np.asarray(truncated, bool).reshape(reward.shape),
        valid=all_ if valid is None else np.asarray(valid, bool).reshape(reward.shape),
        extras={},
    )


def _column(array: jax.Array) -> list[float]:
    return np.asarray(array)[:, 0].tolist()


def test_returns_of_an_unbroken_stretch_shorten_towards_its_end():
    entries = _n_step(_unroll([1, 2, 4, 8, 16]), 0.5, 3)
    # 1 + 2/2 + 4/4, 2 + 4/2 + 8/4, 4 + 8/2 + 16/4, then 8 + 16/2, and 16
    assert _column(entries.reward) == [3, 6, 12, 16, 16]
    assert _column(entries.horizon) == [1.75, 1.75, 1.75, 1.5, 1]
    assert _column(entries.discount) == [0.125, 0.125, 0.125, 0.25, 0.5]
    assert np.asarray(entries.next_obs)[:, 0, 0].tolist() == [3, 4, 5, 5, 5]


def test_returns_end_at_a_termination_without_a_bootstrap():
    entries = _n_step(_unroll([1, 2, 4, 8, 16], terminated=[0, 1, 0, 0, 0]), 0.5, 3)
    # 1 + 2/2, then 2 alone; neither sees the next episode's 4
    assert _column(entries.reward) == [2, 2, 12, 16, 16]
    # All steps after the end are worth nothing: 1 + 1/2 + 1/4 + ... of them, or centred it would be average.
    assert _column(entries.horizon) == [2, 2, 1.75, 1.5, 1]
    assert _column(entries.discount) == [0, 0, 0.125, 0.25, 0.5]


def test_returns_end_at_a_truncation_with_the_bootstrap_of_its_last_observation():
    entries = _n_step(_unroll([1, 2, 4, 8, 16], truncated=[0, 1, 0, 0, 0]), 0.5, 3)
    assert _column(entries.reward) == [2, 2, 12, 16, 16]
    assert _column(entries.discount) == [0.25, 0.5, 0.125, 0.25, 0.5]
    assert np.asarray(entries.next_obs)[:, 0, 0].tolist() == [2, 2, 5, 5, 5]


def test_returns_end_before_a_step_that_is_not_valid():
    entries = _n_step(_unroll([1, 2, 4, 8, 16], valid=[1, 1, 0, 1, 1]), 0.5, 3)
    kept = [0, 1, 3, 4]
    assert np.asarray(entries.reward)[kept, 0].tolist() == [2, 2, 16, 16]
    assert np.asarray(entries.discount)[kept, 0].tolist() == [0.25, 0.5, 0.25, 0.5]
    assert np.asarray(entries.next_obs)[kept, 0, 0].tolist() == [2, 2, 5, 5]


def test_one_step_is_the_transition_itself():
    data = _unroll([1, 2, 4, 8, 16], terminated=[0, 1, 0, 0, 0], truncated=[0, 0, 0, 1, 0])
    entries = _n_step(data, 0.5, 1)
    np.testing.assert_array_equal(entries.reward, data.reward)
    np.testing.assert_array_equal(entries.next_obs, data.next_obs)
    assert _column(entries.discount) == [0.5, 0, 0.5, 0.5, 0.5]


def test_returns_of_steps_of_different_lengths():
    """A discount of a quarter a nominal step, and steps of half of one, of a whole, and of two."""
    data = _unroll([1, 2, 4], truncated=[0, 0, 1])
    data = data.replace(duration=np.array([[0.5], [1.0], [2.0]], np.float32))
    entries = _n_step(data, 0.25, 3)
    # 1 + 2/2 + 4/8, then 2 + 4/4, and 4; the same of 0.5, 1 and 2 for rewards of one a nominal step
    assert _column(entries.reward) == [2.5, 3, 4]
    assert _column(entries.horizon) == [0.5 + 0.5 + 0.25, 1.5, 2.0]
    assert _column(entries.discount) == [2**-7, 2**-6, 2**-4]


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1), gamma=st.floats(0, 0.999), n=st.sampled_from([1, 2, 5, 20]),
    rate=st.floats(0, 0.6),
)  # fmt: skip
def test_returns_are_their_definition(seed, gamma, n, rate):
    rng, shape = np.random.default_rng(seed), (7, 3)
    terminated, truncated, pinned = rng.random((3, *shape)) < rate
    data = _unroll(rng.normal(size=shape), terminated, truncated, ~pinned)
    entries = jax.jit(n_step_entries, static_argnums=2)(data, gamma, n)
    for t, w in np.ndindex(shape):
        total, k = 0.0, 0
        while True:
            total += gamma**k * data.reward[t + k, w]
            k += 1
            ended = terminated[t + k - 1, w] or truncated[t + k - 1, w]
            if ended or k == n or t + k == shape[0] or pinned[t + k, w]:
                break
        assert entries.reward[t, w] == pytest.approx(total, abs=1e-5)
        expected = 0.0 if terminated[t + k - 1, w] else gamma**k
        assert entries.discount[t, w] == pytest.approx(expected, rel=1e-5, abs=1e-30)
        if not terminated[t + k - 1, w]:
            assert entries.horizon[t, w] == pytest.approx(sum(gamma**i for i in range(k)), rel=1e-5)
        # Values of centred rewards are those of raw ones less the average for ever, ends or not.
        forever = 1.0 / (1.0 - gamma)
        assert entries.horizon[t, w] + expected * forever == pytest.approx(forever, rel=1e-4)
        np.testing.assert_array_equal(entries.next_obs[t, w], [t + k, w])


def test_the_average_reward_leaves_out_steps_that_are_not_valid():
    reward, valid = np.array([[1.0, 100.0], [3.0, 5.0]]), np.array([[True, False], [True, True]])
    # mean of 1, 3 and 5 is 3: 2 + 0.1 * (3 - 2)
    assert float(update_reward_rate(2.0, reward, valid, 0.1)) == pytest.approx(2.1)
    assert float(update_reward_rate(2.0, reward, np.zeros((2, 2), bool), 0.1)) == 2.0
    # 9 in 1 + 0.5 + 0.5 nominal steps is 4.5 a step: 2 + 0.1 * (4.5 - 2)
    duration = np.array([[1.0, 9.0], [0.5, 0.5]])
    assert float(update_reward_rate(2.0, reward, valid, 0.1, None, duration)) == pytest.approx(2.25)
