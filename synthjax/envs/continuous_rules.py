"""What a step of always-on life is worth, when it ends a life, and which phase a body is in."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from synthjax.bodies import Body
from synthjax.envs.body_parts import BodyParts
from synthjax.envs.continuous_reward import reward_inputs, up_z
from synthjax.envs.continuous_task import ContinuousConfig, ContinuousTask
from synthjax.envs.guide import Guide, GuideState
from synthjax.envs.randomization import control_seconds
from synthjax.rewards import ContinuingInputs, continuing_reward
from synthjax.rewards.continuing import lerp
from synthjax.rewards.phases import next_phase, seed_phase
from synthjax.types import Kinematics, PhysicsState


class ContinuousRules:
    """Rewards, ends and phases of one world.  All methods are pure and traceable."""

    def __init__(
        self, config: ContinuousConfig, body: Body, parts: BodyParts, guide: Guide, control_dt: float
    ):
        """``control_dt`` in s is that of a nominal world."""
        self.config, self.parts, self.guide, self.control_dt = config, parts, guide, control_dt
        self.standing_height = body.standing_height
        self.reward = continuing_reward(config.reward)

    def judge(
        self,
        before: PhysicsState,
        physics: PhysicsState,
        task: ContinuousTask,
        new_task: ContinuousTask,
        action: jax.Array,
    ) -> tuple[dict[str, jax.Array], jax.Array]:
        """The named terms of the reward at t+1, and whether life has ended there () bool.

        ``before`` and ``task`` are those of t, ``physics`` and ``new_task`` those of t+1.
        """
        inputs = reward_inputs(
            self.parts, before, physics,
            standing_height=self.standing_height,
            poses=self.guide.poses,
            action=action,
            previous_action=jnp.where(task.fresh, action, task.previous_action),
            phase=new_task.phase,
            control_dt=control_seconds(task, self.control_dt),
        )  # fmt: skip
        terminated = physics.bad
        if self.config.ends_when_lost:
            terminated |= new_task.guide.restarted
        return self._terms(inputs, physics.kinematics, new_task.guide), terminated

    def phase(self, previous: jax.Array, body: Kinematics) -> jax.Array:
        """The phase of ``body``: the original's rule for its reward, else with hysteresis.  -> () int32."""
        height, up = body.xpos[self.parts.root, 2], up_z(body, self.parts.root)
        speed = jnp.linalg.norm(body.linvel[self.parts.root, :2])
        if self.config.reward == "seed":
            return seed_phase(height, up, speed)
        standing = jnp.asarray(self.standing_height)
        return next_phase(self.config.phases, previous, height, standing, up, speed)

    def _terms(self, inputs: ContinuingInputs, body: Kinematics, guide: GuideState) -> dict[str, jax.Array]:
        """The named terms of the reward.

        Being where the guide is pays the more the less time it has left to standing: to go on is worth more
        than to stay beside a guide that lies.  The original knows no guide.
        """
        terms = self.reward(inputs)
        if self.config.reward == "seed":
            return terms
        near = jnp.exp(-jnp.square(self.guide.distance(body, guide) / self.config.guide_scale))
        worth = lerp(self.config.guide_floor, 1.0, self.guide.progress(guide))
        return terms | {"guide": self.config.guide_weight * worth * near}
