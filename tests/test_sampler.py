"""Where episodes start: probabilities by hand, and what they promise for any history."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthjax.envs.sampler import (
    SamplerConfig,
    SamplerState,
    draw_index,
    init_sampler,
    lookback_matrix,
    update_sampler,
)

BINS = 5
ALONE = jnp.eye(BINS)  # a failure counts for its own bin only


@functools.cache
def _jitted(config: SamplerConfig):
    return jax.jit(functools.partial(update_sampler, config))


def _updated(config: SamplerConfig, failures, visits, lookback=ALONE, state: SamplerState | None = None):
    before = init_sampler(BINS) if state is None else state
    return _jitted(config)(before, np.float32(failures), np.float32(visits), lookback)


def test_fresh_sampler_is_uniform():
    np.testing.assert_allclose(init_sampler(4).probabilities, 0.25)


def test_probabilities_by_hand():
    config = SamplerConfig(uniform_share=0.5, failure_decay=1.0, floor=0.1)
    state = _updated(config, [4, 1, 0, 0, 0], [10, 10, 10, 10, 0])
    # Rates 0.4, 0.1, 0, 0, 0; the floor is a tenth of the greatest: 0.4, 0.1, 0.04, 0.04, 0.04 of 0.62
    hard = np.array([0.4, 0.1, 0.04, 0.04, 0.04]) / 0.62
    np.testing.assert_allclose(state.probabilities, 0.5 / 5 + 0.5 * hard, rtol=1e-5)


def test_a_rate_counts_and_not_how_often_a_bin_is_visited():
    state = _updated(SamplerConfig(), [2, 20, 0, 0, 0], [10, 100, 10, 10, 10])
    assert float(state.probabilities[0]) == pytest.approx(float(state.probabilities[1]), rel=1e-5)


def test_sums_decay():
    config = SamplerConfig(failure_decay=0.5)
    state = _updated(config, [4, 0, 0, 0, 0], [8, 8, 8, 8, 8])
    state = _updated(config, [0, 1, 0, 0, 0], [2, 2, 2, 2, 2], state=state)
    np.testing.assert_allclose(state.failures, [2, 1, 0, 0, 0])  # 0.5 * 4, 1
    np.testing.assert_allclose(state.visits, 6.0)  # 0.5 * 8 + 2


def test_without_failures_starts_stay_uniform():
    state = _updated(SamplerConfig(), np.zeros(BINS), np.full(BINS, 100.0))
    np.testing.assert_allclose(state.probabilities, 1 / BINS, rtol=1e-5)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), updates=st.integers(1, 4))
def test_whatever_happens_the_shares_hold(seed, updates):
    rng = np.random.default_rng(seed)
    config = SamplerConfig(uniform_share=0.3, floor=0.05)
    lookback = rng.random((BINS, BINS))
    lookback /= lookback.sum(axis=1, keepdims=True)
    state = init_sampler(BINS)
    for _ in range(updates):
        visits = rng.integers(0, 50, BINS)
        state = _updated(config, rng.binomial(visits, rng.random(BINS)), visits, lookback, state)
    p = np.asarray(state.probabilities, np.float64)
    assert p.sum() == pytest.approx(1.0, abs=1e-5)
    assert p.min() >= 0.3 / BINS - 1e-6
    # No bin is harder than the hardest, so none falls under the floor's share of the rest
    hard = (p - 0.3 / BINS) / 0.7
    assert hard.min() >= 0.05 * hard.max() - 1e-6


def test_the_failing_bin_and_those_before_it_are_drawn_more():
    lookback = lookback_matrix([BINS], [0.1], [False], 0.2)
    state = _updated(SamplerConfig(lookback_seconds=0.2), [0, 0, 0, 5, 0], np.full(BINS, 10.0), lookback)
    p = np.asarray(state.probabilities)
    # Bins 1, 2 and 3 look at bin 3; bin 0 looks as far as bin 2, and bin 4 comes after
    assert p[1] == pytest.approx(p[2])
    assert p[3] >= p[2]
    assert p[1] > 2 * p[0]
    assert p[0] == pytest.approx(p[4])


def test_lookback_rows_by_hand():
    got = lookback_matrix([4, 3], [0.1, 0.2], [False, True], 0.2)
    third, half = 1 / 3, 1 / 2
    expected = [
        # 0.2 s are two bins of 0.1 s; a clip without loop has nothing beyond its end
        [third, third, third, 0, 0, 0, 0],
        [0, third, third, third, 0, 0, 0],
        [0, 0, half, half, 0, 0, 0],
        [0, 0, 0, 1, 0, 0, 0],
        # and one bin of 0.2 s; a loop goes on at its beginning
        [0, 0, 0, 0, half, half, 0],
        [0, 0, 0, 0, 0, half, half],
        [0, 0, 0, 0, half, 0, half],
    ]
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_lookback_longer_than_a_loop_sees_each_bin_once():
    np.testing.assert_allclose(lookback_matrix([3], [0.1], [True], 5.0), 1 / 3, rtol=1e-6)


@pytest.mark.parametrize(
    "weights", [(1.0,), (0.0, 3.0, 0.0, 1.0, 0.0), (0.5, 0.25, 0.125, 0.125), (1e-3, 2e-3, 5e-3)]
)
def test_indices_are_drawn_by_their_share_of_the_weights(weights):
    """Each number within four standard deviations; what has no weight never."""
    keys = jax.random.split(jax.random.key(0), 20_000)
    index = jax.jit(jax.vmap(lambda key: draw_index(key, jnp.array(weights))))(keys)
    share = np.array(weights) / sum(weights)
    counts = np.bincount(np.asarray(index), minlength=len(weights))
    assert len(counts) == len(weights)
    assert (np.abs(counts - 20_000 * share) <= 4 * np.sqrt(20_000 * share * (1 - share))).all()


@pytest.mark.parametrize("weights", [(0.0, 1.0, 0.0), (1.0, 1e-9, 0.0), (1 / 3, 1 / 3, 1 / 3, 0.0)])
def test_the_greatest_number_draws_what_has_weight(weights, monkeypatch):
    greatest = np.nextafter(np.float32(1), np.float32(0)) - np.float32(2**-24)  # 1 - 2^-23
    monkeypatch.setattr(jax.random, "uniform", lambda key: jnp.asarray(greatest))
    assert weights[int(draw_index(jax.random.key(0), jnp.array(weights)))] > 0.0
