"""How an imitation policy is judged: figures by the fixed rule, the report as JSON and table, the video."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from synthjax.envs.reset_table import StartNoise
from synthjax.training.build import Run
from synthjax.training.display import Shown
from synthjax.training.episodes import NO_NOISE, Episodes
from synthjax.training.offscreen import RendererUnavailable
from synthjax.training.playback import VIDEO_FPS, Recording, captions, resample
from synthjax.training.scores import Scores, errors_by_body, score, scores_by_clip, time_bins
from synthjax.training.video import render_rollout
from synthjax.types import PyTree

# Beside the body, so that the two can be told apart.
GHOST_OFFSET = (0.0, 0.9, 0.0)


class ImitationEvaluator:
    """``synthjax.training.evaluator.Evaluator`` for imitation."""

    shown: ClassVar[Shown] = {
        "reward": ("reward per step", lambda value: f"{value:.3f}"),
        "completion": ("episode completion", lambda value: f"{value:.0%}"),
        "body_error_mm": ("body error", lambda value: f"{value:.0f} mm"),
        "push_strength": ("pushes", lambda value: f"{value:.0%}"),
        "curriculum_stage": ("stage", lambda value: f"{value:.0f}"),
    }

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
        self.episodes = Episodes(run, deterministic, seconds, changed_bodies, motors)
        self.bodies = self.episodes.bodies

    def figures(self, agent_state: PyTree, episodes: int) -> dict[str, float]:
        """Figures of ``episodes`` exact starts by the fixed rule."""
        scores = score(self.episodes.spread(agent_state, NO_NOISE, episodes))
        return {name: value for name, value in scores.as_dict().items() if value is not None}

    def sentence(self, figures: Mapping[str, float]) -> str:
        """The main figures in words."""
        return (
            f"{figures['completion']:.0%} of evaluation episodes complete, "
            f"{figures['episode_fraction']:.0%} of their length reached, "
            f"body error {figures['body_error_mm']:.0f} mm"
        )

    def rank(self, figures: Mapping[str, float]) -> float:
        """One number to compare checkpoints by: completion first, then body error."""
        return figures["completion"] - min(figures["body_error_mm"], 1000.0) / 1e7

    def report(self, agent_state: PyTree, episodes: int) -> dict[str, Any]:
        """Figures by the fixed rule, from exact starts and from noisy ones.

        Returns:
          ``{"rule", "nominal", "start_noise", "clips", "body_errors_mm", "time_bins", ...}``, plain numbers.
        """
        names = [clip.name for clip in self.run.clips]
        nominal = self.episodes.spread(agent_state, NO_NOISE, episodes)
        noisy = self.episodes.spread(agent_state, StartNoise(), episodes)
        return {
            "rule": "fail: any body > 0.5 m off after aligning root xy and yaw, or a fall body on the ground",
            "seconds": self.episodes.seconds,
            "mode": "deterministic" if self.deterministic else "stochastic",
            "bodies": self.bodies,
            "nominal": score(nominal).as_dict(),
            "start_noise": score(noisy).as_dict(),
            "clips": {name: scores.as_dict() for name, scores in scores_by_clip(nominal, names).items()},
            "body_errors_mm": errors_by_body(nominal, self.run.body.body_names[1:]),
            "time_bins": time_bins(nominal, names),
        }

    def table(self, report: dict[str, Any]) -> Table:
        """The report for the terminal: one row per clip, and one for noisy starts."""
        table = Table(
            title=f"Evaluation: {report['seconds']:g} s episodes, {report['mode']}, {report['bodies']}",
            title_justify="left",
            box=SIMPLE_HEAD,
            pad_edge=False,
            collapse_padding=True,
        )
        table.add_column("starts", overflow="fold")  # names give way, not figures
        for heading in ("complete", "reached", "body", "root-rel.", "joints", "distance", "skate"):
            table.add_column(heading, justify="right", no_wrap=True)
        rows = dict(report["clips"])
        if len(rows) > 1:
            rows["all clips"] = report["nominal"]
        rows["with noise"] = report["start_noise"]
        for name, values in rows.items():
            table.add_row(name, *_cells(Scores(**values)))
        return table

    def recordings(self, agent_state: PyTree) -> list[Recording]:
        """An episode of each clip from its first frame; falls are not cut."""
        return [recording for recording, _ in self._with_references(agent_state)]

    def _with_references(self, agent_state: PyTree) -> list[tuple[Recording, np.ndarray]]:
        """Each clip has an equal share of the seconds at most.  The references are (T, nq) too."""
        run = self.run
        trace = self.episodes.firsts(agent_state)
        rate = 1.0 / run.env.control_dt
        share = self.episodes.seconds / len(run.clips)
        out = []
        for number, clip in enumerate(run.clips):
            frames = max(2, round(rate * (share if clip.loop else min(share, clip.duration))))
            qpos, reference = (
                np.asarray(rows)[:frames, number] for rows in (trace.qpos, trace.reference_qpos)
            )
            out.append((Recording(clip.name, qpos, rate), reference))
        return out

    def render(self, agent_state: PyTree, path: Path | None) -> str:
        """Writes a video that goes through the clips, each from its first frame; falls are not cut.

        Returns:
          One line for the user: where the video is, or which package brings it; nothing without ``path``.
        """
        recordings = self._with_references(agent_state)
        if path is None:
            return ""
        model = self.run.body.model
        bodies, references, words = [], [], []
        for recording, reference in recordings:
            bodies.append(resample(model, recording.qpos, recording.rate))
            references.append(resample(model, reference, recording.rate))
            words += captions(recording.name, len(bodies[-1]))
        try:
            render_rollout(
                self.run.body, np.concatenate(bodies), np.concatenate(references), VIDEO_FPS, path,
                ghost_offset=GHOST_OFFSET, captions=words,
            )  # fmt: skip
        except RendererUnavailable as unavailable:
            return str(unavailable)
        return f"Video: {path}"


def _cells(scores: Scores) -> list[str]:
    ratio, skate = scores.distance_ratio, scores.foot_skate
    return [
        f"{scores.completion:.0%}",
        f"{scores.episode_fraction:.0%}",
        f"{scores.body_error_mm:.0f} mm",
        f"{scores.root_relative_error_mm:.0f} mm",
        f"{scores.joint_error_deg:.1f}°",
        "-" if ratio is None else f"{ratio:.2f}",
        "-" if skate is None else f"{skate:.2f} m/s",
    ]
