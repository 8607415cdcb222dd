"""Continuing rewards against numbers worked out by hand, and what they promise of any state."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from physics_bodies import walker

from synthjax.errors import UserError
from synthjax.physics.native import NativePhysics
from synthjax.rewards import (
    CONTINUING_REWARDS,
    ContinuingInputs,
    Phase,
    continuing_reward,
    joint_strain,
    load_share,
    motor_use,
    nearest_pose_distance,
    total,
)
from synthjax.rewards.continuing import proximity, stand_blend
from synthjax.types import PhysicsState

NU = 4
WEIGHT = 500.0  # N
DT = 0.05  # s


def _inputs(**changes: object) -> ContinuingInputs:
    """A body of one metre that stands still on both feet, in a reference pose and without effort."""
    values: dict[str, object] = {
        "height": 1.0,
        "previous_height": 1.0,
        "standing_height": 1.0,
        "head_height": 1.6,
        "standing_head_height": 1.6,
        "up": 1.0,
        "velocity": np.zeros(3),
        "control": np.zeros(NU),
        "motor_use": np.zeros(NU),
        "strain": np.zeros(NU),
        "pose_distance": 0.0,
        "foot_height": np.array([0.1, 0.1]),
        "hand_height": np.array([0.9, 0.9]),
        "knee_height": np.array([0.5, 0.5]),
        "foot_force": np.array([250.0, 250.0]),
        "hand_force": np.zeros(2),
        "knee_force": np.zeros(2),
        "weight": WEIGHT,
        "action": np.zeros(NU),
        "previous_action": np.zeros(NU),
        "phase": Phase.STANDING.value,
    } | changes
    return ContinuingInputs(
        **{k: jnp.asarray(v, jnp.int32 if k == "phase" else jnp.float32) for k, v in values.items()},
        control_dt=DT,
    )


def _lying(**changes: object) -> ContinuingInputs:
    """On its back: arms and feet rest on the ground."""
    values: dict[str, object] = {
        "height": 0.12,
        "previous_height": 0.12,
        "head_height": 0.12,
        "up": 0.0,
        "pose_distance": 0.3,
        "foot_height": np.array([0.05, 0.05]),
        "hand_height": np.array([0.03, 0.03]),
        "knee_height": np.array([0.08, 0.08]),
        "foot_force": np.array([15.0, 15.0]),
        "hand_force": np.array([15.0, 15.0]),
        "phase": Phase.FALLEN.value,
    }
    return _inputs(**(values | changes))


@functools.cache
def _jitted(name: str) -> Callable[[ContinuingInputs], dict[str, jax.Array]]:
    return jax.jit(continuing_reward(name))


def _terms(name: str, inputs: ContinuingInputs) -> dict[str, float]:
    return {term: float(value) for term, value in _jitted(name)(inputs).items()}


def _sum(name: str, inputs: ContinuingInputs) -> float:
    return sum(_terms(name, inputs).values())


def _assert_terms(name: str, inputs: ContinuingInputs, expected: dict[str, float]) -> None:
    terms = _terms(name, inputs)
    assert set(terms) == set(expected)
    for term, value in expected.items():
        assert terms[term] == pytest.approx(value, rel=1e-5, abs=1e-7), term


def test_seed_standing():
    # z = 1, up = 1: s = min(1, .75 / .45) = 1, b = 1, F = .15 (1 - 1) = 0
    inputs = _inputs(
        control=np.full(NU, 0.4),
        pose_distance=0.5,
        strain=np.array([0.0, 0.5, 0.5, 0.0]),
        foot_height=np.array([0.05, -0.02]),
        velocity=np.array([0.0, 0.0, 0.4]),
    )
    expected = {
        "alive": 0.0025,  # .05 * .05
        "height": 0.2,  # .20 exp(-5 (1 - 1)²)
        "orientation": 0.15,  # .15 * 1 * 1 * (1 + 1) / 2
        "energy": 0.0295238018,  # .03 exp(-.1 * .16)
        "recovery": 0.0,
        "imitation": 0.0441455329,  # .12 * 1 * exp(-2 * .5)
        "upward_velocity": 0.0,  # not from .9 of the standing height on
        "comfort": 0.0606530660,  # .10 * 1 * exp(-2 * .25)
        "foot_support": 0.132293880,  # .15 (.6 (exp(-.5) + 1) / 2 + .4 * 1) = .15 (.6 * .803265330 + .4)
        "hand_brace": 5.92367e-6,  # .08 (.6 exp(-9) + 0) = .048 * 1.23410e-4
        "active_support": 0.0466666667,  # .07 * 2 / 3: two feet
        "phase_bonus": 0.4,
    }
    _assert_terms("seed", inputs, expected)


def test_seed_lying():
    # z = .2: s = 0, b = 0, factor 1 + 1.5 = 2.5; max(s, .3) = .3, F = .15 * .7 = .105
    inputs = _lying(
        height=0.2,
        previous_height=0.195,
        velocity=np.array([0.0, 0.0, 0.25]),
        strain=np.full(NU, 0.25),
        pose_distance=0.5,
        foot_height=np.zeros(2),
        foot_force=np.array([50.0, 75.0]),
    )
    expected = {
        "alive": 0.0025,
        "height": 0.1315,  # (.20 + .6 * .105) * 2.5 * .2 = .263 * .5
        "orientation": 0.05625,  # .15 * .3 * 2.5 * (0 + 1) / 2
        "energy": 0.01,  # fallen: .01 * exp(0)
        "recovery": 0.05,  # .10 (1 - 0) * .005 / .01
        "imitation": 0.00662182994,  # .12 * .15 * exp(-1)
        "upward_velocity": 0.071,  # (.10 + .4 * .105) * 2 * .25 = .142 * .5
        "comfort": 0.0121306132,  # .10 * .2 * exp(-.5)
        "foot_support": 0.01575,  # .15 * .15 (.6 * 1 + .4 * 125 / 500) = .0225 * .7
        "hand_brace": 0.0,
        "active_support": 0.0,
        "phase_bonus": 0.0,
    }
    _assert_terms("seed", inputs, expected)


def test_seed_getting_up_on_all_fours():
    # z = .34, up = .5035: s = (.09 / .45) (.2035 / .407) = .2 * .5 = .1, b = .3, factor 1 + 1.5 * .7 = 2.05
    # max(s, .3) = .3, F = .105
    inputs = _inputs(
        height=0.34,
        previous_height=0.3,
        up=0.5035,
        velocity=np.array([0.3, 0.0, 0.8]),
        hand_height=np.array([0.0, 0.1]),
        foot_force=np.array([100.0, 0.0]),
        hand_force=np.array([75.0, 0.0]),
        knee_height=np.array([0.04, 0.06]),
        phase=Phase.RECOVERING.value,
    )
    expected = {
        "alive": 0.0025,
        "height": 0.183311,  # .263 * 2.05 * .34
        "orientation": 0.0693489375,  # .15 * .3 * 2.05 * 1.5035 / 2 = .09225 * .75175
        "energy": 0.03,
        "recovery": 0.09,  # .10 * .9 * min(1, .04 / .01)
        "imitation": 0.018,  # .12 * max(.1, .15) * exp(0)
        "upward_velocity": 0.132,  # (.10 * .9 + .4 * .105) * min(1, 1.6)
        "comfort": 0.044,  # .10 (.2 + .8 * .3)
        # .15 (.15 + .85 * .3) (.6 exp(-1) + .4 * 100 / 500) = .06075 (.220727665 + .08)
        "foot_support": 0.0182692056,
        # .08 * .3 (.6 (1 + exp(-1)) / 2 + .4 * 75 / 150) = .024 (.410363832 + .2)
        "hand_brace": 0.0146487320,
        "active_support": 0.021,  # .07 * .3 * min(1, 3 / 3): a loaded foot, a low hand, a low knee
        "phase_bonus": 0.15,
    }
    _assert_terms("seed", inputs, expected)


def test_seed_half_way_and_too_tall():
    # z = .475, up = 1: s = .5, b = 1, max(s, .3) = .5, F = .075
    terms = _terms("seed", _inputs(height=0.475, velocity=np.array([0, 0, 0.25])))
    assert terms["height"] == pytest.approx(0.116375, rel=1e-5)  # (.20 + .6 * .075) * .475
    assert terms["orientation"] == pytest.approx(0.075, rel=1e-5)  # .15 * .5
    assert terms["upward_velocity"] == pytest.approx(0.04, rel=1e-5)  # (.10 * .5 + .4 * .075) * .5
    # A jump to 1.2 m: .20 exp(-5 * .04) = .20 exp(-.2)
    assert _terms("seed", _inputs(height=1.2))["height"] == pytest.approx(0.163746151, rel=1e-5)
    for phase, bonus in zip(Phase, (0.0, 0.15, 0.40, 0.50), strict=True):
        assert _terms("seed", _inputs(phase=phase.value))["phase_bonus"] == pytest.approx(bonus)


def test_default_standing():
    inputs = _inputs(
        velocity=np.array([0.15, 0.2, 0.0]),
        pose_distance=0.25,
        foot_force=np.array([300.0, 100.0]),
        hand_force=np.array([10.0, 0.0]),
        action=np.array([1.0, 0.0, 0.0, 1.0]),
        previous_action=np.array([0.0, 0.0, 1.0, 0.0]),
        motor_use=np.array([1.0, 0.0, 0.0, 0.2]),
        strain=np.array([0.5, 0.1, 0.0, 0.0]),
    )
    expected = {
        "alive": 0.02,
        "height": 0.18,
        "head": 0.1,
        "orientation": 0.1,
        "standing": 0.249216250,  # .40 exp(-(.15² + .2²) / .5²) * 400 / 500 = .32 exp(-.25)
        "foot_support": 0.08,  # .10 * 400 / 500
        "hand_brace": 0.0,  # only while low
        "imitation": 0.0363918396,  # .06 exp(-2 * .25)
        "upward_velocity": 0.0,
        # Three of four actions change by 1 in .05 s: x = .75 * 20² / 20² = .75; -.02 * .75 / 1.75
        "action_rate": -0.00857142857,
        "energy": -0.0052,  # -.02 * (1 + .04) / 4
        "comfort": -0.003,  # -.02 * .6 / 4
    }
    _assert_terms("default", inputs, expected)


def test_default_half_way():
    # A body of two metres: height 1.05 / 2 = .525 is half the way from .10 to .95: x + x² - x³ =
    # .5 + .25 - .125 = .625; head .27 of its height is .2 of the way: .2 + .04 - .008 = .232
    # up = .5035: upright ((1.5035) / 2)² = .565128063; blend = .5 * .2035 / .407 = .25
    inputs = _inputs(
        height=1.05,
        previous_height=1.03,
        standing_height=2.0,
        head_height=0.81,
        standing_head_height=3.0,
        up=0.5035,
        foot_force=np.array([100.0, 100.0]),
        hand_force=np.array([45.0, 30.0]),
    )
    expected = {
        "alive": 0.02,
        "height": 0.1125,  # .18 * .625
        "head": 0.0232,  # .10 * .232
        "orientation": 0.0565128063,
        "standing": 0.0131109711,  # .40 * .625 * .232 * .565128063 * 1 * .4
        "foot_support": 0.04,
        "hand_brace": 0.015,  # .04 (1 - .25) * 75 / (.3 * 500)
        "imitation": 0.024,  # .06 (.2 + .8 * .25)
        "upward_velocity": 0.008,  # .04 * (.525 - .515) / .05
        "action_rate": 0.0,
        "energy": 0.0,
        "comfort": 0.0,
    }
    _assert_terms("default", inputs, expected)


def test_default_upward_velocity():
    def climb(before: float, after: float) -> float:
        return _terms("default", _inputs(previous_height=before, height=after))["upward_velocity"]

    assert climb(0.4, 0.42) == pytest.approx(0.016, rel=1e-4)  # .04 * .02 / .05
    assert climb(0.42, 0.4) == pytest.approx(-0.016, rel=1e-4)
    assert climb(0.4, 0.6) == pytest.approx(0.04)  # at most one height per second
    assert climb(0.88, 0.95) == pytest.approx(0.016, rel=1e-4)  # .04 * (.90 - .88) / .05
    assert climb(0.95, 1.3) == 0.0  # a hop from the feet
    assert climb(0.9, 0.0) == pytest.approx(-0.2)  # a teleport: at most five heights per second


def test_standing_is_worth_at_least_five_times_lying():
    standing, lying = _sum("default", _inputs()), _sum("default", _lying())
    assert 0.9 < standing <= 1.0
    assert 0.0 < lying < 0.2 * standing
    # Nor does pressing hands and feet to the ground in a reference pose make it worth while
    pressing = _lying(hand_force=np.full(2, 75.0), foot_force=np.full(2, 50.0), pose_distance=0.0)
    assert _sum("default", pressing) < 0.2 * standing


def test_every_stage_of_getting_up_is_worth_more_than_the_one_before():
    on_hands = {"hand_force": np.full(2, 100.0), "hand_height": np.zeros(2)}
    stages = [
        _lying(),
        _lying(head_height=0.35, hand_force=np.full(2, 60.0)),  # propped up on its arms
        _inputs(height=0.45, head_height=0.55, up=0.1, foot_force=np.full(2, 60.0), **on_hands),  # all fours
        _inputs(height=0.45, head_height=0.7, up=0.6, foot_force=np.full(2, 180.0)),  # squat
        _inputs(height=0.7, head_height=1.2, up=0.9),
        _inputs(),
    ]
    worth = [_sum("default", s.replace(previous_height=s.height)) for s in stages]
    assert all(b > a + 0.02 for a, b in itertools.pairwise(worth)), worth


@given(st.lists(st.floats(-1.0, 1.0), min_size=24, max_size=24), st.floats(0.0, 1.2))
@settings(max_examples=100, deadline=None)
def test_rocking_and_hopping_earn_nothing(steps, start):
    """Any way back to where it began, at up to five heights per second, sums to at most zero."""
    limit = 5.0 * DT
    way = [start, *np.clip(start + np.cumsum(limit * np.array(steps)), 0.0, 1.5)]
    gap = start - way[-1]
    way += list(way[-1] + gap * np.arange(1, 9) / 8)  # at most 1.5 heights in eight steps
    heights = jnp.asarray(way, jnp.float32)
    assert float(_climbs()(heights[:-1], heights[1:]).sum()) <= 1e-5


@functools.cache
def _climbs() -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The default's upward velocity of every step between two heights."""
    standing = _inputs()

    def climb(before: jax.Array, after: jax.Array) -> jax.Array:
        inputs = standing.replace(previous_height=before, height=after)
        return continuing_reward("default")(inputs)["upward_velocity"]

    return jax.jit(jax.vmap(climb))


def test_hopping_is_worth_less_than_standing():
    """A hop at every other step: in the air without support, on the ground at the speed of take-off."""
    up, down = np.array([0.0, 0.0, 1.5]), np.array([0.0, 0.0, -1.5])
    hop = [
        _inputs(height=0.85, previous_height=0.8, velocity=up, foot_force=np.full(2, 600.0)),
        _inputs(height=1.0, previous_height=0.85, velocity=0 * up, foot_force=np.zeros(2)),
        _inputs(height=0.8, previous_height=1.0, velocity=down, foot_force=np.full(2, 600.0)),
    ]
    assert sum(_sum("default", h) for h in hop) < 0.7 * 3 * _sum("default", _inputs())


@given(st.floats(0.0, 1.2), st.floats(0.0, 0.3), st.floats(-1.0, 1.0), st.floats(0.0, 1.0))
@settings(max_examples=100, deadline=None)
def test_higher_and_more_upright_never_pay_less(height, more, up, load):
    def worth(height: float, up: float) -> float:
        force = np.full(2, 250.0 * load)
        at = {"height": height, "previous_height": height, "head_height": 1.6 * height, "up": up}
        # Load on hands and feet, as on all fours
        return _sum("default", _inputs(**at, foot_force=force, hand_force=force))

    assert worth(height + more, up) >= worth(height, up) - 1e-6
    assert worth(height, min(up + more, 1.0)) >= worth(height, up) - 1e-6


wild = st.floats(-1e6, 1e6, width=32)
wild_pair = st.tuples(wild, wild)
share = st.floats(0.0, 1.0, width=32)
WILD = st.fixed_dictionaries(
    {
        "height": st.floats(0.0, 1e6, width=32),
        "previous_height": wild,
        "standing_height": st.floats(0.25, 4.0, width=32),
        "head_height": wild,
        "standing_head_height": st.floats(0.25, 4.0, width=32),
        "up": st.floats(-1.0, 1.0, width=32),
        "velocity": st.tuples(wild, wild, wild),
        "control": st.tuples(*[wild] * NU),
        "motor_use": st.tuples(*[share] * NU),
        "strain": st.tuples(*[share] * NU),
        "pose_distance": st.floats(0.0, 1e6, width=32),
        "foot_height": wild_pair,
        "hand_height": wild_pair,
        "knee_height": wild_pair,
        "foot_force": wild_pair,
        "hand_force": wild_pair,
        "knee_force": wild_pair,
        "weight": st.floats(1.0, 2000.0, width=32),
        "action": st.tuples(*[st.floats(-(2.0**100), 2.0**100, width=32)] * NU),
        "previous_action": st.tuples(*[wild] * NU),
        "phase": st.sampled_from([p.value for p in Phase]),
    }
)
# Smallest and largest value of every term
BOUNDS: dict[str, dict[str, tuple[float, float]]] = {
    "default": {
        "alive": (0.02, 0.02),
        "height": (0, 0.18),
        "head": (0, 0.1),
        "orientation": (0, 0.1),
        "standing": (0, 0.4),
        "foot_support": (0, 0.1),
        "hand_brace": (0, 0.04),
        "imitation": (0, 0.06),
        "upward_velocity": (-0.2, 0.04),
        "action_rate": (-0.02, 0),
        "energy": (-0.02, 0),
        "comfort": (-0.02, 0),
    },
    "seed": {
        "alive": (0.0025, 0.0025),
        "height": (0, 0.263 * 2.5 * 0.7 / 0.25),  # lying flat on a body of 25 cm
        "orientation": (0, 0.15),
        "energy": (0, 0.03),
        "recovery": (0, 0.1),
        "imitation": (0, 0.12),
        "upward_velocity": (0, 0.142),
        "comfort": (0, 0.1),
        "foot_support": (0, 0.15),
        "hand_brace": (0, 0.08),
        "active_support": (0, 0.07),
        "phase_bonus": (0, 0.5),
    },
}


@pytest.mark.parametrize("name", sorted(CONTINUING_REWARDS))
@given(values=WILD)
@settings(max_examples=150, deadline=None)
def test_every_term_is_finite_and_bounded(name, values):
    terms = _terms(name, _inputs(**values))
    assert set(terms) == set(BOUNDS[name])
    for term, (low, high) in BOUNDS[name].items():
        assert low - 1e-6 <= terms[term] <= high + 1e-6, term


@pytest.mark.parametrize("factor", [0.25, 4.0])
def test_the_default_is_the_same_for_bodies_of_all_sizes(factor):
    inputs = _inputs(
        height=0.6, previous_height=0.58, head_height=1.0, up=0.6, velocity=np.array([0.1, 0.2, 0.3])
    )
    lengths = (
        "height",
        "previous_height",
        "standing_height",
        "head_height",
        "standing_head_height",
        "velocity",
    )
    forces = ("foot_force", "hand_force", "knee_force", "weight")
    scaled = {name: factor * getattr(inputs, name) for name in lengths}
    scaled |= {name: factor**3 * getattr(inputs, name) for name in forces}
    before, after = _terms("default", inputs), _terms("default", inputs.replace(**scaled))
    assert after == pytest.approx(before, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("name", sorted(CONTINUING_REWARDS))
def test_many_worlds_at_once_and_their_total(name):
    worlds = [_inputs(), _lying()]
    batch = jax.tree.map(lambda *x: jnp.stack(x), *worlds)
    rewards = jax.jit(jax.vmap(lambda i: total(continuing_reward(name)(i))))(batch)
    np.testing.assert_allclose(rewards, [_sum(name, w) for w in worlds], rtol=1e-5)
    with pytest.raises(AssertionError):
        continuing_reward(name)(batch)


def _standing_walker() -> tuple[PhysicsState, mujoco.MjModel]:
    physics = NativePhysics(walker(), 0.005, 4)
    state = physics.init({}, jnp.asarray(walker().standing_qpos, jnp.float32), jnp.zeros(physics.model.nv))
    step = jax.jit(lambda s: physics.step({}, s, jnp.zeros(physics.model.nu)))
    for _ in range(20):
        state = step(state)
    return state, physics.model


def _originals_support(model: mujoco.MjModel, state: PhysicsState, body: int) -> float:
    """max(0, Σ f n_z) with the original's normal: +n for the first geom's body, -n for the second's."""
    data = mujoco.MjData(model)
    data.qpos, data.qvel = state.kinematics.qpos, state.kinematics.qvel
    mujoco.mj_forward(model, data)
    support, force = 0.0, np.zeros(6)
    for i, contact in enumerate(data.contact):
        mujoco.mj_contactForce(model, data, i, force)
        first, second = (int(model.geom_bodyid[g]) for g in contact.geom)
        sign = 1.0 if first == body else -1.0 if second == body else 0.0
        support += sign * force[0] * contact.frame[2]
    return max(0.0, support)


@pytest.mark.parametrize("name", sorted(CONTINUING_REWARDS))
def test_feet_that_carry_the_body_pay_for_it(name):
    """The original's normal points into the ground, so that its support was always zero."""
    state, model = _standing_walker()
    weight = float(model.body_mass.sum() * 9.81)
    feet = [model.body(n).id for n in ("LeftFoot", "RightFoot")]
    assert [_originals_support(model, state, foot) for foot in feet] == [0.0, 0.0]

    force = state.ground_force[np.array(feet), 2]
    assert (np.asarray(force) > 0.2 * weight).all()
    assert float(force.sum()) == pytest.approx(weight, rel=0.1)
    carried = _terms(name, _inputs(foot_force=force, weight=weight))["foot_support"]
    lost = _terms(name, _inputs(foot_force=np.zeros(2), weight=weight))["foot_support"]
    share = {"seed": 0.15 * 0.4, "default": 0.1}[name]
    assert carried - lost == pytest.approx(share, rel=0.1)


def test_joint_strain():
    # Ranges [-1, 1] and [-2, .5] (middle -.75, half 1.25); bends 0, .5, 1, and beyond the limit
    angle = jnp.array([0.0, 0.5, 0.5, -9.0])
    joint_range = jnp.array([[-1.0, 1.0], [-1.0, 1.0], [-2.0, 0.5], [-2.0, 0.5]])
    torque, limit = jnp.array([0.0, 50.0, -20.0, 500.0]), jnp.array([10.0, 100.0, 20.0, 100.0])
    # .8 * 0; .8 * .25 + .2 * .25; .8 + .2; .8 + .2
    np.testing.assert_allclose(
        joint_strain(angle, joint_range, torque, limit), [0.0, 0.25, 1.0, 1.0], atol=1e-6
    )
    np.testing.assert_allclose(motor_use(torque, limit), [0.0, 0.5, 1.0, 1.0])


@given(st.tuples(wild, wild, wild, wild), st.floats(0.0, 1e4, width=32), st.floats(0.0, 1e4, width=32))
@settings(max_examples=50, deadline=None)
def test_strain_is_bounded_whatever_the_hinge(angle, width, limit):
    """Locked hinges and motors without strength included."""
    joint_range = jnp.tile(jnp.array([-width, width]), (NU, 1))
    strain = joint_strain(jnp.asarray(angle), joint_range, jnp.asarray(angle), jnp.full(NU, limit))
    assert ((np.asarray(strain) >= 0) & (np.asarray(strain) <= 1)).all()


def test_nearest_pose():
    poses = jnp.array([[0.0, 0.0], [1.0, 1.0], [-1.0, 2.0]])
    # From (1, .4): sqrt((1 + .16) / 2), sqrt((0 + .36) / 2), sqrt((4 + 2.56) / 2)
    assert float(nearest_pose_distance(jnp.array([1.0, 0.4]), poses)) == pytest.approx(0.424264069)
    assert float(nearest_pose_distance(poses[2], poses)) == 0.0
    with pytest.raises(AssertionError):
        nearest_pose_distance(jnp.zeros(3), poses)


def test_shapes():
    up = jnp.asarray(1.0)
    # Half way between .25 and .7, upright; half upright: (.5035 - .3) / .407; lying on the side
    assert float(stand_blend(jnp.asarray(0.475), 0.25, 0.7, up)) == pytest.approx(0.5)
    assert float(stand_blend(jnp.asarray(0.475), 0.25, 0.7, jnp.asarray(0.5035))) == pytest.approx(0.25)
    assert float(stand_blend(jnp.asarray(2.0), 0.25, 0.7, jnp.asarray(0.0))) == 0.0
    # (exp(-10 * .1) + 1) / 2: below the ground is on it
    assert float(proximity(jnp.array([0.1, -0.5]))) == pytest.approx((math.exp(-1) + 1) / 2)
    # (30 + 20) / 200; never more than the weight; a pull does not carry
    weight = jnp.asarray(200.0)
    assert float(load_share(jnp.array([30.0, 20.0]), weight)) == pytest.approx(0.25)
    assert float(load_share(jnp.array([300.0, 20.0]), weight)) == 1.0
    assert float(load_share(jnp.array([-30.0, 20.0]), weight)) == 0.0


def test_an_unknown_name_gets_the_near_match():
    with pytest.raises(UserError, match=r"continuing reward 'sed'.*seed"):
        continuing_reward("sed")
