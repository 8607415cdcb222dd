"""What a step of imitation is worth, and when it ends the episode."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from synthjax.bodies import Body
from synthjax.envs.distances import aligned_distances, foot_skate, root_drift
from synthjax.envs.imitation_task import ImitationConfig, ImitationTask
from synthjax.envs.randomization import control_seconds
from synthjax.motion.library import MotionLibrary
from synthjax.rewards import TrackingInputs, tracking_reward
from synthjax.rewards.tracking import Terms
from synthjax.types import Kinematics, PhysicsState


@dataclasses.dataclass(frozen=True, eq=False)
class TrackedParts:
    """Ids into the rows of a body's kinematics."""

    root: int
    bodies: np.ndarray  # (B,) all but the world
    key_bodies: np.ndarray  # (K,)
    feet: jax.Array  # (F,)
    fall_bodies: np.ndarray  # (G,) those that touch the ground in a fall
    joint_range: jax.Array  # (nu, 2) rad

    @classmethod
    def of(cls, body: Body) -> TrackedParts:
        """The parts of ``body``."""
        return cls(
            root=1,
            bodies=np.arange(1, body.model.nbody),
            key_bodies=body.body_ids(body.key_bodies),
            feet=jnp.asarray(body.body_ids(body.feet)),
            fall_bodies=body.body_ids(body.fall_bodies),
            joint_range=jnp.asarray(body.model.jnt_range[1:], jnp.float32),
        )


class ImitationRules:
    """Rewards and ends of one world.  All methods are pure and traceable."""

    def __init__(
        self, config: ImitationConfig, parts: TrackedParts, library: MotionLibrary, control_dt: float
    ):
        """``control_dt`` in s is that of a nominal world."""
        self.config, self.parts, self.library, self.control_dt = config, parts, library, control_dt
        self.reward = tracking_reward(config.reward)

    def judge(
        self,
        physics: PhysicsState,
        reference: Kinematics,
        task: ImitationTask,
        action: jax.Array,
        drift_limit: jax.Array,
    ) -> tuple[Terms, jax.Array]:
        """The named terms of the reward at t+1, and whether the task has ended there () bool.

        Args:
          physics: at t+1.
          reference: at t+1.
          task: at t.
          action: (nu,) of the step from t.
          drift_limit: () m.
        """
        time = task.time + control_seconds(task, self.control_dt)
        undesired = self.undesired_contacts(physics, task.clip, time)
        aligned = aligned_distances(self.parts.root, physics.kinematics, reference)
        drift = root_drift(self.parts.root, physics.kinematics, reference)
        terminated = (jnp.max(aligned) > self.config.termination_distance) | (drift > drift_limit)
        terminated |= physics.bad
        if self.config.terminate_on_fall:
            terminated |= undesired > 0
        return self.terms(physics, reference, action, task.previous_action, undesired), terminated

    def clip_is_over(self, clip: jax.Array, time: jax.Array) -> jax.Array:
        """Whether a clip without loop has ended by ``time`` () s.  -> () bool."""
        return ~self.library.loop[clip] & (time >= self.library.duration[clip])

    def undesired_contacts(self, physics: PhysicsState, clip: jax.Array, time: jax.Array) -> jax.Array:
        """Number of fall bodies on the ground that the reference keeps off it.  -> ()."""
        allowed = self.library.sample_contacts(clip, time)[self.parts.fall_bodies]
        touching = physics.ground_contact[self.parts.fall_bodies] > 0
        return jnp.sum(touching & ~allowed).astype(jnp.float32)

    def terms(
        self,
        physics: PhysicsState,
        reference: Kinematics,
        action: jax.Array,
        previous_action: jax.Array,
        undesired_contacts: jax.Array,
    ) -> Terms:
        """The named terms of the reward of a step that led to ``physics``."""
        skate, down = foot_skate(self.parts.feet, physics)
        return self.reward(
            TrackingInputs(
                body=physics.kinematics,
                reference=reference,
                action=action,
                previous_action=previous_action,
                joint_range=self.parts.joint_range,
                undesired_contacts=undesired_contacts,
                foot_slip=skate / jnp.maximum(down, 1),
                root=self.parts.root,
                key_bodies=tuple(self.parts.key_bodies.tolist()),
                bodies=tuple(self.parts.bodies.tolist()),
            )
        )
