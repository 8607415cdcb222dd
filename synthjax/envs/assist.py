"""Help for a body that has lain for long: it is put into an upright pose where it lies and held there.

The "assisted pose" of the original: every third one is standing, the others are frames of its clips, all with
a little noise and without speed; each further one of a life comes later.  The original counts seconds of the
wall clock and control steps of whatever length; here both are simulated time.

While a body is held nothing that happens is its action's doing, so that these steps are not valid: the
original's first version learned from them that to do nothing makes one stand.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from synthjax.bodies import Body
from synthjax.envs.reset_table import StartNoise, pack, perturb
from synthjax.envs.timing import steps_in
from synthjax.motion.clip import Clip
from synthjax.motion.packing import unpack_row
from synthjax.types import EnvState, Kinematics, PhysicsState, PyTree

_STANDING_EVERY = 3  # of so many poses the first is standing
_STANDING_POSES = 16  # with noise of their own


@dataclasses.dataclass(frozen=True)
class AssistConfig:
    """When a body is helped up, and for how long it is held."""

    seconds: float = 30.0  # for which a body lies fallen before it is helped; 0 never helps
    more_seconds: float = 5.0  # by which the next help of the same life takes longer to come
    most_seconds: float = 300.0  # longest that it takes
    hold_seconds: float = 6.0  # for which the body is held: 150 control steps of the original's 25 a second
    noise: float = 0.02  # rad, half width, on the hinges of a pose


@struct.dataclass
class AssistState:
    """What one world remembers of being helped."""

    fallen: jax.Array  # () int32, control steps on end for which the body has been fallen
    held: jax.Array  # () int32, control steps for which it will still be held
    count: jax.Array  # () int32, how often it has been helped in this life
    offered: jax.Array  # () bool, it is helped at all: evaluations are not


def no_assist(offered: bool = False) -> AssistState:
    """A life at its beginning; nobody helps unless it is ``offered``."""
    zero = jnp.zeros((), jnp.int32)
    return AssistState(fallen=zero, held=zero, count=zero, offered=jnp.asarray(offered))


def can_come(config: AssistConfig, life_seconds: float) -> bool:
    """Whether a life that is cut after ``life_seconds`` can last until it is helped."""
    return 0.0 < config.seconds < life_seconds


def is_due(config: AssistConfig, state: AssistState, control_dt: float | jax.Array) -> jax.Array:
    """Whether the coming control step puts the body into a pose.  -> () bool."""
    seconds = jnp.minimum(config.seconds + config.more_seconds * state.count, config.most_seconds)
    wait = jnp.round(seconds / control_dt).astype(jnp.int32)
    return state.offered & (state.held == 0) & (state.fallen >= wait)


def advance_assist(
    config: AssistConfig,
    state: AssistState,
    due: jax.Array,
    fallen: jax.Array,
    control_dt: float | jax.Array,
) -> AssistState:
    """The state after a control step.

    Args:
      config: settings.
      state: before the step.
      due: () bool, see :func:`is_due`.
      fallen: () bool, the body is fallen after the step.
      control_dt: s.
    """
    hold = steps_in(config.hold_seconds, control_dt)
    left = jnp.where(due, hold, state.held)
    lies_on = fallen & (left == 0)
    return AssistState(
        fallen=jnp.where(lies_on, state.fallen + 1, 0),
        held=jnp.maximum(left - 1, 0),
        count=state.count + due,
        offered=state.offered,
    )


def held_step(stepped: EnvState, physics: PhysicsState, task: PyTree, **seen: jax.Array) -> EnvState:
    """A control step of a body that is held, instead of ``stepped``: nothing ends and nothing is earned.

    ``seen`` are the observations of the pose.  Metrics of what the body does have no value, which is NaN;
    that it is on its feet does not count.
    """
    nothing, nan = jnp.zeros(()), jnp.full((), jnp.nan)
    metrics = dict.fromkeys(("on_feet", "failed", "completed", "bad_world"), nothing)
    metrics |= {name: nan for name in stepped.metrics if name == "height" or name.startswith("reward")}
    return dataclasses.replace(
        stepped,
        physics=physics,
        **seen,
        reward=nothing,
        terminated=jnp.zeros((), bool),
        truncated=jnp.zeros((), bool),
        valid=jnp.zeros((), bool),
        task=task,
        metrics=stepped.metrics | metrics,
    )


@struct.dataclass
class AssistPoses:
    """Poses to be held in, at rest over the origin."""

    standing: jax.Array  # (S, F) packed kinematics
    frames: jax.Array  # (R, F) packed kinematics
    nq: int = struct.field(pytree_node=False)
    nv: int = struct.field(pytree_node=False)

    def draw(self, count: jax.Array, place: jax.Array, key: jax.Array) -> Kinematics:
        """The pose of help number ``count`` () from 0 on, with its root over ``place`` (2,) m."""
        standing_key, frame_key = jax.random.split(key)
        standing = self.standing[jax.random.randint(standing_key, (), 0, len(self.standing))]
        frame = self.frames[jax.random.randint(frame_key, (), 0, len(self.frames))]
        row = jnp.where(count % _STANDING_EVERY == 0, standing, frame)
        pose = unpack_row(row, self.nq, self.nv)
        return dataclasses.replace(
            pose, qpos=pose.qpos.at[:2].add(place), xpos=pose.xpos.at[1:, :2].add(place)
        )


def assist_poses(body: Body, clips: list[Clip], noise: float, lowest: float, seed: int) -> AssistPoses:
    """Standing, and every frame of ``clips`` whose root is at ``lowest`` standing heights or above.

    Lower ones would leave a body fallen.  Their kinematics are derived here, so that to put a body into a
    pose is a gather, as a reset is.

    Args:
      body: the body that is helped.
      clips: its get-up clips.
      noise: rad, half width, on the hinges.
      lowest: standing heights.
      seed: of the noise.
    """
    rng = np.random.default_rng(seed)
    frames = np.concatenate([clip.qpos for clip in clips])
    frames = frames[frames[:, 2] >= lowest * body.standing_height]
    frames[:, :2] = 0.0

    def packed(qpos: np.ndarray) -> jax.Array:
        at_rest = np.zeros((len(qpos), body.model.nv))
        noisy, _ = perturb(qpos, at_rest, StartNoise(joint_angle=noise), rng)
        return jnp.asarray(pack(body.model, noisy, at_rest), jnp.float32)

    return AssistPoses(
        standing=packed(np.tile(body.standing_qpos, (_STANDING_POSES, 1))),
        frames=packed(frames),
        nq=body.model.nq,
        nv=body.model.nv,
    )
