"""Settings that cannot work are refused before anything is built."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from synthjax.agents.ppo import PPOConfig
from synthjax.agents.sac import SACConfig
from synthjax.configs.train import TrainConfig
from synthjax.envs.continuous_task import ContinuousConfig
from synthjax.envs.curriculum import CurriculumConfig
from synthjax.envs.imitation_task import ImitationConfig
from synthjax.envs.pushes import Pushes
from synthjax.envs.randomization import RandomizationConfig
from synthjax.errors import UserError


def validate(config: TrainConfig) -> None:
    """Refuses sizes that cannot work.

    Raises:
      UserError: says which option to change.
    """
    physics, evaluation = config.physics, config.evaluation
    _above_zero(
        {
            "--steps": config.steps,
            "--epoch-iterations": config.epoch_iterations,
            "--keep-checkpoints": config.keep_checkpoints,
            "--physics.sim-dt": physics.sim_dt,
            "--physics.n-substeps": physics.n_substeps,
            "--physics.solver-iterations": physics.solver_iterations or 1,
            "--evaluation.every": evaluation.every,
            "--evaluation.episodes": evaluation.episodes,
            "--evaluation.seconds": evaluation.seconds,
        }
    )
    step = physics.sim_dt * physics.n_substeps
    if evaluation.seconds < step:
        raise UserError(f"--evaluation.seconds is {evaluation.seconds}: give at least one control step.")
    if isinstance(config.task, ContinuousConfig) and config.task.life_seconds < step:
        raise UserError(f"--task.life-seconds is {config.task.life_seconds}: give at least one control step.")
    _curriculum(config.task.curriculum)
    if config.randomize:
        _randomization(config)
    elif config.randomization != RandomizationConfig():
        raise UserError("Settings of --randomization have no effect by themselves: add --randomize.")
    for part in (config.task, config.agent):
        _CHECKS[type(part)](part)


def _imitation(task: ImitationConfig) -> None:
    drift = task.drift
    _above_zero(
        {
            "--task.max-episode-seconds": task.max_episode_seconds,
            "--task.termination-distance": task.termination_distance,
            "--task.drift.narrowest": drift.narrowest,
            "--task.starts-per-bin": task.starts_per_bin,
            "--task.bin-seconds": task.bin_seconds,
        }
    )
    _shares({"--task.drift.rate": drift.rate})
    if drift.narrowest > drift.widest:
        raise UserError("--task.drift.narrowest must not be above --task.drift.widest.")
    if drift.widen_above < drift.narrow_below:
        raise UserError("--task.drift.widen-above must not be below --task.drift.narrow-below.")


def _continuous(task: ContinuousConfig) -> None:
    guide, pushes = task.guide, task.pushes
    _above_zero(
        {
            "--task.life-seconds": task.life_seconds,
            "--task.falls": task.falls,
            "--task.guide-scale": task.guide_scale,
            "--task.guide.frames-per-second": guide.frames_per_second,
            "--task.guide.full-speed-below": guide.full_speed_below,
            "--task.guide.slowest": guide.slowest,
            "--task.guide.stand-seconds": guide.stand_seconds,
            "--task.guide.lost-distance": guide.lost_distance,
            "--task.guide.lost-seconds": guide.lost_seconds,
            "--task.assist.hold-seconds": task.assist.hold_seconds,
        }
    )
    assist = task.assist
    for option, value in (
        ("seconds", assist.seconds),
        ("more-seconds", assist.more_seconds),
        ("noise", assist.noise),
    ):
        if value < 0.0:
            raise UserError(f"--task.assist.{option} is {value}: give a number of at least 0.")
    if assist.most_seconds < assist.seconds:
        raise UserError("--task.assist.most-seconds must not be below --task.assist.seconds.")
    _pushes("--task.pushes", pushes)
    if pushes.none_below >= pushes.full_above:
        raise UserError("--task.pushes.none-below must be below --task.pushes.full-above.")
    for option, share in (("fallen-share", task.fallen_share), ("clip-share", task.clip_share)):
        if share < 0.0:
            raise UserError(f"--task.{option} is {share}: give a share of at least 0.")
    if task.fallen_share + task.clip_share > 1.0:
        raise UserError("--task.fallen-share and --task.clip-share together must not be above 1.")


def _pushes(option: str, pushes: Pushes) -> None:
    _above_zero({f"{option}.every-seconds": pushes.every_seconds, f"{option}.seconds": pushes.seconds})
    if pushes.speed < 0.0:
        raise UserError(f"{option}.speed is {pushes.speed}: give 0 for none, or a speed in m/s.")


def _randomization(config: TrainConfig) -> None:
    worlds, option = config.randomization, "--randomization"
    rate = 1.0 / (config.physics.sim_dt * config.physics.n_substeps)  # Hz
    _above_zero({f"{option}.bodies": worlds.bodies})
    for name in ("mass", "friction", "strength", "latency"):
        low, high = getattr(worlds, name)
        least, what = (0.0, "seconds from 0 on") if name == "latency" else (1e-3, "factors above zero")
        if not least <= low <= high < math.inf:
            raise UserError(f"{option}.{name} is {low} {high}: give two {what}, the lower one first.")
    if not rate - 1e-6 <= worlds.control_rate < math.inf:
        raise UserError(
            f"{option}.control-rate is {worlds.control_rate}: give at least the {rate:g} Hz of the run "
            "itself, which is the lowest rate."
        )
    for name, width in dataclasses.asdict(worlds.noise).items():
        if not 0.0 <= width < math.inf:
            raise UserError(
                f"{option}.noise.{name.replace('_', '-')} is {width}: give 0 for none, or a half width."
            )
    _pushes(f"{option}.pushes", worlds.pushes)
    if isinstance(config.task, ContinuousConfig) and worlds.pushes != RandomizationConfig().pushes:
        raise UserError(f"{option}.pushes are those of imitation: always-on life has --task.pushes.")


def _curriculum(curriculum: CurriculumConfig) -> None:
    _ = curriculum.groups  # names that cannot be taken apart
    option = "--task.curriculum"
    _above_zero(
        {
            f"{option}.average-step": curriculum.average_step,
            f"{option}.least-updates": curriculum.least_updates,
        }
    )
    _shares(
        {
            f"{option}.average-step": curriculum.average_step,
            f"{option}.lock-below": curriculum.lock_below,
        }
    )
    if not curriculum.lock_below < curriculum.unlock_above <= 1.0:
        raise UserError(f"{option}.unlock-above must be above {option}.lock-below and at most 1.")
    if not 0 <= curriculum.ramp_updates <= curriculum.least_updates:
        raise UserError(
            f"{option}.ramp-updates is {curriculum.ramp_updates}: give 0 to {curriculum.least_updates}, "
            f"the {option}.least-updates, so that a stage has its full effect before the next change."
        )


def _ppo(agent: PPOConfig) -> None:
    _above_zero(
        {
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
        }
    )
    _shares({"--agent.average-decay": agent.average_decay, "--agent.settle-from": agent.settle_from})
    _layers(agent.hidden)
    _layers(agent.chain_hidden)
    if agent.min_noise_failure >= agent.max_noise_failure:
        raise UserError("--agent.min-noise-failure must be below --agent.max-noise-failure.")
    if agent.settled_kl > 1.0:
        raise UserError(f"--agent.settled-kl is {agent.settled_kl}: give a share of at most 1.")
    if agent.batch_size % agent.num_minibatches:
        raise UserError(
            f"A batch of --agent.num-envs {agent.num_envs} x --agent.unroll-length {agent.unroll_length} = "
            f"{agent.batch_size} does not divide into --agent.num-minibatches {agent.num_minibatches}: "
            "choose a divisor."
        )


def _sac(agent: SACConfig) -> None:
    _above_zero(
        {
            "--agent.num-envs": agent.num_envs,
            "--agent.unroll-length": agent.unroll_length,
            "--agent.capacity": agent.capacity,
            "--agent.minibatch-size": agent.minibatch_size,
            "--agent.samples-per-step": agent.samples_per_step,
            "--agent.n-step": agent.n_step,
            "--agent.tau": agent.tau,
            "--agent.learning-rate": agent.learning_rate,
            "--agent.initial-alpha": agent.initial_alpha,
            "--agent.settled-rate": agent.settled_rate,
            "--agent.min-std": agent.min_std,
            "--agent.importance-steps": agent.importance_steps,
        }
    )
    _shares(
        {
            "--agent.gamma": agent.gamma,
            "--agent.importance-exponent": agent.importance_exponent,
            "--agent.reward-rate-step": agent.reward_rate_step,
            "--agent.settle-from": agent.settle_from,
            "--agent.average-decay": agent.average_decay,
        }
    )
    _layers(agent.policy_hidden)
    _layers(agent.chain_hidden)
    _layers(agent.critic_hidden)
    if agent.tau > 1.0:
        raise UserError(f"--agent.tau is {agent.tau}: give a share of at most 1.")
    if agent.settled_rate > 1.0:
        raise UserError(f"--agent.settled-rate is {agent.settled_rate}: give a share of at most 1.")
    if agent.min_std >= agent.max_std:
        raise UserError("--agent.min-std must be below --agent.max-std.")


_CHECKS: dict[type, Callable[[Any], None]] = {
    ImitationConfig: _imitation,
    ContinuousConfig: _continuous,
    PPOConfig: _ppo,
    SACConfig: _sac,
}


def _above_zero(options: Mapping[str, float]) -> None:
    for option, value in options.items():
        if value <= 0:
            raise UserError(f"{option} is {value}: give a number above zero.")


def _shares(options: Mapping[str, float]) -> None:
    for option, value in options.items():
        if not 0.0 <= value < 1.0:
            raise UserError(f"{option} is {value}: give a number from 0 to below 1.")


def _layers(hidden: tuple[int, ...]) -> None:
    if not hidden or min(hidden) <= 0:
        raise UserError(f"The layers are {hidden} wide: give the width of at least one, above zero.")
