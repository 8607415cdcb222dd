"""Imports every motion file of a folder and checks what comes of it.

    python benchmarks/imports.py FOLDER

Each file becomes a clip on the body as ``synthjax motion import`` makes it, and has the verdicts of
``synthjax motion check``, or the sentence that refuses it.  Frames a second count the processor's time of
the retargeting alone.  Writes ``benchmarks/results/imports.json``; the files themselves are not part of
the project.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import time
from pathlib import Path

from synthjax.bodies import Body, make_body
from synthjax.errors import UserError
from synthjax.motion.checks import BAD, POOR, check_clip
from synthjax.motion.clip import Clip
from synthjax.motion.importers import READERS, ReadOptions
from synthjax.motion.importing import Loop, read_onto
from synthjax.motion.retarget import retarget

RESULT = Path(__file__).parent / "results" / "imports.json"
_KEPT = ("key bodies", "skate", "penetration", "off the floor", "at a joint limit", "loop seam")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--body", default="synth")
    parser.add_argument("--loop", choices=("file", "auto"), default="file")
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    body = make_body(args.body)
    rows = []
    for path in sorted(args.folder.rglob("*")):
        if path.suffix.lower() in READERS:
            row = {"file": str(path.relative_to(args.folder))} | imported(path, body, args.loop)
            rows.append({key: _short(value, args.folder) for key, value in row.items()})
            print(json.dumps(rows[-1]), flush=True)
    result = {
        "body": body.name,
        "body_hash": body.hash,
        "loop": args.loop,
        "machine": platform.machine(),
        "versions": {name: importlib.metadata.version(name) for name in ("mujoco", "mink", "ufbx")},
        "files": rows,
    }
    args.out.parent.mkdir(exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")


def imported(path: Path, body: Body, loop: Loop) -> dict[str, object]:
    """What comes of one file."""
    try:
        read = read_onto(path, body, options=ReadOptions(), loop=loop)
        if isinstance(read, Clip):
            return {"verdict": "own skeleton"}
        start = time.process_time()
        clip = retarget(read.motion, body)
        rate = clip.num_frames / (time.process_time() - start)
    except UserError as refusal:
        return {"verdict": "refused", "why": str(refusal)}
    verdicts = check_clip(clip, body, read.motion)
    bad, poor = ([v.what for v in verdicts if v.grade == grade] for grade in (BAD, POOR))
    return {
        "verdict": "does not pass" if bad else "passes",
        "bad": bad,
        "poor": poor,
        "frames": clip.num_frames,
        "loop": clip.loop,
        "floor": read.facts.get("floor", "as the format has it"),
        **{v.what: float(f"{v.figure:.3g}") for v in verdicts if v.what in _KEPT},
        "frames a second": round(rate),
    }


def _short(value: object, folder: Path) -> object:
    """Messages name the file by its path, which is another one elsewhere."""
    return value.replace(f"{folder}/", "") if isinstance(value, str) else value


if __name__ == "__main__":
    main()
