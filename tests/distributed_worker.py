"""One of two processes that learn the regulator: ``python distributed_worker.py PORT PROCESS FOLDER``.

The second one is asked to stop on the way; both go on from the checkpoint.  What a process has of the end
goes to ``FOLDER/PROCESS.npz``.  Then a mistake of the second one ends both.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
from regulator import LQR, Regulator
from rich.console import Console

from synthjax import configs
from synthjax.agents.ppo import PPO
from synthjax.errors import UserError
from synthjax.physics.dispatch import wait_for_computations
from synthjax.training import processes
from synthjax.training.display import TrainingDisplay
from synthjax.training.leaves import named_leaves, storable
from synthjax.training.loop import Trainer
from synthjax.training.mesh import copied, fetched, split, worlds_mesh
from synthjax.training.metrics import MetricsWriter
from synthjax.training.program import TrainProgram, TrainState
from synthjax.training.rendezvous import DistributedConfig

ITERATIONS, EPOCHS = 1, 7
EPOCH = ITERATIONS * LQR.batch_size  # env steps
EVALUATED = 4  # after so many epochs, and at the end


class Judge:
    """An evaluator that finds every policy better than the one before."""

    def figures(self, agent_state: object, episodes: int) -> dict[str, float]:
        return {"updates": float(agent_state.updates)}

    def sentence(self, figures: dict[str, float]) -> str:
        return "fine"

    def rank(self, figures: dict[str, float]) -> float:
        return figures["updates"]


class Terminate(TrainingDisplay):
    """Once the second epoch is logged, process 1 gets SIGTERM."""

    def update(self, env_steps, metrics):
        super().update(env_steps, metrics)
        if env_steps == 2 * EPOCH and jax.process_index() == 1:
            os.kill(os.getpid(), signal.SIGTERM)


@functools.cache
def program() -> TrainProgram:
    mesh = worlds_mesh(LQR.num_envs, LQR.minibatch_size)
    return TrainProgram(Regulator(), PPO(LQR, 2, 2), LQR.num_envs, LQR.unroll_length, mesh)


def train(folder: Path, resume: bool) -> tuple[Trainer, TrainState, bool]:
    default = configs.get("imitation")
    evaluation = dataclasses.replace(default.evaluation, every=EVALUATED * EPOCH)
    config = dataclasses.replace(
        default, agent=LQR, steps=EPOCHS * EPOCH, epoch_iterations=ITERATIONS, checkpoint_seconds=1e-9,
        evaluation=evaluation,
    )  # fmt: skip
    run = SimpleNamespace(config=config, agent=program().agent, program=program(), training_identity={})
    trainer = Trainer(run, Judge(), folder, Terminate("test", 1, {}, console=Console(quiet=True)))
    state = trainer.prepare(resume)
    if not processes.leads():
        return trainer, *trainer.train(state, None)
    with MetricsWriter(folder, trainer.env_steps(state) if resume else None) as writer:
        return trainer, *trainer.train(state, writer)


def work(process: int, folder: Path) -> dict[str, np.ndarray]:
    trainer, _, finished = train(folder, resume=False)
    seen = {"finished": np.array(finished), "stopped": np.array(trainer.checkpoints.steps())}
    trainer, state, finished = train(folder, resume=True)
    assert finished
    seen["steps"] = np.array(trainer.checkpoints.steps())
    for name, leaf in storable(named_leaves(state)).items():
        seen[f"state.{name}"] = np.asarray(leaf.addressable_shards[0].data)

    rows, mesh = np.arange(6.0).reshape(2, 3), trainer.run.program.mesh
    seen["rows"] = fetched(mesh, split(mesh, rows)) + fetched(mesh, copied(mesh, rows))
    seen["first"] = np.array(processes.from_first(lambda: "ü" * 300 if process == 0 else "never"))
    processes.check_same({"--steps": 3})
    return seen


def main(port: str, number: str, folder: str) -> int:
    wait_for_computations()
    process = int(number)
    config = DistributedConfig(coordinator=f"127.0.0.1:{port}", processes=2, process=process, timeout=100.0)
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
