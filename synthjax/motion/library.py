"""Clips by name, and the same clips as arrays on the device, sampled inside ``jit``."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from synthjax.bodies import Body
from synthjax.errors import UserError, unknown
from synthjax.motion.clip import Clip
from synthjax.motion.clip_file import load_clip
from synthjax.motion.packing import pack_rows, unpack_row
from synthjax.motion.quaternions import quat_slerp
from synthjax.types import Kinematics


def shipped_folder() -> Path:
    """Where the clips inside the package lie."""
    return Path(str(resources.files("synthjax.motion"))) / "clips"


def shipped_names() -> tuple[str, ...]:
    """Names of the clips inside the package, sorted."""
    return tuple(sorted(path.stem for path in shipped_folder().glob("*.npz")))


def resolve_motions(spec: str, body: Body) -> list[Clip]:
    """The clips that ``spec`` names: ``walk``, ``walk,run``, ``all``, a clip file or a folder of clips.

    Raises:
      UserError: an unknown name, an empty folder, two clips of one name, or a clip that is unusable or
        for another body.
    """
    paths: list[Path] = []
    for entry in filter(None, (part.strip() for part in spec.split(","))):
        if entry == "all":
            paths += [shipped_folder() / f"{name}.npz" for name in shipped_names()]
        elif entry in shipped_names():
            paths.append(shipped_folder() / f"{entry}.npz")
        elif Path(entry).is_dir():
            found = sorted(Path(entry).glob("*.npz"))
            if not found:
                raise UserError(f"The folder '{entry}' holds no clips (*.npz): choose one that does.")
            paths += found
        elif entry.endswith(".npz"):
            paths.append(Path(entry))
        elif Path(entry).is_file():
            raise UserError(f"'{entry}' is no clip (*.npz): make one of it by synthjax motion import first.")
        elif "/" in entry or "\\" in entry:
            raise UserError(f"There is no folder '{entry}': give one that holds clips (*.npz).")
        else:
            raise unknown("motion", entry, (*shipped_names(), "all"))
    if not paths:
        raise UserError(f"No motion given: choose one of {', '.join(shipped_names())} or 'all'.")
    clips = [load_clip(path, body) for path in paths]
    names = [clip.name for clip in clips]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(
            f"Two clips are called '{twice}', so their figures could not be told apart: name one."
        )
    return clips


@struct.dataclass
class MotionLibrary:
    """Clips of one body, flat on the device: frame ``f`` of clip ``c`` is row ``start[c] + f``.

    A row packs the fields of :class:`Kinematics`, so that a sample gathers two rows.  A looping clip
    has one more row than frames: its closing frame, which is frame 0 moved by ``loop_offset``.
    """

    frames: jax.Array  # (rows, nq + nv + 13 nbody)
    contacts: jax.Array  # (rows, nbody) bool
    start: jax.Array  # (C,) int32, first row of each clip
    length: jax.Array  # (C,) int32, rows of each clip
    fps: jax.Array  # (C,)
    duration: jax.Array  # (C,) s
    loop: jax.Array  # (C,) bool
    loop_offset: jax.Array  # (C, 3) m, root displacement per cycle
    nq: int = struct.field(pytree_node=False)
    nv: int = struct.field(pytree_node=False)
    names: tuple[str, ...] = struct.field(pytree_node=False)

    @classmethod
    def from_clips(cls, clips: Sequence[Clip]) -> MotionLibrary:
        """Stack ``clips``, which must be of the same body.

        Raises:
          UserError: no clips, or clips of different bodies.
        """
        if not clips:
            raise UserError("A motion library needs at least one clip.")
        for clip in clips[1:]:
            if (clip.joint_names, clip.body_names) != (clips[0].joint_names, clips[0].body_names):
                raise UserError(f"Clips '{clips[0].name}' and '{clip.name}' are for different bodies.")
        lengths = np.array([clip.num_frames + clip.loop for clip in clips])
        return cls(
            frames=jnp.asarray(np.concatenate([_pack(clip) for clip in clips]), jnp.float32),
            contacts=jnp.asarray(
                np.concatenate([c.contacts[np.arange(c.num_frames + c.loop) % c.num_frames] for c in clips])
            ),
            start=jnp.asarray(np.concatenate([[0], np.cumsum(lengths)[:-1]]), jnp.int32),
            length=jnp.asarray(lengths, jnp.int32),
            fps=jnp.asarray([clip.fps for clip in clips], jnp.float32),
            duration=jnp.asarray([clip.duration for clip in clips], jnp.float32),
            loop=jnp.asarray([clip.loop for clip in clips]),
            loop_offset=jnp.asarray(np.stack([clip.loop_offset for clip in clips]), jnp.float32),
            nq=clips[0].qpos.shape[1],
            nv=clips[0].qvel.shape[1],
            names=tuple(clip.name for clip in clips),
        )

    def sample(self, clip: jax.Array, time: jax.Array) -> Kinematics:
        """The reference at ``time`` seconds since the start of ``clip``; both ().

        Positions, angles and velocities are interpolated linearly, orientations by slerp.  A looping
        clip goes on for ever, moved by its ``loop_offset`` every cycle; any other clip stays at its
        end pose, at rest from the end on.
        """
        row, fraction, cycles, past_end = self._locate(clip, time)
        a, b = (unpack_row(self.frames[r], self.nq, self.nv) for r in (row, row + 1))
        mixed = jax.tree.map(lambda x, y: x + fraction * (y - x), a, b)
        shift = cycles * self.loop_offset[clip]
        root = quat_slerp(a.qpos[3:7], b.qpos[3:7], fraction)
        moving = jnp.where(past_end, 0.0, 1.0)
        return Kinematics(
            qpos=jnp.concatenate([mixed.qpos[:3] + shift, root, mixed.qpos[7:]]),
            qvel=moving * mixed.qvel,
            xpos=jnp.concatenate([mixed.xpos[:1], mixed.xpos[1:] + shift]),  # row 0 is the world
            xquat=quat_slerp(a.xquat, b.xquat, fraction),
            linvel=moving * mixed.linvel,
            angvel=moving * mixed.angvel,
        )

    def sample_contacts(self, clip: jax.Array, time: jax.Array) -> jax.Array:
        """Which bodies touch the ground in the frame nearest to ``time``, (nbody,) bool."""
        row, fraction, _, _ = self._locate(clip, time)
        return self.contacts[row + (fraction > 0.5).astype(jnp.int32)]

    def time_in_clip(self, clip: jax.Array, time: jax.Array) -> jax.Array:
        """``time`` within the cycle of a loop, and the end of any other clip from there on.  (...) s."""
        duration = self.duration[clip]
        return jnp.where(self.loop[clip], jnp.mod(time, duration), jnp.minimum(time, duration))

    def _locate(self, clip: jax.Array, time: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        """Row before ``time``, fraction of the way to the next, cycles done, and "beyond the end"."""
        duration, loop = self.duration[clip], self.loop[clip]
        cycles = jnp.where(loop, jnp.floor(time / duration), 0.0)
        last = self.length[clip] - 1
        frame = jnp.clip((time - cycles * duration) * self.fps[clip], 0.0, last.astype(jnp.float32))
        before = jnp.minimum(frame.astype(jnp.int32), last - 1)
        return self.start[clip] + before, frame - before, cycles, ~loop & (time > duration)


def _pack(clip: Clip) -> np.ndarray:
    """(rows, nq + nv + 13 nbody), with the closing frame of a looping clip."""
    rows = pack_rows(clip.qpos, clip.qvel, clip.xpos, clip.xquat, clip.linvel, clip.angvel)
    if not clip.loop:
        return rows
    closing = rows[:1].copy()
    closing[0, :3] += clip.loop_offset
    first_body = clip.qpos.shape[1] + clip.qvel.shape[1]
    xpos = clip.xpos[0] + clip.loop_offset
    xpos[0] = 0.0  # the world stays
    closing[0, first_body : first_body + xpos.size] = xpos.ravel()
    return np.concatenate([rows, closing])
