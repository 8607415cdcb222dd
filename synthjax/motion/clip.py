"""The project's clip: one motion on one body, with its forward kinematics."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

CLIP_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Clip:
    """A motion sampled at ``fps`` on a body whose joints and bodies are named.

    A looping clip holds one cycle without its closing frame: frame ``T`` would equal frame 0 moved
    by ``loop_offset``, so its duration is ``T / fps``.  Otherwise the duration is ``(T - 1) / fps``.
    """

    name: str
    fps: float
    joint_names: tuple[str, ...]  # hinges in qpos order
    body_names: tuple[str, ...]  # bodies in id order, row 0 is the world
    qpos: np.ndarray  # (T, nq) float64
    qvel: np.ndarray  # (T, nv)
    xpos: np.ndarray  # (T, nbody, 3)
    xquat: np.ndarray  # (T, nbody, 4)
    linvel: np.ndarray  # (T, nbody, 3) world axes, of the body frame origin
    angvel: np.ndarray  # (T, nbody, 3) world axes
    contacts: np.ndarray  # (T, nbody) bool: this body touches the ground in the reference
    loop: bool
    loop_offset: np.ndarray  # (3,) root displacement per cycle (z is 0)
    source: str  # where the motion came from
    licence: str
    version: int = CLIP_VERSION

    @property
    def num_frames(self) -> int:
        return len(self.qpos)

    @property
    def hash(self) -> str:
        """Eight hexadecimal digits that change with the trajectory, its speed and its loop."""
        parts = (self.qpos, np.array([self.fps, self.loop]), self.loop_offset, self.contacts)
        content = b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
        return hashlib.sha256(content).hexdigest()[:8]

    @property
    def duration(self) -> float:
        """Seconds."""
        return (self.num_frames if self.loop else self.num_frames - 1) / self.fps
