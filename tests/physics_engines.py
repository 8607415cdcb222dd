"""The engines under test, each compiled once for the walker and shared by all tests."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from physics_bodies import walker

from synthjax.physics import ModelVariant, Physics, make_physics, make_variants
from synthjax.types import PhysicsState

NUM_WORLDS = 100
SIM_DT, SUBSTEPS = 0.005, 4

# Compiling Warp's kernels takes half a minute on a CPU when they are not cached.
ENGINE_PARAMS = [
    pytest.param("native"),
    pytest.param("mjx", marks=pytest.mark.slow),
    pytest.param("warp", marks=pytest.mark.slow),
]


@dataclasses.dataclass(frozen=True)
class Engine:
    """One engine with its compiled functions of ``NUM_WORLDS`` worlds."""

    physics: Physics
    init: Any  # (variant, qpos, qvel) -> PhysicsState
    step: Any  # (variant, state, ctrl) -> PhysicsState


@functools.cache
def engine(name: str) -> Engine:
    if name == "warp":
        pytest.importorskip("warp")
    physics = make_physics(name, walker(), SIM_DT, SUBSTEPS)
    return Engine(physics, jax.jit(jax.vmap(physics.init)), jax.jit(jax.vmap(physics.step)))


@functools.cache
def nominal() -> ModelVariant:
    """A variant that changes nothing but carries every field, so that nothing recompiles."""
    return variant()


def variant(**scales: float) -> ModelVariant:
    """``NUM_WORLDS`` equal variants with the given scales, with every field that can vary."""
    every = dict.fromkeys(("mass", "friction", "strength", "damping", "armature"), 1.0) | scales
    return make_variants(walker(), {name: np.full(NUM_WORLDS, value) for name, value in every.items()})


def worlds(seed: int = 0) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Reference-like states around standing: qpos, qvel, ctrl and xfrc_applied of all worlds."""
    body, rng = walker(), np.random.default_rng(seed)
    n, model = NUM_WORLDS, body.model
    qpos = np.tile(body.standing_qpos, (n, 1))
    qpos[:, 2] += rng.uniform(0, 0.05, n)
    qpos[:, 7:] += rng.normal(0, 0.1, (n, model.nu))
    qvel = rng.normal(0, 0.5, (n, model.nv))
    ctrl = rng.normal(0, 0.1, (n, model.nu))
    xfrc = rng.normal(0, 10, (n, model.nbody, 6)) * (np.arange(model.nbody) > 0)[:, None]
    return (jnp.asarray(qpos), jnp.asarray(qvel), jnp.asarray(ctrl), jnp.asarray(xfrc))


def start(name: str, seed: int = 0) -> tuple[PhysicsState, jax.Array]:
    """States and controls of :func:`worlds` on the engine ``name``."""
    qpos, qvel, ctrl, xfrc = worlds(seed)
    state = engine(name).init(nominal(), qpos, qvel)
    return dataclasses.replace(state, xfrc_applied=xfrc), ctrl


def standing(name: str) -> tuple[PhysicsState, jax.Array]:
    """All worlds at rest, upright, holding the pose."""
    model = walker().model
    qpos = jnp.tile(jnp.asarray(walker().standing_qpos, jnp.float32), (NUM_WORLDS, 1))
    state = engine(name).init(nominal(), qpos, jnp.zeros((NUM_WORLDS, model.nv)))
    return state, jnp.zeros((NUM_WORLDS, model.nu))
