"""Imitation episodes of one run's policies: the same compiled program whatever the starts."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from synthjax.envs.reset_table import ResetTable, StartNoise, build_reset_table
from synthjax.training import changed_bodies as bodies
from synthjax.training.build import Run
from synthjax.training.evaluation import EpisodeTrace, run_episodes
from synthjax.training.mesh import copied, split
from synthjax.training.policies import SEED, make_policy
from synthjax.training.rollout import batch_size, in_batches
from synthjax.types import PyTree

NO_NOISE = StartNoise(0.0, 0.0, 0.0)


class Episodes:
    """Runs episodes of a policy in batches of one size, so that all of them compile once."""

    def __init__(
        self,
        run: Run,
        deterministic: bool = True,
        seconds: float | None = None,
        changed_bodies: bool = False,
        motors: float = 1.0,
    ):
        """``seconds`` is the length of an episode; that of the run's evaluations if not given."""
        self.run, self.deterministic = run, deterministic
        self.seconds = seconds or run.config.evaluation.seconds
        self._policy = make_policy(run, deterministic)
        self._batch = batch_size(run.config.evaluation.episodes, run.program.mesh)
        self._start = jax.jit(jax.vmap(run.env.start_from, in_axes=(None, 0, 0)))
        self.bodies, self._variants = bodies.judged_bodies(run.body, self._batch, changed_bodies, motors)
        self._tables: dict[StartNoise, ResetTable] = {}

    def spread(self, agent_state: PyTree, noise: StartNoise, episodes: int) -> EpisodeTrace:
        """``episodes`` in equal shares for the clips; arrays on the host.

        Starts are spread over the whole cycle of a loop, and over the first bin of any other clip: from its
        middle on there would be less to fail in.
        """
        table, clips = self._table(noise), self.run.clips
        starts = []
        for clip, share in enumerate(np.array_split(np.arange(episodes), len(clips))):
            bins = int(table.bins_in_clip[clip]) if clips[clip].loop else 1
            first = int(table.bin_start[clip]) * table.per_bin
            starts.append(np.linspace(first, first + bins * table.per_bin - 1, len(share)).round())
        return self.episodes(agent_state, noise, np.concatenate(starts).astype(np.int32))

    def firsts(self, agent_state: PyTree) -> EpisodeTrace:
        """One episode of each clip from its beginning, without noise."""
        table = self._table(NO_NOISE)
        return self.episodes(agent_state, NO_NOISE, np.asarray(table.bin_start) * table.per_bin)

    def episodes(self, agent_state: PyTree, noise: StartNoise, starts: np.ndarray) -> EpisodeTrace:
        """One episode from each start, an index (N,) into the table of starts with ``noise``."""
        mesh, table = self.run.program.mesh, self._table(noise)
        agent_state = copied(mesh, agent_state)
        steps = round(self.seconds / self.run.env.control_dt)

        def run_batch(batch: np.ndarray, keys: jax.Array) -> EpisodeTrace:
            first = bodies.with_bodies(self._start(table, jnp.asarray(batch), keys), self._variants)
            return run_episodes(self.run.env, self._policy, agent_state, split(mesh, first), steps, mesh)

        return in_batches(starts, self._batch, run_batch, mesh)

    def _table(self, noise: StartNoise) -> ResetTable:
        if noise not in self._tables:
            task = self.run.config.task
            self._tables[noise] = build_reset_table(
                self.run.body, self.run.clips, bin_seconds=task.bin_seconds, per_bin=task.starts_per_bin,
                noise=noise, seed=SEED,
            )  # fmt: skip
        return self._tables[noise]
