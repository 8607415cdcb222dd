"""The observation as a function of what a host reads from its simulator, by name.

Nothing is computed here that an environment computes: its own ``observe`` and ``control`` are called on a
physics state that is put together from the host's numbers.  What the task remembers from one control step to
the next is one vector, ``carried``, which the host gives back as it has got it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp

from synthjax.deploy.convert import Named
from synthjax.envs.continuous import ContinuousEnv
from synthjax.envs.guide import GuideState
from synthjax.envs.imitation import ImitationEnv
from synthjax.envs.imitation_task import ImitationTask
from synthjax.envs.observation import flatten
from synthjax.motion import quaternions as quat
from synthjax.physics.states import restored
from synthjax.types import EnvState, Kinematics, PhysicsState

Shapes = dict[str, tuple[int, ...]]


class Observer(Protocol):
    """The observation of one environment."""

    carried: ClassVar[tuple[str, ...]]  # entries of the vector

    @property
    def shapes(self) -> Shapes:
        """What the host gives."""
        ...

    def inputs(self, state: EnvState) -> Named:
        """What the host gives in ``state``, but for ``carried``."""
        ...

    def start(self, state: EnvState) -> jax.Array:
        """``carried`` of a host whose world begins in ``state``, (len(carried),)."""
        ...

    def __call__(self, given: Named) -> Named:
        """What the host gets.

        ``observation`` (1, obs_dim); ``base`` (nu,), the motor input of a zero action in the step that
        follows; ``carried_next``.
        """
        ...

    def control(self, state: EnvState, action: jax.Array) -> jax.Array:
        """Motor input (nu,) that the environment makes of an action (nu,) in ``state``."""
        ...

    def heading_length(self, state: EnvState) -> jax.Array:
        """Length () of what the heading is the direction of: near zero, rounding turns it anywhere."""
        ...


class ImitationObserver:
    """``carried`` is the place in the reference: index of the clip, and s since its first frame."""

    carried: ClassVar[tuple[str, ...]] = ("clip", "time")

    def __init__(self, env: ImitationEnv):
        self.env = env

    @property
    def shapes(self) -> Shapes:
        return kinematic_shapes(self.env) | {"previous_action": (self.env.action_dim,), "carried": (2,)}

    def inputs(self, state: EnvState) -> Named:
        return kinematic_inputs(state.physics) | {"previous_action": state.task.previous_action}

    def start(self, state: EnvState) -> jax.Array:
        return jnp.stack([state.task.clip.astype(jnp.float32), state.task.time])

    def __call__(self, given: Named) -> Named:
        env, (clip, time) = self.env, given["carried"]
        task = ImitationTask(
            clip=clip.astype(jnp.int32),
            time=time,
            age=jnp.zeros((), jnp.int32),
            previous_action=given["previous_action"],
            variant={},
        )
        physics = restored(kinematics(given, env.parts.root), env.action_dim)
        next_time = time + env.control_dt
        return {
            "observation": flatten(env.observe(physics, task))[None],
            "base": env.control(jnp.zeros(env.action_dim), env.library.sample(task.clip, next_time)),
            "carried_next": jnp.stack([clip, next_time]),
        }

    def control(self, state: EnvState, action: jax.Array) -> jax.Array:
        task = state.task
        return self.env.control(action, self.env.library.sample(task.clip, task.time + self.env.control_dt))

    def heading_length(self, state: EnvState) -> jax.Array:
        """That of the root's x axis on the floor; see ``quat_heading``."""
        forward = quat.quat_rotate(
            state.physics.kinematics.xquat[self.env.parts.root], jnp.array([1.0, 0.0, 0.0])
        )
        return jnp.linalg.norm(forward[:2])


class ContinuousObserver:
    """``carried`` is the guide, and whether it has begun: zeros put it at the frame nearest to the body."""

    carried: ClassVar[tuple[str, ...]] = ("clip", "time", "lost", "begun")

    def __init__(self, env: ContinuousEnv):
        self.env = env
        # Of no use to an observation, but a task has them.
        self.rest = jax.eval_shape(
            env.start_at, env.starts.gather(env.starts.rows[0]), jax.random.key(0)
        ).task

    @property
    def shapes(self) -> Shapes:
        env, bodies = self.env, self.env.body.model.nbody - 1
        return kinematic_shapes(env) | {
            "actuator_force": (env.action_dim,),
            "ground_contact": (bodies,),
            "ground_force": (bodies, 3),
            "previous_action": (env.action_dim,),
            "carried": (4,),
        }

    def inputs(self, state: EnvState) -> Named:
        physics = state.physics
        return kinematic_inputs(physics) | {
            "actuator_force": physics.actuator_force,
            "ground_contact": physics.ground_contact[1:],
            "ground_force": physics.ground_force[1:],
            "previous_action": state.task.previous_action,
        }

    def start(self, state: EnvState) -> jax.Array:
        return jnp.zeros(4)

    def __call__(self, given: Named) -> Named:
        env, (physics, guide) = self.env, self.read(given)
        task = dataclasses.replace(self.rest, guide=guide, previous_action=given["previous_action"])
        return {
            "observation": flatten(env.observe(physics, task))[None],
            "base": env.control(jnp.zeros(env.action_dim), guide, env.control_dt),
            "carried_next": jnp.stack([guide.clip.astype(jnp.float32), guide.time, guide.lost, jnp.ones(())]),
        }

    def read(self, given: Named) -> tuple[PhysicsState, GuideState]:
        """The body as the host has it, and the guide of this time."""
        env, (clip, time, lost, begun) = self.env, given["carried"]
        body = kinematics(given, env.parts.root)
        physics = dataclasses.replace(
            restored(body, env.action_dim),
            actuator_force=given["actuator_force"],
            ground_contact=with_world(given["ground_contact"]),
            ground_force=with_world(given["ground_force"]),
        )
        before = GuideState(clip=clip.astype(jnp.int32), time=time, lost=lost, restarted=jnp.zeros((), bool))
        guide: GuideState = jax.tree.map(
            lambda a, b: jnp.where(begun > 0.0, a, b),
            env.guide.advance(before, body, env.control_dt), env.guide.nearest(body),
        )  # fmt: skip
        return physics, guide

    def control(self, state: EnvState, action: jax.Array) -> jax.Array:
        return self.env.control(action, state.task.guide, self.env.control_dt)

    def heading_length(self, state: EnvState) -> jax.Array:
        """That of the twist about the vertical; see ``quat_twist``."""
        rotation = state.physics.kinematics.xquat[self.env.parts.root]
        return jnp.linalg.norm(rotation[jnp.array([0, 3])])


OBSERVERS: dict[str, Callable[[Any], Observer]] = {
    "imitation": ImitationObserver,
    "continuous": ContinuousObserver,
}


def kinematic_shapes(env: ImitationEnv | ContinuousEnv) -> Shapes:
    model = env.body.model
    return {"qpos": (model.nq,), "qvel": (model.nv,), "body_positions": (model.nbody - 1, 3)}


def kinematic_inputs(physics: PhysicsState) -> Named:
    body = physics.kinematics
    return {"qpos": body.qpos, "qvel": body.qvel, "body_positions": body.xpos[1:]}


def kinematics(given: Named, root: int) -> Kinematics:
    """The body as far as observations look at it: attitude and velocities of the root alone.

    They are those of the free joint, whose angular velocity is in the axes of the root.
    """
    qpos, qvel, xpos = given["qpos"], given["qvel"], with_world(given["body_positions"])
    rotation = quat.quat_normalize(qpos[3:7])
    is_root = (jnp.arange(xpos.shape[0]) == root)[:, None]
    return Kinematics(
        qpos=qpos,
        qvel=qvel,
        xpos=xpos,
        xquat=jnp.where(is_root, rotation, 0.0),
        linvel=jnp.where(is_root, qvel[:3], 0.0),
        angvel=jnp.where(is_root, quat.quat_rotate(rotation, qvel[3:6]), 0.0),
    )


def with_world(rows: jax.Array) -> jax.Array:
    """``rows`` of the bodies below one of zeros for the world."""
    return jnp.concatenate([jnp.zeros_like(rows[:1]), rows])
