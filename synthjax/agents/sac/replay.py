"""A ring of transitions on the device, with their priorities."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct

from synthjax.agents.sac import priorities


@struct.dataclass
class Entries:
    """Transitions over one or several steps, with leading axes of their own."""

    obs: jax.Array  # (..., obs_dim) s_t, raw: normalised when sampled
    action: jax.Array  # (..., action_dim) a_t
    reward: jax.Array  # (...) discounted sum of raw rewards
    # (...) discounted nominal steps that ``reward`` stands for: all to come, where the task has ended
    horizon: jax.Array
    next_obs: jax.Array  # (..., obs_dim) where the sum ends, raw
    discount: jax.Array  # (...) of the value there; zero where the task has ended


@struct.dataclass
class Replay:
    """The ring.  All leaves have a leading axis, which a mesh may split: each device has its own ring."""

    entries: Entries  # (capacity, ...)
    masses: jax.Array  # (capacity,) sampling probabilities up to their sum; zero where nothing is stored
    cursor: jax.Array  # (num_devices,) int32, where the next entry goes; (1,) as one device sees it
    size: jax.Array  # (num_devices,) int32, entries stored


def whole_capacity(capacity: int, num_devices: int = 1) -> int:
    """``capacity`` rounded up to whole rows of priorities on each device."""
    unit = priorities.ROW * num_devices
    return -(-capacity // unit) * unit


def replay_bytes(capacity: int, obs_dim: int, action_dim: int) -> int:
    """Bytes of a replay on one device: float32, per entry two observations, an action and four numbers."""
    return 4 * whole_capacity(capacity) * (2 * obs_dim + action_dim + 4)


def init_replay(capacity: int, obs_dim: int, action_dim: int, num_devices: int = 1) -> Replay:
    """An empty replay of at least ``capacity`` entries, ``num_devices`` rings together."""
    capacity = whole_capacity(capacity, num_devices)
    return Replay(
        entries=Entries(
            obs=jnp.zeros((capacity, obs_dim)),
            action=jnp.zeros((capacity, action_dim)),
            reward=jnp.zeros(capacity),
            horizon=jnp.zeros(capacity),
            next_obs=jnp.zeros((capacity, obs_dim)),
            discount=jnp.zeros(capacity),
        ),
        masses=jnp.zeros(capacity),
        cursor=jnp.zeros(num_devices, jnp.int32),
        size=jnp.zeros(num_devices, jnp.int32),
    )


def add(replay: Replay, entries: Entries, valid: jax.Array) -> Replay:
    """Stores the ``valid`` (M,) of ``entries`` (M, ...) over the oldest, M <= capacity.

    New entries are as likely as the likeliest (Schaul et al. 2016, algorithm 1, line 6).
    """
    capacity, count = replay.masses.shape[0], jnp.sum(valid, dtype=jnp.int32)
    order = jnp.cumsum(valid) - 1
    # An index beyond the ring drops an entry; each has its own, as all must be different.
    index = jnp.where(valid, (replay.cursor + order) % capacity, capacity + jnp.arange(valid.shape[0]))

    def write(ring: jax.Array, new: jax.Array) -> jax.Array:
        return ring.at[index].set(new, mode="drop", unique_indices=True)

    largest = jnp.max(replay.masses)
    return Replay(
        entries=jax.tree.map(write, replay.entries, entries),
        masses=write(replay.masses, jnp.where(largest > 0, largest, 1.0)),
        cursor=(replay.cursor + count) % capacity,
        size=jnp.minimum(replay.size + count, capacity),
    )


def sample(
    replay: Replay, count: int, key: jax.Array, importance_exponent: jax.Array
) -> tuple[jax.Array, Entries, jax.Array]:
    """``count`` entries in proportion to their priorities.

    Returns:
      Their indices (count,), the entries (count, ...), and weights (count,) for their losses.
    """
    rows = (replay.size[0] + priorities.ROW - 1) // priorities.ROW
    index = priorities.sample(replay.masses.reshape(-1, priorities.ROW), rows, count, key)
    weights = priorities.importance_weights(replay.masses[index], importance_exponent)
    return index, _take(replay, index), weights


def sample_uniform(replay: Replay, count: int, key: jax.Array) -> Entries:
    """``count`` entries (count, ...), each equally likely."""
    return _take(replay, jax.random.randint(key, (count,), 0, replay.size[0]))


def set_masses(replay: Replay, index: jax.Array, masses: jax.Array) -> Replay:
    """New ``masses`` (B,) of the entries at ``index`` (B,); one that was drawn twice takes the larger.

    So the outcome does not hang on the order in which a device writes.
    """
    return dataclasses.replace(replay, masses=replay.masses.at[index].set(0.0).at[index].max(masses))


def _take(replay: Replay, index: jax.Array) -> Entries:
    taken: Entries = jax.tree.map(lambda ring: ring[index], replay.entries)
    return taken
