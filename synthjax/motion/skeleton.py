"""What every importer produces: a motion on the source's own skeleton, in the project's axes."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class SkeletonMotion:
    """Joint centres and bone orientations of a human figure over time, metres, z up, w x y z.

    ``bones`` are Unity HumanBodyBones names (the importer maps the source's names to them); a bone's
    position is that of the joint at its parent's end.  Bones that a source lacks are left out.
    Orientations are relative to the rest pose in which the figure stands upright and faces +x.
    """

    name: str
    fps: float
    bones: tuple[str, ...]  # parents before children, bones[0] is "Hips"
    parents: tuple[int, ...]  # index into bones, -1 for the root
    rest: np.ndarray  # (B, 3) joint centres in the rest pose
    positions: np.ndarray  # (T, B, 3) joint centres in the world
    rotations: np.ndarray  # (T, B, 4) world orientation of each bone
    loop: bool  # the last frame closes the cycle: it equals the first one, moved
    source: str
    licence: str
    stance_speed: float = 0.3  # m/s, a foot or hand on the floor that is slower stands still; it may slip

    @property
    def duration(self) -> float:
        """Seconds between the first frame and the last."""
        return (len(self.positions) - 1) / self.fps

    def index(self, bone: str) -> int:
        return self.bones.index(bone)
