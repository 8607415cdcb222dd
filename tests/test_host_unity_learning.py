"""The C# host's loop of learning, run by Mono, beside the Python's: the same life ends in the same policy."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bundles
import jax.numpy as jnp
import numpy as np
import pytest
from deploy_models import ACTIONS, GAINS, OBS, SCALE, agent_of
from test_deploy_finetune import fresh, scaled, tuning_of
from test_host_unity import compiled, host, refusal

from synthjax.deploy.bundle import Bundle, load_bundle, write_bundle
from synthjax.deploy.convert import convert, lower
from synthjax.deploy.policy import policy_function
from synthjax.deploy.tuning import actor
from synthjax.deploy.tuning.config import BodyChange, LearningConfig
from synthjax.deploy.tuning.foreground import Foreground
from synthjax.deploy.tuning.learner import Learner
from synthjax.deploy.tuning.models import TunablePolicy, shipped, starts
from synthjax.deploy.tuning.worker import InlineWorker

SIM_DT, SUBSTEPS, STARTS, ROLLOUT = 0.01, 2, 40, 512
JOINTS = [f"joint{i}" for i in range(ACTIONS)]
TRAINING = {"reward.tflite", "starts.bin", *bundles.TRAINING}
BODY = ("<mujoco>" + "".join(f'<joint name="{name}"/>' for name in JOINTS) + "</mujoco>").encode()


class Toy:
    """In the place of the simulated body: each joint follows its motor input."""

    def __init__(self, bundle: Bundle, change: BodyChange):
        self.data = SimpleNamespace(ctrl=np.zeros(ACTIONS))
        self.q = self.v = np.zeros(ACTIONS)

    @property
    def sound(self) -> bool:
        return bool(abs(self.q[0]) < 0.55)

    def begin(self, start: Any) -> None:
        self.q, self.v = start["qpos"].astype(float), start["qvel"].astype(float)

    def step(self, substeps: int) -> None:
        for _ in range(substeps):
            self.v = 0.8 * self.v + 0.2 * (self.data.ctrl - self.q)
            self.q = self.q + 0.5 * self.v

    def sensors(self) -> dict[str, np.ndarray]:
        return {"qpos": self.q, "qvel": self.v}


class Sequence:
    """Numbers that any language can draw, in the place of NumPy's generator."""

    def __init__(self, seed: int):
        self._state = seed

    def _next(self) -> float:
        self._state = (1664525 * self._state + 1013904223) % 2**32
        return self._state / 2**32

    def standard_normal(self, size: Any, dtype: Any = np.float64) -> np.ndarray:
        numbers = [
            sum((self._next() for _ in range(12)), -6.0) for _ in range(math.prod(np.atleast_1d(size)))
        ]
        return np.array(numbers, dtype).reshape(size)

    def integers(self, count: int, size: int | None = None) -> Any:
        if size is not None:
            return np.array([self.integers(count) for _ in range(size)])
        return int(self._next() * count)

    def permutation(self, count: int) -> np.ndarray:
        order = [0] * count
        for i in range(count):
            j = self.integers(i + 1)
            order[i] = order[j]
            order[j] = i
        return np.array(order)

    def choice(self, count: int, size: int, replace: bool) -> np.ndarray:
        assert not replace
        return self.permutation(count)[:size]


def observe(given: dict[str, Any]) -> dict[str, Any]:
    time = given["carried"]
    seen = jnp.concatenate([given["qpos"], jnp.sin(0.3 * time), jnp.cos(0.3 * time)])
    base = 0.3 * jnp.sin(0.3 * time + jnp.arange(ACTIONS)) + 0.0 * given["previous_action"]
    return {"observation": seen[None], "base": base, "carried_next": time + 1.0}


def reward(given: dict[str, Any]) -> dict[str, Any]:
    """It ends where a joint goes far, and a while after the beginning of the reference."""
    target = 0.4 * jnp.sin(0.3 * given["carried"] + jnp.arange(ACTIONS))
    change = given["action"] - given["previous_action"]
    error, effort = given["qpos"] - target, jnp.sum(change * change)[None]
    paid = jnp.exp(-2.0 * jnp.sum(error * error))[None] - 0.01 * effort + 0.001 * given["memory"]
    return {
        "reward": paid + 0.0 * given["qvel"][:1],
        "terminated": (jnp.max(jnp.abs(error)) > 0.78).astype(jnp.float32)[None],
        "over": (given["carried"] > 24.0).astype(jnp.float32),
        "memory_next": given["memory"] + 1.0,
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("toy")
    return {algorithm: written(algorithm, folder / f"{algorithm}.zip") for algorithm in ("ppo", "sac")}


@pytest.fixture(scope="module")
def file(files: dict[str, Path]) -> Path:
    return files["ppo"]


def written(algorithm: str, path: Path) -> Path:
    """A small bundle with everything that learning needs."""
    agent, joints = agent_of(algorithm, "plain"), (ACTIONS,)
    state, rng = fresh(agent), np.random.default_rng(0)
    tuning, seen = tuning_of(agent, state), {"observation": (1, OBS)}
    vectors = {name: vector.shape for name, vector in tuning.start.items()}
    sensors = {"qpos": joints, "qvel": joints}
    of_observe = sensors | {"previous_action": joints, "carried": (1,)}
    of_reward = of_observe | {"action": joints, "memory": (1,)}
    models: dict[str, Any] = {
        "policy.tflite": {"infer": lower(policy_function(agent, state, scaled), seen)},
        "observe.tflite": {"observe": lower(observe, of_observe)},
        "reward.tflite": {"reward": lower(reward, of_reward)},
        "finetune.tflite": {
            "infer": lower(tuning.infer, {"params": vectors["params"], **seen}),
            "train_step": lower(tuning.step, {**vectors, **tuning.minibatch}),
        },
    }
    params, rows = tuning.packed()
    places = rng.uniform(-0.4, 0.4, (STARTS, 2 * ACTIONS))
    carried = rng.integers(0, 20, (STARTS, 1))
    starts = np.hstack([places, carried, np.zeros((STARTS, 1))]).astype("<f4")
    files = {name: convert(signatures) for name, signatures in models.items()}
    files |= {"params.bin": params, "starts.bin": starts.tobytes(), "body.xml": BODY}
    fields = copy.deepcopy(bundles.ACTING) | {
        "name": "toy",
        "agent": {"algorithm": algorithm},
        "body": {"hash": hashlib.sha256(BODY).hexdigest()[:12]},
        "timing": {"sim_dt": SIM_DT, "n_substeps": SUBSTEPS, "control_dt": SIM_DT * SUBSTEPS},
        "observation": {
            "hash": hashlib.sha256(json.dumps([["all", OBS]]).encode()).hexdigest()[:12],
            "size": OBS,
            "fields": [{"name": "all", "start": 0, "size": OBS}],
        },
        "observe": {
            "inputs": {name: {"shape": list(shape)} for name, shape in of_observe.items()},
            "carried": {"entries": ["time"], "start": [0.0]},
        },
        "action": {
            "joints": JOINTS,
            "gains": GAINS.tolist(),
            "scale": SCALE.tolist(),
            "squash": "tanh" if agent.squashes else "none",
            "limit": None,
        },
        "finetune": {
            "vectors": rows,
            "minibatch": {name: list(shape) for name, shape in tuning.minibatch.items()},
            "policy": tuning.policy,
            # SAC's with an average reward, which the end of an episode is worth less than.
            "settings": tuning.settings | ({"reward_rate": 0.4} if algorithm == "sac" else {}),
            "reward": {
                "inputs": {name: {"shape": list(shape)} for name, shape in of_reward.items()},
                "memory": ["steps"],
            },
            "starts": {
                "rows": STARTS,
                "columns": [
                    {"name": name, "size": size}
                    for name, size in (("qpos", ACTIONS), ("qvel", ACTIONS), ("carried", 1), ("memory", 1))
                ],
            },
            "max_steps": 15,
        },
    }
    write_bundle(files, bundles.head() | fields, path, TRAINING)
    return path


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("host") / "host.exe")


def lived(
    file: Path, rounds: int, bound: float, round_kl: float, monkeypatch: pytest.MonkeyPatch
) -> tuple[Learner, Counter[str]]:
    """The same life in Python, and how its episodes ended."""
    ends: Counter[str] = Counter()
    judge = actor.Actor.judge

    def counted(self: Any) -> actor.Outcome:
        outcome = judge(self)
        ends.update(["terminated" if outcome.terminated else "truncated"] if outcome.done else [])
        return outcome

    monkeypatch.setattr(actor, "SimulatedBody", Toy)
    monkeypatch.setattr(actor.Actor, "judge", counted)
    bundle, change = load_bundle(file), BodyChange()
    first, places = shipped(bundle), starts(bundle)
    config = LearningConfig(
        rollout_steps=ROLLOUT,
        epochs=2,
        episodes=4,
        kl_bound=bound,
        round_kl=round_kl,
        samples_per_step=2.0,
        capacity=1024,
    )
    shuffling: Any = Sequence(2)
    exploration: Any = Sequence(1)
    learner = Learner(
        bundle, first, first, places[1::2][:4], change, config, shuffling, accepted=lambda _: None
    )
    acting = actor.Actor(bundle, TunablePolicy(bundle, first), change)
    body = Foreground(acting, learner, InlineWorker(learner), places[::2], exploration, SIM_DT)
    for _ in range(rounds * ROLLOUT):
        body.frame(SIM_DT * SUBSTEPS)
    assert len(learner.rounds) == rounds
    return learner, ends


def live(
    program: Path,
    file: Path,
    folder: Path,
    rounds: int,
    bound: float = 1e6,
    round_kl: float = 0.1,
    broken: int = -1,
) -> tuple[list[str], np.ndarray]:
    """What C# says of its life, and the parameters that act in the end."""
    last = folder / "learned"
    given = (rounds * ROLLOUT, bound, round_kl, broken, last)
    out = host(program, "live", file, folder / "to", folder / "kept", *given)
    return out, np.fromfile(last, np.float32)


@pytest.mark.parametrize(
    ("algorithm", "bound", "round_kl"),
    [("ppo", 1e6, 0.1), ("ppo", 0.02, 0.006), ("sac", 1e6, 0.1), ("sac", 1e-3, 0.1)],
)
def test_a_life_is_that_of_python(
    program: Path,
    files: dict[str, Path],
    tmp_path: Path,
    algorithm: str,
    bound: float,
    round_kl: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rollouts, replay, train steps, both bounds, judgement and what is taken, over six rounds."""
    rounds, file = 6, files[algorithm]
    expected, ends = lived(file, rounds, bound, round_kl, monkeypatch)
    out, learned = live(program, file, tmp_path, rounds, bound, round_kl)
    assert out[-1] == f"{SUBSTEPS} 0"
    for line, row in zip(out[:-1], expected.rounds, strict=True):
        steps, taken, *figures = line.split()
        assert (int(steps), taken) == (row.steps, str(row.taken))
        want = [math.nan if row.reward is None else row.reward, row.best, row.kl, row.shrunk]
        np.testing.assert_allclose(list(map(float, figures)), want, rtol=1e-3, atol=1e-5)
    way = expected.snapshot.params - shipped(load_bundle(file)).params
    off = np.linalg.norm(learned - expected.snapshot.params)
    assert off <= 1e-3 * np.linalg.norm(way)
    # It had something to decide.
    decisions = {True, False} if algorithm == "ppo" else {bound < 1.0}
    assert {row.taken for row in expected.rounds} == decisions
    assert any(row.shrunk < 1.0 for row in expected.rounds) == (bound < 1.0)
    assert (expected.steps < 4 * rounds) == (round_kl < 0.1)
    assert min(ends.values()) > 5
    assert len(ends) == 2


def test_it_goes_on_from_what_was_kept(program: Path, file: Path, tmp_path: Path) -> None:
    """Of the same bundle; another one begins with its own policy."""
    out, learned = live(program, file, tmp_path, 3)
    assert "True" in "".join(out[:-1])
    assert [path.suffix for path in (tmp_path / "kept").iterdir()] == [".f32"]
    np.testing.assert_array_equal(live(program, file, tmp_path, 0)[1], learned)
    bundle = load_bundle(file)
    fields = {name: value for name, value in bundle.manifest.items() if name not in ("format", "files")}
    write_bundle(bundle.files, fields | {"version": 2}, tmp_path / "2.zip", TRAINING)
    first = live(program, tmp_path / "2.zip", tmp_path, 0)[1]
    np.testing.assert_array_equal(first, shipped(bundle).params)


@pytest.mark.parametrize(("broken", "repeated"), [(712, 0), (0, 1)])
def test_sensors_that_are_no_numbers_are_not_learned_from(
    program: Path, file: Path, tmp_path: Path, broken: int, repeated: int
) -> None:
    """A reading in the midst of an episode ends it, one at its start repeats the last action (zero)."""
    out, learned = live(program, file, tmp_path, 3, broken=broken)
    assert out[-1] == f"{SUBSTEPS} {repeated}"
    assert len(out) == 4 - (repeated > 0)  # a step that is not learned from is missing in the last rollout
    assert "NaN" not in "".join(out)
    assert np.isfinite(learned).all()


def test_rounds_run_beside_the_frames(program: Path, file: Path, tmp_path: Path) -> None:
    """A thread learns while the body acts, rests while it is paused, and ends within a round.

    It is the one that only runs when no other wants to.
    """
    out = host(program, "beside", file, tmp_path / "to", tmp_path / "kept")
    assert out == ["True True True", "1", "True"]


def test_a_skill_leaves_no_model_open(program: Path, file: Path, tmp_path: Path) -> None:
    """Not when it is refused either, here for a simulation step that does not fit; then it can begin anew."""
    assert host(program, "models", file, tmp_path / "to", tmp_path / "kept") == ["0 True True 0"]


def test_other_algorithms_are_refused(program: Path, file: Path, tmp_path: Path) -> None:
    bundle = load_bundle(file)
    fields = {name: value for name, value in bundle.manifest.items() if name not in ("format", "files")}
    write_bundle(bundle.files, fields | {"agent": {"algorithm": "dqn"}}, tmp_path / "dqn.zip", TRAINING)
    given = (tmp_path / "to", tmp_path / "kept", 0, 1.0, 1.0, -1, tmp_path / "p")
    assert "is of dqn: only those of ppo and sac" in refusal(program, "live", tmp_path / "dqn.zip", *given)


def test_what_cannot_be_kept_is_told(program: Path, file: Path, tmp_path: Path) -> None:
    """By the thread that acts, whoever has noticed it."""
    (tmp_path / "file").touch()
    said = refusal(program, "beside", file, tmp_path / "to", tmp_path / "file" / "kept")
    assert said.startswith("Learning has ended: Cannot write '")
