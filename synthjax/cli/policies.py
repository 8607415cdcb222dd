"""The commands that take a trained policy: ``synthjax eval``, ``play`` and ``export``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console

from synthjax.cli.parsing import check_positive, parse
from synthjax.cli.working import working
from synthjax.errors import UserError
from synthjax.whole_files import unwritable

if TYPE_CHECKING:
    from synthjax.training.saved import SavedPolicy

RunFolder = Annotated[
    str,
    tyro.conf.Positional,
    tyro.conf.arg(metavar="[RUN]", help="folder of the run, the newest if not given", help_behavior_hint=""),
]


@dataclasses.dataclass(frozen=True)
class PolicyOptions:
    """Which policy, and how it acts."""

    run: RunFolder = ""
    best: tyro.conf.FlagCreatePairsOff[bool] = False  # the best checkpoint instead of the newest
    mode: Literal["deterministic", "stochastic"] = "deterministic"  # mean actions, or sampled ones
    seconds: float | None = None  # length of an episode; that of the run's evaluations if not given
    motion: str | None = None  # other clips than the run's, for imitation
    fine: tyro.conf.FlagCreatePairsOff[bool] = False  # half the time step and 100 solver iterations
    # on bodies whose mass, friction and motor strength are changed by up to 20 %
    changed_bodies: tyro.conf.FlagCreatePairsOff[bool] = False
    motors: float = 1.0  # strength of the motors in multiples of the run's own


@dataclasses.dataclass(frozen=True)
class EvalOptions(PolicyOptions):
    """How much is evaluated, and where the figures and the video go."""

    episodes: int = 256  # of each kind of start
    out: Path | None = None  # JSON file; evaluation.json, or a name with the options, if not given
    video: Path | None = None  # MP4 file; video.mp4, or a name with the options, if not given
    no_video: tyro.conf.FlagCreatePairsOff[bool] = False  # figures alone


@dataclasses.dataclass(frozen=True)
class PlayOptions(PolicyOptions):
    """Where the video goes."""

    video: Path | None = None  # MP4 file; video.mp4, or a name with the options, if not given
    dump: Path | None = None  # file under RUN/dumps: instead of a policy, the last steps of a world gone bad


def evaluate(args: list[str]) -> None:
    """Evaluate a trained policy by the fixed rule, and make a video of it."""
    options = parse(evaluate, "eval", EvalOptions, args)
    check_positive({"--episodes": options.episodes, "--seconds": options.seconds, "--motors": options.motors})
    if options.no_video and options.video is not None:
        raise UserError("--no-video makes none: leave out --video.")
    console = Console(markup=False)
    with working(console, "loading") as say:
        if options.out is not None:
            _demand_place("--out", options.out, ".json")
        if options.video is not None:
            _demand_place("--video", options.video, ".mp4")
        evaluator, policy, folder = _load(options)
        from synthjax.training.dataclass_json import write_json
        from synthjax.training.reporting import report_file, video_file

        path = options.out or report_file(folder, _variant(options))
        say("compiling and evaluating")
        report = evaluator.report(policy.agent_state, options.episodes)
        write_json(path, report)
        console.print(evaluator.table(report))
        console.print(f"Figures, of the policy after {policy.step:,} steps: {path}", soft_wrap=True)
        if not options.no_video:
            say("rendering")
            video = options.video or video_file(folder, _variant(options))
            console.print(evaluator.render(policy.agent_state, video), soft_wrap=True)


def play(args: list[str]) -> None:
    """Make a video of a trained policy beside its reference."""
    options = parse(play, "play", PlayOptions, args)
    if options.dump is not None:
        _replay(options, options.dump)
        return
    check_positive({"--seconds": options.seconds, "--motors": options.motors})
    console = Console(markup=False)
    with working(console, "loading") as say:
        if options.video is not None:
            _demand_place("--video", options.video, ".mp4")
        evaluator, policy, folder = _load(options)
        from synthjax.training.reporting import video_file

        path = options.video or video_file(folder, _variant(options))
        say("compiling and rendering")
        said = evaluator.render(policy.agent_state, path)
    console.print(said, soft_wrap=True)


def _replay(options: PlayOptions, dump: Path) -> None:
    """The last steps of a world that became non-finite."""
    if dataclasses.replace(options, dump=None, video=None) != PlayOptions():
        raise UserError("--dump replays what its file holds: leave out RUN and all options but --video.")
    from synthjax.training.dumps import replay_dump

    for line in replay_dump(dump, options.video or dump.with_suffix(".mp4")):
        Console(markup=False).print(line, soft_wrap=True)


def _demand_place(option: str, path: Path, ending: str) -> None:
    """Refuses a file that cannot be written, before the work for it is done."""
    if path.suffix.lower() != ending:
        raise UserError(f"{option} is '{path}': give a file that ends in {ending}.")
    if (there := unwritable(path.parent)) is not None:
        raise UserError(f"{option} is '{path}', and '{there}' cannot be written: choose another place.")


def _variant(options: PolicyOptions) -> str:
    """A part of file names, so that the run's own report and video stay what they are."""
    words = [
        ("best", options.best),
        ("stochastic", options.mode == "stochastic"),
        ("fine", options.fine),
        ("changed-bodies", options.changed_bodies),
        (f"motors-{options.motors:g}", options.motors != 1.0),
        (Path(options.motion or "").stem.replace(",", "-"), options.motion is not None),
        (f"{options.seconds or 0:g}s", options.seconds is not None),
    ]
    return "".join(f"-{word}" for word, given in words if given)


def _load(options: PolicyOptions) -> tuple[Any, SavedPolicy, Path]:
    """What evaluates the chosen policy, the policy, and the run's folder."""
    from synthjax.physics.dispatch import wait_for_computations
    from synthjax.training import devices, run_folder, saved
    from synthjax.training.evaluator import make_evaluator

    wait_for_computations()
    folder = run_folder.find_run(options.run)
    devices.enable_compilation_cache()
    policy = saved.load_policy(folder, best=options.best, fine=options.fine, motion=options.motion)
    if options.seconds is not None and options.seconds < policy.run.env.control_dt:
        raise UserError(f"--seconds is {options.seconds}: give at least one control step.")
    evaluator = make_evaluator(
        policy.run,
        options.mode == "deterministic",
        options.seconds,
        options.changed_bodies,
        options.motors,
    )
    return evaluator, policy, folder


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """Which policy, and what becomes of it."""

    run: RunFolder = ""
    out: Path | None = None  # file of the bundle; bundle.zip in the run, or a name with the options
    format: Literal["float32", "float16", "int8"] = "float32"  # of the policy's weights
    best: tyro.conf.FlagCreatePairsOff[bool] = False  # the best checkpoint instead of the newest
    policy_only: tyro.conf.FlagCreatePairsOff[bool] = False  # without what only fine-tuning needs
    onnx: tyro.conf.FlagCreatePairsOff[bool] = False  # also a file for ONNX Runtime, beside the bundle
    version: int = 0  # of the bundle: a device takes the greater one, of equal ones the later export


def export(args: list[str]) -> None:
    """Make a bundle of TFLite models that a device runs, checked against the training."""
    options = parse(export, "export", ExportOptions, args)
    if not 0 <= options.version < 2**31:
        raise UserError(f"--version is {options.version}: give a whole number from 0 to 2147483647.")
    if options.onnx and options.out is not None and options.out.suffix == ".onnx":
        raise UserError(f"--out is '{options.out}', but names the bundle: give its name with .zip.")
    from synthjax.deploy.export import export_policy
    from synthjax.physics.dispatch import wait_for_computations
    from synthjax.training import devices, run_folder, saved

    wait_for_computations()
    folder = run_folder.find_run(options.run)
    devices.enable_compilation_cache()
    words = ["-best"] * options.best + [f"-{options.format}"] * (options.format != "float32")
    words += ["-policy-only"] * options.policy_only
    out = options.out or folder / f"bundle{''.join(words)}.zip"
    console = Console(markup=False)
    with working(console, "loading") as say:
        policy = saved.load_policy(folder, best=options.best)
        figures = export_policy(
            policy, out, options.format, options.version, options.onnx, say, not options.policy_only
        )
    console.print(figures, soft_wrap=True)
    console.print(f"Bundle: {out}", soft_wrap=True)
    if options.onnx:
        console.print(f"For ONNX Runtime: {out.with_suffix('.onnx')}", soft_wrap=True)
