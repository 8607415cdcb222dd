"""Phases of a body on the ground against a table worked out by hand, and the promises of their hysteresis."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from synthjax.errors import UserError
from synthjax.rewards import Phase, PhaseConfig, next_phase, seed_phase

CONFIG = PhaseConfig()
FALLEN, RECOVERING, STANDING, MOVING = (p.value for p in Phase)

_next = jax.jit(lambda *state: next_phase(CONFIG, *state))
_seed = jax.jit(seed_phase)
fractions = st.floats(-0.5, 2.0, width=32)
ups = st.floats(-1.0, 1.0, width=32)
speeds = st.floats(0.0, 10.0, width=32)
phases = st.sampled_from([p.value for p in Phase])


def _after(previous: int, fraction: float, up: float, speed: float, standing: float = 1.0) -> int:
    """``fraction`` and ``speed`` in standing heights (per second)."""
    return int(_next(previous, fraction * standing, standing, up, speed * standing))


@pytest.mark.parametrize(
    ("previous", "fraction", "up", "speed", "expected"),
    [
        # Enter and leave the floor: below .26, from .32 on
        (RECOVERING, 0.25, 1.0, 0.0, FALLEN),
        (RECOVERING, 0.27, 1.0, 0.0, RECOVERING),
        (FALLEN, 0.31, 1.0, 0.0, FALLEN),
        (FALLEN, 0.33, 1.0, 0.0, RECOVERING),
        # Enter standing from .76 on, leave it below .70
        (RECOVERING, 0.75, 1.0, 0.0, RECOVERING),
        (RECOVERING, 0.77, 1.0, 0.0, STANDING),
        (STANDING, 0.71, 1.0, 0.0, STANDING),
        (STANDING, 0.69, 1.0, 0.0, RECOVERING),
        (MOVING, 0.71, 1.0, 1.0, MOVING),
        # The same for uprightness: .78 and .70
        (RECOVERING, 1.0, 0.77, 0.0, RECOVERING),
        (RECOVERING, 1.0, 0.79, 0.0, STANDING),
        (STANDING, 1.0, 0.71, 0.0, STANDING),
        (STANDING, 1.0, 0.69, 0.0, RECOVERING),
        # And for speed: above .12, no more at .07
        (STANDING, 1.0, 1.0, 0.11, STANDING),
        (STANDING, 1.0, 1.0, 0.13, MOVING),
        (MOVING, 1.0, 1.0, 0.08, MOVING),
        (MOVING, 1.0, 1.0, 0.06, STANDING),
        # Any phase can be skipped: a teleport, a hard push
        (FALLEN, 1.0, 1.0, 1.0, MOVING),
        (MOVING, 0.1, 0.0, 1.0, FALLEN),
        # Upside down with the hips high is not standing
        (STANDING, 0.9, -1.0, 0.0, RECOVERING),
    ],
)
def test_transitions(previous, fraction, up, speed, expected):
    assert _after(previous, fraction, up, speed) == expected
    assert _after(previous, fraction, up, speed, standing=0.5) == expected


@pytest.mark.parametrize(
    ("height", "up", "speed", "expected"),
    [
        (0.24, 1.0, 0.5, FALLEN),
        (0.26, 1.0, 0.5, RECOVERING),
        (0.69, 1.0, 0.5, RECOVERING),
        (0.71, 0.70, 0.5, RECOVERING),
        (0.71, 0.71, 0.11, MOVING),
        (0.71, 0.71, 0.09, STANDING),
    ],
)
def test_the_originals_rule_is_in_absolute_metres(height, up, speed, expected):
    assert int(_seed(height, up, speed)) == expected


@given(phases, fractions, ups, speeds, st.sampled_from([0.25, 0.5, 2.0, 4.0]))
@settings(max_examples=200, deadline=None)
def test_thresholds_scale_with_the_body(previous, fraction, up, speed, standing):
    assert _after(previous, fraction, up, speed, standing) == _after(previous, fraction, up, speed)


@given(phases, fractions, ups, speeds)
@settings(max_examples=200, deadline=None)
def test_a_state_that_stays_keeps_its_phase(previous, fraction, up, speed):
    """Two steps in one state give one phase: no state makes the phase alternate."""
    first = _after(previous, fraction, up, speed)
    assert _after(first, fraction, up, speed) == first


def _noise(low: float, high: float) -> st.SearchStrategy[list[float]]:
    return st.lists(st.floats(low + 1e-3, high - 1e-3, width=64), min_size=1, max_size=12)


@given(_noise(CONFIG.fallen_enter, CONFIG.fallen_leave), st.sampled_from([FALLEN, RECOVERING]))
@example([0.27, 0.31, 0.27, 0.31], FALLEN)
@settings(max_examples=50, deadline=None)
def test_noise_of_height_between_two_thresholds_changes_nothing(heights, phase):
    for height in heights:
        assert _after(phase, height, 1.0, 0.0) == phase


@given(
    _noise(CONFIG.standing_leave, CONFIG.standing_enter),
    _noise(CONFIG.upright_leave, CONFIG.upright_enter),
    _noise(CONFIG.moving_leave, CONFIG.moving_enter),
    st.sampled_from([RECOVERING, STANDING, MOVING]),
)
@settings(max_examples=50, deadline=None)
def test_noise_on_the_feet_changes_nothing(heights, ups, speeds, phase):
    for height, up, speed in zip(heights, ups, speeds, strict=False):
        assert _after(phase, height, up, speed) == phase


def test_the_originals_rule_chatters_where_ours_does_not():
    """A crouch that sways by 2 cm about .7 m, on a body of .95 m."""
    heights = [0.69, 0.71] * 5
    seed = [int(_seed(h, 1.0, 0.0)) for h in heights]
    assert np.count_nonzero(np.diff(seed)) == 9
    ours, phase = [], STANDING
    for h in heights:
        phase = int(_next(phase, h, 0.95, 1.0, 0.0))
        ours.append(phase)
    assert ours == [STANDING] * 10


def test_many_worlds_at_once():
    previous, height = jnp.array([FALLEN, STANDING]), jnp.array([0.1, 1.0])
    one, zero = jnp.asarray(1.0), jnp.asarray(0.0)
    result = jax.vmap(lambda p, h: next_phase(CONFIG, p, h, one, one, zero))(previous, height)
    assert result.tolist() == [FALLEN, STANDING]
    assert result.dtype == jnp.int32
    with pytest.raises(AssertionError):
        next_phase(CONFIG, previous, height, one, one, zero)


@pytest.mark.parametrize("field", ["fallen_enter", "standing_leave", "upright_leave", "moving_leave"])
def test_crossed_thresholds_are_refused(field):
    with pytest.raises(UserError, match=field):
        dataclasses.replace(CONFIG, **{field: 0.9})
