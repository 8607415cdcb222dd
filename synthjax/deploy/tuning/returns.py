"""What SAC's step needs of a rollout of one body, in NumPy on the host."""

from __future__ import annotations

import numpy as np


def n_step_returns(
    rewards: np.ndarray, terminated: np.ndarray, done: np.ndarray, gamma: float, n: int, rate: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The n-step return of every step, and where to bootstrap (Watkins 1989).

        R_t = sum_{k<m} gamma^k r_{t+k+1},   bootstrapped by gamma^m V(s_{t+m}),   m <= n

    A window ends with its episode, and with the rollout.  An average reward is taken from all that come, and
    after a termination these are nothings for ever: as in :mod:`synthjax.agents.sac.returns`.

    Args:
      rewards: (T,) r_{t+1}.
      terminated: (T,) bool, the task has ended at t+1: nothing is bootstrapped.
      done: (T,) bool, the episode has, by a termination, a time limit or a cut.
      gamma: discount.
      n: most rewards of one window.
      rate: average reward of a step, 0 where rewards are not centred.

    Returns:
      R_t (T,), the discount of the value at the end of the window (T,), zero after a termination, and the
      last step of the window (T,), whose next observation that value is of.
    """
    time = np.arange(len(rewards))
    returns, discounts, last = np.zeros(len(rewards)), np.ones(len(rewards)), time.copy()
    within = np.ones(len(rewards), bool)
    for k in range(min(n, len(rewards))):
        row = np.minimum(time + k, len(rewards) - 1)
        if k:
            within &= ~done[row - 1] & (time + k < len(rewards))
        returns += np.where(within, gamma**k * (rewards[row] - rate), 0.0)
        discounts[within] = gamma ** (k + 1)
        last[within] = row[within]
    ended = terminated[last]
    returns -= np.where(ended, discounts * rate / (1.0 - gamma), 0.0)
    return returns, np.where(ended, 0.0, discounts), last
