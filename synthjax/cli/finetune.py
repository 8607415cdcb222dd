"""The command ``synthjax finetune``, which needs no JAX."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from synthjax import interrupts
from synthjax.cli.parsing import check_positive, parse
from synthjax.deploy.tuning.config import SessionConfig
from synthjax.errors import UserError
from synthjax.whole_files import unwritable


@dataclasses.dataclass(frozen=True)
class FinetuneOptions(SessionConfig):
    """Which policy, and for how long."""

    bundle: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="BUNDLE")] = Path(
        "bundle.zip"
    )  # file or folder, with its part for training
    fast: tyro.conf.FlagCreatePairsOff[bool] = False  # as fast as it can, without throttle and real time
    env: str | None = None  # imitation or continuous; what the bundle says if not given
    out: Path | None = None  # folder of the state and the report; beside the bundle if not given
    steps: int = 1000  # train steps after which it ends
    seconds: float | None = None  # of life with training, after which it ends as well
    baseline_seconds: float = 10.0  # of life without training before it, to compare frames with
    frame_load: float = 0.0  # share of a frame's budget that it works for something else, as a game would
    report_episodes: int = 64  # held-out episodes of the report, of each policy


def finetune(args: list[str]) -> None:
    """Let a bundle's policy learn on while it acts, as a headset would."""
    options = parse(finetune, "finetune", FinetuneOptions, args)
    check_positive(
        {
            "--steps": options.steps,
            "--seconds": options.seconds,
            "--baseline-seconds": options.baseline_seconds,
            "--report-episodes": options.report_episodes,
        }
    )
    if not 0.0 <= options.frame_load < 1.0:
        raise UserError(f"--frame-load is {options.frame_load}: give a share from 0 to less than 1.")
    from synthjax.deploy.install import bundle_at
    from synthjax.deploy.tuning import report
    from synthjax.deploy.tuning.frames import plot
    from synthjax.deploy.tuning.session import Session
    from synthjax.training.dataclass_json import write_json

    folder = options.out or options.bundle.with_name(f"{options.bundle.stem}-finetuned")
    if (there := unwritable(folder)) is not None:
        raise UserError(f"--out is '{folder}', and '{there}' cannot be written: choose another folder.")
    config = SessionConfig(**{f.name: getattr(options, f.name) for f in dataclasses.fields(SessionConfig)})
    console = Console(markup=False, highlight=False)
    with Session(bundle_at(options.bundle), config, folder, options.env) as session:
        session.check_episodes(options.report_episodes)
        progress = _Progress(session, console)
        with interrupts.stops(progress.stop):
            phases = _lived(session, options, progress)
            session.close()
        with console.status("evaluating"):  # no sooner: what turns there would take time from frames
            figures = report.report(session, phases, report.rewards(session, options.report_episodes))
    write_json(folder / report.REPORT, figures)
    table = Table.grid(padding=(0, 2))
    for row in report.rows(figures):
        table.add_row(*row)
    console.print(table)
    console.print(f"Report: {folder / report.REPORT}", soft_wrap=True)
    if phases and phases["with training"].rows:  # none if it was stopped before
        plot(phases["with training"], folder / report.PICTURE)
        console.print(f"Frames: {folder / report.PICTURE}", soft_wrap=True)


class _Progress:
    """Says when a life is over, and meanwhile what is going on."""

    def __init__(self, session: Any, console: Console):
        self._session, self._console = session, console
        self._told, self._stopped = 0, False

    def stop(self) -> None:
        self._stopped = True
        self._console.print("Stopping, and evaluating for the report; Ctrl-C again stops without one.")

    def phase(self, seconds: float | None, steps: int | None) -> Any:
        """Whether a phase that begins now goes on, at most for ``seconds`` and ``steps``."""
        session = self._session
        begin, first = session.pace.now(), session.learner.steps

        def goes_on() -> bool:
            self._tell()
            over = seconds is not None and session.pace.now() - begin >= seconds
            learned = steps is not None and session.learner.steps - first >= steps
            return not (self._stopped or over or learned)

        return goes_on

    def _tell(self) -> None:
        rounds = self._session.learner.rounds
        for row in rounds[self._told :]:
            verdict = "taken" if row.taken else "rolled back"
            self._console.print(
                f"round {row.number}: return {_number(row.reward)} (best {row.best:.1f}), {verdict}; "
                f"KL {row.kl:.2g}, {row.steps} train steps",
                soft_wrap=True,
            )
        self._told = len(rounds)


def _lived(session: Any, options: FinetuneOptions, progress: _Progress) -> dict[str, Any]:
    """The phases of the session, if it runs in real time."""
    if options.fast:
        session.live(progress.phase(options.seconds, options.steps))
        return {}
    load = (lambda _: options.frame_load) if options.frame_load else None
    alone = progress.phase(options.baseline_seconds, None)
    phases = {"without training": session.live(alone, learning=False, load=load)}
    beside = progress.phase(options.seconds, options.steps)
    return phases | {"with training": session.live(beside, load=load)}


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f}"
