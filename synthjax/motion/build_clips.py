"""Makes clips from the motions inside the PyPI package pybullet.

``python -m synthjax.motion.build_clips`` writes ``clips/``; it needs ``synthjax[motion]`` and gives the same
clips every time.  docs/clips.md says which version of it made the clips that ship.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

from synthjax.bodies import Body, make_body
from synthjax.errors import UserError, unknown
from synthjax.motion.clip import Clip
from synthjax.motion.clip_file import save_clip
from synthjax.motion.deepmimic import read_deepmimic
from synthjax.motion.retarget import retarget
from synthjax.motion.skeleton import SkeletonMotion

SOURCE = "DeepMimic (Peng et al. 2018), from the PyPI package pybullet"
LICENCE = "MIT (DeepMimic), zlib (pybullet)"
_PREFIX = "humanoid3d_"


def read_sources(names: Iterable[str] = ()) -> Iterator[SkeletonMotion]:
    """The pybullet motions called ``names``, or all of them, sorted.

    Raises:
      UserError: unknown name, or pybullet is not installed.
    """
    try:
        import pybullet_data  # part of the extra, and only needed here
    except ModuleNotFoundError:
        raise UserError("The source motions come with pybullet: pip install 'synthjax[motion]'.") from None

    folder = Path(pybullet_data.getDataPath()) / "data" / "motions"
    files = {path.stem.removeprefix(_PREFIX): path for path in sorted(folder.glob(f"{_PREFIX}*.txt"))}
    for name in names or files:
        if name not in files:
            raise unknown("motion", name, files)
        yield read_deepmimic(files[name], name=name, source=SOURCE, licence=LICENCE)


def build_clips(folder: Path, body: Body, names: Iterable[str] = ()) -> Iterator[Clip]:
    """Retarget, write and yield the clips one by one."""
    for motion in read_sources(names):
        clip = retarget(motion, body)
        save_clip(clip, folder / f"{clip.name}.npz")
        yield clip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="clips to make (default: all)")
    parser.add_argument("--folder", type=Path, default=Path("clips"), help="where to write them")
    args = parser.parse_args()
    for clip in build_clips(args.folder, make_body("synth"), args.names):
        print(f"{clip.name}: {clip.num_frames} frames, {clip.duration:.2f} s")


if __name__ == "__main__":
    main()
