"""The imitation environment on a few short clips, with physics that stand still or really move."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation

from synthjax.bodies import Body, make_body
from synthjax.envs.imitation import ImitationEnv
from synthjax.envs.imitation_task import ImitationConfig
from synthjax.envs.reset_table import StartNoise
from synthjax.motion.clip import Clip
from synthjax.motion.library import resolve_motions
from synthjax.physics.native import NativePhysics
from synthjax.types import EnvState, Kinematics, PhysicsState

SIM_DT, SUBSTEPS = 1 / 120, 6
STEP = 3  # frames of a clip (60 a second) in one control step of 1/20 s
WORLDS = 4  # of every batch, so that each function compiles once
TURN, SHIFT = 2.0, np.array([3.0, -1.5, 0.0])  # where the clip "turned" lies
LOOP, ONCE, LYING, TURNED = range(4)  # the clips of every environment

CONFIG = ImitationConfig(
    reward="deepmimic", start_noise=StartNoise(0.0, 0.0, 0.0), starts_per_bin=2, action_scale=1.0,
    termination_distance=0.3, max_episode_seconds=10.0, lookahead=(1,),
)  # fmt: skip


class StillPhysics(NativePhysics):
    """Worlds in which a step changes nothing, so that a test decides where the body is at t+1."""

    def step(self, variant: Any, state: PhysicsState, ctrl: jax.Array) -> PhysicsState:
        return state


@functools.cache
def body(actuation: str = "pd", drive: str = "servo") -> Body:
    return make_body("synth", actuation, drive)


@functools.cache
def clips() -> tuple[Clip, ...]:
    """A looping walk; the same with an end; with its head on the ground; and elsewhere in the world."""
    (walk,) = resolve_motions("walk", body())
    once = dataclasses.replace(walk, name="once", loop=False, loop_offset=np.zeros(3))
    contacts = walk.contacts.copy()
    contacts[:, walk.body_names.index("Head")] = True
    lying = dataclasses.replace(walk, name="lying", contacts=contacts)
    return walk, once, lying, turned(walk)


def turned(clip: Clip) -> Clip:
    """The whole motion turned about the world's z axis by TURN and moved by SHIFT."""
    turn = Rotation.from_euler("z", TURN)
    moved = rigidly_moved(Kinematics(clip.qpos, clip.qvel, clip.xpos, clip.xquat, clip.linvel, clip.angvel))
    return dataclasses.replace(
        clip, name="turned", qpos=moved.qpos, qvel=moved.qvel, xpos=moved.xpos, xquat=moved.xquat,
        linvel=moved.linvel, angvel=moved.angvel, loop_offset=turn.apply(clip.loop_offset),
    )  # fmt: skip


def rigidly_moved(k: Kinematics, yaw: float = TURN, shift: np.ndarray = SHIFT) -> Kinematics:
    """Any batch of poses turned about the world's z axis by ``yaw`` and moved by ``shift``."""
    turn = Rotation.from_euler("z", yaw)

    def vectors(v: np.ndarray) -> np.ndarray:
        return turn.apply(np.reshape(v, (-1, 3))).reshape(np.shape(v))

    def attitudes(q: np.ndarray) -> np.ndarray:
        old = Rotation.from_quat(np.roll(np.reshape(q, (-1, 4)), -1, axis=-1))
        return np.roll((turn * old).as_quat(), 1, axis=-1).reshape(np.shape(q))

    qpos, qvel, xpos, xquat = (np.array(x, np.float64) for x in (k.qpos, k.qvel, k.xpos, k.xquat))
    qpos[..., :3] = vectors(qpos[..., :3]) + shift
    qpos[..., 3:7] = attitudes(qpos[..., 3:7])
    qvel[..., :3] = vectors(qvel[..., :3])  # the angular part is in the body's own axes
    xpos[..., 1:, :] = vectors(xpos[..., 1:, :]) + shift
    xquat[..., 1:, :] = attitudes(xquat[..., 1:, :])
    return Kinematics(qpos, qvel, xpos, xquat, vectors(k.linvel), vectors(k.angvel))


def frame(index: int, clip: int = LOOP) -> Kinematics:
    """One stored frame, straight from the file: independent of the library's interpolation."""
    c = clips()[clip]
    return Kinematics(*(x[index] for x in (c.qpos, c.qvel, c.xpos, c.xquat, c.linvel, c.angvel)))


def shifted(k: Kinematics, by: np.ndarray) -> Kinematics:
    """The whole body moved by ``by`` (3,)."""
    return rigidly_moved(k, 0.0, by)


def with_body_at(k: Kinematics, name: str, offset: list[float]) -> Kinematics:
    """One body alone moved by ``offset``, as if its parent were longer."""
    xpos = np.array(k.xpos)
    xpos[body().model.body(name).id] += offset
    return k.replace(xpos=xpos)


@functools.cache
def env(still: bool = True, actuation: str = "pd", drive: str = "servo", **changes: object) -> ImitationEnv:
    kind = StillPhysics if still else NativePhysics
    driven = body(actuation, drive)
    physics = kind(driven, SIM_DT, SUBSTEPS)
    return ImitationEnv(driven, physics, list(clips()), dataclasses.replace(CONFIG, **changes))


@functools.cache
def _step(environment: ImitationEnv) -> Any:
    return jax.jit(jax.vmap(functools.partial(environment.step, environment.init_context())))


def step(environment: ImitationEnv, state: EnvState, action: np.ndarray | None = None) -> EnvState:
    """One control step of WORLDS worlds; the zero action by default."""
    zero = np.zeros((WORLDS, environment.action_dim), np.float32)
    return _step(environment)(state, zero if action is None else action)


@functools.cache
def _reset_at(environment: ImitationEnv) -> Any:
    return jax.jit(jax.vmap(functools.partial(environment.start_from, environment.resets)))


def reset_at(environment: ImitationEnv, indices: list[int], seed: int = 0) -> EnvState:
    """WORLDS worlds at these rows of the reset table."""
    return _reset_at(environment)(
        jnp.asarray(indices, jnp.int32), jax.random.split(jax.random.key(seed), WORLDS)
    )


def placed(
    environment: ImitationEnv, bodies: list[Kinematics], clip: list[int], frames: list[float]
) -> EnvState:
    """WORLDS worlds with these bodies, at these frames of these clips; obs is of the time before."""
    state = reset_at(environment, [0] * WORLDS)
    kinematics = jax.tree.map(lambda *leaves: np.stack(leaves).astype(np.float32), *bodies)
    return state.replace(
        physics=state.physics.replace(kinematics=kinematics),
        task=state.task.replace(
            clip=np.array(clip, np.int32), time=(np.array(frames) / clips()[LOOP].fps).astype(np.float32)
        ),
    )
