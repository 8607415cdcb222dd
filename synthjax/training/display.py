"""What the user sees while a run trains: a live panel, or plain lines where there is no terminal."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text


class Phase(StrEnum):
    """What the program is doing."""

    COMPILING = "compiling"
    TRAINING = "collecting and updating"
    EVALUATING = "evaluating"
    SAVING = "saving"
    RENDERING = "rendering the video"


# Metric -> its label and how it is written; metrics that are not listed are not shown.
Shown = Mapping[str, tuple[str, Callable[[float], str]]]

# What is wrong in the worlds, by the metrics of every environment; nothing is shown of it while all is well.
_TROUBLE: Shown = {
    "bad_world": ("broken worlds", lambda share: f"1 in {1.0 / share:,.0f} steps" if share else ""),
    "overflow": ("contacts without room", lambda mean: f"{mean:.2g} a step" if mean else ""),
}


@dataclasses.dataclass(frozen=True)
class _Report:
    steps: int  # environment steps
    time: float  # s, by the display's clock
    training_seconds: float  # s spent in Phase.TRAINING


class TrainingDisplay:
    """Shows phase, progress, speed, time left and the main metrics of one run; a context manager.

    On a terminal a panel is redrawn in place.  Elsewhere (a pipe, a log file) every change of phase
    and, at most once in ``interval`` seconds, the progress is printed as one line.

    Args:
        title: name of the run.
        total_steps: environment steps at which the run ends, all worlds together; None for a run without an
            end, of which neither a share nor the time left is shown.
        shown: the metrics to show, beside broken worlds and contacts that an engine had no room for.
        console: where to draw.
        interval: seconds between two plain lines.
        clock: seconds that only ever increase.
    """

    def __init__(
        self,
        title: str,
        total_steps: int | None,
        shown: Shown,
        *,
        console: Console | None = None,
        interval: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._title = title
        self._total = total_steps
        self._shown = {**shown, **_TROUBLE}
        self._steps = 0
        # First and latest report of steps; speed is measured between them.
        self._first: _Report | None = None
        self._latest: _Report | None = None
        self._console = console or Console()
        self._interval = interval
        self._clock = clock
        self._start = clock()
        self._phase = Phase.COMPILING
        self._phase_start = self._start
        self._phase_seconds = dict.fromkeys(Phase, 0.0)
        self._last_line = -interval
        self._metrics: dict[str, float] = {}
        self._spinner = Spinner("dots")
        self._live = (
            Live(get_renderable=self.render, console=self._console, refresh_per_second=8)
            if self._console.is_terminal
            else None
        )

    def phase(self, phase: Phase) -> None:
        """Says what the program is doing from now on."""
        now = self._clock()
        self._phase_seconds[self._phase] += now - self._phase_start
        changed = phase != self._phase
        self._phase, self._phase_start = phase, now
        if self._live is None and changed and phase != Phase.TRAINING:
            self._print_phase()

    def resume_at(self, env_steps: int) -> None:
        """Says that the run goes on from ``env_steps`` environment steps."""
        self._steps = env_steps

    def update(self, env_steps: int, metrics: Mapping[str, float]) -> None:
        """Takes the environment steps of the run so far and the newest metrics, by their names."""
        self._steps = env_steps
        self._latest = _Report(env_steps, self._clock(), self._seconds_in(Phase.TRAINING))
        self._first = self._first or self._latest
        newest = {name: metrics.get(name, math.nan) for name in self._shown}
        self._metrics.update({name: value for name, value in newest.items() if math.isfinite(value)})
        now = self._clock()
        if self._live is None and now - self._last_line >= self._interval:
            self._last_line = now
            self._console.print(Text(self._line()), soft_wrap=True)

    def message(self, text: str) -> None:
        """Prints one line that stays."""
        self._console.print(Text(text), soft_wrap=True)

    @property
    def compile_seconds(self) -> float:
        """Seconds spent compiling so far."""
        return self._seconds_in(Phase.COMPILING)

    @property
    def steps_per_second(self) -> float:
        """Environment steps per second of training time; compiling, evaluating and saving do not count.

        Zero before the second report, since the first steps come out of the program that is still compiling.
        """
        if self._first is None or self._latest is None or self._latest.steps == self._first.steps:
            return 0.0
        seconds = self._latest.training_seconds - self._first.training_seconds
        return (self._latest.steps - self._first.steps) / seconds

    @property
    def seconds_left(self) -> float | None:
        """Estimate from the pace so far, evaluations and saves included.

        None before the second report, and for a run without an end.
        """
        if self._total is None or self._first is None or self._latest is None:
            return None
        if self._latest.steps == self._first.steps:
            return None
        pace = (self._latest.time - self._first.time) / (self._latest.steps - self._first.steps)
        since = self._clock() - self._latest.time
        return max(pace * (self._total - self._latest.steps) - since, 0.0)

    def render(self) -> RenderableType:
        """The panel as it stands now."""
        elapsed = self._clock() - self._start
        head = Table.grid(expand=True)
        head.add_column()
        head.add_column(justify="right")
        self._spinner.update(text=Text(f" {self._phase.value}", style="bold cyan"))
        head.add_row(self._spinner, ", ".join([f"{_clock_text(elapsed)} elapsed", *self._left()]))
        rows = Group(head, self._progress(), self._figures())
        return Panel(rows, title=self._title, title_align="left", border_style="dim")

    def _progress(self) -> RenderableType:
        if self._total is None:
            return Text(f"{_count_text(self._steps)} steps, until it is stopped", justify="right")
        bar = Table.grid(expand=True, padding=(0, 1))
        bar.add_column(ratio=1)
        bar.add_column(justify="right")
        steps_text = f"{_count_text(min(self._steps, self._total))} of {_count_text(self._total)} steps"
        bar.add_row(ProgressBar(total=self._total, completed=self._steps), steps_text)
        return bar

    def _figures(self) -> Table:
        grid = Table.grid(expand=True, padding=(0, 1))
        cells = [("steps per second", _rate_text(self.steps_per_second)), *self._cells()]
        cells.append(("compiled in", f"{self.compile_seconds:.0f} s"))
        for _ in cells:
            grid.add_column(ratio=1)
        grid.add_row(*(Text(value, style="bold") for _, value in cells))
        grid.add_row(*(Text(label, style="dim") for label, _ in cells))
        return grid

    def _print_phase(self) -> None:
        self._console.print(Text(f"{_clock_text(self._clock() - self._start)}  {self._phase.value}"))

    def _line(self) -> str:
        done = 1.0 if not self._total else min(self._steps / self._total, 1.0)
        share = [] if self._total is None else [f"{done:4.0%}"]
        parts = [
            _clock_text(self._clock() - self._start),
            *share,
            f"{_count_text(self._steps)} steps",
            f"{_rate_text(self.steps_per_second)} steps/s",
            *(f"{label} {value}" for label, value in self._cells()),
            *self._left(),
        ]
        return "  ".join(parts)

    def _cells(self) -> list[tuple[str, str]]:
        metrics = self._metrics
        cells = [(label, write(metrics[n])) for n, (label, write) in self._shown.items() if n in metrics]
        return [(label, value) for label, value in cells if value]

    def _left(self) -> list[str]:
        """The time left in words; nothing for a run without an end and after the last step."""
        if self._total is None or self._steps >= self._total:
            return []
        left = self.seconds_left
        return ["time left: not known yet" if left is None else f"{_clock_text(left)} left"]

    def _seconds_in(self, phase: Phase) -> float:
        running = self._clock() - self._phase_start if phase == self._phase else 0.0
        return self._phase_seconds[phase] + running

    def __enter__(self) -> TrainingDisplay:
        if self._live is not None:
            self._live.start()
        else:
            self._print_phase()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()


def _clock_text(seconds: float) -> str:
    """``seconds`` as m:ss or h:mm:ss."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _count_text(count: float) -> str:
    """Three significant digits with k, M or G: 1.23 M."""
    for scale, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if count >= scale:
            return f"{count / scale:.3g}{unit}"
    return f"{count:.0f}"


def _rate_text(rate: float) -> str:
    return f"{rate:,.0f}" if rate else "-"
