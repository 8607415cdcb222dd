"""The commands ``synthjax motion`` that make a clip of clips: cut, join, resample and mirror."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console

from synthjax.cli.clips import ClipName, demand_new, one_clip
from synthjax.cli.parsing import parse
from synthjax.errors import UserError

if TYPE_CHECKING:
    from synthjax.bodies import Body
    from synthjax.motion import Clip


@dataclasses.dataclass(frozen=True)
class CutOptions:
    """Which part of a clip, and where it goes."""

    clip: ClipName  # name of a shipped clip, or clip file
    out: Path  # clip file to write
    start: float = 0.0  # s
    end: float | None = None  # s; the clip's end if not given; of a loop also in a later cycle
    loop: tyro.conf.FlagCreatePairsOff[bool] = False  # close the part to a loop
    body: str = "synth"  # or the mapping file of your own body


def motion_cut(args: list[str]) -> None:
    """Cut a part out of a clip."""
    options = parse(motion_cut, "motion cut", CutOptions, args)

    def part(clips: list[Clip], body: Body) -> Clip:
        from synthjax.motion.edit import cut

        end = clips[0].duration if options.end is None else options.end
        return cut(clips[0], body, options.start, end, close=options.loop)

    _edit([options.clip], options.body, options.out, part)


@dataclasses.dataclass(frozen=True)
class JoinOptions:
    """Which clips, and where they go."""

    clips: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="CLIP CLIP [CLIP ...]")]
    out: Path  # clip file to write
    blend: float = 0.3  # s over which one clip is faded into the next
    body: str = "synth"  # or the mapping file of your own body


def motion_join(args: list[str]) -> None:
    """Join clips, each faded into the next."""
    options = parse(motion_join, "motion join", JoinOptions, args)
    if options.blend < 0.0:
        raise UserError(f"--blend is {options.blend}: give seconds, at least zero.")

    def whole(clips: list[Clip], body: Body) -> Clip:
        from synthjax.motion.edit import join

        return join(clips, body, options.blend)

    _edit(options.clips, options.body, options.out, whole)


@dataclasses.dataclass(frozen=True)
class ResampleOptions:
    """At which rate and speed, and where the clip goes."""

    clip: ClipName  # name of a shipped clip, or clip file
    out: Path  # clip file to write
    fps: float | None = None  # frames a second; the clip's own if not given
    speed: float = 1.0  # times as fast as the clip
    body: str = "synth"  # or the mapping file of your own body


def motion_resample(args: list[str]) -> None:
    """Give a clip another frame rate or speed."""
    options = parse(motion_resample, "motion resample", ResampleOptions, args)
    from synthjax.motion.edit import check_speed
    from synthjax.motion.importers.reading import MAX_FPS

    if options.fps is None and options.speed == 1.0:
        raise UserError("Give another rate with --fps, another speed with --speed, or both.")
    if options.fps is not None and not 1.0 <= options.fps <= MAX_FPS:
        raise UserError(f"--fps is {options.fps:g}: give a rate from 1 to {MAX_FPS:g}.")
    check_speed(options.speed)

    def resampled(clips: list[Clip], body: Body) -> Clip:
        from synthjax.motion.edit import resample

        return resample(clips[0], body, options.fps or clips[0].fps, options.speed)

    _edit([options.clip], options.body, options.out, resampled)


@dataclasses.dataclass(frozen=True)
class MirrorOptions:
    """Which clip, and where its mirror image goes."""

    clip: ClipName  # name of a shipped clip, or clip file
    out: Path  # clip file to write
    body: str = "synth"  # or the mapping file of your own body


def motion_mirror(args: list[str]) -> None:
    """Exchange left and right in a clip."""
    options = parse(motion_mirror, "motion mirror", MirrorOptions, args)

    def mirrored(clips: list[Clip], body: Body) -> Clip:
        from synthjax.motion.mirror import mirror

        return mirror(clips[0], body)

    _edit([options.clip], options.body, options.out, mirrored)


def _edit(
    names: tuple[str, ...] | list[str], body_name: str, out: Path, change: Callable[[list[Clip], Body], Clip]
) -> None:
    """Writes what ``change`` makes of the clips, under the name of the file."""
    if out.suffix != ".npz":
        raise UserError(f"--out is '{out}': a clip file ends in .npz.")
    demand_new("--out", out)
    from synthjax.bodies import make_body
    from synthjax.motion.clip_file import save_clip

    body = make_body(body_name)
    clip = dataclasses.replace(change([one_clip(name, body) for name in names], body), name=out.stem)
    save_clip(clip, out)
    loop = ", a loop" if clip.loop else ""
    said = f"Clip: {out}; {clip.duration:.2f} s, {clip.num_frames} frames at {clip.fps:g} a second{loop}"
    Console(markup=False).print(said, soft_wrap=True)
