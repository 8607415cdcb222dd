"""Always-on life as a pure environment of one world: lie, get up, stand, and never end.

The policy's action is an offset from the pose of a guide that runs through get-up clips
(:mod:`synthjax.envs.guide`); the reward is a continuing one.  Life itself has no end: evaluations go on
whatever happens.  In training a life is over when the guide has lost its body, and is cut after some
seconds, with its value bootstrapped, so that all starts are seen.  Where neither is so, a body that has
lain for long is helped up (:mod:`synthjax.envs.assist`).
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from synthjax.bodies import Body
from synthjax.envs import continuous_observation as observation
from synthjax.envs.assist import advance_assist, assist_poses, can_come, held_step, is_due, no_assist
from synthjax.envs.body_parts import BodyParts
from synthjax.envs.continuous_reward import strain
from synthjax.envs.continuous_rules import ContinuousRules
from synthjax.envs.continuous_starts import Starts
from synthjax.envs.continuous_task import ContinuousConfig, ContinuousContext, ContinuousTask
from synthjax.envs.curriculum import Curriculum
from synthjax.envs.guide import Guide, GuideState
from synthjax.envs.observation import ObservationLayout
from synthjax.envs.pushes import PushState, advance_push, next_push, push_strength, pushed
from synthjax.envs.randomization import (
    ASSIST_STREAM,
    DRAW_STREAM,
    PUSH_STREAM,
    Randomization,
    RandomizationConfig,
    control_seconds,
    model_of,
    observations,
    transmitted,
)
from synthjax.envs.rollover import roll_overs
from synthjax.envs.standing import stands
from synthjax.envs.states import first_state, select_state
from synthjax.envs.steering import Steering
from synthjax.envs.timing import steps_in
from synthjax.envs.weakening import Weakening
from synthjax.motion.clip import Clip
from synthjax.physics.base import Physics
from synthjax.rewards import total
from synthjax.rewards.phases import Phase
from synthjax.types import EnvState, Kinematics, PhysicsState

ON_FEET_STEP = 0.1  # weight of one update in the average that the pushes follow


class ContinuousEnv:
    """``synthjax.types.Env`` for always-on life; see the module's docstring."""

    def __init__(
        self,
        body: Body,
        physics: Physics,
        clips: list[Clip],
        config: ContinuousConfig,
        seed: int = 0,
        randomization: RandomizationConfig | None = None,
    ):
        """``randomization``: of worlds from :meth:`reset`; those from :meth:`start_at` are nominal."""
        self.body, self.physics, self.config = body, physics, config
        self.parts = BodyParts.of(body)
        clips = [*clips, *(roll for clip in clips for roll in roll_overs(body, clip))]
        self.clips = tuple(clips)
        self.guide = Guide(body, clips, config.guide, self.parts.root)
        self.control_dt = physics.control_dt
        self.rules = ContinuousRules(config, body, self.parts, self.guide, self.control_dt)
        self.max_steps = steps_in(config.life_seconds, self.control_dt)  # of a nominal world
        self.randomization = None
        if randomization is not None:
            self.randomization = Randomization(randomization, body, self.control_dt, seed)
        self.action_dim = body.model.nu
        self.steering = Steering(body, config.action_scale)
        self.curriculum = Curriculum(config.curriculum, body, config.steered)
        self.starts = Starts(config, body, physics, clips, self.guide, self.rules, seed)
        self.weakening = Weakening(
            config.weakening, body, self.starts.kinds, self.starts.probabilities, config.guide.speed
        )
        # What cannot happen is not computed.
        self.assists = can_come(config.assist, config.life_seconds)
        if self.assists:
            self.poses = assist_poses(body, clips, config.assist.noise, config.phases.fallen_leave, seed)
        self.layout = self._observation_layout()
        self.obs_dim = self.layout.dim

    # ------------------------------------------------------------------ the Env protocol

    def init_context(self) -> ContinuousContext:
        """No pushes yet, and the first stage."""
        return ContinuousContext(
            push_strength=jnp.zeros(()),
            on_feet=jnp.zeros(()),
            curriculum=self.curriculum.init(),
            weakening=self.weakening.init(),
        )

    def action_gains(self, ctx: ContinuousContext) -> jax.Array:
        """Those of the curriculum, (nu,) from 0 to 1."""
        return self.curriculum.action_gains(ctx.curriculum)

    def reset(self, ctx: ContinuousContext, key: jax.Array) -> EnvState:
        """A settled fall, a frame of a get-up clip, or standing; pushed and helped as the settings say.

        Lives are cut after half to all of ``life_seconds``: of one length they would all be equally old,
        and a batch would show one part of life.
        """
        key, start_key, age_key, push_key = jax.random.split(key, 4)
        index, weakened = self.weakening.draw(ctx.weakening, start_key)
        physics, task = self.starts.begin(self.starts.gather(self.starts.rows[index]))
        task = dataclasses.replace(self._randomized(task, key), weakening=weakened)
        state = first_state(self, physics, task, key)
        age = jax.random.randint(age_key, (), 0, self._most_steps(state.task) // 2 + 1)
        push = self._next_push(ctx, control_seconds(state.task, self.control_dt), push_key)
        task = dataclasses.replace(state.task, age=age, push=push, assist=no_assist(offered=True))
        return dataclasses.replace(state, task=task)

    def start_at(self, body: Kinematics, key: jax.Array) -> EnvState:
        """A life of the nominal world that begins at ``body``, which nobody is going to push or help."""
        return first_state(self, *self.starts.begin(body), key)

    def step(self, ctx: ContinuousContext, state: EnvState, action: jax.Array) -> EnvState:
        """One control step; of a body that is held it is not valid."""
        stepped = self._lived(ctx, state, action)
        return self._assisted(state, stepped) if self.assists else stepped

    def _lived(self, ctx: ContinuousContext, state: EnvState, action: jax.Array) -> EnvState:
        """One control step of a body that nobody holds."""
        task = state.task
        control_dt = control_seconds(task, self.control_dt)
        share = self.weakening.guide_share(task.weakening)
        push_key = jax.random.fold_in(state.key, PUSH_STREAM)
        before = pushed(state.physics, self.parts.chest, task.push)
        command, drawn = transmitted(task.drawn, self.control(action, task.guide, share * control_dt))
        model = self.weakening.variant(task.weakening, model_of(task, self.physics.n_substeps))
        physics = self.physics.step(model, before, command)
        body = physics.kinematics
        new_task = dataclasses.replace(
            task,
            guide=self.guide.advance(task.guide, body, control_dt, share),
            phase=self.rules.phase(task.phase, body),
            age=task.age + 1,
            fresh=jnp.zeros((), bool),
            previous_action=action,
            push=advance_push(
                self.config.pushes, task.push, self._next_push(ctx, control_dt, push_key), control_dt
            ),
            drawn=drawn,
        )
        terms, terminated = self.rules.judge(state.physics, physics, task, new_task, action)
        on_feet = new_task.phase >= Phase.STANDING.value
        weakened, has_stood = self.weakening.advance(
            task.weakening,
            task.guide.restarted,
            stands(self.parts, physics, self.body.standing_height),
            control_dt,
        )
        new_task = dataclasses.replace(new_task, weakening=weakened)
        over = has_stood | (new_task.age >= self._most_steps(task))
        reward = jnp.where(physics.bad, 0.0, total(terms))
        metrics = {
            "reward": reward,
            "on_feet": on_feet.astype(jnp.float32),
            "height": body.xpos[self.parts.root, 2] / self.body.standing_height,
            "push_strength": ctx.push_strength,
            "failed": (terminated | (over & ~on_feet)).astype(jnp.float32),
            "completed": (over & on_feet & ~terminated).astype(jnp.float32),
            "bad_world": physics.bad.astype(jnp.float32),
            "overflow": physics.overflow.astype(jnp.float32),
            **self._lesson_metrics(ctx),
            **{f"reward_{name}": term for name, term in terms.items()},
        }
        return dataclasses.replace(
            state,
            physics=physics,
            **observations(self.randomization, self.observe, physics, new_task, state.key),
            reward=reward if state.duration is None else state.duration * reward,
            terminated=terminated,
            truncated=over & ~terminated,
            valid=jnp.ones((), bool),
            task=new_task,
            metrics=metrics,
        )

    def select(self, done: jax.Array, on_true: EnvState, on_false: EnvState) -> EnvState:
        """``on_true`` where ``done`` (), else ``on_false``."""
        return select_state(self.physics, done, on_true, on_false)

    def episode_stats(self, state: EnvState) -> dict[str, jax.Array]:
        """Nominal steps on the feet and of all time without help, and lives decided if motors weaken.

        Summed over the leading axis of ``state``.
        """
        metrics, weakened = state.metrics, state.task.weakening
        duration = jnp.ones_like(metrics["on_feet"]) if state.duration is None else state.duration
        duration = jnp.where(state.valid, duration, 0.0)
        stats = {"on_feet": jnp.sum(duration * metrics["on_feet"]), "steps": jnp.sum(duration)}
        ended = metrics["completed"] + metrics["failed"]
        return stats | self.weakening.stats(weakened, state.task.guide.restarted, ended)

    def update_context(self, ctx: ContinuousContext, stats: dict[str, jax.Array]) -> ContinuousContext:
        """Stronger pushes as the worlds are more on their feet, more joints, and weaker motors."""
        now = stats["on_feet"] / jnp.maximum(stats["steps"], 1.0)
        on_feet = ctx.on_feet + ON_FEET_STEP * (now - ctx.on_feet)
        return ContinuousContext(
            push_strength=push_strength(self.config.pushes, on_feet),
            on_feet=on_feet,
            curriculum=self.curriculum.update(ctx.curriculum, stats["on_feet"], stats["steps"]),
            weakening=self.weakening.update(ctx.weakening, stats),
        )

    # ------------------------------------------------------------------ its parts

    def _assisted(self, before: EnvState, stepped: EnvState) -> EnvState:
        """``stepped``, or the body held in a pose where help has come or goes on.

        To hold a body is to put it after every control step where it was before, whatever the engine did.
        """
        helped, dt = before.task.assist, control_seconds(before.task, self.control_dt)
        due = is_due(self.config.assist, helped, dt)
        body = before.physics.kinematics
        new = self.poses.draw(helped.count, body.qpos[:2], jax.random.fold_in(before.key, ASSIST_STREAM))
        physics, start = self.starts.begin(jax.tree.map(lambda a, b: jnp.where(due, a, b), new, body))
        task = dataclasses.replace(
            stepped.task,
            guide=start.guide,
            phase=start.phase,
            fresh=start.fresh,
            previous_action=start.previous_action,
        )
        seen = observations(self.randomization, self.observe, physics, task, before.key)
        held = held_step(stepped, physics, task, **seen)
        held = dataclasses.replace(held, truncated=task.age >= self._most_steps(task))
        holds = due | (helped.held > 0)
        chosen = self.select(holds, held, stepped)
        fallen = chosen.task.phase == Phase.FALLEN.value
        helped = advance_assist(self.config.assist, helped, due, fallen, dt)
        return dataclasses.replace(
            chosen,
            task=dataclasses.replace(chosen.task, assist=helped),
            metrics=chosen.metrics | {"assisted": holds.astype(jnp.float32)},
        )

    def control(self, action: jax.Array, guide: GuideState, seconds: float | jax.Array) -> jax.Array:
        """Motor input (nu,) of an action (nu,): joint targets in rad for servos, else motor controls.

        Targets are offsets from where ``guide`` is after ``seconds`` at full speed.
        """
        if self.body.drive != "servo":
            return self.steering.offset(action)
        ahead = self.guide.sample(self.guide.ahead(guide, seconds))
        return ahead.qpos[7:] + self.steering.offset(action)

    def observe(self, physics: PhysicsState, task: ContinuousTask) -> dict[str, jax.Array]:
        """The named parts of the observation; see :mod:`synthjax.envs.continuous_observation`."""
        control_dt = control_seconds(task, self.control_dt)
        ahead = self.guide.ahead(task.guide, self.weakening.guide_share(task.weakening) * control_dt)
        target = self.guide.sample(ahead)
        parts = observation.body_parts(physics, self.parts)
        parts |= {"strain": strain(self.parts, physics), "previous_action": task.previous_action}
        parts |= observation.guide_parts(
            physics.kinematics, target, self.parts.root,
            task.guide, self.guide.progress(task.guide), self.guide.height(ahead),
        )  # fmt: skip
        return parts

    def _most_steps(self, task: ContinuousTask) -> int | jax.Array:
        """Control steps of the longest life of this world."""
        if task.drawn is None:
            return self.max_steps
        return steps_in(self.config.life_seconds, task.drawn.control_dt)

    def _next_push(self, ctx: ContinuousContext, control_dt: float | jax.Array, key: jax.Array) -> PushState:
        return next_push(self.config.pushes, ctx.push_strength, self.parts.mass, control_dt, key)

    def _randomized(self, task: ContinuousTask, key: jax.Array) -> ContinuousTask:
        """``task`` at its start in a world of its own, if worlds are randomised."""
        if self.randomization is None:
            return task
        idle = self.control(jnp.zeros(self.action_dim), task.guide, 0.0)
        variant, drawn = self.randomization.draw(idle, jax.random.fold_in(key, DRAW_STREAM))
        return dataclasses.replace(task, variant=variant, drawn=drawn)

    def metric_names(self) -> list[str]:
        """Names in ``metrics``; the same at reset and after a step, as ``scan`` demands."""
        names = ["reward", "on_feet", "height", "push_strength", "failed", "completed"]
        names += ["bad_world", "overflow", *(["assisted"] if self.assists else [])]
        names += self._lesson_metrics(self.init_context())
        return names + [f"reward_{name}" for name in jax.eval_shape(self._terms_of_first_start)]

    def _lesson_metrics(self, ctx: ContinuousContext) -> dict[str, jax.Array]:
        """How far the curriculum is, how weak motors are, and how fast guides."""
        return self.curriculum.metrics(ctx.curriculum) | self.weakening.metrics(ctx.weakening)

    def _terms_of_first_start(self) -> dict[str, jax.Array]:
        physics, task = self._first_start()
        return self.rules.judge(physics, physics, task, task, task.previous_action)[0]

    def _first_start(self) -> tuple[PhysicsState, ContinuousTask]:
        return self.starts.begin(self.starts.gather(self.starts.rows[0]))

    def _observation_layout(self) -> ObservationLayout:
        parts: dict[str, jax.Array] = {}
        jax.eval_shape(lambda: parts.update(self.observe(*self._first_start())))
        return ObservationLayout.of(parts)
