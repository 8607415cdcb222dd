"""What every other module shares: states, transitions and the protocols between the layers.

Shapes are written for ONE world; the training program adds leading axes with ``jax.vmap`` or
``jax.lax.scan``.  Units are SI (metres, seconds, radians, kilograms, newtons); quaternions are
``w x y z``; the world is z-up and the bodies face +x.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import jax
from flax import struct

PyTree = Any


@struct.dataclass
class Kinematics:
    """A pose with its velocities and everything that forward kinematics derives from them.

    Reference frames, reset tables and physics states all hold these six fields, so that a reset is
    a gather and never a call of the engine.
    """

    qpos: jax.Array  # (nq,) free joint (x y z, w x y z) and then the hinge angles
    qvel: jax.Array  # (nv,) free joint (world-frame linear, body-frame angular) and then the hinge rates
    xpos: jax.Array  # (nbody, 3) body frame origins in the world, row 0 is the world body
    xquat: jax.Array  # (nbody, 4) body orientations in the world
    linvel: jax.Array  # (nbody, 3) velocity of the body frame origin, world axes
    angvel: jax.Array  # (nbody, 3) angular velocity, world axes


@struct.dataclass
class PhysicsState:
    """One world between two control steps.

    Time index: ``kinematics`` describes the world *after* the step; the force fields
    (``actuator_force``, ``ground_*``) belong to the last substep of it.
    """

    kinematics: Kinematics
    warmstart: jax.Array  # (nv,) solver warm start; zero after a reset
    xfrc_applied: jax.Array  # (nbody, 6) external force and torque (pushes), world axes
    actuator_force: jax.Array  # (nu,) before the gear: N m of servos, control of direct motors
    ground_contact: jax.Array  # (nbody,) number of contact points with the ground
    ground_load: jax.Array  # (nbody,) sum of contact-force magnitudes, friction included, N
    ground_force: jax.Array  # (nbody, 3) sum of normal forces of the ground ON the body, world axes, N
    bad: jax.Array  # () bool, the world has become non-finite or unstable: its episode must end
    overflow: jax.Array  # () int32, contacts or constraints that the engine had no room for


@struct.dataclass
class EnvState:
    """One environment after ``reset`` or ``step``."""

    physics: PhysicsState
    obs: jax.Array  # (obs_dim,)
    reward: jax.Array  # () reward of the step that led here
    terminated: jax.Array  # () bool, the task has ended here: no bootstrap
    truncated: jax.Array  # () bool, only the clock has ended the episode: bootstrap from this obs
    valid: jax.Array  # () bool, the step that led here is the action's doing; if not, nobody learns from it
    task: PyTree  # what the task keeps between steps (clip, time, previous action, ...)
    metrics: dict[str, jax.Array]  # () each, logged as means; "bad_world" is among them
    key: jax.Array  # random key of this world
    # Only of worlds that differ from one another (None stands for what all of them have in common):
    duration: jax.Array | None = None  # () of the step that led here, in nominal control steps
    exact_obs: jax.Array | None = None  # (obs_dim,) ``obs`` without the noise of the sensors


@struct.dataclass
class Transition:
    """One step of one environment, as the agents see it."""

    obs: jax.Array  # (obs_dim,) s_t
    action: jax.Array  # (action_dim,) a_t
    reward: jax.Array  # () r_{t+1}
    next_obs: jax.Array  # (obs_dim,) s_{t+1}, before any reset
    terminated: jax.Array  # () bool
    truncated: jax.Array  # () bool
    valid: jax.Array  # () bool, an agent learns from this step; if not, any of its other numbers may be NaN
    extras: dict[str, jax.Array]  # what the policy knew (log-probability, ...)
    duration: jax.Array | None = None  # () of the step, in nominal control steps; None: one
    # (obs_dim,) what a critic may know where the policy's own observations are noisy; None: the same
    exact_obs: jax.Array | None = None
    next_exact_obs: jax.Array | None = None


EnvContext = TypeVar("EnvContext")


class Env(Protocol[EnvContext]):
    """The contract between agents and environments.  Agents never see more than this.

    ``ctx`` is what all worlds share and what changes between epochs (sampler weights, joint mask,
    push strength, curriculum stage): unbatched, traced, checkpointed.
    """

    obs_dim: int
    action_dim: int
    control_dt: float

    def init_context(self) -> EnvContext: ...

    def action_gains(self, ctx: EnvContext) -> jax.Array:
        """Share of each action that takes effect, (action_dim,) from 0 to 1, which the agent applies.

        Where it is zero the action stays zero and is not the policy's to decide.
        """
        ...

    def reset(self, ctx: EnvContext, key: jax.Array) -> EnvState: ...

    def step(self, ctx: EnvContext, state: EnvState, action: jax.Array) -> EnvState: ...

    def select(self, done: jax.Array, on_true: EnvState, on_false: EnvState) -> EnvState: ...

    def episode_stats(self, state: EnvState) -> PyTree:
        """What ``update_context`` needs, summed over the leading axis of ``state``."""
        ...

    def update_context(self, ctx: EnvContext, stats: PyTree) -> EnvContext: ...


class Agent(Protocol):
    """The contract between the training program and a learning algorithm."""

    squashes: bool  # whether actions are the tanh of what :meth:`distribution` describes

    def init(self, key: jax.Array, first_obs: jax.Array) -> PyTree: ...

    def with_gains(self, state: PyTree, gains: jax.Array) -> PyTree:
        """``state`` that acts and learns with these ``action_gains`` (action_dim,) of the environment."""
        ...

    def act(
        self, state: PyTree, obs: jax.Array, key: jax.Array, deterministic: bool = False
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """One action for one observation; the program maps it over worlds and their keys."""
        ...

    def distribution(self, state: PyTree, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean and log standard deviation of the policy that acts deterministically, (..., action_dim) both.

        Before tanh, if the agent squashes, and before the gains: its deterministic action is gains * mean or
        gains * tanh(mean).
        """
        ...

    def update(
        self, state: PyTree, data: Transition, key: jax.Array, axis: str | None = None
    ) -> tuple[PyTree, dict[str, jax.Array]]:
        """``axis`` names the mesh axis of ``shard_map`` over which ``data`` is split, if it is.

        Steps that are not valid change nothing, whatever they hold.
        A metric that this update has nothing to say about is NaN.
        """
        ...

    def acting(self, state: PyTree) -> PyTree:
        """``state`` with None for what :meth:`act` has no use for, if that is large.

        Only the newest checkpoint of a run keeps that part; a run that has lost it goes on with a fresh one.
        """
        ...

    def placement(self, split: PyTree, copied: PyTree) -> PyTree:
        """A prefix of the state: ``split`` where each device has a part of its own, else ``copied``."""
        ...

    def working_bytes(self) -> int:
        """Memory that one update needs beside the state, all devices together."""
        ...

    def resident_bytes(self) -> int:
        """Memory of the state's parts that an update changes in place, all devices together."""
        ...

    def memory_advice(self, excess: int) -> str:
        """What the user can lower when a run needs ``excess`` bytes more than there are."""
        ...
