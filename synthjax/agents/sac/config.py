"""Settings of SAC."""

from __future__ import annotations

import dataclasses

from synthjax.agents.networks import NetworkConfig


@dataclasses.dataclass(frozen=True)
class SACConfig(NetworkConfig):
    """Soft actor-critic; the defaults are for humanoids by the hundred on few cores."""

    num_envs: int = 128  # environments stepped side by side
    unroll_length: int = 8  # control steps of each environment between two updates
    capacity: int = 262_144  # transitions that the replay holds, all devices together
    minibatch_size: int = 1024  # transitions of one gradient step, all devices together
    samples_per_step: float = 4.0  # update-to-data ratio: transitions learned from per environment step
    learning_starts: int = 10_000  # stored transitions before the first gradient step
    uniform_start: bool = False  # until then act uniformly at random instead of with the fresh policy
    n_step: int = 3  # rewards summed before the bootstrap; fewer at the end of an unroll
    gamma: float = 0.97  # discount per control step
    tau: float = 0.02  # share of the critics that their targets take over per gradient step
    learning_rate: float = 3e-4  # of policy, critics and temperature
    settle_from: float = 0.1  # share of a run after which the learning rate begins to fall
    settled_rate: float = 0.1  # share of the learning rate that is left at the end of a run
    average_decay: float = 0.98  # of the moving average of the policy's parameters, per unroll
    initial_alpha: float = 0.01  # temperature: weight of entropy against reward
    target_entropy: float = -0.5  # nats per active action, which alpha is adapted to
    entropy_in_target: bool = True  # value what the policy's entropy will earn, as in the paper
    min_std: float = 0.02  # of an action before tanh; a fresh policy starts halfway in the logarithm
    max_std: float = 1.0  # of an action before tanh
    prioritized: bool = True  # sample in proportion to TD errors, else uniformly
    priority_exponent: float = 0.6  # of TD errors; 0 would be uniform
    importance_exponent: float = 0.4  # initial, of the weights that correct for it; rises to 1 over a run
    center_rewards: bool = False  # subtract the average reward when sampling, for lives without an end
    reward_rate_step: float = 0.01  # weight of one unroll in the average reward
    policy_hidden: tuple[int, ...] = (256, 128)  # widths of the policy; of a structured actor's trunk
    critic_hidden: tuple[int, ...] = (256, 256)  # widths of each critic's hidden layers
    critic_layer_norm: bool = True  # normalise the critics' hidden layers
    observation_clip: float = 5.0  # of normalised observations

    @property
    def batch_size(self) -> int:
        """Environment steps between two updates."""
        return self.num_envs * self.unroll_length

    @property
    def gradient_steps(self) -> int:
        """Gradient steps of one update: the nearest whole number, and at least one."""
        return max(1, round(self.batch_size * self.samples_per_step / self.minibatch_size))
