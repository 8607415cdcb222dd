"""The report of a trained policy: evaluation as JSON and as a table, and the video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from synthjax.envs.reset_table import StartNoise
from synthjax.training.dataclass_json import write_json
from synthjax.training.evaluator import NO_NOISE, Evaluator
from synthjax.training.offscreen import RendererUnavailable
from synthjax.training.playback import VIDEO_FPS, resample
from synthjax.training.scores import Scores, score, scores_by_clip, time_bins
from synthjax.training.video import render_rollout
from synthjax.types import PyTree

# Beside the body, so that the two can be told apart.
GHOST_OFFSET = (0.0, 0.9, 0.0)


def report_file(folder: Path, variant: str = "") -> Path:
    """Where the figures of the run in ``folder`` go; ``variant`` tells other settings from the run's own."""
    return folder / f"evaluation{variant}.json"


def video_file(folder: Path, variant: str = "") -> Path:
    """The same for its video."""
    return folder / f"video{variant}.mp4"


def evaluate_run(evaluator: Evaluator, agent_state: PyTree, path: Path, *, episodes: int) -> dict[str, Any]:
    """Evaluates by the fixed rule, from exact starts and from noisy ones, and writes the report to ``path``.

    Returns:
      ``{"rule", "nominal", "start_noise", "clips", "time_bins", ...}`` as plain numbers.
    """
    names = [clip.name for clip in evaluator.run.clips]
    nominal = evaluator.spread(agent_state, NO_NOISE, episodes)
    noisy = evaluator.spread(agent_state, StartNoise(), episodes)
    report = {
        "rule": "fail: any body > 0.5 m off after aligning root xy and yaw, or a fall body on the ground",
        "seconds": evaluator.seconds,
        "mode": "deterministic" if evaluator.deterministic else "stochastic",
        "nominal": score(nominal).as_dict(),
        "start_noise": score(noisy).as_dict(),
        "clips": {name: scores.as_dict() for name, scores in scores_by_clip(nominal, names).items()},
        "time_bins": time_bins(nominal, names),
    }
    write_json(path, report)
    return report


def report_table(report: dict[str, Any]) -> Table:
    """The report for the terminal: one row per clip, and one for noisy starts."""
    table = Table(
        title=f"Evaluation: {report['seconds']:g} s episodes, {report['mode']}",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("starts", no_wrap=True)
    for heading in ("complete", "body", "root-rel.", "joints", "distance", "skate"):
        table.add_column(heading, justify="right", no_wrap=True)
    rows = dict(report["clips"])
    if len(rows) > 1:
        rows["all clips"] = report["nominal"]
    rows["with noise"] = report["start_noise"]
    for name, values in rows.items():
        table.add_row(name, *_cells(Scores(**values)))
    return table


def _cells(scores: Scores) -> list[str]:
    ratio, skate = scores.distance_ratio, scores.foot_skate
    return [
        f"{scores.completion:.0%}",
        f"{scores.body_error_mm:.0f} mm",
        f"{scores.root_relative_error_mm:.0f} mm",
        f"{scores.joint_error_deg:.1f}°",
        "-" if ratio is None else f"{ratio:.2f}",
        "-" if skate is None else f"{skate:.2f} m/s",
    ]


def render_run(evaluator: Evaluator, agent_state: PyTree, path: Path) -> str:
    """Writes a video that goes through the clips, each from its first frame; falls are not cut.

    Returns:
      One line for the user: where the video is, or which package brings it.
    """
    run = evaluator.run
    trace = evaluator.firsts(agent_state)
    rate = 1.0 / run.env.control_dt
    bodies: list[np.ndarray] = []
    references: list[np.ndarray] = []
    for number, clip in enumerate(run.clips):
        share = evaluator.seconds / len(run.clips)
        frames = max(2, round(rate * (share if clip.loop else min(share, clip.duration))))
        bodies.append(resample(run.body.model, np.asarray(trace.qpos)[:frames, number], rate))
        references.append(resample(run.body.model, np.asarray(trace.reference_qpos)[:frames, number], rate))
    try:
        render_rollout(
            run.body, np.concatenate(bodies), np.concatenate(references), VIDEO_FPS, path,
            ghost_offset=GHOST_OFFSET,
        )  # fmt: skip
    except RendererUnavailable as unavailable:
        return str(unavailable)
    return f"Video: {path}"
