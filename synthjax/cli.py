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
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar, cast

import tyro
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

import synthjax
from synthjax import cli_motion
from synthjax.errors import UserError, unknown
from synthjax.training.rendezvous import DistributedConfig

if TYPE_CHECKING:
    from synthjax.configs import TrainConfig

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
    # train in several processes, on one machine or many
    distributed: DistributedConfig = dataclasses.field(default_factory=DistributedConfig)


# Short forms of options that stand deeper in the configuration.
SHORT = {
    "--num-envs": "--agent.num-envs",
    "--physics": "--physics.engine",
    "--distributed": "--distributed.auto",
}


def train(args: list[str]) -> None:
    """Train a policy; ends with an evaluation and a video.

    --num-envs N, --physics ENGINE and --distributed are short for --agent.num-envs, --physics.engine and
    --distributed.auto.
    """
    from synthjax.physics.dispatch import wait_for_computations
    from synthjax.training import processes

    wait_for_computations()
    args = [_long_form(arg) for arg in args]
    with processes.joined(_distributed(args)):
        with processes.together():
            config, folder, resume = _planned(args)

        from synthjax.training import run

        run.train(config, folder, resume)


def _distributed(args: list[str]) -> DistributedConfig:
    """How the processes find one another: read before anything else, so that a mistake in it can end all."""
    if "-h" in args or "--help" in args:
        return DistributedConfig()
    parser = argparse.ArgumentParser(prog="synthjax train", add_help=False, allow_abbrev=False)
    parser.add_argument("--distributed.auto", dest="auto", action="store_true")
    for name, kind in (("coordinator", str), ("processes", int), ("process", int), ("timeout", float)):
        parser.add_argument(f"--distributed.{name}", dest=name, type=kind, default=argparse.SUPPRESS)
    return DistributedConfig(**vars(parser.parse_known_args(args)[0]))


def _planned(args: list[str]) -> tuple[TrainConfig, Path, bool]:
    """What ``train`` is to do: the configuration, the folder, and whether to resume."""
    from synthjax import configs
    from synthjax.training import devices, run_folder

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
    if options.distributed.wanted and resumed is None and options.run_dir is None:
        raise UserError("Several processes need one folder: give all the same --run-dir, on shared storage.")
    folder = resumed or run_folder.new_run_folder(config, options.run_dir)
    return run_folder.anchored(config), folder, resumed is not None


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
    # on bodies whose mass, friction and motor strength are changed by up to 20 %
    changed_bodies: tyro.conf.FlagCreatePairsOff[bool] = False


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
        ("changed-bodies", options.changed_bodies),
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
    evaluator = make_evaluator(
        policy.run, options.mode == "deterministic", options.seconds, options.changed_bodies
    )
    return evaluator, policy.agent_state, folder


def _check_positive(options: dict[str, float | None]) -> None:
    for name, value in options.items():
        if value is not None and value <= 0:
            raise UserError(f"{name} is {value}: give a number above zero.")


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """Which policy, and what becomes of it."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = (
        ""  # folder; newest if not given
    )
    out: Path | None = None  # file of the bundle; bundle.zip in the run, or a name with the options
    format: Literal["float32", "float16", "int8"] = "float32"  # of the policy's weights
    best: tyro.conf.FlagCreatePairsOff[bool] = False  # the best checkpoint instead of the newest
    version: int = 0  # of the bundle: a device takes the greater one, of equal ones the later export


def export(args: list[str]) -> None:
    """Make a bundle of TFLite models that a device runs, checked against the training."""
    options = _parse("export", ExportOptions, args)
    if not 0 <= options.version < 2**31:
        raise UserError(f"--version is {options.version}: give a whole number from 0 to 2147483647.")
    from synthjax.deploy.export import export_policy
    from synthjax.physics.dispatch import wait_for_computations
    from synthjax.training import devices, run_folder, saved

    wait_for_computations()
    folder = run_folder.find_run(options.run)
    devices.enable_compilation_cache()
    words = ["-best"] * options.best + [f"-{options.format}"] * (options.format != "float32")
    out = options.out or folder / f"bundle{''.join(words)}.zip"
    console = Console(markup=False)
    with console.status("loading") as status:
        policy = saved.load_policy(folder, best=options.best)
        figures = export_policy(policy, out, options.format, options.version, status.update)
    console.print(figures, soft_wrap=True)
    console.print(f"Bundle: {out}", soft_wrap=True)


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


@dataclasses.dataclass(frozen=True)
class VerifyOptions:
    """Say what a bundle holds, and whether every byte of it is as it was written."""

    bundle: Annotated[Path, tyro.conf.Positional]  # zip file or folder, or a folder that one is installed in


@dataclasses.dataclass(frozen=True)
class InstallOptions:
    """Install a bundle into a folder, as a headset does at first launch; the newer one wins."""

    bundle: Annotated[Path, tyro.conf.Positional]  # zip file or folder
    to: Path  # folder of installations; made if missing
    with_training: tyro.conf.FlagCreatePairsOff[bool] = False  # the files for fine-tuning too


_BundleOptions = (
    Annotated[VerifyOptions, tyro.conf.subcommand("verify")]
    | Annotated[InstallOptions, tyro.conf.subcommand("install")]
)


def bundle(args: list[str]) -> None:
    """Verify or install what 'synthjax export' made for a device."""
    options = _parse("bundle", cast(Any, _BundleOptions), args, tyro.MISSING)
    from synthjax.deploy.bundle import check_verdicts, verify_bundle
    from synthjax.deploy.install import install_bundle, installed_folder

    console = Console(markup=False, highlight=False)
    if isinstance(options, InstallOptions):
        done = install_bundle(options.bundle, options.to, options.with_training)
        version, exported = done.bundle.age
        console.print(
            f"{done.bundle.manifest['name']}, version {version} of {exported}: "
            f"{'installed' if done.installed else 'nothing to do'}, {done.reason}.",
            soft_wrap=True,
        )
        return
    path = installed_folder(options.bundle) or options.bundle
    found, verdicts = verify_bundle(path)
    version, exported = found.age
    console.print(f"{found.manifest['name']}, version {version} of {exported}", soft_wrap=True)
    console.print(f"format {found.manifest['format']}, hash {found.digest}", soft_wrap=True)
    table = Table.grid(padding=(0, 2))
    for verdict in verdicts:
        table.add_row(
            Text(verdict.name, overflow="fold"),
            verdict.part,
            Text(f"{verdict.size:,} bytes", justify="right"),
            Text(verdict.finding, "green" if verdict.good else "bold red"),
        )
    console.print(table)
    check_verdicts(path, verdicts)


def motion_import(args: list[str]) -> None:
    """Bring a motion file onto a body, as a clip that train takes."""
    from synthjax.motion.importing import ImportOptions, import_motion

    import_motion(_parse("motion import", ImportOptions, args), Console().print)


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
    """Import, check, show, edit and export motions."""
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
    **cli_motion.MOTION_COMMANDS,
}

COMMANDS: dict[str, _Command] = {
    "train": train,
    "eval": evaluate,
    "play": play,
    "export": export,
    "bundle": bundle,
    "motion": motion,
    "bench": bench,
    "doctor": doctor,
}
