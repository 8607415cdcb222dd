"""Trained policies from their run folders."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax

from synthjax.configs import TrainConfig
from synthjax.envs.continuous_task import ContinuousConfig
from synthjax.envs.weakening import WeakeningConfig
from synthjax.errors import UserError
from synthjax.training.build import Run, build
from synthjax.training.checkpoint import CheckpointManager
from synthjax.training.run_folder import load_config


@dataclasses.dataclass(frozen=True)
class SavedPolicy:
    """A policy with everything it needs to act."""

    run: Run
    agent_state: Any
    step: int  # environment steps it was trained for


def load_policy(
    folder: Path, *, best: bool = False, fine: bool = False, motion: str | None = None
) -> SavedPolicy:
    """The policy of the run in ``folder``, from its newest checkpoint.

    Args:
      folder: of the run.
      best: take the checkpoint that evaluated best instead of the newest.
      fine: step the world with MuJoCo's finer physics (half the time step, 100 solver iterations).
      motion: other clips than it was trained on.

    Raises:
      UserError: no checkpoint, or one that does not fit its configuration.
    """
    # Whoever acts does so in nominal worlds with the body's own motors, whatever it was trained in.
    config = dataclasses.replace(load_config(folder), randomize=False)
    if isinstance(config.task, ContinuousConfig):
        config = dataclasses.replace(
            config, task=dataclasses.replace(config.task, weakening=WeakeningConfig())
        )
    if motion is not None and config.env != "imitation":
        raise UserError(f"--motion is for imitation: the clips of {folder} are part of its observation.")
    if motion is not None:
        config = dataclasses.replace(config, motion=motion)
    run = build(finer(config) if fine else config)
    checkpoints = CheckpointManager(folder, read_only=True)
    step = checkpoints.best_step() if best else checkpoints.latest_step()
    if step is None:
        raise UserError(
            f"{folder} has no {'evaluated ' if best else ''}checkpoint yet: "
            f"go on with 'synthjax train --resume {folder}'."
        )
    template = jax.eval_shape(run.program.init, jax.random.key(0))
    acting = run.agent.acting(template.agent)
    template = dataclasses.replace(template, agent=acting, env=None, ctx=None, key=None, iteration=None)
    state, _ = checkpoints.restore(step, template, expected=run.identity, partial=True)
    return SavedPolicy(run, state.agent, step)


def finer(config: TrainConfig) -> TrainConfig:
    """The same control rate with half the substep and a converged contact solver."""
    physics = dataclasses.replace(
        config.physics,
        sim_dt=config.physics.sim_dt / 2,
        n_substeps=config.physics.n_substeps * 2,
        solver="newton",
        solver_iterations=100,
    )
    return dataclasses.replace(config, physics=physics)
