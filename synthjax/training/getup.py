"""Get-up attempts by one fixed rule: from lying on the floor to standing.

An attempt succeeds when the root is at 0.9 of its standing height or more, its up axis at 0.9 or more and
nothing but the feet on the ground, for two seconds on end, begun within the attempt's time.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.sharding import Mesh

from synthjax.envs.continuous import ContinuousEnv
from synthjax.envs.standing import HOLD_SECONDS, lies, stands
from synthjax.training.policies import Policy
from synthjax.training.rollout import rollout
from synthjax.types import EnvState, PyTree


@struct.dataclass
class AttemptTrace:
    """What is recorded at each step, (T, N); time t+1."""

    stands: jax.Array  # bool, all that the rule asks for
    lies: jax.Array  # bool, something else than the feet is on the ground
    height: jax.Array  # standing heights of the root
    power: jax.Array  # W, mechanical, of all motors, positive parts only
    bad: jax.Array  # bool, the world has blown up in this step or before
    qpos: jax.Array  # (T, N, nq)


@functools.partial(jax.jit, static_argnames=("env", "policy", "num_steps", "mesh"))
def run_attempts(
    env: ContinuousEnv, policy: Policy, policy_state: PyTree, first: EnvState, num_steps: int, mesh: Mesh
) -> AttemptTrace:
    """One attempt from each of the states ``first`` (N, ...), without a reset."""

    def record(state: EnvState, sound: jax.Array) -> tuple[jax.Array, AttemptTrace]:
        trace = jax.vmap(functools.partial(_record, env))(state)
        sound = sound & ~state.physics.bad
        return sound, dataclasses.replace(trace, bad=~sound, stands=trace.stands & sound)

    return rollout(env, env.init_context(), policy, record, policy_state, first, num_steps, mesh)


def _record(env: ContinuousEnv, state: EnvState) -> AttemptTrace:
    physics, parts = state.physics, env.parts
    body = physics.kinematics
    torque = parts.gear * physics.actuator_force
    return AttemptTrace(
        stands=stands(parts, physics, env.body.standing_height),
        lies=lies(parts, physics),
        height=body.xpos[parts.root, 2] / env.body.standing_height,
        power=jnp.sum(jnp.maximum(torque * body.qvel[6:], 0.0)),
        bad=state.physics.bad,
        qpos=body.qpos,
    )


@dataclasses.dataclass(frozen=True)
class GetupScores:
    """Figures over one set of attempts."""

    attempts: int
    success: float  # share
    seconds_to_stand: float | None  # median over successes, from the start to the beginning of the hold
    energy_to_stand: float | None  # J, median over successes, of mechanical power until then
    time_standing: float  # share of all steps in which all that the rule asks for holds
    final_height: float  # mean over attempts, standing heights; 0 where a world has blown up
    power: float  # W, mean over steps

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class PushScores(GetupScores):
    """Figures of bodies that were pushed; the shares of the two ways to stand add up to the success."""

    kept_feet: float  # share that stood with nothing but the feet on the ground all along
    got_up: float  # share that stood after something else had been on the ground


def score_attempts(
    trace: AttemptTrace, control_dt: float, within: float, mask: np.ndarray | None = None
) -> GetupScores:
    """Figures of the attempts in ``mask`` (N,), or of all; a hold must begin ``within`` seconds."""
    chosen = np.ones(trace.stands.shape[1], bool) if mask is None else mask
    stands, sound = np.asarray(trace.stands)[:, chosen], ~np.asarray(trace.bad)[:, chosen]
    begun = stand_begins(stands, round(HOLD_SECONDS / control_dt))
    seconds = begun * control_dt
    success = seconds <= within
    power = np.asarray(trace.power)[:, chosen]
    work = control_dt * np.cumsum(power, axis=0)[begun[success].astype(int) - 1, np.flatnonzero(success)]
    return GetupScores(
        attempts=int(chosen.sum()),
        success=float(success.mean()),
        seconds_to_stand=float(np.median(seconds[success])) if success.any() else None,
        energy_to_stand=float(np.median(work)) if success.any() else None,
        time_standing=float(stands.mean()),
        final_height=float(np.where(sound, np.asarray(trace.height)[:, chosen], 0.0)[-1].mean()),
        power=float(power[sound].mean()),
    )


def score_pushes(trace: AttemptTrace, control_dt: float, within: float) -> PushScores:
    """The same of bodies that have just been pushed, and in which way they came to stand."""
    scores = score_attempts(trace, control_dt, within)
    begun = stand_begins(np.asarray(trace.stands), round(HOLD_SECONDS / control_dt))
    before = np.arange(len(trace.lies))[:, None] < begun
    down = np.any(np.asarray(trace.lies) & before, axis=0)
    stood = begun * control_dt <= within
    return PushScores(
        **scores.as_dict(),
        kept_feet=float((stood & ~down).mean()),
        got_up=float((stood & down).mean()),
    )


def stand_begins(stands: np.ndarray, hold: int) -> np.ndarray:
    """Steps until each attempt begins to stand for ``hold`` steps on end; infinite where it never does.

    Args:
      stands: (T, N) bool; row t is after t + 1 steps.
      hold: steps.

    Returns:
      (N,) float.
    """
    held = np.zeros(stands.shape[1], int)
    begins = np.full(stands.shape[1], np.inf)
    for t, now in enumerate(stands):
        held = np.where(now, held + 1, 0)
        first = (held >= hold) & np.isinf(begins)
        begins[first] = t + 2 - hold
    return begins
