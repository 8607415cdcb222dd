"""The guide of a body that gets up: which frame of which get-up clip it is at, and how it goes on.

A body is put at the nearest frame of the clips, or at standing; from there the guide runs on as fast as
the body follows, and ends in standing.  A body that is left behind, or knocked over, is put at its nearest
frame again.  So the task has no episodes: falling is only another place in the clips.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from synthjax.bodies import Body
from synthjax.errors import UserError
from synthjax.motion import quaternions as quat
from synthjax.motion.clip import Clip
from synthjax.motion.library import MotionLibrary
from synthjax.types import Kinematics

_STANDS = 0.8  # of the standing height and of the up axis at the end of a clip


@dataclasses.dataclass(frozen=True)
class GuideConfig:
    """How the guide waits for the body and when it starts over."""

    frames_per_second: float = 15.0  # of the frames that a body may be put at
    attitude_weight: float = 2.0  # of the distance between up axes (2 at most) against hinge angles in rad
    height_weight: float = 8.0  # of the root's height in standing heights against hinge angles in rad
    speed: float = 1.0  # seconds of a clip that the guide runs through in a second
    full_speed_below: float = 0.35  # pose distance up to which the guide runs as fast as that
    slowest: float = 0.2  # share of that speed at which it runs when the body is far off
    stand_seconds: float = 0.7  # of clip time, from the end of a clip to the standing pose
    lost_distance: float = 1.0  # pose distance from which a body is left behind
    lost_seconds: float = 0.7  # how long it may be so before the guide starts over


@struct.dataclass
class GuideState:
    """Where the guide of one world is."""

    clip: jax.Array  # () int32
    time: jax.Array  # () s since the clip's first frame; beyond its end comes standing
    lost: jax.Array  # () s for which the body has been left behind
    restarted: jax.Array  # () bool, it has just been put at the body's nearest frame for that


class Guide:
    """The get-up clips of one body as a guide; all methods are pure and of one world."""

    def __init__(self, body: Body, clips: list[Clip], config: GuideConfig, root: int):
        """``root`` is the id of the body's root.

        Raises:
          UserError: a clip does not end in standing.
        """
        for clip in clips:
            up = float(up_in_body(jnp.asarray(clip.qpos[-1, 3:7], jnp.float32))[2])
            if clip.loop or clip.qpos[-1, 2] < _STANDS * body.standing_height or up < _STANDS:
                raise UserError(
                    f"The motion '{clip.name}' does not end in standing: choose clips that get up, "
                    "such as getup_facedown,getup_faceup."
                )
        self.config, self.root = config, root
        self.library = MotionLibrary.from_clips(clips)
        self.standing_height = body.standing_height
        self._standing = jnp.asarray(body.standing_qpos[7:], jnp.float32)
        main = np.isin(body.joints, body.main_joints)
        self._weights = jnp.asarray(main / main.sum(), jnp.float32)  # (nu,) that sum to 1
        poses, ups, heights, clip_ids, times = [], [], [], [], []
        for index, clip in enumerate(clips):
            rows = np.arange(0, clip.num_frames, max(1, round(clip.fps / config.frames_per_second)))
            poses.append(clip.qpos[rows, 7:])
            ups.append(np.asarray(up_in_body(jnp.asarray(clip.qpos[rows, 3:7], jnp.float32))))
            heights.append(clip.qpos[rows, 2] / body.standing_height)
            clip_ids.append(np.full(len(rows), index))
            times.append(rows / clip.fps)
        # Standing, which comes after any clip; of the first one here.
        poses.append(body.standing_qpos[None, 7:])
        ups.append(np.asarray(up_in_body(jnp.asarray(body.standing_qpos[None, 3:7], jnp.float32))))
        heights.append(np.ones(1))
        clip_ids.append(np.zeros(1, int))
        times.append(np.array([clips[0].duration + config.stand_seconds]))
        self.poses = jnp.asarray(np.concatenate(poses), jnp.float32)  # (P, nu) rad
        self._squares = _product(jnp.square(self.poses), self._weights)  # (P,) rad²
        self._ups = jnp.asarray(np.concatenate(ups), jnp.float32)  # (P, 3)
        self._heights = jnp.asarray(np.concatenate(heights), jnp.float32)  # (P,) standing heights
        self._clips = jnp.asarray(np.concatenate(clip_ids), jnp.int32)  # (P,)
        self._times = jnp.asarray(np.concatenate(times), jnp.float32)  # (P,) s

    def nearest(self, body: Kinematics) -> GuideState:
        """The frame that ``body`` is nearest to, or standing; see :meth:`distance`."""
        # Multiplied out, so that the poses of all frames and all worlds are one product of matrices.
        hinges = body.qpos[7:]
        products = _product(self.poses, self._weights * hinges)
        own = _product(jnp.square(hinges), self._weights)
        angles = jnp.maximum(self._squares - 2.0 * products + own, 0.0)
        best = jnp.argmin(self._distance(body, angles, self._ups, self._heights))
        return GuideState(
            clip=self._clips[best],
            time=self._times[best],
            lost=jnp.zeros(()),
            restarted=jnp.zeros((), bool),
        )

    def sample(self, state: GuideState) -> Kinematics:
        """The pose to be in.  After the end of a clip its hinges go over to the standing pose."""
        frame = self.library.sample(state.clip, state.time)
        share = jnp.clip(
            (state.time - self.library.duration[state.clip]) / self.config.stand_seconds, 0.0, 1.0
        )
        angles = frame.qpos[7:] + share * (self._standing - frame.qpos[7:])
        return dataclasses.replace(frame, qpos=jnp.concatenate([frame.qpos[:7], angles]))

    def height(self, state: GuideState) -> jax.Array:
        """Height of the guide's root, m; standing height once its clip is over.  -> ()."""
        over = state.time > self.library.duration[state.clip]
        return jnp.where(over, self.standing_height, self.library.sample(state.clip, state.time).qpos[2])

    def progress(self, state: GuideState) -> jax.Array:
        """How far the guide is on its way: seconds to the end of the longest clip, as a share.  -> ()."""
        left = jnp.maximum(self.library.duration[state.clip] - state.time, 0.0)
        return 1.0 - left / jnp.max(self.library.duration)

    def distance(self, body: Kinematics, state: GuideState) -> jax.Array:
        """How far ``body`` is from the guide, ().

        The root of the mean squared error of the main hinges in rad², and of those of the up axis and of the
        root's height with their weights: a body that lies as a guide kneels is far from it.
        """
        pose = self.sample(state)
        height = self.height(state) / self.standing_height
        angles = jnp.square(pose.qpos[7:] - body.qpos[7:]) @ self._weights
        return self._distance(body, angles, up_in_body(pose.xquat[self.root]), height)

    def _distance(self, body: Kinematics, angles: jax.Array, up: jax.Array, height: jax.Array) -> jax.Array:
        """The distance of ``body`` from poses (...), whose mean squared errors of hinges are ``angles``."""
        ups = jnp.sum(jnp.square(up - up_in_body(body.xquat[self.root])), axis=-1)
        heights = jnp.square(height - body.xpos[self.root, 2] / self.standing_height)
        return jnp.sqrt(angles + self.config.attitude_weight * ups + self.config.height_weight * heights)

    def ahead(self, state: GuideState, seconds: float | jax.Array) -> GuideState:
        """The guide after ``seconds`` at its speed, if it does not wait for the body."""
        return dataclasses.replace(state, time=state.time + self.config.speed * seconds)

    def share_of_speed(self, distance: jax.Array) -> jax.Array:
        """Share of its speed at which the guide runs at a pose distance ().  -> ()."""
        return jnp.clip(2.0 - distance / self.config.full_speed_below, self.config.slowest, 1.0)

    def advance(
        self,
        state: GuideState,
        body: Kinematics,
        control_dt: float | jax.Array,
        share: float | jax.Array = 1.0,
    ) -> GuideState:
        """The guide after a control step that led to ``body``, at a ``share`` of its speed at most."""
        config = self.config
        # The body is at t+1, so it is compared with where the guide is then if it does not wait.
        seconds = share * control_dt
        follows = self.share_of_speed(self.distance(body, self.ahead(state, seconds)))
        moved = self.ahead(state, follows * seconds)
        behind = self.distance(body, moved) > config.lost_distance
        lost = jnp.where(behind, state.lost + control_dt, 0.0)
        again = lost > config.lost_seconds
        moved = dataclasses.replace(moved, lost=lost, restarted=jnp.zeros((), bool))
        anew = dataclasses.replace(self.nearest(body), restarted=jnp.ones((), bool))
        return jax.tree.map(lambda a, b: jnp.where(again, a, b), anew, moved)


def up_in_body(rotation: jax.Array) -> jax.Array:
    """The world's up axis in the axes of a body with ``rotation``.  (..., 4) -> (..., 3)."""
    up = jnp.broadcast_to(jnp.array([0.0, 0.0, 1.0]), (*rotation.shape[:-1], 3))
    return quat.quat_rotate_inverse(rotation, up)


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    """``a @ b``; a GPU's default precision is as coarse as the squared distances that are sums of these."""
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
