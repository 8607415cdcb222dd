"""The command line: parses, calls and prints, and loads JAX only for a command that computes."""

from __future__ import annotations

import argparse
import dataclasses
import errno
import inspect
import json
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar, cast

import tyro
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

import synthjax
from synthjax.errors import UserError, unknown

Config = TypeVar("Config")
Options = TypeVar("Options")
_Command = Callable[[list[str]], None]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code: 0, 1 for a bad clip, or 2 after a mistake of the user's."""
    args = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in args
    try:
        _dispatch([arg for arg in args if arg != "--debug"])
    except SystemExit as stop:  # the parser has already said why
        return stop.code if isinstance(stop.code, int) else 2
    except KeyboardInterrupt:
        return 130
    except (UserError, OSError, RuntimeError) as error:
        sentence = str(error) if isinstance(error, UserError) else _explain(error)
        if sentence is None:
            raise
        if debug:
            traceback.print_exc()
        message = Text.assemble(("Error: ", "bold red"), sentence)
        Console(stderr=True).print(message, soft_wrap=True)
        return 2
    return 0


def _dispatch(args: list[str]) -> None:
    name, rest = (args[0], args[1:]) if args else ("--help", [])
    if name in ("-h", "--help"):
        Console().print(_help("", COMMANDS))
    elif name == "--version":
        print(synthjax.__version__)
    elif name in COMMANDS:
        COMMANDS[name](rest)
    else:
        raise unknown("command", name, COMMANDS)


def _help(group: str, commands: dict[str, _Command]) -> Group:
    rows = Table.grid(padding=(0, 2))
    for name, command in commands.items():
        rows.add_row(Text(name, "bold"), _summary(command))
    return Group(
        Text.assemble(("usage", "bold"), f": synthjax {group}COMMAND [OPTIONS]\n"),
        Text("Trains physics humanoids to move like motion clips.\n"),
        Panel(rows, title="commands", title_align="left", border_style="dim", expand=False),
        Text(f"synthjax {group}COMMAND --help   lists the options of a command"),
        Text(f"synthjax {group}COMMAND --debug  adds the traceback of an error"),
        Text("synthjax --version        prints the version"),
    )


def _summary(command: _Command) -> str:
    return (command.__doc__ or "").splitlines()[0]


def _explain(error: OSError | RuntimeError) -> str | None:
    """The sentence for a failed write, or a device, that the user can put right; None for any other error."""
    if isinstance(error, RuntimeError):
        if not str(error).startswith("Unable to initialize backend"):
            return None
        wanted = os.environ.get("JAX_PLATFORMS", "")
        return f"JAX has no device for JAX_PLATFORMS={wanted}: unset it or install its support."
    place = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full{place}: make room, then go on with 'synthjax train --resume'."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"No permission to write{place}: choose another folder or change its permissions."
    return None


def _parse(command: str, options: type[Options], args: list[str], default: Any = None) -> Options:
    """The options of ``synthjax command`` as ``args`` give them, starting from ``default``."""
    return tyro.cli(
        options,
        prog=f"synthjax {command}",
        description=inspect.getdoc((COMMANDS | _named("motion", MOTION_COMMANDS))[command]),
        args=args,
        default=default,
    )


def _run_or_newest(words: list[str]) -> str:
    if len(words) > 1:
        raise ValueError("takes one run")
    return words[0] if words else ""


_Resume = Annotated[
    str | None,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs="*",
        metavar="[RUN]",
        instance_from_str=_run_or_newest,
        is_instance=lambda value: value is None or isinstance(value, str),
        str_from_instance=lambda value: [] if value is None else [value],
    ),
]


@dataclasses.dataclass(frozen=True)
class TrainOptions(Generic[Config]):
    """What ``train`` takes beside the configuration."""

    config: Annotated[Config, tyro.conf.arg(name="")]
    preset: str | None = None  # named settings, which the other options change; cpu or gpu as found
    run_dir: Path | None = None  # folder of a new run; one under runs/ if not given
    resume: _Resume = None  # go on with this run, or with the newest; other options change its settings


# Short forms of options that stand deeper in the configuration.
SHORT = {"--num-envs": "--agent.num-envs", "--physics": "--physics.engine"}


def train(args: list[str]) -> None:
    """Train a policy; ends with an evaluation and a video.

    --num-envs N and --physics ENGINE are short for --agent.num-envs and --physics.engine.
    """
    from synthjax import configs
    from synthjax.physics.dispatch import wait_for_computations
    from synthjax.training import devices, run_folder

    wait_for_computations()
    args = [_long_form(arg) for arg in args]
    # These four decide what the defaults of all the others are, so they are read first.
    first = argparse.ArgumentParser(prog="synthjax train", add_help=False, allow_abbrev=False)
    first.add_argument("--env", default="imitation")
    first.add_argument("--agent")
    first.add_argument("--preset")
    first.add_argument("--resume", nargs="?", const="")
    chosen, _ = first.parse_known_args(args)
    resumed = None if chosen.resume is None else run_folder.find_run(chosen.resume)
    if resumed is None:
        base = configs.get(chosen.env, chosen.agent, preset=chosen.preset or devices.default_preset())
    else:
        base = run_folder.load_config(resumed)

    kind = cast(Any, TrainOptions)[configs.type_of(base)]  # a generic of types that are known only now
    options: TrainOptions[configs.TrainConfig] = _parse("train", kind, args, TrainOptions(base))
    if resumed is not None and (options.preset is not None or options.run_dir is not None):
        raise UserError(
            "--resume goes on in its own folder with its own settings: leave out --preset and --run-dir."
        )
    config = options.config
    if resumed is not None and (config.env, config.algorithm) != (base.env, base.algorithm):
        raise UserError(f"{resumed} is a run of --env {base.env} --agent {base.algorithm}: start a new one.")
    configs.validate(config)
    folder = resumed or run_folder.new_run_folder(config, options.run_dir)

    from synthjax.training import run

    run.train(run_folder.anchored(config), folder, resume=resumed is not None)


def _long_form(arg: str) -> str:
    option, equals, value = arg.partition("=")
    return SHORT.get(option, option) + equals + value


@dataclasses.dataclass(frozen=True)
class PolicyOptions:
    """Which policy, and how it acts."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = (
        ""  # folder; newest if not given
    )
    best: tyro.conf.FlagCreatePairsOff[bool] = False  # the best checkpoint instead of the newest
    mode: Literal["deterministic", "stochastic"] = "deterministic"  # mean actions, or sampled ones
    seconds: float | None = None  # length of an episode; that of the run's evaluations if not given
    motion: str | None = None  # other clips than the run's, for imitation
    fine: tyro.conf.FlagCreatePairsOff[bool] = False  # half the time step and 100 solver iterations


@dataclasses.dataclass(frozen=True)
class EvalOptions(PolicyOptions):
    """How much is evaluated, and where the figures go."""

    episodes: int = 256  # of each kind of start
    out: Path | None = None  # JSON file; evaluation.json, or a name with the options, if not given


@dataclasses.dataclass(frozen=True)
class PlayOptions(PolicyOptions):
    """Where the video goes."""

    video: Path | None = None  # MP4 file; video.mp4, or a name with the options, if not given
    dump: Path | None = None  # file under RUN/dumps: instead of a policy, the last steps of a world gone bad


def evaluate(args: list[str]) -> None:
    """Evaluate a trained policy by the fixed rule."""
    options = _parse("eval", EvalOptions, args)
    _check_positive({"--episodes": options.episodes, "--seconds": options.seconds})
    evaluator, agent_state, folder = _load(options)
    from synthjax.training.dataclass_json import write_json
    from synthjax.training.reporting import report_file

    path = options.out or report_file(folder, _variant(options))
    report = evaluator.report(agent_state, options.episodes)
    write_json(path, report)
    Console().print(evaluator.table(report))
    Console(markup=False).print(f"Figures: {path}", soft_wrap=True)


def play(args: list[str]) -> None:
    """Make a video of a trained policy beside its reference."""
    options = _parse("play", PlayOptions, args)
    if options.dump is not None:
        _replay(options, options.dump)
        return
    _check_positive({"--seconds": options.seconds})
    evaluator, agent_state, folder = _load(options)
    from synthjax.training.reporting import video_file

    path = options.video or video_file(folder, _variant(options))
    Console(markup=False).print(evaluator.render(agent_state, path), soft_wrap=True)


def _replay(options: PlayOptions, dump: Path) -> None:
    """The last steps of a world that became non-finite."""
    if dataclasses.replace(options, dump=None, video=None) != PlayOptions():
        raise UserError("--dump replays what its file holds: leave out RUN and all options but --video.")
    from synthjax.training.dumps import replay_dump

    for line in replay_dump(dump, options.video or dump.with_suffix(".mp4")):
        Console(markup=False).print(line, soft_wrap=True)


def _variant(options: PolicyOptions) -> str:
    """A part of file names, so that the run's own report and video stay what they are."""
    words = [
        ("best", options.best),
        ("stochastic", options.mode == "stochastic"),
        ("fine", options.fine),
        (Path(options.motion or "").stem.replace(",", "-"), options.motion is not None),
        (f"{options.seconds or 0:g}s", options.seconds is not None),
    ]
    return "".join(f"-{word}" for word, given in words if given)


def _load(options: PolicyOptions) -> tuple[Any, Any, Path]:
    """What evaluates the chosen policy, the policy's parameters, and the run's folder."""
    from synthjax.physics.dispatch import wait_for_computations
    from synthjax.training import devices, run_folder, saved
    from synthjax.training.evaluator import make_evaluator

    wait_for_computations()
    folder = run_folder.find_run(options.run)
    devices.enable_compilation_cache()
    policy = saved.load_policy(folder, best=options.best, fine=options.fine, motion=options.motion)
    if options.seconds is not None and options.seconds < policy.run.env.control_dt:
        raise UserError(f"--seconds is {options.seconds}: give at least one control step.")
    evaluator = make_evaluator(policy.run, options.mode == "deterministic", options.seconds)
    return evaluator, policy.agent_state, folder


def _check_positive(options: dict[str, float | None]) -> None:
    for name, value in options.items():
        if value is not None and value <= 0:
            raise UserError(f"{name} is {value}: give a number above zero.")


@dataclasses.dataclass(frozen=True)
class DoctorOptions:
    """How the report is printed."""

    json: tyro.conf.FlagCreatePairsOff[bool] = False  # as JSON


def doctor(args: list[str]) -> None:
    """Say what this machine has, what is missing and how to install it."""
    options = _parse("doctor", DoctorOptions, args)
    from synthjax.training.doctor import examine, table

    checks = examine()
    if options.json:
        print(json.dumps([dataclasses.asdict(check) for check in checks], indent=2))
    else:
        Console().print(table(checks))


@dataclasses.dataclass(frozen=True)
class BenchOptions:
    """What is measured, how long, and where the figures go."""

    engines: str = "auto"  # native, mjx, warp, or several with commas
    num_envs: str | None = None  # environments side by side, several with commas; the preset's if not given
    seconds: float = 10.0  # wall time of each measurement
    out: Path | None = None  # JSON file for the figures and the machine


def bench(args: list[str]) -> None:
    """Measure steps per second: physics, random actions, inference, training."""
    options = _parse("bench", BenchOptions, args)
    sizes = [_number("--num-envs", word) for word in (options.num_envs or "").split(",") if word]
    _check_positive({"--num-envs": min(sizes, default=None), "--seconds": options.seconds})
    from synthjax import configs
    from synthjax.physics.dispatch import wait_for_computations
    from synthjax.training import devices
    from synthjax.training.bench import bench, machine, table
    from synthjax.training.dataclass_json import write_json

    wait_for_computations()
    console = Console()
    with console.status("") as status:
        config = configs.get("imitation", preset=devices.default_preset())
        sizes = sizes or [config.agent.num_envs]
        rows = bench(config, options.engines.split(","), sizes, options.seconds, status.update)
    console.print(table(rows))
    if options.out is not None:
        command = shlex.join(["synthjax", "bench", *args])
        write_json(
            options.out,
            {"machine": machine(command), "measurements": [dataclasses.asdict(row) for row in rows]},
        )


def _number(option: str, word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise UserError(f"{option} is '{word}': give a whole number, or several with commas.") from None


def motion_import(args: list[str]) -> None:
    """Bring a motion file onto a body, as a clip that train takes."""
    from synthjax.motion.importing import ImportOptions, import_motion

    done = import_motion(_parse("motion import", ImportOptions, args), Console().print)
    Console(markup=False).print(done, soft_wrap=True)


def motion_check(args: list[str]) -> None:
    """Say what is wrong with a clip; exit code 1 if something is bad."""
    from synthjax.motion.checks import CheckOptions, check

    table, fit = check(_parse("motion check", CheckOptions, args))
    Console().print(table)
    if not fit:
        raise SystemExit(1)


def motion_list(args: list[str]) -> None:
    """List the shipped clips and your own."""
    from synthjax.motion.listing import ListOptions, clip_table

    Console().print(clip_table(_parse("motion list", ListOptions, args)))


def motion(args: list[str]) -> None:
    """Bring motion files onto a body; list and check clips."""
    name, rest = (args[0], args[1:]) if args else ("--help", [])
    if name in ("-h", "--help"):
        Console().print(_help("motion ", MOTION_COMMANDS))
    elif name in MOTION_COMMANDS:
        MOTION_COMMANDS[name](rest)
    else:
        raise unknown("motion command", name, MOTION_COMMANDS)


def _named(group: str, commands: dict[str, _Command]) -> dict[str, _Command]:
    return {f"{group} {name}": command for name, command in commands.items()}


MOTION_COMMANDS: dict[str, _Command] = {
    "import": motion_import,
    "check": motion_check,
    "list": motion_list,
}

COMMANDS: dict[str, _Command] = {
    "train": train,
    "eval": evaluate,
    "play": play,
    "motion": motion,
    "bench": bench,
    "doctor": doctor,
}
