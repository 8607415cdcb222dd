"""The drift limit follows success: by hand, and within its bounds for any history."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthjax.envs.drift import DriftConfig, update_limit

CONFIG = DriftConfig(widest=0.6, narrowest=0.2, narrow_below=0.02, widen_above=0.04, rate=0.01)
_update = jax.jit(functools.partial(update_limit, CONFIG))


@pytest.mark.parametrize(
    ("limit", "failures", "expected"),
    [
        (0.5, 0.019, 0.495),  # few failures: one per cent narrower
        (0.5, 0.03, 0.5),  # between the thresholds nothing moves
        (0.5, 0.041, 0.505),
        (0.2, 0.0, 0.2),
        (0.6, 1.0, 0.6),
    ],
)
def test_one_update(limit, failures, expected):
    assert float(_update(jnp.asarray(limit), jnp.asarray(failures))) == pytest.approx(expected)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0.0, 1.0), max_size=200))
def test_any_history_stays_within_bounds(history):
    limit = jnp.asarray(CONFIG.widest)
    for failures in history:
        limit = _update(limit, jnp.asarray(failures))
    assert np.float32(0.2) <= float(limit) <= np.float32(0.6)
