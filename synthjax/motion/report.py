"""How good clips are: the table of docs/clips.md, made by ``python -m synthjax.motion.report``."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from synthjax.bodies import Body, make_body
from synthjax.motion.clip import Clip
from synthjax.motion.dynamics import demand
from synthjax.motion.ground import flights, lowest_points, touching_points
from synthjax.motion.kinematics import hinge_limits
from synthjax.motion.library import resolve_motions
from synthjax.motion.skeleton import SkeletonMotion
from synthjax.motion.targets import make_targets

_KEY_BONES = ("Head", "LeftHand", "RightHand", "LeftFoot", "RightFoot")
_AT_LIMIT = 1e-3  # rad
_DOWN = 0.005  # m, height below which a part of a foot touches the floor


@dataclasses.dataclass(frozen=True)
class WorstJoint:
    """The joint of which something is true most often."""

    name: str  # "" where it is true of none
    share: float  # of the frames

    def __str__(self) -> str:
        return f"{self.name} {100.0 * self.share:.0f} %" if self.name else "-"


@dataclasses.dataclass(frozen=True)
class ClipReport:
    """Measures of one clip; a joint's share counts frames."""

    clip: str
    seconds: float
    loop: bool
    # Mean distance of key bodies from the scaled source, its ends brought together, relative to the hips.
    key_error_mm: float | None
    closing_mm: float | None  # mean distance by which those of a loop's source were moved for that
    skate: float  # m/s, mean horizontal speed of feet and toes on the floor, where they touch it
    penetration_mm: float  # deepest
    float_mm: float  # mean height of the lowest point, flights left out
    seam: float  # m/s, jump of the root's velocity across the loop's seam
    max_rate: float  # rad/s, fastest hinge
    at_limit: float  # share of all joint-frames within a milliradian of a limit
    worst_limit: WorstJoint  # the one that is there most
    over_force: float  # share of joint-frames that ask for more than the servo gives
    worst_force: WorstJoint  # the one that asks most often
    residual: float  # mean root force that no contact can give, in body weights, flights included


def measure(clip: Clip, motion: SkeletonMotion | None, body: Body) -> ClipReport:
    """Measures ``clip``, against the ``motion`` that it was retargeted from if that is known."""
    lowest = lowest_points(body, clip.qpos).min(axis=-1)
    supported = ~flights(body, clip.qpos, clip.fps, clip.loop)
    hinges = clip.qpos[:, 7:]
    limits = hinge_limits(body.model)
    at_limit = (hinges < limits[:, 0] + _AT_LIMIT) | (hinges > limits[:, 1] - _AT_LIMIT)
    needed = demand(body, clip)
    over = np.abs(needed.torque) > body.model.actuator_forcerange[:, 1]
    return ClipReport(
        clip=clip.name,
        seconds=clip.duration,
        loop=clip.loop,
        key_error_mm=None if motion is None else _key_error(clip, motion, body),
        closing_mm=None if motion is None or not motion.loop else _closing(motion, body, clip.fps),
        skate=_skate(clip, body),
        penetration_mm=1000.0 * max(0.0, -float(lowest.min())),
        float_mm=1000.0 * float(np.abs(lowest[supported]).mean()),
        seam=_seam(clip),
        max_rate=float(np.abs(clip.qvel[:, 6:]).max()),
        at_limit=float(at_limit.mean()),
        worst_limit=_worst(at_limit, body),
        over_force=float(over.mean()),
        worst_force=_worst(over, body),
        residual=float(needed.residual.mean()),
    )


def _key_error(clip: Clip, motion: SkeletonMotion, body: Body) -> float:
    """Millimetres."""
    ids = [list(clip.body_names).index(body.bones[bone]) for bone in _KEY_BONES]
    reached = clip.xpos[:, ids] - clip.xpos[:, [list(clip.body_names).index(body.bones["Hips"])]]
    wanted = _key_bodies(motion, body, clip.fps)[: clip.num_frames]
    return 1000.0 * float(np.linalg.norm(reached - wanted, axis=-1).mean())


def _closing(motion: SkeletonMotion, body: Body, fps: float) -> float:
    """Millimetres."""
    open_ended = dataclasses.replace(motion, loop=False)
    moved = _key_bodies(motion, body, fps) - _key_bodies(open_ended, body, fps)
    return 1000.0 * float(np.linalg.norm(moved, axis=-1).mean())


def _key_bodies(motion: SkeletonMotion, body: Body, fps: float) -> np.ndarray:
    """(T, 5, 3) m from the hips, both ends included."""
    positions = make_targets(motion, body, fps).positions
    return np.stack([positions[bone] - positions["Hips"] for bone in _KEY_BONES], axis=1)


def _skate(clip: Clip, body: Body) -> float:
    feet = body.body_ids(body.feet)
    down = lowest_points(body, clip.qpos)[:, feet] < _DOWN
    # Below the ankle a foot that turns on its ball moves fast, but it does not touch there.
    lever = touching_points(body, clip.qpos, feet) - clip.xpos[:, feet]
    speed = np.linalg.norm((clip.linvel[:, feet] + np.cross(clip.angvel[:, feet], lever))[..., :2], axis=-1)
    return float(speed[down].mean()) if down.any() else 0.0


def _seam(clip: Clip) -> float:
    if not clip.loop:
        return 0.0
    path = clip.qpos[[-2, -1, 0, 1], :3].copy()
    path[2:] += clip.loop_offset
    steps = np.diff(path, axis=0) * clip.fps
    return float(np.abs(np.diff(steps, axis=0)).max())


def _worst(mask: np.ndarray, body: Body) -> WorstJoint:
    """The joint in which ``mask`` (T, num_joints) holds most often."""
    share = mask.mean(axis=0)
    name = body.joints[int(share.argmax())] if share.any() else ""
    return WorstJoint(name, float(share.max()))


_COLUMNS = {
    "clip": "clip",
    "seconds": "s",
    "loop": "loop",
    "key_error_mm": "key bodies mm",
    "closing_mm": "loop closing mm",
    "skate": "skate m/s",
    "penetration_mm": "penetration mm",
    "float_mm": "off the floor mm",
    "seam": "seam m/s",
    "max_rate": "fastest hinge rad/s",
    "worst_limit": "most at its limit",
    "worst_force": "most beyond its torque",
    "residual": "unbalanced weight",
}


# Decimals that are shown; what is judged has all of them.
_DECIMALS = {
    "seconds": 2, "key_error_mm": 1, "closing_mm": 1, "skate": 3, "penetration_mm": 1, "float_mm": 1,
    "seam": 3, "max_rate": 1, "at_limit": 4, "over_force": 4, "residual": 3,
}  # fmt: skip


def _row(report: ClipReport) -> dict[str, Any]:
    """The measures by name, rounded, those of one joint in words."""
    row = {field.name: getattr(report, field.name) for field in dataclasses.fields(report)}
    row |= {name: round(row[name], digits) for name, digits in _DECIMALS.items() if row[name] is not None}
    return row | {name: str(row[name]) for name in ("worst_limit", "worst_force")}


def report_table(report: ClipReport) -> Table:
    """The measures of one clip, for the terminal."""
    table = Table(title=f"Clip: {report.clip}", title_justify="left", show_header=False)
    row = _row(report)
    for key, name in list(_COLUMNS.items())[1:]:
        if row[key] is not None:
            figure = ("yes" if report.loop else "no") if key == "loop" else str(row[key])
            table.add_row(name, Text(figure))
    return table


def to_markdown(reports: list[ClipReport]) -> str:
    """The table of docs/clips.md."""
    lines = [f"| {' | '.join(_COLUMNS.values())} |", "|---" * len(_COLUMNS) + "|"]
    for report in reports:
        row = _row(report)
        row["loop"] = "yes" if report.loop else "no"
        lines.append(f"| {' | '.join('-' if row[key] is None else str(row[key]) for key in _COLUMNS)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True, help="where the figures go")
    args = parser.parse_args()
    from synthjax.motion.build_clips import read_sources  # needs the extra "motion", which measuring does not

    body = make_body("synth")
    reports = [measure(resolve_motions(m.name, body)[0], m, body) for m in read_sources()]
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps([_row(report) for report in reports], indent=1) + "\n")
    print(to_markdown(reports))


if __name__ == "__main__":
    main()
