"""Training on the engines of accelerators, so that their path cannot rot where there is none."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
from randomized_worlds import QUICK

from synthjax import configs
from synthjax.agents.ppo import PPOConfig
from synthjax.agents.sac import SACConfig
from synthjax.envs.assist import AssistConfig
from synthjax.training.build import Run, build
from synthjax.training.program import TrainProgram

AGENTS = {
    "ppo": PPOConfig(num_envs=2, unroll_length=2, num_minibatches=1, num_epochs=1, hidden=(8,)),
    "sac": SACConfig(
        num_envs=2, unroll_length=2, capacity=256, minibatch_size=4, learning_starts=4,
        policy_hidden=(8,), critic_hidden=(8,),
    ),
}  # fmt: skip
# Always-on lives that go on, and a body that is helped up after two control steps on the ground.
HELPED = {
    "falls": 4, "fallen_share": 1.0, "clip_share": 0.0, "ends_when_lost": False, "life_seconds": 1e9,
    "assist": AssistConfig(seconds=2.0 / 120.0, hold_seconds=1.0 / 120.0),
}  # fmt: skip


def tiny_run(engine: str, env: str, algorithm: str, randomize: bool) -> Run:
    """Two worlds, one substep a control step: what there is to compile counts, not how often it runs."""
    config = configs.get(env, algorithm)
    small = {"imitation": {"starts_per_bin": 1}, "continuous": HELPED}[env]
    config = dataclasses.replace(
        config,
        agent=AGENTS[algorithm],
        task=dataclasses.replace(config.task, **small),
        physics=dataclasses.replace(config.physics, engine=engine, n_substeps=1),
        randomize=randomize,
        randomization=dataclasses.replace(config.randomization, bodies=2, control_rate=150.0),
    )
    return build(config)


def lowered(run: Run) -> jax.stages.Lowered:
    """The whole program of an epoch: worlds, resets, agent, context."""
    state = jax.eval_shape(run.program.init, jax.random.key(0))
    return TrainProgram.epoch.lower(run.program, state, 1)


@pytest.mark.parametrize(("engine", "calls"), [("mjx", False), ("native", True)])
def test_a_program_on_mjx_has_no_way_back_to_the_host(engine: str, calls: bool) -> None:
    """On native there is one, and its text shows what is looked for."""
    run = tiny_run(engine, "continuous", "sac", randomize=False)
    assert ("callback" in lowered(run).as_text()) == calls


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "env", "algorithm", "randomize"),
    [
        ("mjx", "continuous", "sac", False),
        ("mjx", "imitation", "ppo", True),
        ("warp", "imitation", "ppo", False),
        ("warp", "continuous", "sac", True),
    ],
)
def test_two_epochs_on_an_engine_of_accelerators(
    engine: str, env: str, algorithm: str, randomize: bool
) -> None:
    """CI runs those on MJX, which compile for three quarters of a minute each."""
    if engine == "warp":
        pytest.importorskip("warp")
    run = tiny_run(engine, env, algorithm, randomize)
    program = lowered(run)
    if engine == "mjx":
        assert "callback" not in program.as_text()
    epoch = program.compile(compiler_options=QUICK)
    state = run.program.start(0)
    before = jax.tree.map(np.array, state.agent.params["policy"])
    assisted = 0.0
    for _ in range(2):
        state, report = epoch(state)
        assert all(np.isfinite(value) for name, value in report.metrics.items() if "loss" in name)
        assert float(report.metrics["bad_world"]) == float(report.metrics["overflow"]) == 0.0
        assert np.isfinite(float(report.metrics["reward"]))
        assisted += float(report.metrics.get("assisted", 0.0))
    assert (assisted > 0.0) == (env == "continuous")
    assert int(state.iteration) == 2
    moved = jax.tree.map(lambda a, b: np.any(a != b), before, state.agent.params["policy"])
    assert any(jax.tree.leaves(moved))
