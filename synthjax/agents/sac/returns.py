"""n-step returns of an unroll, and the average reward."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp

from synthjax.agents.collective import batch_mean
from synthjax.agents.sac.replay import Entries
from synthjax.types import Transition


def n_step_entries(data: Transition, gamma: float, n: int) -> Entries:
    """What the replay stores of every step of an unroll: its n-step return and where to bootstrap.

        R_t = sum_{k<m} gamma^k r_{t+k+1},   bootstrapped by gamma^m V(s_{t+m})   (Watkins 1989)

    m <= n steps.  A window ends with a termination, which is not bootstrapped, with a truncation, which
    is, before a step that is not ``valid``, and at the end of the unroll: the last n - 1 steps have
    shorter windows rather than being held back until the next unroll.  With ``data.duration`` the exponents
    are what has gone by in nominal steps, instead of the number of steps.

    After a termination every step is worth nothing, which is less than the average: its ``horizon`` has
    all of them in it, so that rewards may be centred and the end stays as bad as it was.

    Args:
      data: (T, N, ...) one unroll; ``next_obs`` are taken before any reset.
      gamma: discount.
      n: most rewards of one window.

    Returns:
      Entries (T, N, ...), one for each step, whether valid or not.
    """
    chex.assert_equal_shape([data.reward, data.terminated, data.truncated, data.valid])
    length, worlds = data.reward.shape
    time, done = jnp.arange(length)[:, None], data.terminated | data.truncated
    reward, horizon = jnp.zeros_like(data.reward), jnp.zeros_like(data.reward)
    discount = jnp.ones_like(data.reward)
    last = jnp.broadcast_to(time, data.reward.shape)
    within = jnp.ones_like(done)
    # Nominal steps from the beginning of the window to step k, and from there to the next one.
    before: float | jax.Array = 0.0
    for k in range(min(n, length)):
        step = 1.0 if data.duration is None else jnp.roll(data.duration, -k, axis=0)
        if k:
            # Rolled round the end, but no window reaches beyond the unroll.
            goes_on = ~jnp.roll(done, 1 - k, axis=0) & jnp.roll(data.valid, -k, axis=0)
            within = within & goes_on & (time + k < length)
        reward = reward + jnp.where(within, gamma**before * jnp.roll(data.reward, -k, axis=0), 0.0)
        horizon = horizon + jnp.where(within, gamma**before * step, 0.0)
        before = before + step
        discount = jnp.where(within, gamma**before, discount)
        last = jnp.where(within, time + k, last)
    end = (last, jnp.arange(worlds))
    terminated = data.terminated[end]
    return Entries(
        obs=data.obs,
        action=data.action,
        reward=reward,
        horizon=horizon + jnp.where(terminated, discount / (1.0 - gamma), 0.0),
        next_obs=data.next_obs[end],
        discount=jnp.where(terminated, 0.0, discount),
    )


def update_reward_rate(
    rate: jax.Array,
    reward: jax.Array,
    valid: jax.Array,
    step: jax.Array,
    axis: str | None = None,
    duration: jax.Array | None = None,
) -> jax.Array:
    """Moving average of the reward per nominal step (Naik et al. 2024, equation 3, over an unroll's mean).

    Args:
      rate: () average so far.
      reward: (T, N) of an unroll.
      valid: (T, N) bool, the steps that count; without any the rate stays.
      step: () weight of this unroll.
      axis: the mesh axis over which the unroll is split, if it is.
      duration: (T, N) of the steps, in nominal ones, if they are not all of one length.
    """
    time = valid.astype(reward.dtype) if duration is None else jnp.where(valid, duration, 0.0)
    share = batch_mean(time, axis)
    mean = batch_mean(jnp.where(valid, reward, 0.0), axis) / jnp.where(share > 0, share, 1.0)
    return jnp.where(share > 0, rate + step * (mean - rate), rate)
