"""One of two processes that learn the regulator: ``python distributed_worker.py PORT PROCESS FOLDER``.

What it has seen goes to ``FOLDER/PROCESS.npz``.  In the end both are stopped by a mistake of the second one.
"""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import numpy as np
from regulator import LQR, Regulator

from synthjax.agents.ppo import PPO
from synthjax.errors import UserError
from synthjax.physics.dispatch import wait_for_computations
from synthjax.training import processes
from synthjax.training.checkpoint import CheckpointManager
from synthjax.training.leaves import named_leaves, storable
from synthjax.training.mesh import copied, fetched, split, worlds_mesh
from synthjax.training.program import TrainProgram
from synthjax.training.rendezvous import DistributedConfig
from synthjax.training.votes import Votes

ITERATIONS = 5


def shards(state: object) -> dict[str, np.ndarray]:
    """What this process has of every leaf."""
    leaves = storable(named_leaves(state))
    return {name: np.asarray(leaf.addressable_shards[0].data) for name, leaf in leaves.items()}


def work(process: int, folder: Path) -> dict[str, np.ndarray]:
    env = Regulator()
    mesh = worlds_mesh(LQR.num_envs, LQR.minibatch_size)
    agent = PPO(LQR, env.obs_dim, env.action_dim)
    program = TrainProgram(env, agent, LQR.num_envs, LQR.unroll_length, mesh)
    state, report = program.epoch(program.start(0), ITERATIONS)
    seen = {f"state.{name}": leaf for name, leaf in shards(state).items()}
    seen |= {f"metrics.{name}": np.asarray(value) for name, value in report.metrics.items()}

    checkpoints = CheckpointManager(folder)
    checkpoints.save(1, state, {"note": "two processes"})
    template = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state)
    restored, metadata = checkpoints.restore_latest(template)
    assert metadata == {"note": "two processes"}
    for name, leaf in shards(restored).items():
        np.testing.assert_array_equal(leaf, seen[f"state.{name}"])

    votes = Votes(mesh)
    votes.turn(process == 1, False)
    seen["votes"] = np.array(votes.turn(False, process == 0))
    votes.forget()
    seen["forgotten"] = np.array(votes.turn(False, False))
    seen["first"] = np.array(processes.from_first(lambda: "ü" * 300 if process == 0 else "never"))
    rows = np.arange(6.0).reshape(2, 3)
    seen["rows"] = fetched(mesh, split(mesh, rows)) + fetched(mesh, copied(mesh, rows))
    processes.check_same({"--steps": 3})
    return seen


def main(port: str, number: str, folder: str) -> int:
    wait_for_computations()
    process = int(number)
    config = DistributedConfig(coordinator=f"127.0.0.1:{port}", processes=2, process=process, timeout=60.0)
    try:
        with processes.joined(config):
            assert jax.process_count() == 2
            seen = work(process, Path(folder))
            np.savez(Path(folder) / f"{process}.npz", **seen)
            processes.check_same({"--steps": 3 + process})
    except UserError as error:
        print(error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
