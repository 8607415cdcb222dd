"""A policy on a simulated body, control step by control step, and what each step was worth."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, TypeVar

import numpy as np

from synthjax.deploy.bundle import Bundle
from synthjax.deploy.runtime import DeployedPolicy
from synthjax.deploy.tuning.body import SimulatedBody
from synthjax.deploy.tuning.config import BodyChange
from synthjax.deploy.tuning.models import Snapshot, TunablePolicy, reward_model

Start = Mapping[str, np.ndarray]
Policy = TypeVar("Policy", bound=DeployedPolicy)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a control step has led to."""

    reward: float
    terminated: bool  # the task has ended: no bootstrap
    truncated: bool  # only its time is over

    @property
    def done(self) -> bool:
        return self.terminated or self.truncated


class Actor(Generic[Policy]):
    """One body with its policy: ``begin``, then ``act``, the body's substeps and ``judge`` by turns."""

    def __init__(self, bundle: Bundle, policy: Policy, change: BodyChange):
        self.body, self.policy = SimulatedBody(bundle, change), policy
        self.substeps = int(bundle.manifest["timing"]["n_substeps"])
        self._max_steps = int(bundle.manifest["finetune"]["max_steps"])
        self._reward = reward_model(bundle)
        own = ("previous_action", "carried")  # of the policy
        self._seen = [name for name in bundle.manifest["observe"]["inputs"] if name not in own]

    def begin(self, start: Start) -> None:
        """Begins an episode."""
        self.body.begin(start)
        self.policy.reset(start["carried"])
        self._memory, self._steps = start["memory"], 0
        self._sensors = self.body.sensors()

    def observe(self) -> np.ndarray:
        """The observation (obs_dim,) of this moment; what the task remembers goes on with it."""
        return self.policy.observe({name: self._sensors[name] for name in self._seen})

    def act(self, observation: np.ndarray, noise: np.ndarray | None) -> np.ndarray:
        """Takes an action (A,), stochastic with ``noise`` (A,); the body is under its motor input then."""
        self._before = self.policy.action
        action = self.policy.act(observation, noise)
        self.body.data.ctrl[:] = self.policy.control()
        return action

    def judge(self) -> Outcome:
        """What the control step was worth that has just ended."""
        self._steps += 1
        if not self.body.sound:
            return Outcome(0.0, terminated=True, truncated=False)
        self._sensors = self.body.sensors()
        given = {
            **self._sensors,
            "action": self.policy.action,
            "previous_action": self._before,
            "carried": self.policy.carried,
            "memory": self._memory,
        }
        out = self._reward({name: given[name] for name in self._reward.inputs})
        self._memory = out.get("memory_next", self._memory)
        over = self._steps >= self._max_steps or bool(out["over"][0])
        terminated = bool(out["terminated"][0])
        return Outcome(float(out["reward"][0]), terminated, over and not terminated)


def episode_returns(
    actor: Actor[TunablePolicy], snapshot: Snapshot, starts: Sequence[Start], returns: list[float]
) -> Iterator[None]:
    """Deterministic episodes of a policy, one from each start; their returns are appended to ``returns``.

    Gives way after every control step.
    """
    actor.policy.snapshot = snapshot
    for start in starts:
        actor.begin(start)
        total, done = 0.0, False
        while not done:
            actor.act(actor.observe(), None)
            actor.body.step(actor.substeps)
            outcome = actor.judge()
            total += outcome.reward
            done = outcome.done
            yield
        returns.append(total)
