"""The commands ``synthjax motion``: import, check, list, preview and export; the others edit clips."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console

from synthjax.cli.clips import ClipName, demand_new, one_clip
from synthjax.cli.motion_edits import motion_cut, motion_join, motion_mirror, motion_resample
from synthjax.cli.parsing import Command, command_list, parse
from synthjax.cli.working import working
from synthjax.errors import UserError, unknown
from synthjax.whole_files import replacing

if TYPE_CHECKING:
    from synthjax.bodies import Body
    from synthjax.motion import Clip


def motion_import(args: list[str]) -> None:
    """Bring a motion file onto a body, as a clip that train takes."""
    from synthjax.motion.importing import ImportOptions, import_motion

    done = import_motion(parse(motion_import, "motion import", ImportOptions, args), Console().print)
    Console(markup=False).print(done, soft_wrap=True)


def motion_check(args: list[str]) -> None:
    """Say what is wrong with a clip; exit code 1 if something is bad."""
    from synthjax.motion.checks import CheckOptions, check

    table, fit = check(parse(motion_check, "motion check", CheckOptions, args))
    Console().print(table)
    if not fit:
        raise SystemExit(1)


def motion_list(args: list[str]) -> None:
    """List the shipped clips and your own."""
    from synthjax.motion.listing import ListOptions, clip_table

    Console().print(clip_table(parse(motion_list, "motion list", ListOptions, args)))


@dataclasses.dataclass(frozen=True)
class PreviewOptions:
    """What is shown, and where the files go."""

    clip: ClipName  # name of a shipped clip, clip file, or motion file of any format that is imported
    out: Path = Path("previews")  # folder for NAME.html, NAME.png and NAME.mp4
    source: Path | None = None  # motion file that a clip was made of, to be shown beside it
    body: str = "synth"  # or the mapping file of your own body
    rig: Path | None = None  # mapping file of the source's rig, where its names are not known
    take: str | None = None  # which animation of a file that holds several; the longest if not given
    skeleton: Path | None = None  # .asf of an .amc file, where it does not lie beside it
    loop: Literal["file", "auto", "no"] = "file"  # of a motion file: as motion import has it


def motion_preview(args: list[str]) -> None:
    """Show a clip or motion file: player, contact sheet and video."""
    options = parse(motion_preview, "motion preview", PreviewOptions, args)
    from synthjax.bodies import make_body
    from synthjax.live.preview import write_preview
    from synthjax.motion.clip_file import is_clip
    from synthjax.motion.importers import READERS, ReadOptions
    from synthjax.motion.importing import brought_onto, read_human

    console = Console(markup=False)
    body = make_body(options.body)
    file, which = Path(options.clip), ReadOptions(options.take, options.skeleton)
    with working(console, "reading") as say:
        if file.suffix.lower() in READERS and not is_clip(file):
            if options.source is not None:
                raise UserError("--source is for a clip: a motion file is shown beside what is made of it.")
            clip, motion = brought_onto(file, body, options=which, rig=options.rig, loop=options.loop)
        else:
            given = [name for name in ("rig", "take", "skeleton") if getattr(options, name) is not None]
            given += ["loop"] if options.loop != "file" else []
            if given and options.source is None:
                raise UserError(f"--{given[0]} is for a motion file, and '{options.clip}' is a clip.")
            clip = one_clip(options.clip, body)
            motion = None
            if options.source is not None:
                motion = read_human(options.source, options=which, rig=options.rig, loop=options.loop).motion
        say("drawing")
        said = write_preview(clip, body, options.out, motion)
    for line in said:
        console.print(line, soft_wrap=True)


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """What is written, and as what."""

    what: Annotated[
        str, tyro.conf.Positional, tyro.conf.arg(metavar="CLIP_OR_RUN")
    ]  # clip, or folder of a run
    to: Path  # .bvh, .glb, .vrma, or .npz for a run's episode as a clip
    episode: str | None = None  # which of a run's episodes: the clip, or the side it starts on
    best: tyro.conf.FlagCreatePairsOff[bool] = False  # of a run, the best checkpoint instead of the newest
    seconds: float | None = None  # of a run's episode; that of the run's evaluations if not given
    body: str = "synth"  # of a clip: or the mapping file of your own body


def motion_export(args: list[str]) -> None:
    """Write a clip, or what a trained policy does, for Blender, Unity and other programs."""
    options = parse(motion_export, "motion export", ExportOptions, args)
    from synthjax.motion.exporters import WRITERS
    from synthjax.training.run_folder import CONFIG_FILE

    if options.to.suffix.lower() not in WRITERS:
        raise UserError(f"--to is '{options.to}': the file ends in one of {', '.join(WRITERS)}.")
    demand_new("--to", options.to)
    if (Path(options.what) / CONFIG_FILE).is_file():
        clip, body = _recorded(options)
    else:
        from synthjax.bodies import make_body

        if options.episode is not None or options.best or options.seconds is not None:
            raise UserError(f"'{options.what}' is no run: leave out --episode, --best and --seconds.")
        body = make_body(options.body)
        clip = one_clip(options.what, body)
    options.to.parent.mkdir(parents=True, exist_ok=True)
    with replacing(options.to) as partial:
        WRITERS[options.to.suffix.lower()](clip, body, partial)
    frames = clip.num_frames + clip.loop
    said = f"{options.to}: '{clip.name}', {frames} frames at {clip.fps:g} a second"
    Console(markup=False).print(said, soft_wrap=True)


def _recorded(options: ExportOptions) -> tuple[Clip, Body]:
    """An episode of a run's policy as a clip on its body."""
    from synthjax.motion.derive import make_clip
    from synthjax.physics.dispatch import wait_for_computations
    from synthjax.training import devices, saved
    from synthjax.training.evaluator import make_evaluator

    if options.body != "synth":
        raise UserError("A run knows its own body: leave out --body.")
    if options.seconds is not None and options.seconds <= 0.0:
        raise UserError(f"--seconds is {options.seconds}: give a number above zero.")
    wait_for_computations()
    devices.enable_compilation_cache()
    folder = Path(options.what)
    policy = saved.load_policy(folder, best=options.best)
    recordings = make_evaluator(policy.run, True, options.seconds).recordings(policy.agent_state)
    by_name = {recording.name: recording for recording in recordings}
    if options.episode is None and len(by_name) > 1:
        raise UserError(f"{folder} has several episodes, {', '.join(by_name)}: choose one with --episode.")
    name = options.episode or recordings[0].name
    if name not in by_name:
        raise unknown("episode", name, by_name)
    body, chosen = policy.run.body, by_name[name]
    clip = make_clip(
        body,
        f"{folder.resolve().name}-{name}",
        chosen.rate,
        chosen.qpos.astype(float),
        loop_offset=None,
        source=f"policy {folder.resolve().name} after {policy.step} environment steps",
        licence=" + ".join(dict.fromkeys(clip.licence for clip in policy.run.clips)),
    )
    return clip, body


def motion(args: list[str]) -> None:
    """Import, check, show, edit and export motions."""
    name, rest = (args[0], args[1:]) if args else ("--help", [])
    if name in ("-h", "--help"):
        Console().print(command_list("motion ", MOTION_COMMANDS))
    elif name in MOTION_COMMANDS:
        MOTION_COMMANDS[name](rest)
    else:
        raise unknown("motion command", name, MOTION_COMMANDS)


MOTION_COMMANDS: dict[str, Command] = {
    "import": motion_import,
    "check": motion_check,
    "list": motion_list,
    "preview": motion_preview,
    "export": motion_export,
    "cut": motion_cut,
    "join": motion_join,
    "resample": motion_resample,
    "mirror": motion_mirror,
}
