"""Every gate lets the right thing through and stops a policy made bad on purpose, by its name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest

from synthjax.deploy import gates
from synthjax.deploy.rollouts import Rollouts
from synthjax.envs.observation import ObservationLayout
from synthjax.errors import UserError

T, N = 50, 20
LAYOUT = ObservationLayout((("height", 1), ("angles", 2)))
RNG = np.random.default_rng(0)
QPOS = RNG.normal(size=(T, N, 3)).astype(np.float32)
STEP = np.arange(T, dtype=np.float32)[:, None, None] + np.zeros((1, N, 1), np.float32)
OBSERVATION = (2.0 * QPOS + STEP).astype(np.float32)
ROLLOUTS = Rollouts(
    inputs={"qpos": QPOS}, start=np.zeros((N, 1), np.float32), heading_length=np.ones((T, N)),
    observation=OBSERVATION, action=np.tanh(OBSERVATION), control=STEP + 0.5 * np.tanh(OBSERVATION),
    reward=np.ones((T, N)), ended=np.zeros((T, N), bool), terminated=np.zeros((T, N), bool),
    sensors={"height": QPOS[..., :1]}, memory=np.zeros((N, 1), np.float32),
)  # fmt: skip
EXPECTED = {"action": np.tanh(OBSERVATION), "offset": 0.5 * np.tanh(OBSERVATION)}


class Observe:
    """Sees twice ``qpos`` and the number of the step, which it carries along."""

    def __init__(self, error: float = 0.0, part: int = 0, carries: bool = True):
        self.error, self.part, self.carries = error, part, carries

    def __call__(self, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        step = given["carried"]
        seen = (2.0 * given["qpos"] + step)[None]
        seen[0, self.part] += self.error
        return {"observation": seen, "base": np.full(3, step), "carried_next": step + self.carries}


class Infer:
    outputs = ("action", "offset")

    def __init__(self, error: float = 0.0):
        self.error = error

    def __call__(self, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        action = np.tanh(given["observation"]) + self.error
        return {"action": action, "offset": 0.5 * action}


def observed(observe: Observe = Observe()) -> tuple:  # noqa: B008
    return gates.observe_gate(observe, ROLLOUTS, LAYOUT)  # type: ignore[arg-type]


def stopped(gate: str) -> pytest.RaisesExc:
    return pytest.raises(UserError, match=f"^The export stopped at its gate '{gate}' and wrote nothing: ")


def test_what_is_right_passes_and_is_measured() -> None:
    figures, seen, base, carried = observed()
    np.testing.assert_array_equal(carried, STEP + 1.0)
    figures |= gates.policy_gate(Infer(5e-5), EXPECTED, ROLLOUTS, "float32")  # type: ignore[arg-type]
    figures |= gates.control_gate(Infer(), seen, base, ROLLOUTS, "float32")  # type: ignore[arg-type]
    assert figures["observations"] == 1000
    assert figures["action"] == pytest.approx(5e-5, rel=0.01)
    assert figures["offset"] == pytest.approx(2.5e-5, rel=0.01)
    assert figures["control"] < 1e-5


@pytest.mark.parametrize(("part", "name"), [(0, "height"), (1, "angles"), (2, "angles")])
@pytest.mark.parametrize("error", [2e-4, -2e-4, np.nan])
def test_a_wrong_field_stops_the_export_by_its_name(part: int, name: str, error: float) -> None:
    with stopped("observe") as stop:
        observed(Observe(error, part))
    assert f"'{name}' of the observation differs" in str(stop.value)


def test_an_arbitrary_heading_excuses_its_rounding() -> None:
    for length, passes in ((0.02, False), (0.0034, True), (0.0, True)):
        rollouts = dataclasses.replace(ROLLOUTS, heading_length=np.full((T, N), length))
        if passes:
            gates.observe_gate(Observe(2e-4), rollouts, LAYOUT)  # type: ignore[arg-type]
        else:
            with stopped("observe"):
                gates.observe_gate(Observe(2e-4), rollouts, LAYOUT)  # type: ignore[arg-type]
    with stopped("observe"):
        gates.observe_gate(Observe(np.nan), rollouts, LAYOUT)  # type: ignore[arg-type]


def test_memory_that_is_not_handed_on_stops_the_export() -> None:
    with stopped("observe"):
        observed(Observe(carries=False))


@pytest.mark.parametrize(
    ("kind", "error"), [("float32", 2e-4), ("float32", np.nan), ("float16", 2e-2), ("float16", np.nan)]
)
def test_a_wrong_policy_stops_the_export(kind: str, error: float) -> None:
    with stopped("policy"):
        gates.policy_gate(Infer(error), EXPECTED, ROLLOUTS, kind)  # type: ignore[arg-type]
    with stopped("control"):
        _, seen, base, _ = observed()
        gates.control_gate(Infer(error), seen, base, ROLLOUTS, kind)  # type: ignore[arg-type]


def test_float16_may_differ_more_and_int8_as_it_likes() -> None:
    for kind, error in (("float16", 5e-3), ("int8", 0.5)):
        figures = gates.policy_gate(Infer(error), EXPECTED, ROLLOUTS, kind)  # type: ignore[arg-type]
        assert figures["action"] == pytest.approx(error, rel=0.01)


def test_actions_that_the_environment_was_not_given_stop_the_export() -> None:
    other = dataclasses.replace(ROLLOUTS, action=ROLLOUTS.action + 1e-3)
    with stopped("policy") as stop:
        gates.policy_gate(Infer(), EXPECTED, other, "float32")  # type: ignore[arg-type]
    assert "'action of the rollout'" in str(stop.value)


class Reward:
    """Pays the height and the action, less the last one, and the number of the step that it remembers."""

    def __init__(self, error: float = 0.0, ends_at: int = T, remembers: bool = True):
        self.error, self.ends_at, self.remembers = error, ends_at, remembers

    def __call__(self, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        step = given["memory"]
        paid = given["height"] + given["action"][:1] - given["previous_action"][:1] + given["carried"] + step
        return {
            "reward": paid + self.error,
            "terminated": (step >= self.ends_at).astype(np.float32),
            "memory_next": step + self.remembers,
        }


def test_a_wrong_reward_or_end_stops_the_export() -> None:
    action, before = ROLLOUTS.action, np.tanh(OBSERVATION - 1.0)
    paid = (QPOS + action - before + 2.0 * STEP + 1.0)[..., 0]
    inputs = ROLLOUTS.inputs | {"previous_action": before}
    ended = np.zeros((T, N), bool)
    ended[30:, 0] = True  # what comes after an episode's end is nobody's concern
    paid[31:, 0] = 7.0
    rollouts = dataclasses.replace(ROLLOUTS, inputs=inputs, reward=paid, ended=ended)

    def gate(reward: Reward, rollouts: Rollouts = rollouts) -> gates.Figures:
        return gates.reward_gate(reward, STEP + 1.0, rollouts)  # type: ignore[arg-type]

    assert gate(Reward(5e-5))["reward"] == pytest.approx(5e-5, rel=0.5)
    for wrong in (Reward(2e-4), Reward(np.nan), Reward(remembers=False), Reward(ends_at=20)):
        with stopped("reward"):
            gate(wrong)
    terminated = np.zeros((T, N), bool)
    terminated[3, 4] = True
    with stopped("reward") as stop:
        gate(Reward(), dataclasses.replace(rollouts, terminated=terminated))
    assert "step 3 of episode 4 ends it here or in training, not in both" in str(stop.value)


def test_too_few_observations_stop_the_export() -> None:
    few = dataclasses.replace(ROLLOUTS, observation=OBSERVATION[:-1])
    with stopped("policy") as stop:
        gates.policy_gate(Infer(), EXPECTED, few, "float32")  # type: ignore[arg-type]
    assert "980 different observations were recorded, 1000 are needed" in str(stop.value)
    alike = dataclasses.replace(ROLLOUTS, observation=np.repeat(OBSERVATION[:, :1], N, axis=1))
    with stopped("policy") as stop:
        gates.policy_gate(Infer(), EXPECTED, alike, "float32")  # type: ignore[arg-type]
    assert "50 different observations" in str(stop.value)


def test_a_return_may_change_by_a_twentieth() -> None:
    for factor in (0.96, 1.04):
        after = dataclasses.replace(ROLLOUTS, reward=factor * ROLLOUTS.reward)
        assert gates.return_gate(ROLLOUTS, after)["return"]["model"] == pytest.approx(factor * T)
    for factor in (0.94, 1.06, np.nan):
        with stopped("return"):
            gates.return_gate(ROLLOUTS, dataclasses.replace(ROLLOUTS, reward=factor * ROLLOUTS.reward))


def test_returns_end_with_their_episodes() -> None:
    ended = np.zeros((T, N), bool)
    ended[9:, 0] = True  # the tenth step ends the first episode, and is paid
    rollouts = dataclasses.replace(ROLLOUTS, ended=ended)
    assert rollouts.returns.tolist() == [10.0] + [float(T)] * (N - 1)
