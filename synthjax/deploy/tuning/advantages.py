"""What PPO's step needs of a rollout of one body, in NumPy on the host."""

from __future__ import annotations

import numpy as np


def generalized_advantage(
    rewards: np.ndarray,
    values: np.ndarray,
    next_values: np.ndarray,
    terminated: np.ndarray,
    done: np.ndarray,
    gamma: float,
    gae_lambda: float,
) -> tuple[np.ndarray, np.ndarray]:
    """GAE (Schulman et al. 2016, equation 16), with terminations and time limits told apart.

        delta_t = r_{t+1} + gamma (1 - terminated_{t+1}) V(s_{t+1}) - V(s_t)
        A_t     = delta_t + gamma lambda (1 - done_{t+1}) A_{t+1}

    Args:
      rewards: (T,) r_{t+1}, scaled as the values are.
      values: (T,) V(s_t).
      next_values: (T,) V(s_{t+1}), of the true next observation; of no account where terminated.
      terminated: (T,) bool, the task has ended at t+1.
      done: (T,) bool, the episode has, by a termination or a time limit.
      gamma: discount.
      gae_lambda: lambda.

    Returns:
      Advantages (T,) and value targets A_t + V(s_t) (T,).
    """
    deltas = rewards + gamma * np.where(terminated, 0.0, next_values) - values
    carry = gamma * gae_lambda * ~done
    advantages = np.zeros_like(deltas)
    advantage = 0.0
    for t in reversed(range(len(deltas))):
        advantage = deltas[t] + carry[t] * advantage
        advantages[t] = advantage
    return advantages, advantages + values


def normalize_advantages(advantages: np.ndarray, limit: float) -> np.ndarray:
    """Zero mean and unit deviation over the batch (T,), then within +-``limit``."""
    centred = advantages - advantages.mean()
    return np.clip(centred / (np.sqrt(np.mean(centred * centred)) + 1e-8), -limit, limit)
