"""Evaluation of imitation by one fixed rule, whatever the training preset.

An episode fails when any body is more than 0.5 m from the reference after aligning root xy and yaw,
when a fall body (head, torso, thighs, upper arms) touches the ground where the reference does not, or
when the world becomes unstable.  Errors count failed episodes up to their failure.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
from flax import struct
from jax.sharding import Mesh

from synthjax.envs.distances import aligned_distances, foot_skate, root_relative_distances, world_distances
from synthjax.envs.imitation import ImitationEnv
from synthjax.training.policies import Policy
from synthjax.training.rollout import rollout
from synthjax.types import EnvState, Kinematics, PhysicsState, PyTree

FAIL_DISTANCE = 0.5  # m


@struct.dataclass
class EpisodeTrace:
    """What an evaluation records at each step, (T, N) unless stated otherwise; time t+1."""

    alive: jax.Array  # bool, the episode had not failed or ended before this step
    failed: jax.Array  # bool, it failed here
    over: jax.Array  # bool, a clip without loop ended here
    clip: jax.Array  # int32
    clip_time: jax.Array  # s within the clip's cycle
    steps_left: jax.Array  # control steps from here to the clip's end; without end for loops
    body_error: jax.Array  # m, mean over bodies, world frame
    body_errors: jax.Array  # m, of each body but the world, (T, N, nbody - 1)
    relative_error: jax.Array  # m, mean over bodies, after aligning root position and yaw
    joint_error: jax.Array  # rad, mean absolute over hinges
    skate_speed: jax.Array  # m/s, summed over feet on the ground
    feet_down: jax.Array  # number of feet on the ground
    qpos: jax.Array  # (T, N, nq)
    reference_qpos: jax.Array  # (T, N, nq)


@functools.partial(jax.jit, static_argnames=("env", "policy", "num_steps", "mesh"))
def run_episodes(
    env: ImitationEnv,
    policy: Policy,
    policy_state: PyTree,
    first: EnvState,
    num_steps: int,
    mesh: Mesh,
) -> EpisodeTrace:
    """Runs one episode from each first state without resets.

    Args:
      env: its termination and time limit are not used; the fixed rule is.
      policy: see :data:`~synthjax.training.policies.Policy`; static.
      policy_state: the policy's parameters.
      first: (N, ...) states at their starts; each brings the random key of its world.
      num_steps: T.
      mesh: the devices that the episodes are split over.
    """

    def record(state: EnvState, alive: jax.Array) -> tuple[jax.Array, EpisodeTrace]:
        trace = jax.vmap(functools.partial(_record, env))(state)
        failed = trace.failed & alive
        trace = dataclasses.replace(trace, alive=alive, failed=failed, over=trace.over & alive)
        return alive & ~failed & ~trace.over, trace

    return rollout(env, env.init_context(), policy, record, policy_state, first, num_steps, mesh)


def fails(env: ImitationEnv, physics: PhysicsState, reference: Kinematics, undesired: jax.Array) -> jax.Array:
    """The fixed rule, for one world.  -> () bool."""
    aligned = aligned_distances(env.parts.root, physics.kinematics, reference)
    return (jnp.max(aligned) > FAIL_DISTANCE) | (undesired > 0) | physics.bad


def _record(env: ImitationEnv, state: EnvState) -> EpisodeTrace:
    physics, task = state.physics, state.task
    body = physics.kinematics
    reference = env.library.sample(task.clip, task.time)
    errors = world_distances(body, reference)
    undesired = env.rules.undesired_contacts(physics, task.clip, task.time)
    duration = env.library.duration[task.clip]
    skate, down = foot_skate(env.parts.feet, physics)
    left = jnp.ceil((duration - task.time) / env.control_dt - 1e-3)
    return EpisodeTrace(
        alive=jnp.ones((), bool),
        failed=fails(env, physics, reference, undesired),
        over=env.rules.clip_is_over(task.clip, task.time),
        clip=task.clip,
        clip_time=env.library.time_in_clip(task.clip, task.time),
        steps_left=jnp.where(env.library.loop[task.clip], jnp.inf, jnp.maximum(left, 0.0)),
        body_error=jnp.mean(errors),
        body_errors=errors,
        relative_error=jnp.mean(root_relative_distances(env.parts.root, body, reference)),
        joint_error=jnp.mean(jnp.abs(body.qpos[7:] - reference.qpos[7:])),
        skate_speed=skate,
        feet_down=down,
        qpos=body.qpos,
        reference_qpos=reference.qpos,
    )
