"""Settings that cannot work are refused before anything is built."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from synthjax.agents.ppo import PPOConfig
from synthjax.agents.sac import SACConfig
from synthjax.configs.agent_checks import check_ppo, check_sac
from synthjax.configs.bounds import above_zero, below_one, check_finite, in_order, not_negative, within
from synthjax.configs.train import PhysicsConfig, TrainConfig
from synthjax.envs.continuous_task import ContinuousConfig
from synthjax.envs.curriculum import CurriculumConfig
from synthjax.envs.imitation_task import ImitationConfig
from synthjax.envs.pushes import Pushes
from synthjax.envs.randomization import RandomizationConfig
from synthjax.envs.weakening import WeakeningConfig
from synthjax.errors import UserError

_MAX_SEED = 2**32 - 1
_SIM_DT = (1e-4, 0.05)  # s; beyond, no humanoid stays together
_MAX_CONTROL_DT = 1.0  # s


def validate(config: TrainConfig) -> None:
    """Refuses sizes that cannot work.

    Raises:
      UserError: says which option to change.
    """
    check_finite(config)
    evaluation = config.evaluation
    if not 0 <= config.seed <= _MAX_SEED:
        raise UserError(f"--seed is {config.seed}: give a whole number from 0 to {_MAX_SEED}.")
    for option, value in (
        ("--steps", config.steps),
        ("--epoch-iterations", config.epoch_iterations),
        ("--keep-checkpoints", config.keep_checkpoints),
    ):
        if value <= 0:
            raise UserError(f"{option} is {value}: give a number above zero.")
    if config.checkpoint_seconds < 0.0:
        raise UserError(
            f"--checkpoint-seconds is {config.checkpoint_seconds}: give a time, or 0 for every epoch."
        )
    above_zero(evaluation, "--evaluation", "every", "episodes", "seconds")
    step = _control_step(config.physics)
    if evaluation.seconds < step:
        raise UserError(f"--evaluation.seconds is {evaluation.seconds}: give at least one control step.")
    if isinstance(config.task, ContinuousConfig) and config.task.life_seconds < step:
        raise UserError(f"--task.life-seconds is {config.task.life_seconds}: give at least one control step.")
    above_zero(config.task, "--task", "action_scale")
    _curriculum(config.task.curriculum)
    if config.randomize:
        _randomization(config)
    elif config.randomization != RandomizationConfig():
        raise UserError("Settings of --randomization have no effect by themselves: add --randomize.")
    for part in (config.task, config.agent):
        _CHECKS[type(part)](part)


def _control_step(physics: PhysicsConfig) -> float:
    """Its length in seconds."""
    above_zero(physics, "--physics", "n_substeps")
    if physics.solver_iterations is not None:
        above_zero(physics, "--physics", "solver_iterations")
    low, high = _SIM_DT
    if not low <= physics.sim_dt <= high:
        raise UserError(f"--physics.sim-dt is {physics.sim_dt}: give {low:g} to {high:g} seconds.")
    step = physics.sim_dt * physics.n_substeps
    if step > _MAX_CONTROL_DT:
        raise UserError(
            f"--physics.n-substeps is {physics.n_substeps}, a control step of {step:g} s: give fewer, for at "
            f"most {_MAX_CONTROL_DT:g} s."
        )
    return step


def _imitation(task: ImitationConfig) -> None:
    above_zero(task, "--task", "max_episode_seconds", "termination_distance", "starts_per_bin", "bin_seconds")
    above_zero(task.drift, "--task.drift", "narrowest")
    not_negative(task.drift, "--task.drift", "narrow_below")
    below_one(task.drift, "--task.drift", "rate")
    in_order(task.drift, "--task.drift", "narrowest", "widest")
    in_order(task.drift, "--task.drift", "narrow_below", "widen_above")
    not_negative(task.start_noise, "--task.start-noise", "joint_angle", "joint_rate", "root_velocity")
    within(task.sampler, "--task.sampler", 0.0, 1.0, "uniform_share", "floor")
    below_one(task.sampler, "--task.sampler", "failure_decay")
    not_negative(task.sampler, "--task.sampler", "lookback_seconds")
    if min(task.lookahead, default=0) < 0:
        raise UserError(f"--task.lookahead is {task.lookahead}: give numbers from 0 on.")


def _continuous(task: ContinuousConfig) -> None:
    above_zero(task, "--task", "life_seconds", "falls", "guide_scale")
    not_negative(task, "--task", "guide_weight", "fallen_share", "clip_share")
    within(task, "--task", 0.0, 1.0, "guide_floor")
    above_zero(
        task.guide, "--task.guide", "frames_per_second", "speed", "full_speed_below", "slowest",
        "stand_seconds", "lost_distance", "lost_seconds",
    )  # fmt: skip
    not_negative(task.guide, "--task.guide", "attitude_weight", "height_weight")
    above_zero(task.assist, "--task.assist", "hold_seconds")
    not_negative(task.assist, "--task.assist", "seconds", "more_seconds", "noise")
    in_order(task.assist, "--task.assist", "seconds", "most_seconds")
    _pushes("--task.pushes", task.pushes)
    if task.pushes.none_below >= task.pushes.full_above:
        raise UserError("--task.pushes.none-below must be below --task.pushes.full-above.")
    if task.fallen_share + task.clip_share > 1.0:
        raise UserError("--task.fallen-share and --task.clip-share together must not be above 1.")
    _weakening(task.weakening)


def _weakening(weakening: WeakeningConfig) -> None:
    option = "--task.weakening"
    if weakening.start < 1.0:
        raise UserError(f"{option}.start is {weakening.start}: give 1 for motors that stay, or more.")
    within(weakening, option, 0.0, 1.0, "target", "success_step", "mastered_weight")
    above_zero(weakening, option, "pace", "kind_seconds", "stand_seconds")


def _pushes(option: str, pushes: Pushes) -> None:
    above_zero(pushes, option, "every_seconds", "seconds")
    if pushes.speed < 0.0:
        raise UserError(f"{option}.speed is {pushes.speed}: give 0 for none, or a speed in m/s.")


def _randomization(config: TrainConfig) -> None:
    worlds, option = config.randomization, "--randomization"
    rate = 1.0 / (config.physics.sim_dt * config.physics.n_substeps)  # Hz
    above_zero(worlds, option, "bodies")
    for name in ("mass", "friction", "strength", "latency"):
        low, high = getattr(worlds, name)
        least, what = (0.0, "seconds from 0 on") if name == "latency" else (1e-3, "factors above zero")
        if not least <= low <= high:
            raise UserError(f"{option}.{name} is {low} {high}: give two {what}, the lower one first.")
    if worlds.control_rate < rate - 1e-6:
        raise UserError(
            f"{option}.control-rate is {worlds.control_rate}: give at least the {rate:g} Hz of the run "
            "itself, which is the lowest rate."
        )
    for name, width in dataclasses.asdict(worlds.noise).items():
        if width < 0.0:
            raise UserError(
                f"{option}.noise.{name.replace('_', '-')} is {width}: give 0 for none, or a half width."
            )
    _pushes(f"{option}.pushes", worlds.pushes)
    if isinstance(config.task, ContinuousConfig) and worlds.pushes != RandomizationConfig().pushes:
        raise UserError(f"{option}.pushes are those of imitation: always-on life has --task.pushes.")


def _curriculum(curriculum: CurriculumConfig) -> None:
    _ = curriculum.groups  # names that cannot be taken apart
    option = "--task.curriculum"
    above_zero(curriculum, option, "average_step", "least_updates")
    below_one(curriculum, option, "average_step", "lock_below")
    if not curriculum.lock_below < curriculum.unlock_above <= 1.0:
        raise UserError(f"{option}.unlock-above must be above {option}.lock-below and at most 1.")
    if not 0 <= curriculum.ramp_updates <= curriculum.least_updates:
        raise UserError(
            f"{option}.ramp-updates is {curriculum.ramp_updates}: give 0 to {curriculum.least_updates}, "
            f"the {option}.least-updates, so that a stage has its full effect before the next change."
        )


_CHECKS: dict[type, Callable[[Any], None]] = {
    ImitationConfig: _imitation,
    ContinuousConfig: _continuous,
    PPOConfig: check_ppo,
    SACConfig: check_sac,
}
