"""What belongs to MJX alone: no way back to the host, float64 agreement, Warp under nested vmaps."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from physics_bodies import box
from physics_engines import NUM_WORLDS, engine, nominal, start

from synthjax.bodies import make_body
from synthjax.physics import make_physics, make_variants
from synthjax.physics.contacts import GroundContacts
from synthjax.physics.mjx_model import mjx_model
from synthjax.types import PhysicsState


def test_rollout_on_mjx_has_no_host_callback():
    physics = make_physics("mjx", box(), 0.005, 2)
    qpos = jnp.asarray(box().standing_qpos, jnp.float32)

    def rollout(qpos: jax.Array) -> jax.Array:
        state = physics.init({}, qpos, jnp.zeros(6))
        state, _ = jax.lax.scan(lambda s, _: (physics.step({}, s, jnp.zeros(0)), None), state, length=3)
        return state.kinematics.qpos

    lowered = jax.jit(jax.vmap(rollout)).lower(jnp.tile(qpos, (2, 1)))
    assert "callback" not in str(jax.make_jaxpr(rollout)(qpos))
    assert "callback" not in lowered.as_text()


def _tilted_boxes() -> np.ndarray:
    """Boxes that have sunk in with one to four corners, (40, nq)."""
    rng = np.random.default_rng(0)
    qpos = np.tile(box().standing_qpos, (40, 1))
    for row in qpos:
        mujoco.mju_euler2Quat(row[3:7], rng.normal(0, 0.05, 3), "xyz")
        row[2] += rng.uniform(-0.005, 0.02)
    return qpos


def test_mjx_model_moves_and_feels_like_the_body():
    model, source = mjx_model(box())
    np.testing.assert_array_equal(source, np.zeros(8))
    for qpos in _tilted_boxes():
        ends, forces = [], []
        for m in (box().model, model):
            data = mujoco.MjData(m)
            data.qpos[:] = qpos
            mujoco.mj_step(m, data, 10)
            contacts = GroundContacts.of(m, "floor")
            ends.append(data.qpos)
            forces.append(contacts.sum_per_body(data.sensordata[contacts.sensor_index]))
        np.testing.assert_allclose(ends[1], ends[0], atol=1e-6)
        for native, points in zip(*forces, strict=True):
            np.testing.assert_allclose(points, native, rtol=1e-3, atol=1e-2)


def test_mjx_model_takes_the_options_of_the_run():
    body = make_body("synth")
    body.model.opt.iterations, body.model.opt.tolerance = 50, 1e-9
    model, _ = mjx_model(body)
    assert (model.opt.iterations, model.opt.tolerance) == (50, 1e-9)


@pytest.mark.slow
def test_mjx_agrees_with_native_on_tilted_boxes():
    qpos = jnp.asarray(_tilted_boxes(), jnp.float32)
    variant = make_variants(box(), {"friction": np.linspace(0.3, 1.5, len(qpos))})
    push = jnp.zeros((2, 6)).at[1, 0].set(60.0)
    ends = []
    for name in ("native", "mjx"):
        physics = make_physics(name, box(), 0.005, 4)

        def step(variant, qpos, physics=physics):
            state = dataclasses.replace(physics.init(variant, qpos, jnp.zeros(6)), xfrc_applied=push)
            return physics.step(variant, state, jnp.zeros(0))

        ends.append(jax.jit(jax.vmap(step))(variant, qpos))
    native, mjx = ends
    np.testing.assert_allclose(mjx.kinematics.qpos, native.kinematics.qpos, atol=1e-4)
    np.testing.assert_allclose(mjx.ground_force, native.ground_force, rtol=1e-3, atol=0.1)
    assert np.ptp(native.kinematics.qvel[:, 0]) > 0.01  # friction matters


_X64_SCRIPT = """
import json
import numpy as np
from physics_engines import engine, nominal, start
got = {name: engine(name).step(nominal(), *start(name)).kinematics for name in ("native", "mjx")}
error = {
    field: np.abs(getattr(got["native"], field) - getattr(got["mjx"], field)).max(axis=1).tolist()
    for field in ("qpos", "qvel")
}
print(json.dumps(error))
"""


@pytest.mark.slow
def test_native_and_mjx_agree_to_rounding_in_float64():
    tests = Path(__file__).parent
    environment = os.environ | {"JAX_ENABLE_X64": "1", "PYTHONPATH": f"{tests.parent}{os.pathsep}{tests}"}
    run = subprocess.run(
        [sys.executable, "-c", _X64_SCRIPT], env=environment, capture_output=True, text=True, check=True
    )
    error = json.loads(run.stdout.splitlines()[-1])
    assert len(error["qpos"]) == NUM_WORLDS
    for values in error.values():
        assert np.median(values) <= 1e-12


@pytest.mark.slow
def test_warp_under_nested_vmaps_equals_one_flat_batch():
    pytest.importorskip("warp")
    physics = engine("warp").physics
    state, ctrl = start("warp")
    flat = engine("warp").step(nominal(), state, ctrl)
    split = lambda x: x.reshape(NUM_WORLDS // 4, 4, *x.shape[1:])  # noqa: E731
    nested = jax.jit(jax.vmap(jax.vmap(physics.step)))(*jax.tree.map(split, (nominal(), state, ctrl)))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(split(a), b, rtol=1e-4, atol=1e-4),
        flat.kinematics,
        nested.kinematics,
    )


@pytest.mark.slow
def test_warp_counts_contacts_that_it_had_no_room_for(monkeypatch):
    pytest.importorskip("warp")
    physics = make_physics("warp", box(), 0.005, 4)
    qpos = jnp.tile(jnp.asarray(box().standing_qpos, jnp.float32), (4, 1)).at[:, 2].add(-0.001)

    def step(qpos: jax.Array) -> PhysicsState:
        return physics.step({}, physics.init({}, qpos, jnp.zeros(6)), jnp.zeros(0))

    assert not jax.jit(jax.vmap(step))(qpos).overflow.any()
    monkeypatch.setattr(physics, "_max_contacts", 3)  # room for twelve contacts of sixteen
    assert jax.jit(jax.vmap(lambda q: step(q)))(qpos).overflow.any()
