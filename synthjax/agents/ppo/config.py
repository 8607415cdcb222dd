"""Settings of PPO."""

from __future__ import annotations

import dataclasses

from synthjax.agents.networks import NetworkConfig


@dataclasses.dataclass(frozen=True)
class PPOConfig(NetworkConfig):
    """Proximal policy optimisation; the defaults are those that learn to walk on two cores."""

    num_envs: int = 128  # environments stepped side by side
    unroll_length: int = 16  # control steps of each environment between two updates
    num_minibatches: int = 4  # that a batch of num_envs * unroll_length is cut into
    num_epochs: int = 3  # passes over the batch
    gamma: float = 0.95  # discount per control step
    gae_lambda: float = 0.95  # GAE's trade of bias against variance
    clip_ratio: float = 0.2  # of the probability ratio
    value_coefficient: float = 5.0  # weight of the value loss
    reward_scale: float = 0.15  # 3 (1 - gamma) keeps returns near 1 to 3
    advantage_clip: float = 4.0  # of normalised advantages
    max_grad_norm: float = 1.0  # global norm
    learning_rate: float = 5e-4  # initial; then adapted per minibatch
    min_learning_rate: float = 1e-6
    max_learning_rate: float = 2e-3
    target_kl: float = 0.07  # the learning rate is lowered above 2 x this KL and raised below half of it
    settle_from: float = 0.25  # share of a run after which target_kl begins to fall
    settled_kl: float = 0.1  # share of target_kl that is left at the end of a run
    max_noise: float = 0.3  # standard deviation of actions while episodes fail often
    min_noise: float = 0.08  # and once they hardly fail; log-linear between
    max_noise_failure: float = 0.06  # failures per environment step from which max_noise is used
    min_noise_failure: float = 0.0037  # failures per environment step below which min_noise is used
    failure_decay: float = 0.95  # of the moving average of failures, per batch
    average_decay: float = 0.96  # of the moving average of the policy's parameters, per batch
    hidden: tuple[int, ...] = (256, 128)  # widths of both networks; of a structured actor's trunk
    observation_clip: float = 5.0  # of normalised observations

    @property
    def batch_size(self) -> int:
        """Environment steps between two updates."""
        return self.num_envs * self.unroll_length

    @property
    def minibatch_size(self) -> int:
        """Environment steps of one gradient."""
        return self.batch_size // self.num_minibatches
