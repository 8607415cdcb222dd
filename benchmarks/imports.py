"""Imports every motion file of a folder and checks what comes of it.

    python benchmarks/imports.py FOLDER

Each file becomes a clip on the body as ``synthjax motion import`` makes it, and has the verdicts of
``synthjax motion check``, or the sentence that refuses it.  Frames a second count the processor's time of
the retargeting alone.  A motion that the folder has in several formats should give the same joint angles
from each: of every hinge the median difference over the frames is taken, and the largest and the mean of
these are given.  Writes ``benchmarks/results/imports.json``; the files themselves are not part of the
project.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
import json
import shlex
import sys
import time
from pathlib import Path

import numpy as np

from synthjax.bodies import Body, make_body
from synthjax.errors import UserError
from synthjax.motion.checks import BAD, POOR, check_clip
from synthjax.motion.clip import Clip
from synthjax.motion.importers import READERS, ReadOptions
from synthjax.motion.importing import Loop, read_onto
from synthjax.motion.retarget import retarget
from synthjax.training.bench import machine

RESULT = Path(__file__).parent / "results" / "imports.json"
SAME = ("cmu/01_01.amc", "cmu/01_01.bvh", "cmu/01_01_cmu.fbx")  # one motion, where the folder has it
_KEPT = (
    "key bodies",
    "skate",
    "penetration",
    "off the floor",
    "at a joint limit",
    "acceleration",
    "root's acceleration",
    "root's turning",
    "loop seam",
    "loop closing",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--body", default="synth")
    parser.add_argument("--loop", choices=("file", "auto"), default="file")
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    body = make_body(args.body)
    rows, clips = [], {}
    for path in sorted(args.folder.rglob("*")):
        if path.suffix.lower() in READERS:
            name = path.relative_to(args.folder).as_posix()
            found, clip = imported(path, body, args.loop)
            rows.append({key: _short(value, args.folder) for key, value in ({"file": name} | found).items()})
            print(json.dumps(rows[-1]), flush=True)
            if clip is not None and name in SAME:
                clips[name] = clip
    result = {
        "machine": machine(shlex.join(["python", *sys.argv]).replace(str(args.folder), "FOLDER")),
        "versions": {name: importlib.metadata.version(name) for name in ("mink", "ufbx")},
        "body": body.name,
        "body_hash": body.hash,
        "loop": args.loop,
        "files": rows,
        "same_motion": [
            differences(a, b, clips, body)
            for a, b in itertools.combinations(clips, 2)
            if clips[a].num_frames == clips[b].num_frames  # other loops may have been found in them
        ],
    }
    args.out.parent.mkdir(exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")


def imported(path: Path, body: Body, loop: Loop) -> tuple[dict[str, object], Clip | None]:
    """What comes of one file, and the clip if any does."""
    try:
        read = read_onto(path, body, options=ReadOptions(), loop=loop)
        if isinstance(read, Clip):
            return {"verdict": "own skeleton"}, read
        start = time.process_time()
        clip = retarget(read.motion, body)
        rate = clip.num_frames / (time.process_time() - start)
    except UserError as refusal:
        return {"verdict": "refused", "why": str(refusal)}, None
    verdicts = check_clip(clip, body, read.motion)
    bad, poor = ([v.what for v in verdicts if v.grade == grade] for grade in (BAD, POOR))
    row: dict[str, object] = {
        "verdict": "does not pass" if bad else "passes",
        "bad": bad,
        "poor": poor,
        "frames": clip.num_frames,
        "loop": clip.loop,
        "floor": read.facts.get("floor", "as the format has it"),
        **{v.what: float(f"{round(v.figure, 5):.3g}") for v in verdicts if v.what in _KEPT},
        "frames a second": round(rate),
    }
    return row, clip


def differences(a: str, b: str, clips: dict[str, Clip], body: Body) -> dict[str, object]:
    """Between the joint angles of the clips that came of two files, in degrees."""
    apart = np.degrees(np.abs(clips[a].qpos[:, 7:] - clips[b].qpos[:, 7:]))
    median = np.median(apart, axis=0)
    return {
        "files": [a, b],
        "largest median of a hinge, degrees": float(f"{median.max():.3g}"),
        "that hinge": body.joints[int(median.argmax())],
        "mean of the medians, degrees": float(f"{median.mean():.3g}"),
    }


def _short(value: object, folder: Path) -> object:
    """Messages name the file by its path, which is another one elsewhere."""
    return value.replace(f"{folder}/", "") if isinstance(value, str) else value


if __name__ == "__main__":
    main()
