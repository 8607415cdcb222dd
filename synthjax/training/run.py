"""A whole training run: from a configuration to a folder with a policy, its figures and its video."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from synthjax.configs import TrainConfig
from synthjax.training import devices, run_folder
from synthjax.training.build import build, check_run_fits
from synthjax.training.dataclass_json import write_json
from synthjax.training.display import Phase, TrainingDisplay
from synthjax.training.evaluator import make_evaluator
from synthjax.training.loop import Trainer
from synthjax.training.metrics import MetricsWriter
from synthjax.training.reporting import report_file, video_file


def train(config: TrainConfig, folder: Path, resume: bool) -> None:
    """Trains in ``folder`` until the configured steps, if any, are done or the user stops it.

    Raises:
      UserError: something in the configuration does not exist, fit or match the folder's checkpoint.
    """
    console = Console(markup=False)  # "[cuda]" and folder names are text
    devices.enable_compilation_cache()
    if hint := devices.unused_gpu_hint():
        console.print(hint, soft_wrap=True)
    run = build(config)
    check_run_fits(run)
    console.print(
        f"{folder}: {config.motion} on {run.body.name}/{run.body.actuation}, {run.physics.name} physics, "
        f"{config.agent.num_envs} environments, {run.env.control_dt * 1000:.0f} ms control step"
        f"{', until it is stopped' if config.forever else ''}",
        soft_wrap=True,
    )
    evaluator = make_evaluator(run)
    with TrainingDisplay(str(folder), config.end, evaluator.shown, console=console) as display:
        trainer = Trainer(run, evaluator, folder, display)
        state = trainer.prepare(resume)
        # Not before: a resumption that is refused leaves the run its own configuration.
        run_folder.save_config(folder, config)
        display.resume_at(trainer.env_steps(state))
        resumed_at = trainer.env_steps(state) if resume else None
        with MetricsWriter(folder, resumed_at) as writer:
            state, finished = trainer.train(state, writer)
        if not finished:
            display.message(f"Stopped. Go on with: synthjax train --resume {folder}")
            return
        display.phase(Phase.EVALUATING)
        acting = run.agent.acting(state.agent)
        report = evaluator.report(acting, 2 * config.evaluation.episodes)
        write_json(report_file(folder), report)
        display.phase(Phase.RENDERING)
        video = evaluator.render(acting, video_file(folder))
    console.print(evaluator.table(report))
    console.print(video, soft_wrap=True)
