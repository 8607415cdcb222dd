"""Unit quaternions on the device: ``w x y z``, last axis, any leading axes, pure functions.

A quaternion ``q`` rotates vectors of its own (local) frame into the world.  Host code that has no
need of tracing uses :mod:`scipy.spatial.transform` instead.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

_EPS = 1e-12


def quat_mul(a: jax.Array, b: jax.Array) -> jax.Array:
    """Hamilton product: rotate by ``b`` first and then by ``a``.  (..., 4), (..., 4) -> (..., 4)."""
    aw, ax, ay, az = jnp.moveaxis(a, -1, 0)
    bw, bx, by, bz = jnp.moveaxis(b, -1, 0)
    return jnp.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        axis=-1,
    )


def quat_conj(q: jax.Array) -> jax.Array:
    """The inverse of a unit quaternion.  (..., 4) -> (..., 4)."""
    return jnp.concatenate([q[..., :1], -q[..., 1:]], axis=-1)


def quat_normalize(q: jax.Array) -> jax.Array:
    """``q`` at unit length; the gradient at zero stays finite.  (..., 4) -> (..., 4)."""
    return q * jax.lax.rsqrt(jnp.maximum(jnp.sum(q * q, axis=-1, keepdims=True), _EPS))


def quat_rotate(q: jax.Array, v: jax.Array) -> jax.Array:
    """Local ``v`` in world axes.  (..., 4), (..., 3) -> (..., 3)."""
    w, u = q[..., :1], q[..., 1:]
    t = 2.0 * jnp.cross(u, v)
    return v + w * t + jnp.cross(u, t)


def quat_rotate_inverse(q: jax.Array, v: jax.Array) -> jax.Array:
    """World ``v`` in the local axes of ``q``.  (..., 4), (..., 3) -> (..., 3)."""
    return quat_rotate(quat_conj(q), v)


def quat_log(q: jax.Array) -> jax.Array:
    """Rotation vector of the shorter way round: axis times angle in [0, pi] rad.  (..., 4) -> (..., 3)."""
    q = jnp.where(q[..., :1] < 0.0, -q, q)
    sine_sq = jnp.sum(q[..., 1:] ** 2, axis=-1, keepdims=True)
    small = sine_sq < _EPS
    sine = jnp.sqrt(jnp.where(small, 1.0, sine_sq))  # the double where keeps gradients finite at zero
    scale = jnp.where(small, 2.0, 2.0 * jnp.arctan2(sine, q[..., :1]) / sine)
    return scale * q[..., 1:]


def quat_exp(v: jax.Array) -> jax.Array:
    """Quaternion of a rotation vector (rad).  (..., 3) -> (..., 4)."""
    angle_sq = jnp.sum(v * v, axis=-1, keepdims=True)
    small = angle_sq < _EPS
    angle = jnp.sqrt(jnp.where(small, 1.0, angle_sq))
    scale = jnp.where(small, 0.5, jnp.sin(0.5 * angle) / angle)
    return jnp.concatenate([jnp.where(small, 1.0, jnp.cos(0.5 * angle)), scale * v], axis=-1)


def quat_angle(a: jax.Array, b: jax.Array) -> jax.Array:
    """Angle between two orientations in [0, pi] rad.  (..., 4), (..., 4) -> (...)."""
    d = quat_mul(quat_conj(a), b)
    sine_sq = jnp.sum(d[..., 1:] ** 2, axis=-1)
    sine = jnp.sqrt(jnp.where(sine_sq < _EPS, 0.0, jnp.maximum(sine_sq, _EPS)))
    return 2.0 * jnp.arctan2(sine, jnp.abs(d[..., 0]))


def quat_heading(q: jax.Array) -> jax.Array:
    """Rotation about z that carries +x to where the local +x axis of ``q`` points on the floor.

    (..., 4) -> (..., 4).  When local x is vertical the heading is arbitrary, but finite.
    """
    w, x, y, z = jnp.moveaxis(q, -1, 0)
    half = 0.5 * jnp.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
    zero = jnp.zeros_like(half)
    return jnp.stack([jnp.cos(half), zero, zero, jnp.sin(half)], axis=-1)


def quat_twist(q: jax.Array) -> jax.Array:
    """Rotation about z that is left when the shortest tilt is taken off ``q``.  (..., 4) -> (..., 4).

    As a heading it stays sound for a figure that lies on its face or back, where :func:`quat_heading` is
    arbitrary; it is so itself for one upside down.
    """
    zero = jnp.zeros_like(q[..., 0])
    tilted = q[..., 0] ** 2 + q[..., 3] ** 2 > _EPS
    w = jnp.where(tilted, q[..., 0], 1.0)
    return quat_normalize(jnp.stack([w, zero, zero, jnp.where(tilted, q[..., 3], 0.0)], axis=-1))


def quat_to_6d(q: jax.Array) -> jax.Array:
    """First two columns of the rotation matrix, one after the other.  (..., 4) -> (..., 6).

    Continuous over all of SO(3): Zhou et al. 2019, "On the Continuity of Rotation Representations".
    """
    w, x, y, z = jnp.moveaxis(q, -1, 0)
    return jnp.stack(
        [
            1.0 - 2.0 * (y * y + z * z),
            2.0 * (x * y + w * z),
            2.0 * (x * z - w * y),
            2.0 * (x * y - w * z),
            1.0 - 2.0 * (x * x + z * z),
            2.0 * (y * z + w * x),
        ],
        axis=-1,
    )


def quat_slerp(a: jax.Array, b: jax.Array, fraction: jax.Array) -> jax.Array:
    """The orientation ``fraction`` (0 to 1) of the shorter way from ``a`` to ``b``.

    (..., 4), (..., 4), (...) or () -> (..., 4).  Falls back on the normalised linear blend where the
    two are so close that the sine vanishes (Shoemake 1985).
    """
    t = jnp.asarray(fraction)[..., None]
    cosine = jnp.sum(a * b, axis=-1, keepdims=True)
    b = jnp.where(cosine < 0.0, -b, b)
    cosine = jnp.minimum(jnp.abs(cosine), 1.0)
    near = cosine > 1.0 - 1e-6
    angle = jnp.arccos(jnp.where(near, 0.0, cosine))
    sine = jnp.sin(angle)
    wa = jnp.where(near, 1.0 - t, jnp.sin((1.0 - t) * angle) / sine)
    wb = jnp.where(near, t, jnp.sin(t * angle) / sine)
    return quat_normalize(wa * a + wb * b)
