"""The start states of get-up evaluations: settled falls on all sides alike, fixed once for the Synth.

``python -m synthjax.envs.getup_starts`` makes the shipped file anew.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from synthjax.bodies import Body, make_body
from synthjax.envs.falls import settled_falls

SIDES = ("front", "back", "left", "right")
SHIPPED = Path(__file__).parent / "getup_starts.npz"
BLOCK = 256
SEED = 20  # of the first block; the next ones count on
_MOST_DROPS = 20


def getup_starts(body: Body, count: int) -> np.ndarray:
    """``qpos`` (N, nq) of ``count`` settled falls at rest, the sides in turn.

    They come in blocks of 256, of which any number takes the first: those of the Synth's first block are
    in the shipped file and so the same on every machine.
    """
    shipped = _shipped(body)
    blocks = [] if shipped is None else [shipped]
    while len(blocks) * BLOCK < count:
        blocks.append(balanced_falls(body, SEED + len(blocks)))
    return np.concatenate(blocks)[:count]


def balanced_falls(body: Body, seed: int) -> np.ndarray:
    """A block of :func:`settled_falls` (256, nq): row i lies on side ``SIDES[i % 4]``.

    Where a body hardly comes to rest on a side, other falls take the places that are left.
    """
    per_side = BLOCK // len(SIDES)
    kept: list[np.ndarray] = []
    for attempt in range(_MOST_DROPS):
        kept.append(settled_falls(body, BLOCK + per_side, 1000 * seed + attempt)[0])
        qpos = np.concatenate(kept)
        sides = side_of(qpos)
        if min(np.bincount(sides, minlength=len(SIDES))) >= per_side:
            break
    chosen = [np.flatnonzero(sides == side)[:per_side] for side in range(len(SIDES))]
    spare = iter(np.setdiff1d(np.arange(len(qpos)), np.concatenate(chosen)).tolist())
    filled = [[*rows, *(next(spare) for _ in range(per_side - len(rows)))] for rows in chosen]
    return qpos[np.stack(filled, axis=1).ravel()]


def _shipped(body: Body) -> np.ndarray | None:
    """The shipped block, if it is of a body of this shape."""
    with np.load(SHIPPED) as file:
        joints, masses, qpos = tuple(file["joints"].tolist()), file["masses"], file["qpos"]
    same = body.joints == joints and np.allclose(body.model.body_mass, masses, rtol=1e-4)
    return qpos.astype(np.float64) if same else None


def side_of(qpos: np.ndarray) -> np.ndarray:
    """Which of ``SIDES`` the pelvis of lying bodies (N, nq) is on.  -> (N,) int."""
    frames = Rotation.from_quat(qpos[:, [4, 5, 6, 3]]).as_matrix()
    forward, left = frames[:, 2, 0], frames[:, 2, 1]  # how far the body's x and y axes point up
    return np.argmax(np.stack([-forward, forward, -left, left]), axis=0)


def content_hash(qpos: np.ndarray) -> str:
    """Twelve hexadecimal digits that change with any number of ``qpos`` (N, nq) as it is stored."""
    return hashlib.sha256(np.ascontiguousarray(qpos, np.float32).tobytes()).hexdigest()[:12]


def main() -> None:
    body = make_body("synth")
    qpos = balanced_falls(body, SEED).astype(np.float32)
    np.savez_compressed(SHIPPED, joints=np.array(body.joints), masses=body.model.body_mass, qpos=qpos)
    print(f"{SHIPPED}: {len(qpos)} states, {content_hash(qpos)}")


if __name__ == "__main__":
    main()
