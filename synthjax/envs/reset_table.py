"""Start states of imitation episodes: reference frames, with noise, their kinematics already derived.

Auto-reset must not call the engine, but start noise changes every body's position.  So the noisy
starts are made once on the host, a few for each clip and time bin, and a reset is a gather.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from flax import struct

from synthjax.bodies import Body
from synthjax.motion.clip import Clip
from synthjax.motion.kinematics import forward_kinematics
from synthjax.motion.packing import pack_rows, unpack_row
from synthjax.types import Kinematics


@dataclasses.dataclass(frozen=True)
class StartNoise:
    """Half widths of the uniform noise on a start state."""

    joint_angle: float = 0.05  # rad
    joint_rate: float = 0.5  # rad/s
    root_velocity: float = 0.15  # m/s


@struct.dataclass
class ResetTable:
    """``num_bins`` x ``per_bin`` start states."""

    states: jax.Array  # (num_bins * per_bin, F) packed kinematics
    clip: jax.Array  # (num_bins * per_bin,) int32
    time: jax.Array  # (num_bins * per_bin,) s
    bin_start: jax.Array  # (num_clips,) int32, first bin of each clip
    bins_in_clip: jax.Array  # (num_clips,) int32
    bin_seconds: jax.Array  # (num_clips,) length of a bin in this clip
    per_bin: int = struct.field(pytree_node=False)
    nq: int = struct.field(pytree_node=False)
    nv: int = struct.field(pytree_node=False)

    @property
    def num_bins(self) -> int:
        return self.states.shape[0] // self.per_bin

    def bin_of(self, clip: jax.Array, time: jax.Array) -> jax.Array:
        """The bin that ``time`` (s within the clip) falls into.  (...), (...) -> (...) int32."""
        local = jnp.floor(time / self.bin_seconds[clip]).astype(jnp.int32)
        return self.bin_start[clip] + jnp.clip(local, 0, self.bins_in_clip[clip] - 1)

    def gather(self, index: jax.Array) -> Kinematics:
        """Start state ``index`` ()."""
        return unpack_row(self.states[index], self.nq, self.nv)


def build_reset_table(
    body: Body,
    clips: list[Clip],
    *,
    bin_seconds: float,
    per_bin: int,
    noise: StartNoise,
    seed: int,
) -> ResetTable:
    """Start states at stratified times of every clip, with uniform noise.

    Args:
      body: the body that the clips are on.
      clips: motions to start in.
      bin_seconds: wanted length of a bin; each clip is cut into equal bins of about this length.
      per_bin: start states in each bin, at evenly spaced times.
      noise: half widths of the noise.
      seed: of the noise.
    """
    rng = np.random.default_rng(seed)
    rows, clip_ids, times, bins, lengths = [], [], [], [], []
    for index, clip in enumerate(clips):
        count = max(1, round(clip.duration / bin_seconds))
        length = clip.duration / count
        fractions = (np.arange(count * per_bin) + 0.5) / (count * per_bin)
        time = fractions * clip.duration
        qpos, qvel = interpolate(body.model, clip, time)
        rows.append(pack(body.model, *perturb(qpos, qvel, noise, rng)))
        clip_ids.append(np.full(len(time), index))
        times.append(time)
        bins.append(count)
        lengths.append(length)
    return ResetTable(
        states=jnp.asarray(np.concatenate(rows), jnp.float32),
        clip=jnp.asarray(np.concatenate(clip_ids), jnp.int32),
        time=jnp.asarray(np.concatenate(times), jnp.float32),
        bin_start=jnp.asarray(np.cumsum([0, *bins[:-1]]), jnp.int32),
        bins_in_clip=jnp.asarray(bins, jnp.int32),
        bin_seconds=jnp.asarray(lengths, jnp.float32),
        per_bin=per_bin,
        nq=body.model.nq,
        nv=body.model.nv,
    )


def interpolate(model: mujoco.MjModel, clip: Clip, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``qpos`` (N, nq) and ``qvel`` (N, nv) of the clip's first cycle at ``times`` (N,) in seconds."""
    frame = np.minimum(times * clip.fps, clip.num_frames - (0 if clip.loop else 1) - 1e-9)
    first = frame.astype(int)
    fraction = frame - first
    closing = clip.qpos[:1].copy()
    closing[:, :3] += clip.loop_offset
    all_qpos = np.concatenate([clip.qpos, closing]) if clip.loop else clip.qpos
    all_qvel = np.concatenate([clip.qvel, clip.qvel[:1]]) if clip.loop else clip.qvel
    second = np.minimum(first + 1, len(all_qpos) - 1)
    qpos = all_qpos[first].copy()
    step = np.zeros(model.nv)
    for i, (a, b, f) in enumerate(zip(first, second, fraction, strict=True)):
        mujoco.mj_differentiatePos(model, step, 1.0, all_qpos[a], all_qpos[b])
        mujoco.mj_integratePos(model, qpos[i], step, f)
    qvel = all_qvel[first] + fraction[:, None] * (all_qvel[second] - all_qvel[first])
    return qpos, qvel


def perturb(
    qpos: np.ndarray, qvel: np.ndarray, noise: StartNoise, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Adds uniform noise to hinge angles, hinge rates and the root's linear velocity."""
    qpos, qvel = qpos.copy(), qvel.copy()
    qpos[:, 7:] += noise.joint_angle * rng.uniform(-1, 1, qpos[:, 7:].shape)
    qvel[:, 6:] += noise.joint_rate * rng.uniform(-1, 1, qvel[:, 6:].shape)
    qvel[:, :3] += noise.root_velocity * rng.uniform(-1, 1, qvel[:, :3].shape)
    return qpos, qvel


def pack(model: mujoco.MjModel, qpos: np.ndarray, qvel: np.ndarray) -> np.ndarray:
    """Rows of qpos, qvel and derived kinematics, (N, nq + nv + 13 nbody)."""
    derived = forward_kinematics(model, qpos, qvel)
    return pack_rows(qpos, qvel, derived.xpos, derived.xquat, derived.linvel, derived.angvel)
