"""The benchmark harness: what its rates mean.  No speed is asserted, only how the numbers hang together."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from synthjax import cli, configs
from synthjax.errors import UserError
from synthjax.training import bench
from synthjax.training.build import Run, build

SMALL = dataclasses.replace(
    configs.get("imitation"),
    agent=dataclasses.replace(
        configs.get("imitation").agent,
        num_envs=4,
        unroll_length=2,
        num_minibatches=1,
        num_epochs=1,
        hidden=(8,),
    ),
    task=dataclasses.replace(configs.get("imitation").task, starts_per_bin=1),
)


@pytest.fixture(scope="module")
def run() -> Run:
    return build(dataclasses.replace(SMALL, physics=dataclasses.replace(SMALL.physics, engine="native")))


def test_rates_are_steps_by_the_clock(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage of known length against a clock that ticks once a reading: three calls in 3 s."""
    ticks = iter(range(100))
    monkeypatch.setattr(bench.time, "perf_counter", lambda: float(next(ticks)))
    row = bench.measure(run, "count", lambda run: (jnp.zeros(()), lambda x: x + 1.0), seconds=3.0)
    assert row.compile_seconds == 1.0
    assert row.seconds == 3.0
    assert row.env_steps_per_second == 3 * 4 * 2 / 3.0
    assert row.physics_steps_per_second == row.env_steps_per_second * run.physics.n_substeps
    assert row.realtime == pytest.approx(row.env_steps_per_second * run.env.control_dt)


@pytest.mark.parametrize("name", ["physics", "random actions"])
def test_a_stage_advances_every_environment_by_one_unroll(run: Run, name: str) -> None:
    state, advance = bench.BENCHMARKS[name](run)
    after = jax.jit(advance)(state)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    if name == "physics":
        moved = after[1].kinematics.qpos != after[0].kinematics.qpos
        assert bool(jnp.all(jnp.any(moved, axis=-1)))
    else:
        # Two steps on, except where an episode has ended and begun anew.
        assert set(after.task.age.tolist()) <= {0, 1, 2}
        assert 2 in after.task.age.tolist()


@pytest.mark.slow
def test_the_command_measures_every_stage_and_writes_where_and_how(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    assert (
        cli.main(["bench", "--engines", "native", "--num-envs", "8", "--seconds", "0.1", "--out", str(out)])
        == 0
    )
    content = json.loads(out.read_text())
    assert [(row["engine"], row["num_envs"], row["stage"]) for row in content["measurements"]] == [
        ("native", 8, name) for name in bench.BENCHMARKS
    ]
    assert all(row["env_steps_per_second"] > 0.0 for row in content["measurements"])
    assert content["machine"]["command"].startswith("synthjax bench --engines")
    assert content["machine"]["packages"]["mujoco"]


def test_a_batch_that_does_not_divide_is_refused() -> None:
    config = dataclasses.replace(SMALL, agent=dataclasses.replace(SMALL.agent, num_minibatches=3))
    with pytest.raises(UserError, match="does not divide"):
        bench.bench(config, ["native"], [4], 0.1, lambda _: None)


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--engines", "nativ", "did you mean native"),
        ("--num-envs", "0", "--num-envs is 0: give a number above zero"),
        ("--num-envs", "a", "--num-envs is 'a'"),
        ("--seconds", "0", "--seconds is 0"),
    ],
)
def test_mistakes_are_one_sentence(
    option: str, value: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bench", option, value]) == 2
    assert sentence in capsys.readouterr().err
