"""Motors that begin stronger than the body's own and weaken as lives succeed.

What weak motors can do is hardly found with weak motors: a body that cannot lift itself learns nothing from
trying.  So they begin strong, and lose strength by small steps for as long as lives end standing (Tao
et al. 2022, "Learning to get up", whose strong policies become weak ones in the same way).  Once they are the
body's own, and if its guide is meant to run faster than its clips, it does so by the same small steps: a
single number, the ease of a life, is the strength of its motors above 1, and below it what a guide takes
for a second of its clips.

How often lives succeed is known for each kind of start by itself: the settled falls in a few groups, and the
frames of the clips by their time.  Kinds that fail are drawn more often, as in :mod:`synthjax.envs.sampler`,
and a life is over, and has succeeded, once it has stood for a while: most of what is left of it would be
standing.  Once its guide has lost it, it has failed, although it may go on: what is known of failures must
not be older than what is known of successes.  Lives of evaluations have the body's own strength and a guide
at its full speed, and know none of this.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from synthjax.bodies import Body
from synthjax.envs.sampler import draw_index
from synthjax.envs.standing import HOLD_SECONDS
from synthjax.errors import UserError
from synthjax.motion.clip import Clip
from synthjax.physics.base import ModelVariant

_MOTORS = ("actuator_gainprm", "actuator_biasprm", "actuator_forcerange", "dof_damping")
_FALL_KINDS = 8  # groups of settled falls
_FIRST_SUCCESS = 0.3  # share of success of all kinds of starts before any life is decided


@dataclasses.dataclass(frozen=True)
class WeakeningConfig:
    """How motors weaken, and guides get faster after that.

    With a ``start`` of 1 motors are the body's own and guides at full speed from the beginning, and starts
    are drawn alike.
    """

    start: float = 1.0  # times the body's own strength that motors begin with
    target: float = 0.58  # share of lives that succeed: above it ease is lost, below it comes back
    pace: float = 0.02  # of the logarithm of the ease, an update, for each 1 of that share off the target
    success_step: float = 0.05  # weight of one life in the moving average of its kind of start
    mastered_weight: float = 0.2  # weight of a start that always succeeds, beside 1 of one that never does
    kind_seconds: float = 0.25  # of a clip whose frames are one kind of start
    stand_seconds: float = HOLD_SECONDS  # on end, by the rule of get-ups, after which a life has succeeded

    @property
    def identity(self) -> str:
        """Motors that weaken in words, with the kinds of starts that are told apart; empty if they do not."""
        return f" with motors that weaken, starts of {self.kind_seconds:g} s" if self.start > 1.0 else ""


@struct.dataclass
class WeakeningState:
    """How easy lives are, and what they come to."""

    ease: jax.Array  # () times the body's own strength; below 1, s of the guide for each s of its clips
    success: jax.Array  # (kinds,) moving average of the share of lives that succeed


@struct.dataclass
class WeakeningTask:
    """What one life knows of it."""

    ease: jax.Array  # () that of WeakeningState when it began
    kind: jax.Array  # () int32, of its start
    stood: jax.Array  # () s for which it has stood on end
    lost: jax.Array  # () bool, its guide has lost it before: it has failed, and goes on


class Weakening:
    """Motors of one body that weaken; all methods but the constructor are pure and traceable.

    Where they do not, states and tasks are ``None``, and the same methods change nothing.
    """

    def __init__(
        self,
        config: WeakeningConfig,
        body: Body,
        kinds: np.ndarray,
        probabilities: jax.Array,
        fastest: float = 1.0,
    ):
        """
        Args:
          kinds: (S,) int, those of all starts.
          probabilities: (S,) those of all starts.
          fastest: speed of the guide in the end, in that of its clips.

        Raises:
          UserError: motors without servos.
        """
        if config.start > 1.0 and body.drive != "servo":
            raise UserError(
                "Only the motors of servos can weaken: add --task.weakening.start 1 or --body.drive servo."
            )
        self.config, self._body = config, body
        self._fastest, self._hardest = fastest, min(1.0, 1.0 / fastest)  # the latter is the least ease
        self._kinds = jnp.asarray(kinds, jnp.int32)
        self._num_kinds = int(kinds.max()) + 1
        self._shares = jnp.zeros(self._num_kinds).at[self._kinds].add(probabilities)
        self._probabilities = probabilities

    def init(self) -> WeakeningState | None:
        """Strong motors, and starts drawn by their shares."""
        if self.config.start <= 1.0:
            return None
        success = jnp.full(self._num_kinds, _FIRST_SUCCESS)
        return WeakeningState(ease=jnp.asarray(self.config.start), success=success)

    def draw(self, state: WeakeningState | None, key: jax.Array) -> tuple[jax.Array, WeakeningTask | None]:
        """A start () int32, the more likely the more often its kind fails, and what its life knows."""
        if state is None:
            return draw_index(key, self._probabilities), None
        config = self.config
        weights = config.mastered_weight + (1.0 - config.mastered_weight) * (1.0 - state.success)
        index = draw_index(key, self._probabilities * weights[self._kinds])
        return index, WeakeningTask(
            ease=state.ease,
            kind=self._kinds[index],
            stood=jnp.zeros(()),
            lost=jnp.zeros((), bool),
        )

    def variant(self, task: WeakeningTask | None, variant: ModelVariant) -> ModelVariant:
        """``variant`` of the body with motors as strong as its life has them."""
        return variant if task is None else stronger(self._body, jnp.maximum(task.ease, 1.0), variant)

    def guide_share(self, task: WeakeningTask | None) -> jax.Array | float:
        """Share of its full speed at which the guide of a life runs.  -> ()."""
        return 1.0 if task is None else self._share(task.ease)

    def _share(self, ease: jax.Array) -> jax.Array:
        # A run that goes on with a slower guide may have lost more ease than there is to lose.
        return self._hardest / jnp.clip(ease, self._hardest, 1.0)

    def advance(
        self,
        task: WeakeningTask | None,
        lost: jax.Array,
        stands: jax.Array,
        control_dt: float | jax.Array,
    ) -> tuple[WeakeningTask | None, jax.Array]:
        """``task`` after a control step, and whether its life is over, () bool.

        Args:
          task: of t.
          lost: () bool, the guide had lost its body at t.
          stands: () bool, the body stands at t+1 by the rule of :mod:`synthjax.envs.standing`.
          control_dt: s.
        """
        if task is None:
            return None, jnp.zeros((), bool)
        stood = jnp.where(stands, task.stood + control_dt, 0.0)
        task = dataclasses.replace(task, stood=stood, lost=task.lost | lost)
        return task, self._succeeded(task)

    def stats(self, task: WeakeningTask | None, lost: jax.Array, ended: jax.Array) -> dict[str, jax.Array]:
        """Lives that were decided in this step, by the kind of their start, (kinds,) each.

        All arguments are (N,): after the step, whether the guide has lost the body in it, and whether life
        has ended.
        """
        if task is None:
            return {}
        decided = ~task.lost & (lost | (ended > 0))
        succeeded = self._succeeded(task) & ~lost
        nobody = jnp.zeros(self._num_kinds)
        outcomes = {"lives_succeeded": decided & succeeded, "lives_failed": decided & ~succeeded}
        return {name: nobody.at[task.kind].add(of.astype(jnp.float32)) for name, of in outcomes.items()}

    def _succeeded(self, task: WeakeningTask) -> jax.Array:
        return task.stood >= self.config.stand_seconds

    def update(self, state: WeakeningState | None, stats: dict[str, jax.Array]) -> WeakeningState | None:
        """The state after an update in which the lives of ``stats`` were decided."""
        if state is None:
            return None
        config = self.config
        ended = stats["lives_succeeded"] + stats["lives_failed"]
        share = stats["lives_succeeded"] / jnp.maximum(ended, 1.0)
        step = 1.0 - (1.0 - config.success_step) ** ended
        success = state.success + step * (share - state.success)
        # In proportion: at a steady pace ease falls far below what is mastered, and waits there.
        factor = jnp.exp(-config.pace * (self.skill(success) - config.target))
        return WeakeningState(
            ease=jnp.clip(state.ease * factor, self._hardest, config.start), success=success
        )

    def skill(self, success: jax.Array) -> jax.Array:
        """Share of lives that succeed, (), if starts come as often as their shares say."""
        return jnp.sum(self._shares * success)

    def metrics(self, state: WeakeningState | None) -> dict[str, jax.Array]:
        """What the user sees of it, () each.  Nothing where motors do not weaken."""
        if state is None:
            return {}
        return {
            "motor_strength": jnp.maximum(state.ease, 1.0),
            "guide_speed": self._fastest * self._share(state.ease),
            "skill": self.skill(state.success),
        }


def stronger(body: Body, strength: jax.Array | float, variant: ModelVariant) -> ModelVariant:
    """``variant`` of ``body`` with servos ``strength`` () times as strong.

    Their gains and damping grow with their motors, up to what their bones ask for.
    """
    fields = {name: jnp.asarray(getattr(body.model, name), jnp.float32) for name in _MOTORS} | variant
    stiffness, damping = jnp.minimum(strength, jnp.asarray(body.softened.T, jnp.float32))
    return variant | {
        "actuator_gainprm": fields["actuator_gainprm"] * stiffness[:, None],
        "actuator_biasprm": fields["actuator_biasprm"] * stiffness[:, None],
        "actuator_forcerange": fields["actuator_forcerange"] * strength,
        "dof_damping": fields["dof_damping"].at[-len(damping) :].multiply(damping),
    }


def start_kinds(clips: list[Clip], falls: int, others: int, seconds: float) -> np.ndarray:
    """Kind of every start, (falls + frames + others,) int, in the order of the table of starts.

    Args:
      clips: those whose frames are starts.
      falls: number of settled falls, which come first.
      others: number of starts that stand, which come last and are one kind.
      seconds: of a clip whose frames are one kind.
    """
    kinds = [np.arange(falls) * _FALL_KINDS // max(falls, 1)]
    for clip in clips:
        times = np.arange(clip.num_frames) / clip.fps
        kinds.append(_after(kinds) + (times / seconds).astype(int))
    kinds.append(np.full(others, _after(kinds)))
    return np.concatenate(kinds)


def _after(kinds: list[np.ndarray]) -> int:
    """The first kind that is not in ``kinds``."""
    return max((int(each.max()) + 1 for each in kinds if len(each)), default=0)
