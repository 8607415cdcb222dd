"""The report of a trained policy: evaluation as JSON and as a table, and the video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from synthjax.envs.reset_table import StartNoise
from synthjax.training.build import Run
from synthjax.training.dataclass_json import write_json
from synthjax.training.loop import NO_NOISE, evaluation_trace, policy_of
from synthjax.training.offscreen import RendererUnavailable
from synthjax.training.playback import play
from synthjax.training.scores import Scores, score, scores_by_clip, time_bins
from synthjax.training.video import render_rollout

REPORT_FILE = "evaluation.json"
# Beside the body, so that the two can be told apart.
GHOST_OFFSET = (0.0, 0.9, 0.0)


def evaluate_run(
    run: Run,
    agent_state: Any,
    path: Path,
    *,
    episodes: int,
    deterministic: bool = True,
    seconds: float | None = None,
) -> dict[str, Any]:
    """Evaluates by the fixed rule, from exact starts and from noisy ones, and writes the report to ``path``.

    Returns:
      ``{"rule", "nominal", "start_noise", "clips", "time_bins", ...}`` as plain numbers.
    """
    length = seconds or run.config.evaluation.seconds
    names = [clip.name for clip in run.clips]
    nominal = evaluation_trace(
        run, run.evaluation_env(NO_NOISE), agent_state, episodes, length, deterministic=deterministic
    )
    noisy = evaluation_trace(
        run, run.evaluation_env(StartNoise()), agent_state, episodes, length, deterministic=deterministic
    )
    report = {
        "rule": "fail: any body > 0.5 m off after aligning root xy and yaw, or a fall body on the ground",
        "seconds": length,
        "mode": "deterministic" if deterministic else "stochastic",
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


def render_run(
    run: Run,
    agent_state: Any,
    path: Path,
    *,
    seconds: float | None = None,
    deterministic: bool = True,
    seed: int = 0,
) -> str:
    """Writes a video that goes through the clips from their first frames.

    Returns:
      One line for the user: where the video is, or which package brings it.
    """
    env = run.evaluation_env(NO_NOISE)
    each = (seconds or run.config.evaluation.seconds) / len(run.clips)
    bodies, references = [], []
    for clip, first_bin in enumerate(np.asarray(env.resets.bin_start)):
        length = each if run.clips[clip].loop else min(each, run.clips[clip].duration)
        shown = play(
            env, policy_of(run, deterministic), agent_state, int(first_bin) * env.resets.per_bin, length, seed
        )
        bodies.append(shown.qpos)
        references.append(shown.reference_qpos)
    try:
        render_rollout(
            run.body, np.concatenate(bodies), np.concatenate(references), shown.fps, path,
            ghost_offset=GHOST_OFFSET,
        )  # fmt: skip
    except RendererUnavailable as unavailable:
        return f"No video: {unavailable}"
    return f"Video: {path}"
