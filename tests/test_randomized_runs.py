"""Runs whose worlds differ: stopped and resumed, evaluated on changed bodies, and refused."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from rich.console import Console
from test_resume import assert_same, tiny_config, train

from synthjax import configs
from synthjax.agents.sac import SACConfig
from synthjax.configs import TrainConfig
from synthjax.envs.randomization import RandomizationConfig
from synthjax.errors import UserError
from synthjax.training import devices
from synthjax.training.build import Run, build, check_run_fits
from synthjax.training.changed_bodies import changed_bodies
from synthjax.training.checkpoint import CheckpointManager
from synthjax.training.evaluator import make_evaluator
from synthjax.training.metrics import read_metrics
from synthjax.training.run_folder import load_config, save_config

EPOCH = 2 * 8 * 4  # env steps: two iterations of 8 worlds x 4 steps
WORLDS = RandomizationConfig(bodies=4)


def config_of(env: str) -> TrainConfig:
    """Imitation by PPO, or always-on life by SAC: four epochs of next to nothing."""
    if env == "imitation":
        config = dataclasses.replace(tiny_config(), checkpoint_seconds=1e9)
    else:
        default = configs.get("continuous", "sac")
        config = dataclasses.replace(
            default,
            epoch_iterations=2,
            agent=SACConfig(
                num_envs=8, unroll_length=4, capacity=256, minibatch_size=16, learning_starts=64,
                policy_hidden=(16,), critic_hidden=(16,), center_rewards=True,
            ),
            task=dataclasses.replace(default.task, falls=4),
        )  # fmt: skip
    evaluation = dataclasses.replace(config.evaluation, every=10**9, episodes=8, seconds=0.3)
    return dataclasses.replace(
        config, steps=4 * EPOCH, randomize=True, randomization=WORLDS, evaluation=evaluation
    )


def built(env: str) -> Run:
    config = config_of(env)
    configs.validate(config)
    run = build(config)
    check_run_fits(run)
    return run


@pytest.mark.slow
@pytest.mark.parametrize("env", ["imitation", "continuous"])
def test_a_randomised_run_is_the_same_with_and_without_a_stop(env: str, tmp_path: Path) -> None:
    run = built(env)
    whole, _ = train(run, tmp_path / "whole", resume=False)
    _, finished = train(run, tmp_path / "cut", resume=False, stop_at=2 * EPOCH)
    assert not finished
    resumed, _ = train(run, tmp_path / "cut", resume=True)
    assert_same(whole, resumed)
    periods = np.asarray(whole.env.task.drawn.control_dt)
    assert len(np.unique(periods)) == 8
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(whole.agent.params))

    # The bodies are changed in evaluations that ask for it, and in no other.
    acting = run.agent.acting(whole.agent)
    nominal, changed = (make_evaluator(run, changed_bodies=changes) for changes in (False, True))
    assert nominal.figures(acting, 8) == eval_row(tmp_path / "whole")
    report = changed.report(acting, 8)
    assert report["bodies"] == "bodies changed by up to 20 %"
    scores = report[{"imitation": "nominal", "continuous": "all"}[env]]
    assert any(scores[name] != value for name, value in eval_row(tmp_path / "whole").items())
    assert changed.figures(acting, 8).items() <= scores.items()
    shown = io.StringIO()
    Console(file=shown, width=120).print(changed.table(report))
    assert "bodies changed by up to 20 %" in shown.getvalue()


def eval_row(folder: Path) -> dict[str, float]:
    """The figures of the evaluation at the end of a run, as it logged them."""
    row = [row for row in read_metrics(folder) if row["kind"] == "eval"][-1]
    return {name: value for name, value in row.items() if name not in ("kind", "env_steps")}


def test_a_run_without_random_worlds_does_not_go_on_from_one_with_them(tmp_path: Path) -> None:
    run = built("imitation")
    plain = dataclasses.replace(run, config=dataclasses.replace(run.config, randomize=False))
    manager = CheckpointManager(tmp_path)
    manager.save(1, np.zeros(1), run.training_identity)
    with pytest.raises(UserError, match="randomized_worlds 'true', this program has 'false'"):
        manager.restore_latest(np.zeros(1), plain.training_identity)


def test_changed_bodies_are_within_a_fifth_and_the_same_for_all_runs() -> None:
    body = build(dataclasses.replace(tiny_config())).body
    some, more = changed_bodies(body, 8), changed_bodies(body, 128)
    for name, values in some.items():
        np.testing.assert_array_equal(values, more[name][:8])
    mass = np.asarray(more["body_mass"]).sum(axis=1) / body.model.body_mass.sum()
    assert 0.8 <= mass.min() < 0.82
    assert 1.18 < mass.max() <= 1.2


def test_more_bodies_than_memory_are_refused_before_they_are_made(monkeypatch: Any) -> None:
    config = dataclasses.replace(
        tiny_config(), randomize=True, randomization=RandomizationConfig(bodies=10**7)
    )
    monkeypatch.setattr(devices, "available_memory", lambda device: 2**34)
    with pytest.raises(UserError, match=r"needs about 2\d\d.* GiB .*: lower --randomization.bodies"):
        build(config)


def test_the_ranges_are_part_of_a_run_s_settings(tmp_path: Path) -> None:
    for env in ("imitation", "continuous"):
        save_config(tmp_path, config_of(env))
        assert load_config(tmp_path) == config_of(env)
