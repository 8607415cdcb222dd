"""Randomised bodies: model fields that differ between worlds, made once on the host."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp
import mujoco.batch
import numpy as np

from synthjax.bodies.spec import Body
from synthjax.errors import UserError, unknown
from synthjax.physics.base import ModelVariant

# What may be scaled, the fields that make it up, and the object that each scale belongs to.  Ground
# contacts are explicit pairs, so friction is pair_friction: geom_friction would change nothing.
_PROPERTIES = {
    "mass": ("nbody", ("body_mass", "body_inertia")),
    "friction": ("npair", ("pair_friction",)),
    "strength": ("nu", ("actuator_gainprm", "actuator_biasprm", "actuator_forcerange")),
    "damping": ("nv", ("dof_damping",)),
    "armature": ("nv", ("dof_armature",)),
}
# What mj_setConst computes from masses and armatures.  MJX cannot, so a variant brings it along.
_DERIVED = ("body_subtreemass", "body_invweight0", "dof_invweight0", "dof_M0", "actuator_acc0")
_NEEDS_DERIVED = {"mass", "armature"}


def make_variants(body: Body, scales: Mapping[str, np.ndarray]) -> ModelVariant:
    """``n`` variants of ``body`` with scaled properties, for ``jax.vmap`` on every engine.

    Args:
      body: the nominal body.
      scales: property -> factors (n,), or (n, number of bodies | pairs | actuators | dofs).
        ``mass`` scales masses and inertias, ``friction`` the ground pairs, ``strength`` the
        actuators' gains and force limits, ``damping`` and ``armature`` the joints.

    Returns:
      model field -> values (n, ...), derived fields included.

    Raises:
      UserError: unknown property, a factor that is not positive, or shapes that do not fit.
    """
    model = body.model
    factors = {name: np.asarray(values, float) for name, values in scales.items()}
    counts = {len(f) for f in factors.values() if f.ndim}
    if len(counts) != 1:
        raise UserError("Give every scale of a model variant the same length: one factor per variant.")
    batch = mujoco.batch.Batch(model, counts.pop(), nthread=1)
    fields: list[str] = []
    for name, factor in factors.items():
        if name not in _PROPERTIES:
            raise unknown("body property", name, _PROPERTIES)
        size, names = _PROPERTIES[name]
        _check(name, factor, getattr(model, size))
        for field in names:
            values = batch.expand(field)
            padding = (1,) * (values.ndim - factor.ndim)
            values *= factor.reshape(*factor.shape, *padding)
            fields.append(field)
    if _NEEDS_DERIVED & set(scales):
        batch.set_const()
        fields += _DERIVED
    return {field: jnp.asarray(batch.expand(field), jnp.result_type(float)) for field in fields}


def _check(name: str, factor: np.ndarray, size: int) -> None:
    if factor.ndim not in (1, 2) or (factor.ndim == 2 and factor.shape[1] != size):
        raise UserError(f"Give the scale '{name}' the shape (n,) or (n, {size}); it has {factor.shape}.")
    if not np.all(np.isfinite(factor) & (factor > 0)):
        raise UserError(f"Every factor of the scale '{name}' must be a positive number.")
