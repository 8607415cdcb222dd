"""The training loop on the host: epochs, evaluations, checkpoints, and a clean stop."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import jax
import numpy as np

from synthjax import interrupts
from synthjax.errors import UserError
from synthjax.training import processes
from synthjax.training.build import Run
from synthjax.training.checkpoint import CheckpointManager
from synthjax.training.display import Phase, TrainingDisplay
from synthjax.training.dumps import write_dump
from synthjax.training.evaluator import Evaluator
from synthjax.training.mesh import fetched
from synthjax.training.metrics import MetricsWriter
from synthjax.training.program import EpochReport, TrainState
from synthjax.training.votes import Votes


class Trainer:
    """One run in its folder: start or resume with :meth:`prepare`, then :meth:`train`.

    A run of several processes has one in each of them, and all do the same: what they do is decided by counts
    that all share, or put to the vote.
    """

    def __init__(self, run: Run, evaluator: Evaluator, folder: Path, display: TrainingDisplay):
        self.run, self.evaluator, self.folder, self.display = run, evaluator, folder, display
        self.checkpoints = CheckpointManager(folder, keep=run.config.keep_checkpoints)
        self._stop = self._has_dumped = False
        self._votes = Votes(run.program.mesh)
        self._failure: Exception | None = None  # of the record, which one process alone writes

    def prepare(self, resume: bool) -> TrainState:
        """The state to train from: fresh, or the newest whole checkpoint.

        Raises:
          UserError: the checkpoint is of another body, layout or network.
        """
        program, restored = self.run.program, None
        if resume:
            # What is read is all that is ever held: a replay may fill the memory.
            restored = self.checkpoints.restore_latest(
                program.template(), expected=self.run.training_identity
            )
        return program.start(self.run.config.seed) if restored is None else restored[0]

    def train(self, state: TrainState, writer: MetricsWriter | None) -> tuple[TrainState, bool]:
        """Trains up to the configured number of environment steps, or until a process is asked to stop.

        Args:
          state: to train from; it is donated.
          writer: of the record, in the process that leads.

        Returns:
          The final state and whether the run is finished (False: it was asked to stop).
        """
        config, display = self.run.config, self.display
        end = math.inf if config.end is None else config.end
        last_save = time.monotonic()
        pending: tuple[int, EpochReport] | None = None
        # Counted on the host: reading the state's counter would wait for the device in every epoch.
        first = steps = self.env_steps(state)
        stop = False
        with interrupts.stops(self._asked_to_stop):
            while not stop and steps < end:
                if steps > first:  # the first epoch is compiled
                    display.phase(Phase.TRAINING)
                before, steps = steps, steps + self._epoch_steps
                state, report = self.run.program.epoch(state, config.epoch_iterations)
                # Metrics are read one epoch late: the device computes the next one meanwhile.
                if pending is not None:
                    self._log(pending, writer)
                pending = (steps, report)
                due = steps // config.evaluation.every > before // config.evaluation.every
                if due or steps >= end:
                    self._log(pending, writer)
                    pending = None
                    figures = self.evaluate(state)
                    self._write(writer, steps, figures, "eval")
                    self.save(state, figures)
                    last_save = time.monotonic()
                late = processes.leads() and time.monotonic() - last_save > config.checkpoint_seconds
                stop, save = self._votes.turn(self._stop, late)
                if save and pending is not None:
                    self._log(pending, writer)
                    pending = None
                    self.save(state)
                    last_save = time.monotonic()
                # A process by itself need not wait for a vote on what the record has brought up.
                stop |= self._stop and not self.run.program.mesh.is_multi_process
            if pending is not None:
                self._log(pending, writer)
                self.save(state)
        return state, steps >= end

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """The figures of the policy as it stands, which are logged and compared."""
        self.display.phase(Phase.EVALUATING)
        figures = self.evaluator.figures(
            self.run.agent.acting(state.agent), self.run.config.evaluation.episodes
        )
        self.display.message(f"{self.env_steps(state):,} steps: {self.evaluator.sentence(figures)}")
        return figures

    def save(self, state: TrainState, figures: Mapping[str, float] | None = None) -> None:
        """Writes a checkpoint; with evaluation ``figures`` it competes for the best.

        Raises:
          UserError: it cannot be written, or what belongs before it in the record could not.
        """
        self.display.phase(Phase.SAVING)
        with processes.together():
            if self._failure is not None:
                raise self._failure
        metadata = {**self.run.training_identity, "env_steps": self.env_steps(state)}
        self.checkpoints.save(
            self.env_steps(state),
            state,
            metadata,
            score=None if figures is None else self.evaluator.rank(figures),
            lasting=dataclasses.replace(state, agent=self.run.agent.acting(state.agent)),
        )

    def env_steps(self, state: TrainState) -> int:
        """Environment steps so far, all worlds together."""
        return int(state.iteration) * self.run.program.steps_per_iteration

    def _asked_to_stop(self) -> None:
        self.display.message(
            "Stopping after this epoch, with a checkpoint; Ctrl-C again stops at once, without one."
        )
        self.request_stop()

    def request_stop(self) -> None:
        """Ends training after the epoch in flight, with a checkpoint."""
        self._stop = True

    @property
    def _epoch_steps(self) -> int:
        return self.run.config.epoch_iterations * self.run.program.steps_per_iteration

    def _log(self, pending: tuple[int, EpochReport], writer: MetricsWriter | None) -> None:
        steps, report = pending
        metrics = {name: float(value) for name, value in jax.device_get(report.metrics).items()}
        ended = metrics["completed"] + metrics["failed"]
        # Share of the training episodes that ended in this epoch; there may be none.
        metrics["completion"] = metrics["completed"] / ended if ended else math.nan
        self._write(writer, steps, metrics, "train")
        self.display.update(steps, metrics)
        if metrics["bad_world"] > 0.0:
            self._dump(steps, report)

    def _write(
        self, writer: MetricsWriter | None, steps: int, metrics: Mapping[str, float], kind: str
    ) -> None:
        with self._recording():
            if writer is not None and self._failure is None:  # nothing after a row that was cut
                writer.write(steps, metrics, kind)

    @contextmanager
    def _recording(self) -> Iterator[None]:
        """Keeps an error of the record, and stops, until all processes are there to hear of it."""
        try:
            yield
        except (OSError, UserError) as error:
            self._failure = self._failure or error
            self.request_stop()

    def _dump(self, steps: int, report: EpochReport) -> None:
        """Writes the last steps of a world that blew up in an epoch, one on each device."""
        blowup = fetched(self.run.program.mesh, report.blowup)
        for device in np.flatnonzero(blowup.found) if processes.leads() else ():
            trail = jax.tree.map(lambda x, device=device: x[device], blowup.trail)
            with self._recording():
                path = write_dump(self.run, self.folder, f"{steps}-{device}", steps, trail)
                if not self._has_dumped:  # more of them are in the metrics, as bad_world
                    self.display.message(
                        f"A world became non-finite: see it with synthjax play --dump {path}"
                    )
                self._has_dumped = True
