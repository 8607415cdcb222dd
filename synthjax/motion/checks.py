"""``synthjax motion check``: is this clip fit to be learned?  One verdict for each thing that goes wrong."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from rich.table import Table
from rich.text import Text

from synthjax.bodies import Body, make_body
from synthjax.errors import UserError
from synthjax.motion.clip import Clip
from synthjax.motion.edit import continued
from synthjax.motion.glitches import find_glitches, holds
from synthjax.motion.importers import ReadOptions
from synthjax.motion.importing import Loop, read_human
from synthjax.motion.kinematics import differentiate, hinge_limits
from synthjax.motion.library import resolve_motions
from synthjax.motion.report import ClipReport, measure
from synthjax.motion.skeleton import SkeletonMotion

GOOD, POOR, BAD = "good", "poor", "bad"
_STILL = 1e-3  # rad/s and m/s, slower is no motion
_SAME = 1e-7  # rad and m, closer poses are the same frame
_BEYOND = np.radians(1.0)  # over a hinge's stop


@dataclasses.dataclass(frozen=True)
class CheckOptions:
    """Which clip, on which body, and where it came from."""

    clip: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="CLIP")]  # name or file
    body: str = "synth"  # or the mapping file of your own body
    against: Path | None = None  # motion file that the clip was imported from, for the key bodies' error
    rig: Path | None = None  # its mapping file, if it needed one
    take: str | None = None  # and which of its animations, if it has several
    skeleton: Path | None = None  # and its .asf, if it is an .amc that does not lie beside it
    loop: Loop = "file"  # as it was imported with


@dataclasses.dataclass(frozen=True)
class Verdict:
    """One line: a figure, and up to where it is good and, above that, poor."""

    what: str
    figure: float
    unit: str
    good: float
    poor: float
    detail: str = ""

    @property
    def grade(self) -> str:
        """Figures that are not finite are bad."""
        if self.figure <= self.good:
            return GOOD
        return POOR if self.figure <= self.poor else BAD


def check(options: CheckOptions) -> tuple[Table, bool]:
    """The verdicts on a clip, and whether none of them is bad.

    Raises:
      UserError: there is no such clip, several, or its source cannot be read or is another one.
    """
    body = make_body(options.body)
    clips = resolve_motions(options.clip, body)
    if len(clips) > 1:
        raise UserError(f"'{options.clip}' are {len(clips)} clips: check one at a time.")
    given = [name for name in ("rig", "take", "skeleton") if getattr(options, name) is not None]
    given += ["loop"] if options.loop != "file" else []
    if given and options.against is None:
        raise UserError(f"--{given[0]} belongs to the file that --against names: give both or neither.")
    motion = None
    if options.against is not None:
        which = ReadOptions(options.take, options.skeleton)
        motion = read_human(options.against, options=which, rig=options.rig, loop=options.loop).motion
        _demand_same_length(clips[0], motion, options.against)
    verdicts = check_clip(clips[0], body, motion)
    return verdict_table(clips[0], verdicts), all(v.grade != BAD for v in verdicts)


def _demand_same_length(clip: Clip, motion: SkeletonMotion, path: Path) -> None:
    # As retargeting makes a clip: with both ends, a loop without its closing frame.
    frames = round(motion.duration * clip.fps) + 1 - motion.loop
    if frames != clip.num_frames:
        raise UserError(
            f"'{path}' gives {frames} frames at {clip.fps:g} a second where clip '{clip.name}' has "
            f"{clip.num_frames}: give the file that it was imported from, and the same --loop."
        )


def check_clip(clip: Clip, body: Body, motion: SkeletonMotion | None = None) -> list[Verdict]:
    """The verdicts on ``clip``; ``motion`` is what it was retargeted from, if at hand."""
    source = [] if motion is None else grade_source(motion)
    return grade(clip, body, measure(clip, motion, body)) + source


def grade_source(motion: SkeletonMotion) -> list[Verdict]:
    """The verdicts on a recording, of which retargeting makes smooth clips whatever is wrong with it."""
    found = find_glitches(motion)
    held, jumps = (100.0 * count / found.frames for count in (found.held, found.jumps))
    return [
        Verdict("source repeats", held, "% of frames", 1.0, 30.0, "equal to the one before, amid motion"),
        Verdict(
            "source jumps", jumps, "% of frames", 0.0, 5.0, f"the first of {found.first}" if jumps else "-"
        ),
    ]


def grade(clip: Clip, body: Body, report: ClipReport) -> list[Verdict]:
    """The verdicts on ``clip`` with the figures of :func:`synthjax.motion.report.measure`.

    Good are clips of walks, runs and jumps as they should be: within 15 mm of their source, feet that slide
    by less than 0.05 m/s.  Acrobatics are good within 25 mm, which no file says it is: up to 80 mm, and
    a clip that slides, are poor, as such clips can be learned.  Bounds of bad leave room for the shipped
    clips; the worst of these are the backflip and the dances.
    """
    hinges, rates = clip.qpos[:, 7:], clip.qvel[:, 6:]
    limits = hinge_limits(body.model)
    beyond = np.maximum(limits[:, 0] - hinges, hinges - limits[:, 1])
    acceleration = np.abs(_accelerations(clip, body))
    verdicts = [
        Verdict("skate", report.skate, "m/s", 0.05, 0.7, "feet that touch the floor"),
        Verdict("penetration", report.penetration_mm, "mm", 10.0, 30.0, "deepest point"),
        Verdict("off the floor", report.float_mm, "mm", 10.0, 50.0, "lowest point outside flights"),
        Verdict(
            "at a joint limit",
            100.0 * report.worst_limit.share,
            "% of frames",
            20.0,
            60.0,
            str(report.worst_limit),
        ),
        Verdict("beyond a limit", np.degrees(max(0.0, beyond.max())), "deg", 0.1, 1.0, _joint(beyond, body)),
        Verdict("fastest hinge", report.max_rate, "rad/s", 30.0, 60.0, _joint(np.abs(rates), body)),
        Verdict(
            "acceleration",
            float(acceleration[:, 6:].max(initial=0.0)),
            "rad/s²",
            1000.0,
            2000.0,
            _joint(acceleration[:, 6:], body),
        ),
        Verdict("root's acceleration", float(acceleration[:, :3].max(initial=0.0)), "m/s²", 100.0, 300.0),
        Verdict("root's turning", float(acceleration[:, 3:6].max(initial=0.0)), "rad/s²", 300.0, 1000.0),
        Verdict("without motion", 100.0 * float(_still(clip).mean()), "% of frames", 30.0, 90.0),
        Verdict(
            "repeated frames",
            float(_repeated(clip)),
            "frames",
            0.0,
            2.0,
            "equal to the one before, amid motion",
        ),
        Verdict(
            "torque demand",
            100.0 * report.worst_force.share,
            "% of frames",
            30.0,
            60.0,
            str(report.worst_force),
        ),
        Verdict(
            "unbalanced weight", report.residual, "body weights", 0.3, 1.0, "mean force that no contact gives"
        ),
    ]
    if clip.loop:
        verdicts.append(Verdict("loop seam", report.seam, "m/s", 0.2, 0.6, "jump of the root's velocity"))
    if report.closing_mm is not None:
        verdicts.append(
            Verdict(
                "loop closing", report.closing_mm, "mm", 30.0, 150.0, "key bodies moved for the ends to meet"
            )
        )
    if report.key_error_mm is not None:
        verdicts.insert(
            0, Verdict("key bodies", report.key_error_mm, "mm", 15.0, 80.0, "from the scaled source")
        )
    return verdicts


def verdict_table(clip: Clip, verdicts: Sequence[Verdict]) -> Table:
    """One line a verdict."""
    loop = ", a loop" if clip.loop else ""
    table = Table(
        title=f"{clip.name}: {clip.duration:.2f} s at {clip.fps:g} a second{loop}", title_justify="left"
    )
    for column in ("", "figure", "good up to", "verdict", ""):
        table.add_column(column)
    colours = {GOOD: "green", POOR: "yellow", BAD: "bold red"}
    for v in verdicts:
        verdict = Text(v.grade, colours[v.grade])
        table.add_row(v.what, f"{round(v.figure, 5):.4g} {v.unit}", f"{v.good:g}", verdict, v.detail)
    return table


def _joint(values: np.ndarray, body: Body) -> str:
    """The hinge with the largest of ``values`` (T, num_joints); "-" without a frame."""
    return body.joints[int(values.max(axis=0).argmax())] if len(values) else "-"


def _accelerations(clip: Clip, body: Body) -> np.ndarray:
    """Of root (m/s² and rad/s²) and hinges (rad/s²) from frame to frame, across a loop's seam too.

    Shape (T - 2, nv), of a loop (T, nv).  The clip's own velocities are smoothed over two frames, in which a
    frame that stands out by itself would be a quarter of what it is.
    """
    _, qpos = continued(clip, 0, clip.num_frames + 2)
    rates = [differentiate(body.model, a, b, 1.0 / clip.fps) for a, b in itertools.pairwise(qpos)]
    return np.diff(np.reshape(rates, (-1, body.model.nv)), axis=0) * clip.fps


def _still(clip: Clip) -> np.ndarray:
    """(T,) bool."""
    still: np.ndarray = np.abs(clip.qvel).max(axis=-1) < _STILL
    return still


def _repeated(clip: Clip) -> int:
    """Frames that equal the one before them, with motion before and after: dropped ones, no rests."""
    same = np.abs(np.diff(clip.qpos, axis=0)).max(axis=-1) < _SAME
    return sum(stop - start for start, stop in holds(same, clip.fps))
