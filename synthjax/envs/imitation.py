"""Imitation of motion clips (DeepMimic, Peng et al. 2018) as a pure environment of one world.

The policy's action is an offset from the reference pose; the reward at t+1 compares the body at t+1
with the reference at t+1; an episode ends when the body is too far from the reference.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from synthjax.bodies import Body
from synthjax.envs import imitation_observation as observation
from synthjax.envs.curriculum import Curriculum
from synthjax.envs.distances import world_distances
from synthjax.envs.drift import update_limit
from synthjax.envs.imitation_rules import ImitationRules, TrackedParts
from synthjax.envs.imitation_task import ImitationConfig, ImitationContext, ImitationTask
from synthjax.envs.observation import ObservationLayout
from synthjax.envs.randomization import (
    DRAW_STREAM,
    PUSH_STREAM,
    Randomization,
    RandomizationConfig,
    control_seconds,
    model_of,
    observations,
    transmitted,
)
from synthjax.envs.reset_table import ResetTable, build_reset_table
from synthjax.envs.sampler import init_sampler, lookback_matrix, update_sampler
from synthjax.envs.states import first_state, select_state
from synthjax.envs.steering import Steering
from synthjax.envs.timing import steps_in
from synthjax.envs.tracking_pushes import TrackingPushes
from synthjax.motion import quaternions as quat
from synthjax.motion.clip import Clip
from synthjax.motion.library import MotionLibrary
from synthjax.physics.base import Physics
from synthjax.rewards import total
from synthjax.rewards.tracking import Terms
from synthjax.types import EnvState, Kinematics, PhysicsState


class ImitationEnv:
    """``synthjax.types.Env`` for imitation; see the module's docstring."""

    def __init__(
        self,
        body: Body,
        physics: Physics,
        clips: list[Clip],
        config: ImitationConfig,
        seed: int = 0,
        randomization: RandomizationConfig | None = None,
    ):
        """``randomization``: of worlds from :meth:`reset`; those from :meth:`start_from` are nominal."""
        self.body, self.physics, self.config = body, physics, config
        self.clips = tuple(clips)
        self.library = MotionLibrary.from_clips(clips)
        self.resets = build_reset_table(
            body, clips, bin_seconds=config.bin_seconds, per_bin=config.starts_per_bin,
            noise=config.start_noise, seed=seed,
        )  # fmt: skip
        self.control_dt = physics.control_dt
        self.parts = TrackedParts.of(body)
        self.rules = ImitationRules(config, self.parts, self.library, self.control_dt)
        self.max_steps = round(config.max_episode_seconds / self.control_dt)  # of a nominal world
        self.randomization = self.pushes = None
        if randomization is not None:
            self.randomization = Randomization(randomization, body, self.control_dt, seed)
            self.pushes = TrackingPushes(randomization.pushes, config.drift, body)
        self.action_dim = body.model.nu
        self.steering = Steering(body, config.action_scale)
        self.curriculum = Curriculum(config.curriculum, body, config.steered)
        self._lookback = lookback_matrix(
            self.resets.bins_in_clip.tolist(), self.resets.bin_seconds.tolist(), [c.loop for c in clips],
            config.sampler.lookback_seconds,
        )  # fmt: skip
        self.layout = self._observation_layout()
        self.obs_dim = self.layout.dim

    # ------------------------------------------------------------------ the Env protocol

    def init_context(self) -> ImitationContext:
        """Uniform starts, the widest drift limit and the first stage."""
        return ImitationContext(
            sampler=init_sampler(self.resets.num_bins),
            drift_limit=jnp.asarray(self.config.drift.widest, float),
            curriculum=self.curriculum.init(),
        )

    def action_gains(self, ctx: ImitationContext) -> jax.Array:
        """Those of the curriculum, (nu,) from 0 to 1."""
        return self.curriculum.action_gains(ctx.curriculum)

    def reset(self, ctx: ImitationContext, key: jax.Array) -> EnvState:
        """A start from the table: a bin by its probability, one of its states uniformly."""
        key, bin_key, state_key = jax.random.split(key, 3)
        chosen = jax.random.categorical(bin_key, jnp.log(ctx.sampler.probabilities))
        member = jax.random.randint(state_key, (), 0, self.resets.per_bin)
        physics, task = self._start(self.resets, chosen * self.resets.per_bin + member)
        return first_state(self, physics, self._randomized(ctx, task, key), key)

    def start_from(self, table: ResetTable, index: jax.Array, key: jax.Array) -> EnvState:
        """The start state ``index`` () of a table, the environment's own or another of the same clips."""
        return first_state(self, *self._start(table, index), key)

    def step(self, ctx: ImitationContext, state: EnvState, action: jax.Array) -> EnvState:
        """One control step.  The reference that is tracked and rewarded is that of t+1."""
        task = state.task
        control_dt = control_seconds(task, self.control_dt)
        time = task.time + control_dt
        reference = self.library.sample(task.clip, time)
        command, drawn = transmitted(task.drawn, self.control(action, reference))
        before, push = state.physics, task.push
        if self.pushes is not None and push is not None:
            before = self.pushes.felt(before, push)
            push_key = jax.random.fold_in(state.key, PUSH_STREAM)
            push = self.pushes.after(push, ctx.drift_limit, control_dt, push_key)
        physics = self.physics.step(model_of(task, self.physics.n_substeps), before, command)
        new_task = dataclasses.replace(
            task, time=time, age=task.age + 1, previous_action=action, push=push, drawn=drawn
        )

        terms, terminated = self.rules.judge(physics, reference, task, action, ctx.drift_limit)
        most = self.max_steps if drawn is None else steps_in(self.config.max_episode_seconds, control_dt)
        out_of_time = (new_task.age >= most) | self.rules.clip_is_over(task.clip, time)
        reward = jnp.where(terminated, 0.0, total(terms))
        metrics = {
            "body_error_mm": 1000.0 * jnp.mean(world_distances(physics.kinematics, reference)),
            "reward": reward,
            "failed": terminated.astype(jnp.float32),
            "completed": (out_of_time & ~terminated).astype(jnp.float32),
            "bad_world": physics.bad.astype(jnp.float32),
            "overflow": physics.overflow.astype(jnp.float32),
            **({} if self.pushes is None else {"push_strength": self.pushes.strength(ctx.drift_limit)}),
            **self.curriculum.metrics(ctx.curriculum),
            **{f"reward_{name}": term for name, term in terms.items()},
        }
        return dataclasses.replace(
            state,
            physics=physics,
            **observations(self.randomization, self.observe, physics, new_task, state.key),
            reward=reward if state.duration is None else state.duration * reward,
            terminated=terminated,
            truncated=out_of_time & ~terminated,
            valid=jnp.ones((), bool),
            task=new_task,
            metrics=metrics,
        )

    def select(self, done: jax.Array, on_true: EnvState, on_false: EnvState) -> EnvState:
        """``on_true`` where ``done`` (), else ``on_false``."""
        return select_state(self.physics, done, on_true, on_false)

    def episode_stats(self, state: EnvState) -> dict[str, jax.Array]:
        """Failures and steps per bin and ends of episodes, summed over the leading axis of ``state``."""
        task = state.task
        bins = self.resets.bin_of(task.clip, self.library.time_in_clip(task.clip, task.time))
        zeros = jnp.zeros(self.resets.num_bins)
        return {
            "failures": zeros.at[bins].add(state.terminated.astype(jnp.float32)),
            "visits": zeros.at[bins].add(1.0 if state.duration is None else state.duration),
            "completed": jnp.sum(state.metrics["completed"]),
            "ended": jnp.sum((state.terminated | state.truncated).astype(jnp.float32)),
        }

    def update_context(self, ctx: ImitationContext, stats: dict[str, jax.Array]) -> ImitationContext:
        """Moves the start probabilities towards the bins that fail, drift limit and stage with success."""
        failures, visits = stats["failures"], stats["visits"]
        rate = jnp.sum(failures) / jnp.maximum(jnp.sum(visits), 1.0)
        return ImitationContext(
            sampler=update_sampler(self.config.sampler, ctx.sampler, failures, visits, self._lookback),
            drift_limit=update_limit(self.config.drift, ctx.drift_limit, rate),
            curriculum=self.curriculum.update(ctx.curriculum, stats["completed"], stats["ended"]),
        )

    # ------------------------------------------------------------------ its parts

    def control(self, action: jax.Array, reference: Kinematics) -> jax.Array:
        """Motor input (nu,) of an action (nu,): joint targets in rad for servos, else motor controls."""
        if self.body.drive != "servo":
            return self.steering.offset(action)
        # The servos damp the joint's own speed, so they trail a moving target by their lag: without this
        # lead a swinging toe is 0.35 m late and hits the ground.
        lead = jnp.asarray(self.body.servo_lag, jnp.float32) * reference.qvel[6:]
        zero = reference.qpos[7:] + lead
        if self.config.action_mode == "absolute":
            standing = jnp.asarray(self.body.standing_qpos[7:], jnp.float32)
            zero = jnp.where(self.curriculum.steered, standing, zero)
        return zero + self.steering.offset(action)

    def observe(self, physics: PhysicsState, task: ImitationTask) -> dict[str, jax.Array]:
        """The named parts of the observation; see :mod:`synthjax.envs.imitation_observation`."""
        body = physics.kinematics
        duration = self.library.duration[task.clip]
        heading = quat.quat_heading(body.xquat[self.parts.root])
        parts = observation.body_parts(body, self.parts.root, jnp.asarray(self.parts.bodies), heading)
        parts |= {"previous_action": task.previous_action}
        parts |= observation.phase_parts(task.time, duration, self.library.loop[task.clip])
        for steps in self.config.lookahead:
            ahead = steps * control_seconds(task, self.control_dt)
            target = self.library.sample(task.clip, task.time + ahead)
            parts |= observation.target_parts(
                body, target, self.parts.root, jnp.asarray(self.parts.key_bodies), f"target{steps}"
            )
        return parts

    def _randomized(self, ctx: ImitationContext, task: ImitationTask, key: jax.Array) -> ImitationTask:
        """``task`` at its start in a world of its own, if worlds are randomised."""
        if self.randomization is None or self.pushes is None:
            return task
        idle = self.control(jnp.zeros(self.action_dim), self.library.sample(task.clip, task.time))
        variant, drawn = self.randomization.draw(idle, jax.random.fold_in(key, DRAW_STREAM))
        push_key = jax.random.fold_in(key, PUSH_STREAM)
        push = self.pushes.next(ctx.drift_limit, drawn.control_dt, push_key)
        return dataclasses.replace(task, variant=variant, drawn=drawn, push=push)

    def metric_names(self) -> list[str]:
        """Names in ``metrics``; the same at reset and after a step, as ``scan`` demands."""
        sample = jax.eval_shape(self._terms_of_first_start)
        names = ["body_error_mm", "reward", "failed", "completed", "bad_world", "overflow"]
        names += [] if self.pushes is None else ["push_strength"]
        names += self.curriculum.metrics(self.curriculum.init())
        return names + [f"reward_{name}" for name in sample]

    def _start(self, table: ResetTable, index: jax.Array) -> tuple[PhysicsState, ImitationTask]:
        task = ImitationTask(
            clip=table.clip[index],
            time=table.time[index],
            age=jnp.zeros((), jnp.int32),
            previous_action=jnp.zeros(self.action_dim),
            variant={},
        )
        return self.physics.restore(table.gather(index)), task

    def _observation_layout(self) -> ObservationLayout:
        """The parts in the order of :meth:`observe`: what eval_shape returns is sorted by name."""
        parts: dict[str, jax.Array] = {}
        jax.eval_shape(lambda: parts.update(self.observe(*self._start(self.resets, jnp.asarray(0)))))
        return ObservationLayout.of(parts)

    def _terms_of_first_start(self) -> Terms:
        physics, task = self._start(self.resets, jnp.asarray(0))
        zero = task.previous_action
        return self.rules.terms(physics, physics.kinematics, zero, zero, jnp.zeros(()))
