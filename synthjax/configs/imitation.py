"""Presets of the imitation task."""

from __future__ import annotations

import dataclasses

from synthjax.agents.ppo import PPOConfig
from synthjax.agents.sac import SACConfig
from synthjax.configs.train import TrainConfig
from synthjax.envs.imitation_task import ImitationConfig

# Tuned on two CPU cores, where small batches learn from the fewest samples.
CPU = TrainConfig(task=ImitationConfig(), agent=PPOConfig())

# Thousands of worlds in step: short unrolls keep the batch from growing as fast as their number, and
# more minibatches keep their size near the one that learns well.
GPU = dataclasses.replace(
    CPU,
    steps=60_000_000,
    epoch_iterations=20,
    agent=PPOConfig(num_envs=4096, unroll_length=8, num_minibatches=16, num_epochs=3),
    evaluation=dataclasses.replace(CPU.evaluation, every=6_000_000, episodes=512),
)

# Off-policy: fewer worlds between updates, and a replay of some thousand steps of each.
SAC_CPU = TrainConfig(
    algorithm="sac",
    task=CPU.task,
    steps=3_000_000,
    epoch_iterations=24,
    checkpoint_seconds=300.0,
    # A walk is tracked best with PPO's discount and with little noise: where there is more of it, a policy
    # hides in the flat parts of tanh.  The entropy is that of this noise for actions that stay out of there.
    agent=SACConfig(
        capacity=131_072, minibatch_size=512, gamma=0.95, max_std=0.15, target_entropy=-0.7,
        average_decay=0.995,
    ),
)  # fmt: skip
SAC_GPU = dataclasses.replace(
    SAC_CPU,
    steps=20_000_000,
    agent=dataclasses.replace(SAC_CPU.agent, num_envs=2048, capacity=1_048_576, minibatch_size=8192),
    evaluation=GPU.evaluation,
)

PRESETS: dict[str, dict[str, TrainConfig]] = {
    "ppo": {"cpu": CPU, "gpu": GPU},
    "sac": {"cpu": SAC_CPU, "gpu": SAC_GPU},
}
