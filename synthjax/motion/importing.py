"""From a motion file to a clip on a body: read, map, retarget, measure (docs/motion.md)."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from synthjax.bodies import Body, make_body
from synthjax.errors import UserError, printable
from synthjax.motion.clip import Clip
from synthjax.motion.clip_file import save_clip
from synthjax.motion.cycles import find_cycle, looped
from synthjax.motion.derive import make_clip
from synthjax.motion.edit import check_speed, resample
from synthjax.motion.glitches import find_glitches
from synthjax.motion.humanoid import to_skeleton
from synthjax.motion.importers import ReadOptions, read_source
from synthjax.motion.importers.qpos_csv import FPS as CSV_FPS
from synthjax.motion.importers.qpos_csv import read_qpos_csv
from synthjax.motion.mirror import mirror
from synthjax.motion.own_skeleton import own_clip
from synthjax.motion.report import measure, report_table
from synthjax.motion.rig_file import RigFile, read_rig_file
from synthjax.motion.rigs import demand_humanoid, match_rig, rig_table
from synthjax.motion.skeleton import SkeletonMotion
from synthjax.motion.source import SourceMotion

# Whether a motion becomes a loop: as its file says, the cleanest cycle that is found in it, or not at all.
Loop = Literal["file", "auto", "no"]


@dataclasses.dataclass(frozen=True)
class ImportOptions:
    """Which file, onto which body, and where the clip goes."""

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]  # see docs/motion.md
    out: Path | None = None  # clip file to write; clips/NAME.npz if not given
    body: str = "synth"  # or the mapping file of your own body
    rig: Path | None = None  # mapping file of the source's rig, where its names are not known
    take: str | None = None  # which animation of a file that holds several; the longest if not given
    skeleton: Path | None = None  # .asf of an .amc file, where it does not lie beside it
    loop: Loop = "file"  # whether to make a loop: as the file says, of the cleanest cycle in it, or no
    fps: float | None = None  # frames a second of a .csv file; 30 if not given
    speed: float = 1.0  # times as fast as the file
    mirror: tyro.conf.FlagCreatePairsOff[bool] = False  # left and right exchanged
    source: str = ""  # where the motion came from, kept in the clip; the file's name if not given
    licence: str = "unknown"  # its terms, kept in the clip


@dataclasses.dataclass(frozen=True)
class Reading:
    """A human motion, and what was found out about its file."""

    motion: SkeletonMotion
    facts: dict[str, str]  # what -> how it is
    rig: Table | None  # None where the format fixes the figure


def read_human(
    path: Path,
    *,
    options: ReadOptions | None = None,
    rig: Path | None = None,
    loop: Loop = "file",
    origin: str = "",
    licence: str = "unknown",
) -> Reading:
    """The human motion in ``path``.

    Args:
      path: motion file.
      options: which part of it; by default the longest animation.
      rig: mapping file of its rig, where its names are not known.
      loop: whether it becomes a loop.
      origin: where it came from; by default the file's name.
      licence: its terms.

    Raises:
      UserError: the file cannot be read, its rig is not a human's, or ``loop`` is "auto" and none is in it.
    """
    known = read_rig_file(rig)
    return _human(read_source(path, options or ReadOptions()), path, known, loop, origin, licence)


def read_onto(
    path: Path,
    body: Body,
    *,
    options: ReadOptions,
    rig: Path | None = None,
    loop: Loop = "file",
    origin: str = "",
    licence: str = "unknown",
) -> Clip | Reading:
    """The clip in ``path`` if it is on the own skeleton of ``body``, else a human motion to be retargeted.

    Arguments are those of :func:`read_human`.

    Raises:
      UserError: as of :func:`read_human`, or ``loop`` is given for a clip on the own skeleton.
    """
    known, source = read_rig_file(rig), read_source(path, options)
    own = own_clip(source, path, body, origin=origin, licence=licence)
    if own is not None and loop != "file":
        raise UserError(f"'{path}' has the body's own skeleton: leave out --loop, and use motion cut --loop.")
    return _human(source, path, known, loop, origin, licence) if own is None else own


def brought_onto(
    path: Path,
    body: Body,
    *,
    options: ReadOptions,
    rig: Path | None = None,
    loop: Loop = "file",
    origin: str = "",
    licence: str = "unknown",
    show: Callable[[RenderableType], None] = lambda found: None,
) -> tuple[Clip, SkeletonMotion | None]:
    """The motion in ``path`` as a clip on ``body``, and what was retargeted, if the file needed it.

    Arguments are those of :func:`read_human`; ``show`` gets what was found in the file.

    Raises:
      UserError: as of :func:`read_onto`, or the motion lacks bones that retargeting needs.
    """
    read = read_onto(path, body, options=options, rig=rig, loop=loop, origin=origin, licence=licence)
    if isinstance(read, Clip):
        show(Text("The file has the body's own skeleton: its joint angles are taken as they are."))
        return read, None
    show(_facts_table(read.facts))
    if read.rig is not None:
        show(read.rig)
    from synthjax.motion.retarget import retarget  # needs the extra "motion"

    return retarget(read.motion, body), read.motion


def _human(
    source: SourceMotion | SkeletonMotion, path: Path, rig: RigFile, loop: Loop, origin: str, licence: str
) -> Reading:
    if isinstance(source, SkeletonMotion):
        if rig.file is not None:
            raise UserError(f"'{path}' is of a format that fixes its figure: leave out --rig.")
        motion = dataclasses.replace(source, name=path.stem, source=origin or path.name, licence=licence)
        facts = {"format": "DeepMimic", "frames": _frames(motion)}
        motion, facts["loop"] = _looped(motion, loop)
        facts["glitches"] = find_glitches(motion).words
        return Reading(motion, _stated(facts), None)
    match = match_rig(source.joints, source.parents, source.roles, rig.joints(source.joints))
    demand_humanoid(match, source.joints, str(path))
    motion, found = to_skeleton(
        source,
        match,
        name=path.stem,
        origin=origin or path.name,
        licence=licence,
        up=rig.up,
        metres=rig.metres,
    )
    facts = {
        "format": f"{source.kind}, {len(source.joints)} joints",
        "take": source.take,
        "frames": _frames(motion),
        "left out": found.dropped,
        "up axis": found.up,
        "unit": found.unit,
        "floor": found.floor,
        "neutral pose": found.neutral,
    }
    motion, facts["loop"] = _looped(motion, loop)
    facts["glitches"] = find_glitches(motion).words
    return Reading(motion, _stated(facts), rig_table(match, source.joints))


def _stated(facts: dict[str, str]) -> dict[str, str]:
    """Those of which there is something to say."""
    return {what: how for what, how in facts.items() if how}


def _looped(motion: SkeletonMotion, loop: Loop) -> tuple[SkeletonMotion, str]:
    """``motion`` as ``loop`` asks, and what was found, for people."""
    if loop == "no":
        return dataclasses.replace(motion, loop=False), "no, as asked"
    if motion.loop:
        return motion, "the whole file, as it says"
    cycle = find_cycle(motion)
    if loop == "file":
        return motion, "" if cycle is None else f"no; --loop auto would take {cycle.words(motion.fps)}"
    if cycle is None:
        raise UserError(
            f"Motion '{motion.name}' comes back to no pose cleanly enough for a loop: leave out --loop, or "
            "choose a part with motion cut --loop."
        )
    return looped(motion, cycle), cycle.words(motion.fps)


def _frames(motion: SkeletonMotion) -> str:
    return f"{len(motion.positions)} at {motion.fps:.4g} a second, {motion.duration:.2f} s"


def import_motion(options: ImportOptions, show: Callable[[RenderableType], None]) -> str:
    """Writes the clip; ``show`` gets what was found in the file, and how good the clip is.

    Returns:
      Where the clip is, and the command that trains it.

    Raises:
      UserError: the clip is there already, or the file cannot be brought onto the body.
    """
    out = options.out or Path("clips") / f"{options.file.stem}.npz"
    if out.suffix != ".npz":
        raise UserError(f"--out is '{out}': a clip file ends in .npz.")
    if out.exists():
        raise UserError(f"'{out}' is there already: give another file with --out, or remove it first.")
    check_speed(options.speed)
    joint_angles = options.file.suffix.lower() == ".csv"
    if options.fps is not None and not joint_angles:
        raise UserError(f"'{options.file}' says its frame rate itself: leave out --fps.")
    body = make_body(options.body)
    motion: SkeletonMotion | None = None
    if joint_angles:
        clip, facts = _of_joint_angles(options, body)
        show(_facts_table(facts))
    else:
        clip, motion = brought_onto(
            options.file,
            body,
            options=ReadOptions(options.take, options.skeleton),
            rig=options.rig,
            loop=options.loop,
            origin=options.source,
            licence=options.licence,
            show=show,
        )
    clip = dataclasses.replace(clip, name=out.stem)
    report = measure(clip, motion, body)
    if (edited := _edited(clip, body, options)) is not clip:
        clip = edited
        distances = {name: getattr(report, name) for name in ("key_error_mm", "closing_mm")}
        report = dataclasses.replace(measure(clip, None, body), **distances)
    save_clip(clip, out)
    show(report_table(report))
    from synthjax.motion.checks import BAD, grade, grade_source  # which read files by way of this module

    verdicts = grade(clip, body, report) + ([] if motion is None else grade_source(motion))
    bad = [verdict.what for verdict in verdicts if verdict.grade == BAD]
    if bad:
        return (
            f"Clip: {out}\nNot worth training as it is, because of {', '.join(bad)}: "
            f"'{shlex.join(['synthjax', 'motion', 'check', str(out)])}' says how far off it is."
        )
    command = ["synthjax", "train", "--motion", str(out)]
    if options.body != "synth":
        command += ["--body.name", options.body]
    return f"Clip: {out}\nTrain: {shlex.join(command)}"


def _edited(clip: Clip, body: Body, options: ImportOptions) -> Clip:
    """``clip`` as the options want it, once it is on the body."""
    if options.mirror:
        clip = mirror(clip, body)
    return clip if options.speed == 1.0 else resample(clip, body, clip.fps, options.speed)


def _of_joint_angles(options: ImportOptions, body: Body) -> tuple[Clip, dict[str, str]]:
    """The clip of a .csv, and what was found: its angles are the body's own, so nothing is retargeted."""
    for name in ("rig", "take", "skeleton"):
        if getattr(options, name) is not None:
            raise UserError(f"'{options.file}' holds joint angles of a body: leave out --{name}.")
    if options.loop != "file":
        raise UserError(f"'{options.file}' holds joint angles: leave out --loop, and use motion cut --loop.")
    fps = CSV_FPS if options.fps is None else options.fps
    qpos, facts = read_qpos_csv(options.file, body, fps)
    origin = options.source or options.file.name
    clip = make_clip(
        body, options.file.stem, fps, qpos, loop_offset=None, source=origin, licence=options.licence
    )
    return clip, facts


def _facts_table(facts: dict[str, str]) -> Table:
    table = Table.grid(padding=(0, 2))
    for what, how in facts.items():
        table.add_row(Text(what, "bold"), Text(printable(how)))
    return table
