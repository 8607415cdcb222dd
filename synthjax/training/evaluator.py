"""How the policies of an environment are judged; a new environment brings one class and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

from rich.table import Table

from synthjax.training.build import Run
from synthjax.training.continuous_evaluator import ContinuousEvaluator
from synthjax.training.display import Shown
from synthjax.training.imitation_evaluator import ImitationEvaluator
from synthjax.training.playback import Recording
from synthjax.types import PyTree


class Evaluator(Protocol):
    """Evaluation, report and video of a run's policies; ``agent_state`` is the agent's part of the state.

    Rollouts are split over the devices of all processes, which therefore evaluate together; each has the
    figures of all episodes.
    """

    shown: ClassVar[Shown]  # the training metrics that the user sees

    def figures(self, agent_state: PyTree, episodes: int) -> dict[str, float]:
        """What is logged and compared during training."""
        ...

    def sentence(self, figures: Mapping[str, float]) -> str:
        """The main figures in words."""
        ...

    def rank(self, figures: Mapping[str, float]) -> float:
        """One number to compare checkpoints by, higher is better."""
        ...

    def report(self, agent_state: PyTree, episodes: int) -> dict[str, Any]:
        """All figures, as plain numbers for JSON."""
        ...

    def table(self, report: dict[str, Any]) -> Table:
        """A report for the terminal."""
        ...

    def recordings(self, agent_state: PyTree) -> list[Recording]:
        """The episodes that a video shows."""
        ...

    def render(self, agent_state: PyTree, path: Path | None) -> str:
        """Writes a video; says where it is, or which package brings it.

        Without ``path`` this process only takes part in the rollouts, for another one that writes.
        """
        ...


EVALUATORS: dict[str, Callable[[Run, bool, float | None, bool, float], Evaluator]] = {
    "imitation": ImitationEvaluator,
    "continuous": ContinuousEvaluator,
}


def make_evaluator(
    run: Run,
    deterministic: bool = True,
    seconds: float | None = None,
    changed_bodies: bool = False,
    motors: float = 1.0,
) -> Evaluator:
    """The evaluator of the run's environment; ``seconds`` as in the run's configuration if not given.

    Worlds are nominal ones, whatever the run was trained in, or with ``changed_bodies`` those of
    :mod:`synthjax.training.changed_bodies`; their motors are ``motors`` times as strong.
    """
    return EVALUATORS[run.config.env](run, deterministic, seconds, changed_bodies, motors)
