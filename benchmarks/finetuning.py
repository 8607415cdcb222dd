"""Fine-tuning of a bundle: frame times beside it on one core, and what a policy regains on a changed body.

    synthjax export RUN --out walk.zip
    taskset -c 1 python benchmarks/finetuning.py frames walk.zip
    python benchmarks/finetuning.py recovery walk.zip --change.mass 1.6

``frames`` pins the process to one core and lives 72 frames a second, each with work for 65 % of its budget
beside the body, with the ``quest`` profile.  Spans of five seconds without training and with it follow each
other.  In the latter, rounds follow each other without a rest, so that training never waits for a rollout,
as it does in life.  A span counts if all other processes together had less than 2 % of the core.
``--real-time`` gives frames a real-time priority, as a headset's runtime does; then all spans count.
At the end the load rises to 97 % and falls again, which a picture beside the result shows.

``recovery`` changes the body as the options of ``synthjax finetune`` say and learns as fast as it can;
returns are of 128 held-out starts that no round has seen.  Both take a bundle of either agent, and write
``benchmarks/results/finetuning_*.json``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from synthjax.deploy.bundle import Bundle, load_bundle
from synthjax.deploy.tuning import report
from synthjax.deploy.tuning.config import BodyChange, LearningConfig, SessionConfig
from synthjax.deploy.tuning.frames import Frames, plot
from synthjax.deploy.tuning.rollout import Rollout
from synthjax.deploy.tuning.session import Session
from synthjax.training.dataclass_json import write_json

RESULTS = Path(__file__).parent / "results"
LOAD, HIGH = 0.65, 0.97  # of a frame's budget
SPAN, SPANS, OTHERS = 5.0, 6, 0.02  # s of a span, spans that count of each kind, share of the core
RISE, FALL, END = 8.0, 16.0, 28.0  # s
STEPS = {"ppo": 6000, "sac": 384}  # train steps of a recovery: about 200 rounds, and 12
EPISODES = 128


def main() -> None:
    options = parsed()
    bundle = load_bundle(options.bundle)
    if options.what == "frames":
        figures = frames(bundle, options.minutes, options.real_time, options.out.with_suffix(".png"))
    else:
        steps = options.steps or STEPS[bundle.manifest["agent"]["algorithm"]]
        figures = recovery(bundle, changed(options), steps)
    words = ["BUNDLE" if word == str(options.bundle) else word for word in sys.argv[1:]]
    write(options.out, " ".join(["python benchmarks/finetuning.py", *words]), bundle, figures)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parts = parser.add_subparsers(dest="what", required=True)
    of_frames, of_recovery = parts.add_parser("frames"), parts.add_parser("recovery")
    for part, name in ((of_frames, "frames"), (of_recovery, "recovery")):
        part.add_argument("bundle", type=Path)
        part.add_argument("--out", type=Path, default=RESULTS / f"finetuning_{name}.json")
    of_frames.add_argument("--minutes", type=float, default=10.0, help="in which to find quiet spans")
    of_frames.add_argument("--real-time", action="store_true", help="frames before all else")
    of_recovery.add_argument("--steps", type=int, help="train steps")
    for field in dataclasses.fields(BodyChange):
        of_recovery.add_argument(f"--change.{field.name.replace('_', '-')}", dest=field.name,
                                 type=type(field.default), default=field.default)  # fmt: skip
    options = parser.parse_args()
    if options.what == "recovery" and changed(options) == BodyChange():
        parser.error("say what is different about the body, such as --change.mass 1.6")
    return options


def changed(options: argparse.Namespace) -> BodyChange:
    return BodyChange(**{field.name: vars(options)[field.name] for field in dataclasses.fields(BodyChange)})


def write(path: Path, command: str, bundle: Bundle, figures: dict[str, Any]) -> None:
    from synthjax.training.bench import machine  # JAX, which is not to be there while frames are measured

    about: dict[str, Any] = {"machine": machine(command)}
    about["bundle"] = {name: bundle.manifest[name] for name in ("name", "agent", "exported")}
    result = about | figures
    write_json(path, result)
    print(json.dumps({name: value for name, value in result.items() if name != "history"}, indent=2))


# ---------------------------------------------------------------------- frames


class Core:
    """How much of this process's one core all others take."""

    def __init__(self) -> None:
        self.number = min(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {self.number})
        self._begin = self._read()

    def others(self) -> float:
        """Their share since the last call."""
        before, self._begin = self._begin, self._read()
        busy, own, wall = (now - then for now, then in zip(self._begin, before, strict=True))
        return max(busy - own, 0.0) / wall

    def _read(self) -> tuple[float, float, float]:
        """Seconds that the core was busy, that this process ran, and of the clock."""
        lines = Path("/proc/stat").read_text().splitlines()
        fields = next(line for line in lines if line.startswith(f"cpu{self.number} ")).split()[1:]
        user, nice, system, _, _, interrupts, soft, stolen = map(int, fields[:8])
        busy = (user + nice + system + interrupts + soft + stolen) / os.sysconf("SC_CLK_TCK")
        return busy, time.process_time(), time.perf_counter()


@dataclasses.dataclass
class Span:
    """Frames in a row, and what else had the core meanwhile."""

    frames: Frames = dataclasses.field(default_factory=lambda: Frames(1.0))
    others: float = 0.0  # share of the core that other processes had
    late: list[float] = dataclasses.field(default_factory=list)  # s by which frames began too late
    inside: list[float] = dataclasses.field(default_factory=list)  # s that training ran within a frame

    def lost(self) -> list[dict[str, float]]:
        """Of each frame that was lost: how long it took, how late it began, how long training ran in it."""
        rows = zip(self.frames.seconds, self.late, self.inside, strict=True)
        lost = [row for row in rows if row[0] > self.frames.budget]
        names = ("took_ms", "began_late_ms", "training_ms")
        return [dict(zip(names, (1e3 * x for x in row), strict=True)) for row in lost]


def frames(bundle: Bundle, minutes: float, real_time: bool, plotted: Path) -> dict[str, Any]:
    core, end = Core(), time.perf_counter() + 60.0 * minutes
    allowed = 1.0 if real_time else OTHERS
    learning = LearningConfig(epochs=20, round_kl=1e9, samples_per_step=20.0, episodes=4)
    with tempfile.TemporaryDirectory() as folder:
        session = Session(bundle, SessionConfig(learning=learning), Path(folder))
        with session:
            if real_time:
                first()
            spans: dict[bool, list[Span]] = {False: [], True: []}
            dropped, kind = 0, False
            while min(map(len, spans.values())) < SPANS and time.perf_counter() < end:
                lived = live(session, kind, SPAN, lambda _: LOAD, core)
                if lived.others > allowed:
                    dropped += 1
                    continue
                spans[kind].append(lived)
                kind = not kind
            rising = live(session, True, END, lambda t: HIGH if RISE <= t < FALL else LOAD, core)
            picture = rising.frames
            plot(picture, plotted)
    result: dict[str, Any] = {
        "budget_ms": 1e3 * session.frame_seconds,
        "load": LOAD,
        "spans": {"seconds": SPAN, "of_each_kind": [len(spans[False]), len(spans[True])], "dropped": dropped},
        "others_share_allowed": allowed,
        "real_time_priorities": real_time,
    }
    for name, of_kind in (("without_training", spans[False]), ("with_training", spans[True])):
        result[name] = pooled(of_kind, session.frame_seconds)
    growth = result["with_training"]["p99_ms"] / result["without_training"]["p99_ms"] - 1.0
    result["p99_growth"] = growth
    result["throttle"] = {
        "load": [LOAD, HIGH, LOAD],
        "changes_at_s": [RISE, FALL],
        "least_share": min(row[2] for row in picture.rows),
        "share_at_end": picture.rows[-1][2],
        "others_share": rising.others,
    }
    return result


def first() -> None:
    """Puts this thread before all that is not real time."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def learning_thread() -> threading.Thread:
    """The thread that learns."""
    return next(thread for thread in threading.enumerate() if thread.name == "fine-tuning")


def live(
    session: Session, learning: bool, seconds: float, load: Callable[[float], float], core: Core
) -> Span:
    """A span of frames with rounds one after another."""
    rng = np.random.default_rng(0)

    def made_up() -> Rollout:
        rollout = session.learner.agent.rollout()
        for values in vars(rollout).values():
            if isinstance(values, np.ndarray) and values.dtype != bool:
                values[:] = 0.1 * rng.normal(size=values.shape)
        rollout.rows = rollout.size
        return rollout

    ready = made_up()  # not within a frame
    clock = time.pthread_getcpuclockid(learning_thread().ident or 0)
    begin = time.perf_counter()
    span = Span()
    at_start = 0.0

    def loaded(since: float) -> float:
        nonlocal at_start
        span.late.append(time.perf_counter() - begin - since)
        at_start = time.clock_gettime(clock)
        return load(since)

    def goes_on() -> bool:
        if len(span.inside) < len(span.late):
            span.inside.append(time.clock_gettime(clock) - at_start)
        if learning and not session.worker.busy:
            session.worker.learn(ready)
        return time.perf_counter() - begin < seconds

    core.others()
    span.frames = session.live(goes_on, learning, loaded)
    span.others = core.others()
    print(f"training {learning}: {span.frames.figures()}, others {span.others:.3f}", flush=True)
    return span


def pooled(spans: list[Span], budget: float) -> dict[str, Any]:
    whole = Frames(budget, [row for span in spans for row in span.frames.rows])
    if not whole.rows:
        raise SystemExit("The core was never quiet for five seconds: run this where nothing else does.")
    rates = [span.frames.figures()["train_steps_per_second"] for span in spans]
    steps = {"train_steps_per_second": float(np.mean(rates))}
    inside, late = (np.array([x for span in spans for x in getattr(span, n)]) for n in ("inside", "late"))
    return {
        **whole.figures(),
        **steps,
        "p99_ms_of_spans": [span.frames.figures()["p99_ms"] for span in spans],
        "begins_late_p99_ms": 1e3 * float(np.percentile(late, 99)),
        "training_inside_a_frame_p99_ms": 1e3 * float(np.percentile(inside, 99)),
        # Without the time that training ran in them they would have been in time.
        "lost_to_training": int(np.sum((whole.seconds > budget) & (whole.seconds - inside <= budget))),
        "lost_frames": [row for span in spans for row in span.lost()],
    }


# ---------------------------------------------------------------------- recovery


def recovery(bundle: Bundle, change: BodyChange, steps: int) -> dict[str, Any]:
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        config = SessionConfig(fast=True, change=change)
        with Session(bundle, config, Path(folder)) as session:
            session.live(lambda: session.learner.steps < steps)
            learned = time.perf_counter() - begin
            figures = report.report(session, {}, report.rewards(session, EPISODES))
    del figures["frames"]
    return {"seconds": learned, **figures}


if __name__ == "__main__":
    main()
