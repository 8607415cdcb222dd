"""How an always-on policy is judged: get-up attempts from settled falls, and a video of some of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from synthjax.envs import pushes
from synthjax.envs.getup_starts import SIDES, content_hash, getup_starts, side_of
from synthjax.envs.reset_table import pack
from synthjax.envs.standing import HOLD_SECONDS
from synthjax.envs.timing import steps_in
from synthjax.training import changed_bodies as bodies
from synthjax.training.build import Run
from synthjax.training.display import Shown
from synthjax.training.getup import (
    AttemptTrace,
    GetupScores,
    PushScores,
    run_attempts,
    score_attempts,
    score_pushes,
)
from synthjax.training.mesh import copied, split
from synthjax.training.offscreen import RendererUnavailable
from synthjax.training.playback import VIDEO_FPS, Recording, captions, resample
from synthjax.training.policies import make_policy
from synthjax.training.rollout import batch_size, in_batches
from synthjax.training.video import render_rollout
from synthjax.types import PyTree

PUSH_SPEEDS = (0.5, 1.0)  # m/s that the standard pushes give the whole body
PUSH_DIRECTIONS = 32  # in equal steps around it
PUSH_AFTER = 1.0  # s of standing before a push
FILMED_SECONDS = 6.0  # of each attempt, if not said otherwise


class ContinuousEvaluator:
    """``synthjax.training.evaluator.Evaluator`` for always-on life."""

    shown: ClassVar[Shown] = {
        "reward": ("reward per step", lambda value: f"{value:.3f}"),
        "on_feet": ("time on its feet", lambda value: f"{value:.0%}"),
        "height": ("root height", lambda value: f"{value:.0%}"),
        "push_strength": ("pushes", lambda value: f"{value:.0%}"),
        "assisted": ("held up", lambda value: f"{value:.0%}"),
        "motor_strength": ("motors", lambda value: f"{value:.2f} x"),
        "guide_speed": ("guide", lambda value: f"{value:.2f} x"),
        "skill": ("skill", lambda value: f"{value:.0%}"),
        "curriculum_stage": ("stage", lambda value: f"{value:.0f}"),
    }

    def __init__(
        self,
        run: Run,
        deterministic: bool = True,
        seconds: float | None = None,
        changed_bodies: bool = False,
        motors: float = 1.0,
    ):
        """``seconds`` in which an attempt must begin to stand; that of the run's evaluations if not given."""
        self.run, self.deterministic = run, deterministic
        self.seconds = seconds or run.config.evaluation.seconds
        self.filmed = seconds or FILMED_SECONDS
        self._policy = make_policy(run, deterministic)
        self._batch = batch_size(run.config.evaluation.episodes, run.program.mesh)
        self.bodies, self._variants = bodies.judged_bodies(run.body, self._batch, changed_bodies, motors)
        self._qpos = np.zeros((0, run.body.model.nq))
        self._start = jax.jit(jax.vmap(lambda row, key: run.env.start_at(run.env.starts.gather(row), key)))

    def figures(self, agent_state: PyTree, episodes: int) -> dict[str, float]:
        """Figures of ``episodes`` attempts, from all sides alike."""
        scores = self._score(self._attempts(agent_state, episodes))
        return {name: value for name, value in scores.as_dict().items() if value is not None}

    def sentence(self, figures: Mapping[str, float]) -> str:
        """The main figures in words."""
        words = f"{figures['success']:.0%} of attempts get up"
        if "seconds_to_stand" in figures:
            words += f", median {figures['seconds_to_stand']:.1f} s"
        return f"{words}; root at {figures['final_height']:.0%} of standing height at the end"

    def rank(self, figures: Mapping[str, float]) -> float:
        """One number to compare checkpoints by: success first, then the time it stands."""
        return figures["success"] + figures["time_standing"] / 1e4

    def report(self, agent_state: PyTree, episodes: int) -> dict[str, Any]:
        """Figures of all attempts, of those from each side, and of what comes after standard pushes."""
        trace = self._attempts(agent_state, episodes)
        sides = side_of(self._falls(episodes))
        return {
            "rule": "root >= 0.9 of standing height, up >= 0.9, only feet on the ground, held for 2 s",
            "seconds": self.seconds,
            "starts": content_hash(self._falls(episodes)),
            "mode": "deterministic" if self.deterministic else "stochastic",
            "bodies": self.bodies,
            "all": self._score(trace).as_dict(),
            "sides": {
                side: self._score(trace, sides == i).as_dict()
                for i, side in enumerate(SIDES)
                if (sides == i).any()
            },
            "pushes": {f"{speed:g}": self._pushed(agent_state, speed).as_dict() for speed in PUSH_SPEEDS},
        }

    def table(self, report: dict[str, Any]) -> Table:
        """The report for the terminal: a row for each side that attempts start on and each kind of push."""
        table = Table(
            title=f"Get-up within {report['seconds']:g} s, {report['mode']}, {report['bodies']}",
            title_justify="left",
            box=SIMPLE_HEAD,
            pad_edge=False,
            collapse_padding=True,
        )
        table.add_column("start", no_wrap=True)
        for heading in ("tries", "success", "kept feet", "got up", "to stand", "energy", "standing"):
            table.add_column(heading, justify="right", no_wrap=True)
        for name, values in (report["sides"] | {"all": report["all"]}).items():
            table.add_row(name, *_cells(GetupScores(**values)))
        for speed, values in report["pushes"].items():
            table.add_row(f"pushed, {speed} m/s", *_cells(PushScores(**values)))
        return table

    def recordings(self, agent_state: PyTree) -> list[Recording]:
        """One attempt from each side, as long as it is filmed."""
        rate = 1.0 / self.run.env.control_dt
        trace = self._attempts(agent_state, len(SIDES))
        attempts = np.asarray(trace.qpos).swapaxes(0, 1)[:, : round(self.filmed * rate)]
        return [Recording(side, qpos, rate) for side, qpos in zip(SIDES, attempts, strict=True)]

    def render(self, agent_state: PyTree, path: Path | None) -> str:
        """Writes a video of four attempts, one from each side, one after the other.

        Returns:
          One line for the user: where the video is, or which package brings it; nothing without ``path``.
        """
        recordings = self.recordings(agent_state)
        if path is None:
            return ""
        poses, words = [], []
        for each in recordings:
            poses.append(resample(self.run.body.model, each.qpos, each.rate))
            words += captions(each.name, len(poses[-1]))
        try:
            render_rollout(self.run.body, np.concatenate(poses), None, VIDEO_FPS, path, captions=words)
        except RendererUnavailable as unavailable:
            return str(unavailable)
        return f"Video: {path}"

    def _score(self, trace: AttemptTrace, mask: np.ndarray | None = None) -> GetupScores:
        return score_attempts(trace, self.run.env.control_dt, self.seconds, mask)

    def _attempts(self, agent_state: PyTree, count: int) -> AttemptTrace:
        """``count`` attempts, the sides in turn; arrays on the host."""
        mesh, env = self.run.program.mesh, self.run.env
        agent_state = copied(mesh, agent_state)
        steps = round((self.seconds + HOLD_SECONDS) / env.control_dt)

        def run_batch(qpos: np.ndarray, keys: jax.Array) -> AttemptTrace:
            rows = pack(env.body.model, qpos, np.zeros((len(qpos), env.body.model.nv)))
            first = bodies.with_bodies(self._start(jnp.asarray(rows, jnp.float32), keys), self._variants)
            return run_attempts(env, self._policy, agent_state, split(mesh, first), steps, mesh)

        return in_batches(self._falls(count), self._batch, run_batch, mesh)

    def _pushed(self, agent_state: PyTree, speed: float) -> PushScores:
        """What comes after a push by ``speed`` m/s at a body that stands, from each direction.

        Success is the rule of get-ups from the end of the push on: to stand for two seconds, begun in time,
        whether the body has kept its feet or got up again, which are told apart.
        """
        mesh, env, config = self.run.program.mesh, self.run.env, self.run.config.task.pushes
        agent_state = copied(mesh, agent_state)
        until = round(PUSH_AFTER / env.control_dt) + steps_in(config.seconds, env.control_dt)
        steps = until + round((self.seconds + HOLD_SECONDS) / env.control_dt)
        standing = pack(env.body.model, env.body.standing_qpos[None], np.zeros((1, env.body.model.nv)))

        def at(angle: jax.Array) -> pushes.PushState:
            force = pushes.push_force(config, jnp.asarray(speed), angle, env.parts.mass, env.control_dt)
            return pushes.PushState(force=force, wait=jnp.asarray(round(PUSH_AFTER / env.control_dt)))

        def run_batch(angles: np.ndarray, keys: jax.Array) -> AttemptTrace:
            rows = np.repeat(standing, len(angles), axis=0)
            first = bodies.with_bodies(self._start(jnp.asarray(rows, jnp.float32), keys), self._variants)
            task = dataclasses.replace(first.task, push=jax.vmap(at)(jnp.asarray(angles, jnp.float32)))
            first = split(mesh, dataclasses.replace(first, task=task))
            return run_attempts(env, self._policy, agent_state, first, steps, mesh)

        angles = 2.0 * np.pi * np.arange(PUSH_DIRECTIONS) / PUSH_DIRECTIONS
        trace = in_batches(angles, self._batch, run_batch, mesh)
        return score_pushes(jax.tree.map(lambda x: x[until:], trace), env.control_dt, self.seconds)

    def _falls(self, count: int) -> np.ndarray:
        """``qpos`` (count, nq) of settled falls, the sides in turn; any count takes the first ones."""
        if len(self._qpos) < count:
            self._qpos = getup_starts(self.run.env.body, count)
        return self._qpos[:count]


def _cells(scores: GetupScores) -> list[str]:
    seconds, energy = scores.seconds_to_stand, scores.energy_to_stand
    ways = [f"{scores.kept_feet:.0%}", f"{scores.got_up:.0%}"] if isinstance(scores, PushScores) else ["", ""]
    return [
        str(scores.attempts),
        f"{scores.success:.0%}",
        *ways,
        "-" if seconds is None else f"{seconds:.1f} s",
        "-" if energy is None else f"{energy:.0f} J",
        f"{scores.time_standing:.0%}",
    ]
