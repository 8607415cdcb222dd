"""Tracking rewards against numbers worked out by hand and the symmetries that they promise."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import jax
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from synthjax.errors import UserError
from synthjax.rewards import TRACKING_REWARDS, TrackingInputs, total, tracking_reward
from synthjax.types import Kinematics

ROOT, LEFT, RIGHT = 1, 2, 3  # row 0 is the world
NUM_HINGES = 4


def _kinematics() -> Kinematics:
    """A root at (1, 2, 0.9) that faces +x, two bodies beside it, everything at rest."""
    xpos = np.array([[0, 0, 0], [1, 2, 0.9], [1.1, 2.3, 0.4], [1.2, 1.7, 0.5]], float)
    xquat = np.tile([1.0, 0, 0, 0], (4, 1))
    return Kinematics(
        qpos=np.concatenate([xpos[ROOT], xquat[ROOT], np.zeros(NUM_HINGES)]),
        qvel=np.zeros(6 + NUM_HINGES),
        xpos=xpos,
        xquat=xquat,
        linvel=np.zeros((4, 3)),
        angvel=np.zeros((4, 3)),
    )


def _inputs(body: Kinematics, reference: Kinematics | None = None, **changes: object) -> TrackingInputs:
    inputs = TrackingInputs(
        body=body,
        reference=_kinematics() if reference is None else reference,
        action=np.zeros(NUM_HINGES),
        previous_action=np.zeros(NUM_HINGES),
        joint_range=np.tile(np.array([-1.0, 1.0]), (NUM_HINGES, 1)),
        undesired_contacts=np.zeros(()),
        foot_slip=np.zeros(()),
        root=ROOT,
        key_bodies=(LEFT, RIGHT),
        bodies=(ROOT, LEFT, RIGHT),
    )
    return inputs.replace(**changes)


def _set(array: np.ndarray, where: object, value: object) -> np.ndarray:
    result = array.copy()
    result[where] = value
    return result


def _add(array: np.ndarray, where: object, value: object) -> np.ndarray:
    return _set(array, where, array[where] + value)


@functools.cache
def _jitted(name: str) -> Callable[[TrackingInputs], dict[str, jax.Array]]:
    return jax.jit(tracking_reward(name))


def _terms(name: str, inputs: TrackingInputs) -> dict[str, float]:
    return {term: float(value) for term, value in _jitted(name)(inputs).items()}


def _quat(rotation: Rotation) -> np.ndarray:
    """w x y z."""
    return np.roll(rotation.as_quat(), 1, axis=-1)


def _tilted(k: Kinematics, angle: float) -> Kinematics:
    """The root frame alone turned by ``angle`` about the world's y axis (no change of heading)."""
    quat = _quat(Rotation.from_euler("y", angle))
    return k.replace(xquat=_set(k.xquat, ROOT, quat), qpos=_set(k.qpos, np.s_[3:7], quat))


def _rigidly_moved(k: Kinematics, yaw: float, shift: tuple[float, float, float]) -> Kinematics:
    """The whole scene turned about the world's z axis and shifted."""
    turn = Rotation.from_euler("z", yaw)
    bodies = np.arange(4) > 0
    rotated = turn.apply(k.xpos) + np.array(shift)
    xpos = np.where(bodies[:, None], rotated, 0.0)
    old = Rotation.from_quat(np.roll(k.xquat, -1, axis=-1))
    xquat = np.where(bodies[:, None], _quat(turn * old), k.xquat)
    return k.replace(
        qpos=np.concatenate([xpos[ROOT], xquat[ROOT], k.qpos[7:]]),
        xpos=xpos,
        xquat=xquat,
        linvel=turn.apply(k.linvel),
        angvel=turn.apply(k.angvel),
    )


def _random_scene(seed: int) -> Kinematics:
    """A root with any heading and a moderate tilt, everything else random."""
    rng = np.random.default_rng(seed)
    attitude = Rotation.from_euler("zyx", [rng.uniform(-3, 3), *rng.uniform(-0.5, 0.5, 2)])
    bodies = [Rotation.identity(), attitude, *Rotation.random(2, rng=rng)]
    xquat = np.stack([_quat(r) for r in bodies])
    xpos = np.concatenate([np.zeros((1, 3)), rng.normal(0, 0.15, (3, 3))])
    return Kinematics(
        qpos=np.concatenate([xpos[ROOT], xquat[ROOT], rng.uniform(-1.2, 1.2, NUM_HINGES)]),
        qvel=rng.normal(0, 1, 6 + NUM_HINGES),
        xpos=xpos,
        xquat=xquat,
        linvel=rng.normal(0, 0.5, (4, 3)),
        angvel=rng.normal(0, 0.5, (4, 3)),
    )


def _assert_terms(name: str, inputs: TrackingInputs, changed: dict[str, float]) -> None:
    """The terms in ``changed`` have these values; all others are what they are at zero error."""
    terms = _terms(name, inputs)
    expected = {**MAXIMA[name], **changed}
    assert set(terms) == set(expected)
    for term, value in expected.items():
        assert terms[term] == pytest.approx(value, rel=1e-5, abs=1e-7), term


MAXIMA: dict[str, dict[str, float]] = {
    "deepmimic": {
        "pose": 0.5,
        "velocity": 0.1,
        "root_pose": 0.15,
        "root_velocity": 0.1,
        "key_bodies": 0.15,
    },
    "seed": {"pose": 0.5, "velocity": 0.1, "root_pose": 0.15, "root_velocity": 0.1, "key_bodies": 0.15},
    "precise": {
        "pose": 0.3,
        "velocity": 0.1,
        "root_pose": 0.2,
        "root_velocity": 0.1,
        "key_bodies": 0.3,
        "place": 0.4,
        "still": 0.5,
    },
    "beyondmimic": {
        "anchor_position": 0.5,
        "anchor_orientation": 0.5,
        "body_position": 1.0,
        "body_orientation": 1.0,
        "linear_velocity": 1.0,
        "angular_velocity": 1.0,
        "action_rate": 0.0,
        "joint_limit": 0.0,
        "undesired_contact": 0.0,
    },
}


@pytest.mark.parametrize(
    ("name", "maximum"), [("deepmimic", 1.0), ("seed", 1.0), ("precise", 1.9), ("beyondmimic", 5.0)]
)
def test_a_perfect_match_gives_the_sum_of_the_weights(name, maximum):
    inputs = _inputs(_kinematics())
    _assert_terms(name, inputs, {})
    assert float(total(_jitted(name)(inputs))) == pytest.approx(maximum, rel=1e-6)


def test_deepmimic_of_one_deviation_at_a_time():
    k = _kinematics()
    # Hinge errors 0.4 and -0.2 rad: 0.5 exp(-0.25 (0.16 + 0.04)) = 0.5 exp(-0.05)
    body = k.replace(qpos=_set(k.qpos, np.s_[7:9], [0.4, -0.2]))
    _assert_terms("deepmimic", _inputs(body), {"pose": 0.475614712})
    # Hinge rates 3 and 4 rad/s: 0.1 exp(-0.01 (9 + 16)) = 0.1 exp(-0.25)
    body = k.replace(qvel=_set(k.qvel, np.s_[6:8], [3.0, 4.0]))
    _assert_terms("deepmimic", _inputs(body), {"velocity": 0.0778800783})
    # Whole body 0.3, 0, 0.1 m away: 0.15 exp(-5 (0.09 + 0.01)) = 0.15 exp(-0.5)
    body = _rigidly_moved(k, 0.0, (0.3, 0.0, 0.1))
    _assert_terms("deepmimic", _inputs(body), {"root_pose": 0.0909795990})
    # Root tilted by 0.6 rad: 0.15 exp(-5 * 0.1 * 0.36) = 0.15 exp(-0.18)
    _assert_terms("deepmimic", _inputs(_tilted(k, 0.6)), {"root_pose": 0.125290532})
    # Root at 0.6 and 0.8 m/s, turning at 2 rad/s: 0.1 exp(-(0.36 + 0.64 + 0.1 * 4)) = 0.1 exp(-1.4)
    body = k.replace(
        linvel=_set(k.linvel, ROOT, [0.6, 0.0, 0.8]),
        angvel=_set(k.angvel, ROOT, [0.0, 2.0, 0.0]),
    )
    _assert_terms("deepmimic", _inputs(body), {"root_velocity": 0.0246596964})
    # One key body 0.2 m off, the other 0.1 m: 0.15 exp(-10 (0.04 + 0.01)) = 0.15 exp(-0.5)
    body = k.replace(xpos=_add(_add(k.xpos, np.s_[LEFT, 0], 0.2), np.s_[RIGHT, 2], -0.1))
    _assert_terms("deepmimic", _inputs(body), {"key_bodies": 0.0909795990})


def test_precise_of_one_deviation_at_a_time():
    k = _kinematics()
    # Hinge errors 0.4 and -0.2 rad: 0.3 exp(-0.5 (0.16 + 0.04)) = 0.3 exp(-0.1)
    body = k.replace(qpos=_set(k.qpos, np.s_[7:9], [0.4, -0.2]))
    _assert_terms("precise", _inputs(body), {"pose": 0.271451225})
    # Whole body 0.06, 0, 0.08 m away: 0.2 exp(-10 (0.0036 + 0.0064)) = 0.2 exp(-0.1), 0.4 exp(-100 * 0.01)
    body = _rigidly_moved(k, 0.0, (0.06, 0.0, 0.08))
    _assert_terms("precise", _inputs(body), {"root_pose": 0.180967484, "place": 0.147151776})
    # One key body 0.2 m off, the other 0.1 m: 0.3 exp(-10 (0.04 + 0.01)) = 0.3 exp(-0.5)
    body = k.replace(xpos=_add(_add(k.xpos, np.s_[LEFT, 0], 0.2), np.s_[RIGHT, 2], -0.1))
    _assert_terms("precise", _inputs(body), {"key_bodies": 0.181959198})
    # Feet that slide at 0.2 m/s: 0.5 exp(-5 * 0.2) = 0.5 exp(-1)
    _assert_terms("precise", _inputs(k, foot_slip=np.asarray(0.2)), {"still": 0.183939721})


def test_seed_of_one_deviation_at_a_time():
    k = _kinematics()
    # Hinge errors 0.4, -0.2, 0, 0 rad: mean square 0.2 / 4 = 0.05; 0.5 exp(-2 * 0.05) = 0.5 exp(-0.1)
    body = k.replace(qpos=_set(k.qpos, np.s_[7:9], [0.4, -0.2]))
    _assert_terms("seed", _inputs(body), {"pose": 0.452418709})
    # Hinge rates 3, 4, 0, 0 rad/s: mean square 25 / 4 = 6.25; 0.1 exp(-0.625)
    body = k.replace(qvel=_set(k.qvel, np.s_[6:8], [3.0, 4.0]))
    _assert_terms("seed", _inputs(body), {"velocity": 0.0535261429})
    # Whole body 5 m away on the floor and 0.1 m up: only height counts, 0.15 exp(-5 * 0.01)
    body = _rigidly_moved(k, 0.0, (3.0, 4.0, 0.1))
    _assert_terms("seed", _inputs(body), {"root_pose": 0.142684414})
    # Root tilted by 0.6 rad: 0.15 exp(-5 * 0.36) = 0.15 exp(-1.8)
    _assert_terms("seed", _inputs(_tilted(k, 0.6)), {"root_pose": 0.0247948332})
    # Root at 0.6 and 0.8 m/s, turning at 0.5 rad/s: 0.1 exp(-(1 + 0.25)) = 0.1 exp(-1.25)
    body = k.replace(
        linvel=_set(k.linvel, ROOT, [0.6, 0.0, 0.8]),
        angvel=_set(k.angvel, ROOT, [0.0, 0.5, 0.0]),
    )
    _assert_terms("seed", _inputs(body), {"root_velocity": 0.0286504797})
    # Key bodies 0.2 and 0.1 m off: mean square (0.04 + 0.01) / 2; 0.15 exp(-10 * 0.025) = 0.15 exp(-0.25)
    body = k.replace(xpos=_add(_add(k.xpos, np.s_[LEFT, 0], 0.2), np.s_[RIGHT, 2], -0.1))
    _assert_terms("seed", _inputs(body), {"key_bodies": 0.116820117})


def test_beyondmimic_of_one_deviation_at_a_time():
    k = _kinematics()
    # 0.3 m away on the floor: 0.5 exp(-0.09 / 0.3²) = 0.5 exp(-1); aligned bodies see nothing of it
    body = _rigidly_moved(k, 0.0, (0.0, 0.3, 0.0))
    _assert_terms("beyondmimic", _inputs(body), {"anchor_position": 0.183939721})
    # 0.15 m too high: anchor and all three bodies off by 0.15 m: exp(-0.0225 / 0.09) = exp(-0.25)
    body = _rigidly_moved(k, 0.0, (0.0, 0.0, 0.15))
    _assert_terms(
        "beyondmimic", _inputs(body), {"anchor_position": 0.389400392, "body_position": 0.778800783}
    )
    # Root tilted by 0.4 rad: anchor 0.5 exp(-0.16 / 0.16); bodies exp(-(0.16 / 3) / 0.16) = exp(-1 / 3)
    _assert_terms(
        "beyondmimic",
        _inputs(_tilted(k, 0.4)),
        {"anchor_orientation": 0.183939721, "body_orientation": 0.716531311},
    )
    # One of three bodies 0.3 m off: exp(-(0.09 / 3) / 0.09) = exp(-1 / 3)
    body = k.replace(xpos=_add(k.xpos, np.s_[LEFT, 2], 0.3))
    _assert_terms("beyondmimic", _inputs(body), {"body_position": 0.716531311})
    # One of three bodies at 1.5 m/s: exp(-2.25 / 3) = exp(-0.75)
    body = k.replace(linvel=_set(k.linvel, np.s_[RIGHT, 1], 1.5))
    _assert_terms("beyondmimic", _inputs(body), {"linear_velocity": 0.472366553})
    # One of three bodies turning at 3.14 rad/s: exp(-(3.14² / 3) / 3.14²) = exp(-1 / 3)
    body = k.replace(angvel=_set(k.angvel, np.s_[RIGHT, 0], 3.14))
    _assert_terms("beyondmimic", _inputs(body), {"angular_velocity": 0.716531311})


def test_beyondmimic_penalties():
    k = _kinematics()
    # Action steps 1 and -2: -0.1 (1 + 4)
    change = {"action": np.array([1.0, -1, 0, 3]), "previous_action": np.array([0.0, 1, 0, 3])}
    _assert_terms("beyondmimic", _inputs(k, **change), {"action_rate": -0.5})
    # Hinges 0.02 rad above their range, and 0.01 below: -10 * 0.03.  The reference has the same angles.
    beyond = k.replace(qpos=_set(k.qpos, np.s_[7:10], [1.02, -1.01, 0.99]))
    _assert_terms("beyondmimic", _inputs(beyond, beyond), {"joint_limit": -0.3})
    # Two bodies on the ground that should not be: -0.1 * 2
    _assert_terms("beyondmimic", _inputs(k, undesired_contacts=np.asarray(2.0)), {"undesired_contact": -0.2})


@pytest.mark.parametrize("name", sorted(TRACKING_REWARDS))
@pytest.mark.parametrize("seed", range(3))
def test_nothing_changes_when_body_and_reference_move_and_turn_together(name, seed):
    body, reference = _random_scene(seed), _random_scene(seed + 100)
    before = _terms(name, _inputs(body, reference))
    motion = {"yaw": 2.1 + seed, "shift": (3.0, -2.0, 0.0)}
    after = _terms(name, _inputs(_rigidly_moved(body, **motion), _rigidly_moved(reference, **motion)))
    for term, value in before.items():
        assert after[term] == pytest.approx(value, rel=1e-3, abs=1e-6), term


@pytest.mark.parametrize("yaw", [-3.0, 0.7, 2.5])
def test_a_turned_and_shifted_body_loses_root_terms_only(yaw):
    """The body alone stands elsewhere: what is measured after alignment must not see it."""
    k = _random_scene(7)
    away = _rigidly_moved(k, yaw, (2.0, -1.0, 0.0))

    terms = _terms("beyondmimic", _inputs(away, k))
    assert terms["body_position"] == pytest.approx(1.0, abs=1e-5)
    assert terms["body_orientation"] == pytest.approx(1.0, abs=1e-5)
    # The anchor sees all of it: 2² + 1² + what the turn about the origin adds
    offset = away.xpos[ROOT] - k.xpos[ROOT]
    assert terms["anchor_position"] == pytest.approx(0.5 * math.exp(-(offset @ offset) / 0.09), abs=1e-6)
    # A turn about z by yaw is a rotation by yaw whatever the tilt: 0.5 exp(-yaw² / 0.16)
    angle = abs(math.remainder(yaw, 2 * math.pi))
    assert terms["anchor_orientation"] == pytest.approx(0.5 * math.exp(-(angle**2) / 0.16), abs=1e-6)

    terms = _terms("deepmimic", _inputs(away, k))
    assert terms["key_bodies"] == pytest.approx(0.15, abs=1e-6)


def test_seed_key_bodies_ignore_where_the_body_is_but_not_how_it_faces():
    k = _kinematics()
    shifted = _terms("seed", _inputs(_rigidly_moved(k, 0.0, (2.0, 3.0, 0.0))))
    assert shifted["key_bodies"] == pytest.approx(0.15, abs=1e-6)
    # Turned half round, each key body is twice its horizontal distance from the root off:
    # 4 (0.1² + 0.3²) = 0.4 and 4 (0.2² + 0.3²) = 0.52; 0.15 exp(-10 * 0.46) = 0.15 exp(-4.6)
    turned = _terms("seed", _inputs(_rigidly_moved(k, math.pi, (0.0, 0.0, 0.0))))
    assert turned["key_bodies"] == pytest.approx(0.00150777536, rel=1e-4)


def test_a_quaternion_and_its_negative_are_the_same_orientation():
    k = _random_scene(3)
    flipped = k.replace(xquat=-k.xquat, qpos=_set(k.qpos, np.s_[3:7], -k.qpos[3:7]))
    for name in TRACKING_REWARDS:
        same, other = (_terms(name, _inputs(b, k)) for b in (k, flipped))
        for term in same:
            assert other[term] == pytest.approx(same[term], abs=1e-5), (name, term)


def test_an_unknown_name_gets_the_near_match():
    with pytest.raises(UserError, match="deepmimic"):
        tracking_reward("deepmimick")
