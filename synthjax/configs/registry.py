"""Presets by environment and name: a new experiment is one new file and one line here."""

from __future__ import annotations

from synthjax.configs import imitation
from synthjax.configs.train import TrainConfig
from synthjax.errors import UserError, unknown

PRESETS: dict[str, dict[str, TrainConfig]] = {"imitation": imitation.PRESETS}


def get(env: str, preset: str = "cpu") -> TrainConfig:
    """The preset called ``preset`` of environment ``env``.

    Raises:
      UserError: unknown environment or preset; names the near matches.
    """
    if env not in PRESETS:
        raise unknown("environment", env, PRESETS)
    if preset not in PRESETS[env]:
        raise unknown(f"preset of {env}", preset, PRESETS[env])
    return PRESETS[env][preset]


def validate(config: TrainConfig) -> None:
    """Refuses sizes that cannot work, before anything is built.

    Raises:
      UserError: says which option to change.
    """
    agent, task, physics = config.agent, config.task, config.physics
    positive = {
        "--steps": config.steps,
        "--epoch-iterations": config.epoch_iterations,
        "--keep-checkpoints": config.keep_checkpoints,
        "--agent.num-envs": agent.num_envs,
        "--agent.unroll-length": agent.unroll_length,
        "--agent.num-minibatches": agent.num_minibatches,
        "--agent.num-epochs": agent.num_epochs,
        "--agent.learning-rate": agent.learning_rate,
        "--agent.max-noise": agent.max_noise,
        "--agent.target-kl": agent.target_kl,
        "--agent.settled-kl": agent.settled_kl,
        "--agent.min-noise": agent.min_noise,
        "--agent.min-noise-failure": agent.min_noise_failure,
        "--physics.sim-dt": physics.sim_dt,
        "--physics.n-substeps": physics.n_substeps,
        "--physics.solver-iterations": physics.solver_iterations or 1,
        "--task.max-episode-seconds": task.max_episode_seconds,
        "--task.termination-distance": task.termination_distance,
        "--task.drift.narrowest": task.drift.narrowest,
        "--task.starts-per-bin": task.starts_per_bin,
        "--task.bin-seconds": task.bin_seconds,
        "--evaluation.every": config.evaluation.every,
        "--evaluation.episodes": config.evaluation.episodes,
        "--evaluation.seconds": config.evaluation.seconds,
    }
    for option, value in positive.items():
        if value <= 0:
            raise UserError(f"{option} is {value}: give a number above zero.")
    if config.evaluation.seconds < physics.sim_dt * physics.n_substeps:
        raise UserError(
            f"--evaluation.seconds is {config.evaluation.seconds}: give at least one control step."
        )
    if agent.min_noise_failure >= agent.max_noise_failure:
        raise UserError("--agent.min-noise-failure must be below --agent.max-noise-failure.")
    if task.drift.narrowest > task.drift.widest:
        raise UserError("--task.drift.narrowest must not be above --task.drift.widest.")
    if task.drift.widen_above < task.drift.narrow_below:
        raise UserError("--task.drift.widen-above must not be below --task.drift.narrow-below.")
    shares = {
        "--agent.average-decay": agent.average_decay,
        "--agent.settle-from": agent.settle_from,
        "--task.drift.rate": task.drift.rate,
    }
    for option, value in shares.items():
        if not 0.0 <= value < 1.0:
            raise UserError(f"{option} is {value}: give a number from 0 to below 1.")
    if agent.settled_kl > 1.0:
        raise UserError(f"--agent.settled-kl is {agent.settled_kl}: give a share of at most 1.")
    if not agent.hidden or min(agent.hidden) <= 0:
        raise UserError(
            f"--agent.hidden is {agent.hidden}: give the width of at least one layer, above zero."
        )
    if agent.batch_size % agent.num_minibatches:
        raise UserError(
            f"A batch of --agent.num-envs {agent.num_envs} x --agent.unroll-length {agent.unroll_length} = "
            f"{agent.batch_size} does not divide into --agent.num-minibatches {agent.num_minibatches}: "
            "choose a divisor."
        )
