"""The exported observation and motor input, step by step beside the environments that they come from."""

from __future__ import annotations

from typing import Any

import continuous_worlds
import deploy_models  # noqa: F401  (skips without the extra)
import imitation_worlds
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthjax.deploy.convert import convert, lower
from synthjax.deploy.fields import FIELDS, describe_layout
from synthjax.deploy.model import Model
from synthjax.deploy.model_checks import check_model
from synthjax.deploy.observers import OBSERVERS, Observer
from synthjax.envs.observation import ObservationLayout
from synthjax.types import EnvState

STEPS, WORLDS = 12, 4


def model_of(observer: Observer) -> Model:
    content = convert({"observe": lower(observer, observer.shapes)})
    check_model("observe.tflite", content, "observe")
    return Model("observe.tflite", content, "observe")


def assert_follows(observer: Observer, first: EnvState, step: Any) -> None:
    """Worlds from ``first`` on under random actions: observation and motor input agree at every step."""
    model, env = model_of(observer), observer.env

    @jax.jit
    @jax.vmap
    def host(state: EnvState, action: jax.Array) -> tuple:
        return observer.inputs(state), observer.control(state, action), env.steering.offset(action)

    carried = list(np.asarray(jax.vmap(observer.start)(first)))
    state, rng = first, np.random.default_rng(0)
    for _ in range(STEPS):
        action = rng.normal(0.0, 0.3, state.task.previous_action.shape).astype(np.float32)
        inputs, control, offset = jax.device_get(host(state, action))
        for world in range(WORLDS):
            given = {name: values[world] for name, values in inputs.items()}
            out = model(given | {"carried": carried[world]})
            carried[world] = out["carried_next"]
            np.testing.assert_allclose(out["observation"][0], state.obs[world], atol=2e-5)
            np.testing.assert_allclose(out["base"] + offset[world], control[world], atol=2e-5)
        state = step(state, action)


def test_imitation() -> None:
    env = imitation_worlds.env(still=False)
    # The loop from just before its seam, the clip with an end from just before it, and two others.
    state = imitation_worlds.reset_at(env, [0, 3, 50, 70])
    last = imitation_worlds.clips()[0].duration - 0.12
    times = jnp.asarray([last, last, 0.1, 0.2], jnp.float32)
    state = state.replace(task=state.task.replace(clip=jnp.arange(4), time=times))
    first = imitation_worlds.step(env, state)  # the observation of this one is that of its own place
    assert_follows(OBSERVERS["imitation"](env), first, lambda s, a: imitation_worlds.step(env, s, a))


def test_continuous() -> None:
    env = continuous_worlds.env()
    first = continuous_worlds.start(env, continuous_worlds.falls(env))
    assert_follows(OBSERVERS["continuous"](env), first, lambda s, a: continuous_worlds.step(env, s, a))


@pytest.mark.parametrize("mode", [{"actuation": "torque"}, {"action_mode": "absolute"}])
def test_motor_input_of_other_modes(mode: dict[str, Any]) -> None:
    env = imitation_worlds.env(**mode)
    observer = OBSERVERS["imitation"](env)
    rng = np.random.default_rng(0)
    given = {name: rng.normal(0.0, 1.0, shape) for name, shape in observer.shapes.items()}
    out = model_of(observer)(given | {"carried": np.array([1.0, 0.3])})
    action = np.linspace(-2.0, 2.0, env.action_dim, dtype=np.float32)
    place = jnp.asarray(1), jnp.asarray(0.3 + env.control_dt)
    expected = jax.jit(lambda a: env.control(a, env.library.sample(*place)))(action)
    np.testing.assert_allclose(out["base"] + np.asarray(env.steering.offset(action)), expected, atol=1e-5)


def test_every_part_of_an_observation_is_described() -> None:
    for env in (imitation_worlds.env(still=False), continuous_worlds.env()):
        layout = describe_layout(env.layout)
        assert layout["size"] == env.obs_dim == sum(field["size"] for field in layout["fields"])
        starts = {field["name"]: field["start"] for field in layout["fields"]}
        assert starts == {name: part.start for name, part in env.layout.slices.items()}
    far = ObservationLayout((("up", 3), ("target12_root_offset", 3)))
    assert [field.get("steps_ahead") for field in describe_layout(far)["fields"]] == [None, 12]


@pytest.mark.parametrize("formula", sorted({field.formula for field in FIELDS.values()}))
def test_every_formula_can_be_found(formula: str) -> None:
    module, _, name = formula.rpartition(".")
    assert hasattr(__import__(module, fromlist=[name]), name)
