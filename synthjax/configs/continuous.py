"""Presets of always-on life."""

from __future__ import annotations

import dataclasses

from synthjax.agents.ppo import PPOConfig
from synthjax.agents.sac import SACConfig
from synthjax.configs.train import BodyConfig, EvaluationConfig, TrainConfig
from synthjax.envs.continuous_task import ContinuousConfig
from synthjax.envs.guide import GuideConfig
from synthjax.envs.weakening import WeakeningConfig

CPU = TrainConfig(
    env="continuous",
    motion="getup_facedown",
    steps=3_000_000,
    task=ContinuousConfig(),
    # Nothing fails here, so the noise is the same all along.
    agent=PPOConfig(gamma=0.97, reward_scale=0.09, max_noise=0.15, min_noise=0.15),
    evaluation=EvaluationConfig(every=250_000),
)

GPU = dataclasses.replace(
    CPU,
    # Nearly twice the updates of a run on a CPU; it is learned once their size falls, after a quarter.
    steps=20_000_000,
    epoch_iterations=20,
    agent=dataclasses.replace(CPU.agent, num_envs=4096, unroll_length=8, num_minibatches=16),
    evaluation=EvaluationConfig(every=2_000_000, episodes=256),
)

# The original's motors learn to get up only by way of stronger ones, and over straight legs.
_WEAK_TASK = dataclasses.replace(
    CPU.task,
    # The way takes seven seconds, and a body that is slow on it is not lost.  Of the ten seconds that an
    # attempt has too little is left after that, so that the guide gets faster in the end.
    life_seconds=20.0,
    guide=GuideConfig(lost_seconds=1.5, speed=1.2),
    weakening=WeakeningConfig(start=15.0),  # as strong as "pd"
)


def _weak(preset: TrainConfig, steps: int) -> TrainConfig:
    """``preset`` for these motors."""
    return dataclasses.replace(
        preset,
        motion="getup_straight_left,getup_straight_right",
        steps=steps,
        body=BodyConfig(actuation="torque"),
        task=_WEAK_TASK,
        agent=dataclasses.replace(
            preset.agent, max_noise=0.1, min_noise=0.1, target_kl=0.05, settle_from=0.05
        ),
    )


CPU_TORQUE = dataclasses.replace(_weak(CPU, 12_000_000), evaluation=EvaluationConfig(every=2_000_000))
GPU_TORQUE = _weak(GPU, 60_000_000)

SAC_CPU = TrainConfig(
    env="continuous",
    algorithm="sac",
    motion=CPU.motion,
    task=CPU.task,
    evaluation=CPU.evaluation,
    steps=3_000_000,
    epoch_iterations=24,
    checkpoint_seconds=300.0,
    agent=SACConfig(capacity=131_072, center_rewards=True),
)
SAC_GPU = dataclasses.replace(
    SAC_CPU,
    steps=30_000_000,
    agent=dataclasses.replace(SAC_CPU.agent, num_envs=2048, capacity=1_048_576, minibatch_size=8192),
    evaluation=GPU.evaluation,
)

PRESETS: dict[str, dict[str, TrainConfig]] = {
    "ppo": {"cpu": CPU, "gpu": GPU, "cpu-torque": CPU_TORQUE, "gpu-torque": GPU_TORQUE},
    "sac": {"cpu": SAC_CPU, "gpu": SAC_GPU},
}
