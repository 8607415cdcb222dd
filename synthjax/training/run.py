"""A whole training run: from a configuration to a folder with a policy, its figures and its video."""

from __future__ import annotations

import contextlib
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from synthjax.configs import TrainConfig, missing_preset
from synthjax.configs.bounds import options
from synthjax.errors import UserError
from synthjax.training import devices, processes, run_folder
from synthjax.training.build import Run, build, check_run_fits
from synthjax.training.checkpoint import FOLDER
from synthjax.training.checkpoint_checks import Misfit
from synthjax.training.dataclass_json import write_json
from synthjax.training.display import Phase, TrainingDisplay
from synthjax.training.evaluator import make_evaluator
from synthjax.training.loop import Trainer
from synthjax.training.metrics import MetricsWriter
from synthjax.training.program import TrainState
from synthjax.training.reporting import report_file, video_file


def train(config: TrainConfig, folder: Path, resume: bool) -> None:
    """Trains in ``folder`` until the configured steps, if any, are done or the user stops it.

    A run of several processes calls this in each of them; the first one alone writes and shows.

    Raises:
      UserError: something in the configuration does not exist, fit or match the folder's checkpoint.
    """
    # "[cuda]" and folder names are text.
    console = Console(markup=False, quiet=not processes.leads())
    devices.enable_compilation_cache()
    for hint in (
        devices.unused_gpu_hint(),
        missing_preset(config.env, config.algorithm, config.body.actuation),
    ):
        if hint:
            console.print(hint, soft_wrap=True)
    with processes.together():
        run = build(config)
        check_run_fits(run)
        evaluator = make_evaluator(run)
    processes.check_same(_settings(run))
    run_folder.check_shared(folder)
    console.print(
        f"{folder}: {config.motion} on {run.body.name}/{run.body.actuation}, {run.physics.name} physics, "
        f"{config.agent.num_envs} environments, {run.env.control_dt * 1000:.0f} ms control step"
        f"{_devices(run)}"
        f"{', until it is stopped' if config.forever else ''}",
        soft_wrap=True,
    )
    with TrainingDisplay(str(folder), config.end, evaluator.shown, console=console) as display:
        with processes.together():
            trainer = Trainer(run, evaluator, folder, display)
            state = _prepare(trainer, folder, resume)
        display.resume_at(trainer.env_steps(state))
        resumed_at = trainer.env_steps(state) if resume else None
        if resumed_at == 0:
            display.message(f"{folder} has no checkpoint yet: starting from the beginning.")
        if resumed_at and config.end is not None and resumed_at >= config.end:
            _check_unfinished(folder, config.end)
            display.message(f"{folder} has done its {config.end:,} steps: what is left is its evaluation.")
        with contextlib.ExitStack() as record:
            writer = None
            with processes.together():
                if processes.leads():
                    # Not before: a resumption that is refused leaves the run its own configuration.
                    run_folder.save_config(folder, config)
                    writer = record.enter_context(MetricsWriter(folder, resumed_at))
            state, finished = trainer.train(state, writer)
        if not finished:
            display.message(f"Stopped. Go on with: synthjax train --resume {folder}")
            return
        display.phase(Phase.EVALUATING)
        acting = run.agent.acting(state.agent)
        report = evaluator.report(acting, 2 * config.evaluation.episodes)
        with processes.together():
            if processes.leads():
                write_json(report_file(folder), report)
        display.phase(Phase.RENDERING)
        with processes.together():
            video = evaluator.render(acting, video_file(folder) if processes.leads() else None)
    console.print(evaluator.table(report))
    console.print(video, soft_wrap=True)
    console.print(f"Train it further: synthjax train --resume {folder} --steps N", soft_wrap=True)


def _prepare(trainer: Trainer, folder: Path, resume: bool) -> TrainState:
    """The state to train from.

    Raises:
      UserError: the checkpoint does not fit; names the options that differ from those of the run, as the
        checkpoint itself knows its body and its observation by their hashes alone.
    """
    try:
        return trainer.prepare(resume)
    except Misfit as error:
        there = dict(options(run_folder.load_config(folder)))
        changed = [
            f"{option} is {there.get(option)!r} there and {value!r} here"
            for option, value in options(trainer.run.config)
            if there.get(option) != value
        ]
        if not changed:  # a file that an option names, or the program itself
            raise
        raise Misfit(error.difference, f"; {', '.join(changed)}") from error


def _check_unfinished(folder: Path, end: int) -> None:
    """Refuses to do again what a run with all its steps has done.

    A report that is older than the newest checkpoint is of an earlier end, or of a run that went on.

    Raises:
      UserError: it is evaluated, too.
    """
    report = report_file(folder)
    saved = max((path.stat().st_mtime for path in (folder / FOLDER).glob("*")), default=0.0)
    if report.exists() and report.stat().st_mtime >= saved:
        raise UserError(
            f"{folder} has done its {end:,} steps and is evaluated: "
            f"add --steps N, with N above {end}, to train it further."
        )


def _devices(run: Run) -> str:
    count, several = run.program.mesh.size, run.program.mesh.is_multi_process
    return f", {count} devices of {jax.process_count()} processes" if several else ""


def _settings(run: Run) -> dict[str, Any]:
    """What the processes of a run must share; files by what is in them, as their places may differ."""
    files = {"--motion": None, "--body.name": None}
    versions = {package: metadata.version(package) for package in ("synthjax", "jax", "jaxlib", "mujoco")}
    return dict(options(run.config)) | files | run.training_identity | versions
