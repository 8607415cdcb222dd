"""Prioritised sampling at one million entries: two ways to draw, and the replay's share of a training step.

    python benchmarks/replay.py --out benchmarks/results/replay_cpu.json

Draws 4096 of a million entries in proportion to their priorities by one cumulative sum over all of them
and by sums over rows, which is how ``synthjax.agents.sac`` does it.  Then times all that the replay does
in one iteration of SAC with 2048 environments of the imitation task (one ``add``, and for every gradient
step drawing, gathering and new priorities) against the whole iteration.  The replay takes 4 to 8 GB.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from synthjax.agents.sac import SAC, SACConfig, SACState
from synthjax.agents.sac import replay as replay_module
from synthjax.agents.sac.priorities import ROW, sample
from synthjax.agents.sac.replay import Entries, Replay
from synthjax.configs.imitation import CPU
from synthjax.physics.dispatch import wait_for_computations
from synthjax.training.bench import machine
from synthjax.training.build import build
from synthjax.training.program import TrainProgram
from synthjax.types import Transition

ENTRIES, DRAWS = 2**20, 4096
CONFIG = SACConfig(
    num_envs=2048, unroll_length=4, capacity=ENTRIES, minibatch_size=DRAWS, samples_per_step=1.0,
    learning_starts=1,
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    wait_for_computations()
    result: dict[str, Any] = {
        "machine": machine(" ".join(["python", *sys.argv])),
        "load_average": os.getloadavg(),
        "entries": ENTRIES,
        "draws": DRAWS,
        "milliseconds_to_draw": drawing(),
    }
    print(json.dumps(result, indent=2), flush=True)
    result["share"] = share()
    out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result["share"], indent=2))


def drawing() -> dict[str, float]:
    """Milliseconds of one call of either sampler."""
    key = jax.random.key(0)
    masses = jax.random.uniform(key, (ENTRIES,)) ** 2 + 1e-3
    ways: dict[str, Callable] = {"flat": flat}
    ways |= {f"rows_of_{row}": functools.partial(in_rows, row) for row in (16, ROW, 64, 128, 256, 1024)}
    return {name: 1e3 * seconds(jax.jit(way), masses, key) for name, way in ways.items()}


def flat(masses: jax.Array, key: jax.Array) -> jax.Array:
    """Indices (DRAWS,) by one cumulative sum over all entries, stratified."""
    cumulative = jnp.cumsum(masses)
    strata = (jnp.arange(DRAWS) + jax.random.uniform(key, (DRAWS,))) / DRAWS
    index = jnp.searchsorted(cumulative, strata * cumulative[-1], side="right")
    return jnp.minimum(index, masses.shape[0] - 1)


def in_rows(row: int, masses: jax.Array, key: jax.Array) -> jax.Array:
    """Indices (DRAWS,) as the package draws them, with rows of another length."""
    return sample(masses.reshape(-1, row), jnp.asarray(ENTRIES // row), DRAWS, key)


def share() -> dict[str, float]:
    """Milliseconds of one iteration at 2048 environments, of the update in it, and of the replay's part."""
    env = build(CPU).env
    agent = SAC(CONFIG, env.obs_dim, env.action_dim)
    program = TrainProgram(env, agent, CONFIG.num_envs, CONFIG.unroll_length)
    state = program.start(0)
    agent_state = dataclasses.replace(state.agent, replay=filled(state.agent))
    state = dataclasses.replace(state, agent=agent_state)
    state, iteration = repeat(lambda state: program.epoch(state, 1)[0], state, calls=7)

    new, key = jax.tree.map(lambda x: x[: CONFIG.batch_size] + 0.0, state.agent.replay.entries), state.key
    data = Transition(
        obs=new.obs, action=new.action, reward=new.reward, next_obs=new.next_obs,
        terminated=new.discount == 0, truncated=new.discount == 0, valid=new.discount == new.discount,
        extras={},
    )  # fmt: skip
    data = jax.tree.map(lambda x: x.reshape(CONFIG.unroll_length, CONFIG.num_envs, *x.shape[1:]), data)
    update = jax.jit(lambda state: agent.update(state, data, key)[0], donate_argnums=0)
    learner, updating = repeat(update, state.agent)
    ring, adding = repeat(lambda ring: add(ring, new), learner.replay)
    ring, drawn = repeat(lambda ring: draw_and_set(ring, key), ring)
    total = adding + CONFIG.gradient_steps * drawn
    return {
        "num_envs": CONFIG.num_envs,
        "unroll_length": CONFIG.unroll_length,
        "obs_dim": env.obs_dim,
        "minibatch_size": CONFIG.minibatch_size,
        "gradient_steps": CONFIG.gradient_steps,
        "iteration_ms": 1e3 * iteration,
        "update_ms": 1e3 * updating,
        "add_ms": 1e3 * adding,
        "sample_and_set_priorities_ms": 1e3 * drawn,
        "replay_share_of_iteration": total / iteration,
        "replay_share_of_update": total / updating,
    }


def repeat(function: Callable, state: Any, calls: int = 20) -> tuple[Any, float]:
    """``state`` after ``calls`` of a function that takes its memory, and the median seconds of a call."""
    state, times = jax.block_until_ready(function(state)), []
    for _ in range(calls):
        start = time.perf_counter()
        state = jax.block_until_ready(function(state))
        times.append(time.perf_counter() - start)
    return state, statistics.median(times)


def filled(state: SACState) -> Replay:
    """The replay of a run that has filled it, with uneven priorities."""
    masses = jax.random.uniform(jax.random.key(2), (ENTRIES,)) + 1e-3
    return dataclasses.replace(state.replay, masses=masses, size=jnp.full(1, ENTRIES, jnp.int32))


@functools.partial(jax.jit, donate_argnums=0)
def add(ring: Replay, new: Entries) -> Replay:
    return replay_module.add(ring, new, jnp.ones(CONFIG.batch_size, bool))


@functools.partial(jax.jit, donate_argnums=0)
def draw_and_set(ring: Replay, key: jax.Array) -> Replay:
    """Everything of a gradient step that is the replay's; the batch is used so that it is gathered."""
    index, batch, weights = replay_module.sample(ring, DRAWS, key, jnp.asarray(0.5))
    used = sum(jnp.sum(leaf.reshape(DRAWS, -1), axis=1) for leaf in jax.tree.leaves(batch))
    return replay_module.set_masses(ring, index, 0.5 + 0.1 * jnp.tanh(used * weights))


def seconds(function: Callable, *args: Any, calls: int = 30) -> float:
    """Median wall time of a call after the first."""
    return repeat(lambda _: function(*args), None, calls)[1]


if __name__ == "__main__":
    main()
