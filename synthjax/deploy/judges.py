"""The reward as a function of what a host reads from its simulator, by name, for learning on a device.

As with observations nothing is computed here that an environment computes: its own ``judge`` is called on
states that are put together from the host's numbers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp

from synthjax.deploy.convert import Named
from synthjax.deploy.observers import (
    ContinuousObserver,
    Shapes,
    kinematic_inputs,
    kinematic_shapes,
    kinematics,
    with_world,
)
from synthjax.envs.continuous import ContinuousEnv
from synthjax.envs.imitation import ImitationEnv
from synthjax.envs.imitation_task import ImitationTask
from synthjax.physics.states import restored
from synthjax.rewards import total
from synthjax.types import EnvState


class Judge(Protocol):
    """The reward of one environment.

    The host asks after a control step and before the next observation, so that ``carried`` is what that
    observation takes as well.
    """

    memory: ClassVar[tuple[str, ...]]  # entries of what it remembers itself; if none, there is no such tensor

    @property
    def shapes(self) -> Shapes:
        """What the host gives."""
        ...

    def sensors(self, state: EnvState) -> Named:
        """What the host gives in ``state`` after a step, but for actions, ``carried`` and ``memory``."""
        ...

    def start(self, state: EnvState) -> jax.Array:
        """``memory`` of a world that begins in ``state``, (len(memory),)."""
        ...

    def __call__(self, given: Named) -> Named:
        """What the host gets, (1,) each and ``memory_next``.

        ``reward``; ``terminated``, 1 where the task has ended; ``over``, 1 where only its reference has.
        """
        ...


class ImitationJudge:
    """Has no memory.  The limit of the drift is the widest, as at the beginning of a training."""

    memory: ClassVar[tuple[str, ...]] = ()

    def __init__(self, env: ImitationEnv):
        self.env = env
        self._drift_limit = env.init_context().drift_limit

    @property
    def shapes(self) -> Shapes:
        bodies, actions = self.env.body.model.nbody - 1, (self.env.action_dim,)
        return kinematic_shapes(self.env) | {
            "body_rotations": (bodies, 4),
            "body_velocities": (bodies, 6),
            "ground_contact": (bodies,),
            "action": actions,
            "previous_action": actions,
            "carried": (2,),
        }

    def sensors(self, state: EnvState) -> Named:
        body = state.physics.kinematics
        return kinematic_inputs(state.physics) | {
            "body_rotations": body.xquat[1:],
            "body_velocities": jnp.concatenate([body.linvel, body.angvel], axis=-1)[1:],
            "ground_contact": state.physics.ground_contact[1:],
        }

    def start(self, state: EnvState) -> jax.Array:
        return jnp.zeros(0)

    def __call__(self, given: Named) -> Named:
        env, (clip, time) = self.env, given["carried"]
        clip, velocities = clip.astype(jnp.int32), with_world(given["body_velocities"])
        body = dataclasses.replace(
            kinematics(given, env.parts.root),
            xquat=with_world(given["body_rotations"]),
            linvel=velocities[:, :3],
            angvel=velocities[:, 3:],
        )
        physics = dataclasses.replace(
            restored(body, env.action_dim), ground_contact=with_world(given["ground_contact"])
        )
        # ``carried`` is of the time after the step.
        before = ImitationTask(
            clip=clip,
            time=time - env.control_dt,
            age=jnp.zeros((), jnp.int32),
            previous_action=given["previous_action"],
            variant={},
        )
        reference = env.library.sample(clip, time)
        terms, terminated = env.rules.judge(physics, reference, before, given["action"], self._drift_limit)
        return {
            "reward": jnp.where(terminated, 0.0, total(terms))[None],
            "terminated": terminated.astype(jnp.float32)[None],
            "over": env.rules.clip_is_over(clip, time).astype(jnp.float32)[None],
        }


class ContinuousJudge:
    """Remembers the phase, the root's height before the step, and whether an action has been taken yet."""

    memory: ClassVar[tuple[str, ...]] = ("phase", "height", "begun")

    def __init__(self, env: ContinuousEnv):
        self.env = env
        self._observer = ContinuousObserver(env)

    @property
    def shapes(self) -> Shapes:
        return self._observer.shapes | {"action": (self.env.action_dim,), "memory": (len(self.memory),)}

    def sensors(self, state: EnvState) -> Named:
        inputs = self._observer.inputs(state)
        return {name: value for name, value in inputs.items() if name != "previous_action"}

    def start(self, state: EnvState) -> jax.Array:
        height = state.physics.kinematics.xpos[self.env.parts.root, 2]
        return jnp.stack([state.task.phase.astype(jnp.float32), height, jnp.zeros(())])

    def __call__(self, given: Named) -> Named:
        env, rest, (phase, height, begun) = self.env, self._observer.rest, given["memory"]
        physics, guide = self._observer.read(given)
        body = physics.kinematics
        # Of the step before, a reward looks at the root's height alone.
        is_root = (jnp.arange(len(body.xpos)) == env.parts.root)[:, None]
        was = dataclasses.replace(body, xpos=jnp.where(is_root, height, body.xpos))
        before = dataclasses.replace(physics, kinematics=was)
        task = dataclasses.replace(rest, fresh=begun <= 0.0, previous_action=given["previous_action"])
        new_phase = env.rules.phase(phase.astype(jnp.int32), body)
        new_task = dataclasses.replace(task, guide=guide, phase=new_phase)
        terms, terminated = env.rules.judge(before, physics, task, new_task, given["action"])
        memory = [new_phase.astype(jnp.float32), body.xpos[env.parts.root, 2], jnp.ones(())]
        return {
            "reward": total(terms)[None],
            "terminated": terminated.astype(jnp.float32)[None],
            "over": jnp.zeros(1),
            "memory_next": jnp.stack(memory),
        }


JUDGES: dict[str, Callable[[Any], Judge]] = {"imitation": ImitationJudge, "continuous": ContinuousJudge}
