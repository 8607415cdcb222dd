"""What belongs to MJX alone: no way back to the host, float64 agreement, Warp under nested vmaps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from physics_bodies import box
from physics_engines import NUM_WORLDS, engine, nominal, start

from synthjax.physics import make_physics
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
