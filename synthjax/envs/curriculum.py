"""A progressive curriculum of actions: joint groups are unlocked one stage after the other.

The measure is the task's own share of success in training: time on the feet, or episodes that complete.
Once its moving average is above one threshold the next stage is unlocked; once it is below another, lower
one, the newest stage is locked again.  Everything that changes is traced and part of the environment's
context, so that a change compiles nothing, a checkpoint holds it, and evaluations, which do not update a
context, never move it.

The environment says which share of each action takes effect (:meth:`Curriculum.action_gains`); the agent
keeps these gains beside its parameters and applies them to its own actions.  So whoever acts with an
agent's state, in training or without any context, moves the joints that it was trained to move.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from synthjax.bodies import Body
from synthjax.errors import UserError, unknown

_NEVER = -1  # the stage of a joint that the policy never moves


@dataclasses.dataclass(frozen=True)
class CurriculumConfig:
    """Which joints the policy moves from which stage on; without stages it moves all of them at once."""

    stages: tuple[str, ...] = ()  # joint groups that each stage unlocks, such as "legs,trunk" "arms"
    unlock_above: float = 0.7  # share of success from which on the next stage is unlocked
    lock_below: float = 0.3  # and below which the newest one is locked again
    average_step: float = 0.05  # weight of one update in the moving average of success
    least_updates: int = 100  # updates between two changes
    ramp_updates: int = 0  # over which a new stage's actions grow to their full effect; 0: at once

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Names of the joint groups that each stage unlocks.

        Raises:
          UserError: a stage without a name, or a group in two of them.
        """
        groups = tuple(tuple(name.strip() for name in stage.split(",")) for stage in self.stages)
        names = [name for stage in groups for name in stage]
        if "" in names:
            raise UserError(
                f"The curriculum's stages are {self.stages}: name the joint groups of each, with commas."
            )
        if len(set(names)) < len(names):
            raise UserError(f"The curriculum's stages are {self.stages}: name every joint group once.")
        return groups

    @property
    def identity(self) -> str:
        """The stages in words: runs in which they differ do not go on from one another."""
        return " > ".join(",".join(sorted(stage)) for stage in self.groups) or "none"


@struct.dataclass
class CurriculumState:
    """Where the curriculum stands."""

    stage: jax.Array  # () int32, the newest one that is unlocked, from zero
    success: jax.Array  # () moving average of the share of success
    age: jax.Array  # () int32, updates since the stage has changed
    gains: jax.Array  # (stages,) share of its actions that takes effect in each stage, 0 to 1


class Curriculum:
    """The curriculum of one body.  All methods but the constructor are pure and traceable."""

    def __init__(self, config: CurriculumConfig, body: Body, steered: Literal["main", "all"]):
        """``steered``: the joints that the policy may move at all; no stage unlocks any other.

        Raises:
          UserError: a joint group that the body does not have, or a stage that unlocks no joint.
        """
        self.config = config
        self.num_stages = max(1, len(config.stages))
        self.steered = steered_joints(body, steered)
        self._stage_of = _stages_of_joints(config, body, self.steered)

    def init(self) -> CurriculumState:
        """The first stage, with full effect."""
        return CurriculumState(
            stage=jnp.zeros((), jnp.int32),
            success=jnp.zeros(()),
            age=jnp.zeros((), jnp.int32),
            gains=jnp.zeros(self.num_stages).at[0].set(1.0),
        )

    def update(self, state: CurriculumState, successes: jax.Array, trials: jax.Array) -> CurriculumState:
        """The state after an update in which ``successes`` () of ``trials`` () succeeded.

        Without trials the average stays.  It is not cleared at a change: ``least_updates`` give it the time
        to become that of the new stage.
        """
        config = self.config
        step = jnp.where(trials > 0.0, config.average_step, 0.0)
        success = state.success + step * (successes / jnp.maximum(trials, 1.0) - state.success)
        age = state.age + 1
        due = age >= config.least_updates
        unlocks = due & (success >= config.unlock_above) & (state.stage < self.num_stages - 1)
        locks = due & (success < config.lock_below) & (state.stage > 0)
        stage = state.stage + unlocks.astype(jnp.int32) - locks.astype(jnp.int32)
        return CurriculumState(
            stage=stage,
            success=success,
            age=jnp.where(unlocks | locks, 0, age),
            gains=self._ramped(state.gains, stage),
        )

    def action_gains(self, state: CurriculumState) -> jax.Array:
        """Share of each action that takes effect, (nu,) from 0 to 1; at zero it is not the policy's."""
        stage_of = jnp.asarray(self._stage_of)
        return jnp.where(stage_of == _NEVER, 0.0, state.gains[stage_of])

    def metrics(self, state: CurriculumState) -> dict[str, jax.Array]:
        """What the user sees of it, () each: stages are counted from one.  Nothing without a curriculum."""
        if not self.config.stages:
            return {}
        return {
            "curriculum_stage": (state.stage + 1).astype(jnp.float32),
            "curriculum_success": state.success,
            "active_joints": jnp.sum(self.action_gains(state) > 0.0).astype(jnp.float32),
        }

    def _ramped(self, gains: jax.Array, stage: jax.Array) -> jax.Array:
        """``gains`` (stages,) one update nearer to one up to ``stage`` () and to zero beyond it."""
        steps = max(1, self.config.ramp_updates)
        direction = jnp.where(jnp.arange(self.num_stages) <= stage, 1.0, -1.0)
        # Whole steps, so that a gain ends at exactly zero or one.
        return jnp.clip((jnp.round(gains * steps) + direction) / steps, 0.0, 1.0)


def steered_joints(body: Body, steered: Literal["main", "all"]) -> np.ndarray:
    """The joints that the policy may move, (nu,) bool.  Without servos nothing holds the others."""
    if steered == "all" or body.drive != "servo":
        return np.ones(body.model.nu, bool)
    return np.isin(body.joints, body.main_joints)


def _stages_of_joints(config: CurriculumConfig, body: Body, steered: np.ndarray) -> np.ndarray:
    """The stage that unlocks each joint, (nu,) int; joints that none unlocks have ``_NEVER``."""
    if not config.stages:
        return np.where(steered, 0, _NEVER)
    stage_of = np.full(len(body.joints), _NEVER)
    for stage, groups in enumerate(config.groups):
        for group in groups:
            if group not in body.groups:
                raise unknown(f"joint group of {body.name} in the curriculum", group, body.groups)
            stage_of[steered & np.isin(body.joints, body.groups[group])] = stage
        if stage not in stage_of:
            raise UserError(
                f"The stage '{config.stages[stage]}' of the curriculum unlocks no joint that the policy "
                "steers: add --task.steered all or leave the stage out."
            )
    return stage_of
