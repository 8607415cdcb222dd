"""Quaternion functions against SciPy's rotations."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from synthjax.motion import quaternions as q

_UNIT = st.floats(-1.0, 1.0, width=32)
vectors = st.tuples(_UNIT, _UNIT, _UNIT).map(np.array)
rotations = st.tuples(_UNIT, _UNIT, _UNIT).map(
    lambda v: Rotation.from_rotvec(3.0 * np.array(v) / np.sqrt(3.0))
)
few = settings(max_examples=60, deadline=None)


def quat(rotation: Rotation) -> jax.Array:
    return jnp.asarray(rotation.as_quat(scalar_first=True), jnp.float32)


def same(actual: jax.Array, expected: Rotation, atol: float = 2e-3) -> None:
    angle = (Rotation.from_quat(np.asarray(actual), scalar_first=True).inv() * expected).magnitude()
    np.testing.assert_allclose(angle, 0.0, atol=atol)


@few
@given(rotations, rotations, vectors)
def test_products_and_rotations_of_vectors_match_scipy(a: Rotation, b: Rotation, v: np.ndarray) -> None:
    same(q.quat_mul(quat(a), quat(b)), a * b)
    np.testing.assert_allclose(q.quat_rotate(quat(a), jnp.asarray(v)), a.apply(v), atol=1e-5)
    np.testing.assert_allclose(
        q.quat_rotate_inverse(quat(a), jnp.asarray(v)), a.apply(v, inverse=True), atol=1e-5
    )


@few
@given(rotations, rotations)
def test_logarithm_exponential_and_angle_match_scipy(a: Rotation, b: Rotation) -> None:
    np.testing.assert_allclose(q.quat_log(quat(a)), a.as_rotvec(), atol=1e-5)
    same(q.quat_exp(jnp.asarray(a.as_rotvec(), jnp.float32)), a)
    np.testing.assert_allclose(q.quat_angle(quat(a), -quat(b)), (a.inv() * b).magnitude(), atol=1e-3)


@few
@given(rotations, st.floats(-3.0, 3.0, width=32))
def test_twist_is_what_turning_about_z_adds(a: Rotation, yaw: float) -> None:
    tilt = a.as_rotvec() * [1.0, 1.0, 0.0]  # a rotation about a horizontal axis has no twist
    if np.linalg.norm(tilt) < 3.0:
        turn = Rotation.from_euler("z", yaw)
        same(q.quat_twist(quat(turn * Rotation.from_rotvec(tilt))), turn)


def test_twist_upside_down_is_finite() -> None:
    np.testing.assert_array_equal(q.quat_twist(jnp.array([0.0, 1.0, 0.0, 0.0])), [1.0, 0.0, 0.0, 0.0])


@few
@given(rotations)
def test_6d_is_the_first_two_columns(a: Rotation) -> None:
    matrix = a.as_matrix()
    np.testing.assert_allclose(q.quat_to_6d(quat(a)), np.concatenate([matrix[:, 0], matrix[:, 1]]), atol=1e-5)


@few
@given(rotations, rotations, st.floats(0.0, 1.0, width=32))
def test_slerp_goes_the_shorter_way_at_constant_speed(a: Rotation, b: Rotation, t: float) -> None:
    expected = a * Rotation.from_rotvec(t * (a.inv() * b).as_rotvec())
    if (a.inv() * b).magnitude() < 3.1:  # at half a turn both ways are equally short
        same(q.quat_slerp(quat(a), -quat(b), jnp.asarray(t)), expected)


@few
@given(rotations, st.floats(-3.0, 3.0, width=32))
def test_heading_follows_turns_about_z_and_is_level(a: Rotation, turn: float) -> None:
    ahead = a.apply([1.0, 0.0, 0.0])
    if np.hypot(ahead[0], ahead[1]) < 0.05:  # x points at the sky: no heading to speak of
        return
    heading = q.quat_heading(quat(a))
    np.testing.assert_allclose(heading[1:3], 0.0, atol=1e-6)
    about_z = Rotation.from_euler("z", turn)
    same(
        q.quat_heading(quat(about_z * a)),
        about_z * Rotation.from_quat(np.asarray(heading), scalar_first=True),
    )


def test_gradients_are_finite_at_the_identity() -> None:
    one = jnp.array([1.0, 0.0, 0.0, 0.0])

    def everything(x: jax.Array) -> jax.Array:
        return q.quat_angle(x, one) + q.quat_log(x).sum() + q.quat_slerp(x, one, 0.3).sum()

    assert np.isfinite(jax.grad(everything)(one)).all()
    assert np.isfinite(jax.grad(lambda v: q.quat_exp(v).sum())(jnp.zeros(3))).all()
