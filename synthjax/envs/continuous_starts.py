"""Where lives begin: settled falls, frames of the get-up clips, and standing."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from synthjax.bodies import Body
from synthjax.envs.assist import no_assist
from synthjax.envs.continuous_rules import ContinuousRules
from synthjax.envs.continuous_task import ContinuousConfig, ContinuousTask
from synthjax.envs.falls import settled_falls
from synthjax.envs.guide import Guide
from synthjax.envs.pushes import no_push
from synthjax.envs.reset_table import pack
from synthjax.envs.weakening import start_kinds
from synthjax.motion.clip import Clip
from synthjax.motion.packing import unpack_row
from synthjax.physics.base import Physics
from synthjax.rewards.phases import Phase
from synthjax.types import Kinematics, PhysicsState


class Starts:
    """The table of start states, and worlds that begin.  All methods are pure and traceable."""

    def __init__(
        self,
        config: ContinuousConfig,
        body: Body,
        physics: Physics,
        clips: list[Clip],
        guide: Guide,
        rules: ContinuousRules,
        seed: int,
    ):
        """``clips`` are those that ``guide`` runs through; ``seed`` is that of the falls."""
        self._body, self._physics, self._guide, self._rules = body, physics, guide, rules
        self.rows, self.probabilities = start_table(
            body, clips, config.falls, config.fallen_share, config.clip_share, seed
        )
        frames = sum(clip.num_frames for clip in clips)
        self.kinds = start_kinds(
            clips, config.falls, len(self.rows) - config.falls - frames, config.weakening.kind_seconds
        )

    def gather(self, row: jax.Array) -> Kinematics:
        """The kinematics of a packed row."""
        return unpack_row(row, self._body.model.nq, self._body.model.nv)

    def begin(self, body: Kinematics) -> tuple[PhysicsState, ContinuousTask]:
        """A nominal world at ``body``, which nobody is going to push or help."""
        task = ContinuousTask(
            guide=self._guide.nearest(body),
            phase=self._rules.phase(jnp.asarray(Phase.RECOVERING.value), body),
            age=jnp.zeros((), jnp.int32),
            fresh=jnp.ones((), bool),
            previous_action=jnp.zeros(self._body.model.nu),
            push=no_push(),
            assist=no_assist(),
            variant={},
        )
        return self._physics.restore(body), task


def start_table(
    body: Body, clips: list[Clip], falls: int, fallen_share: float, clip_share: float, seed: int
) -> tuple[jax.Array, jax.Array]:
    """Start states with their kinematics, so that a reset is a gather.

    Args:
      body: the body that lives.
      clips: its get-up clips; every frame is a start.
      falls: number of settled falls.
      fallen_share: of the starts that are falls.
      clip_share: of the starts that are frames; the others stand.
      seed: of the falls.

    Returns:
      Packed states (S, F), and the probability of each (S,).
    """
    model = body.model
    frames = [np.concatenate(rows) for rows in zip(*((c.qpos, c.qvel) for c in clips), strict=True)]
    frames[0][:, :2] = 0.0
    standing = body.standing_qpos[None], np.zeros((1, model.nv))
    parts = (
        (settled_falls(body, falls, seed), fallen_share),
        (frames, clip_share),
        (standing, max(0.0, 1.0 - fallen_share - clip_share)),  # rounding must not make it negative
    )
    rows = [pack(model, qpos, qvel) for (qpos, qvel), _ in parts]
    weights = [np.full(len(qpos), share / len(qpos)) for (qpos, _), share in parts]
    return jnp.asarray(np.concatenate(rows), jnp.float32), jnp.asarray(np.concatenate(weights))
