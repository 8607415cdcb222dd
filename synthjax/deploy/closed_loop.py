"""The gate that runs a bundle as a host does: its body in MuJoCo under its models, and nothing of training.

The other gates hand the models what the training environment has seen.  Here each control step is a
consequence of those before it, so that what a host reads, in which order and of which time, counts as well.
"""

from __future__ import annotations

import math

import numpy as np

from synthjax.deploy.bundle import Bundle
from synthjax.deploy.gates import RETURN_SHARE, Figures, stop
from synthjax.deploy.rollouts import Rollouts
from synthjax.deploy.runtime import DeployedPolicy
from synthjax.deploy.tuning.actor import Actor
from synthjax.deploy.tuning.config import BodyChange

FIRST_STEPS = 10  # control steps in which rounding has not grown yet
ERRORS = 3.0  # standard errors of the comparison, beyond which a difference is no chance


def closed_loop_gate(bundle: Bundle, rollouts: Rollouts) -> Figures:
    """Gate ``closed loop``: whole episodes from the starts of ``rollouts`` earn what they earned in training.

    Contacts make two bodies part that differ by rounding, the sooner the worse the policy.  So what counts is
    the mean return: it may differ by the share that int8 weights may cost, and by more if that can be chance.

    Args:
      bundle: with its part for training, for the reward.
      rollouts: of the same policy in the training environment.

    Returns:
      Both mean returns, and how far the joint angles are apart, rad: the largest difference in the first
      steps, and the median over all steps of the largest of each.

    Raises:
      UserError: the returns differ by more.
    """
    actor = Actor(bundle, DeployedPolicy(bundle.manifest, bundle.files), BodyChange())
    played = [_episode(actor, rollouts, world) for world in range(rollouts.reward.shape[1])]
    returns, apart = [total for total, _ in played], [row for _, row in played]
    difference = np.array(returns) - rollouts.returns
    expected = float(rollouts.returns.mean())
    error = float(difference.std()) / math.sqrt(len(difference))
    if not abs(difference.mean()) <= max(RETURN_SHARE * abs(expected), ERRORS * error):
        stop(
            "closed loop",
            f"episodes of the bundle alone earn {np.mean(returns):.4g}, those in training {expected:.4g}",
        )
    return {
        "closed loop": {
            "training": expected,
            "bundle": float(np.mean(returns)),
            "episodes": len(returns),
            "joints of the first steps": max(value for row in apart for value in row[:FIRST_STEPS]),
            "joints": float(np.median([value for row in apart for value in row])),
        }
    }


def _episode(actor: Actor[DeployedPolicy], rollouts: Rollouts, world: int) -> tuple[float, list[float]]:
    """The return of an episode from a world's start, and the joints' largest difference after each step.

    Training may begin an episode at any age, so its time limit comes when that of ``rollouts`` came.
    """
    ended = rollouts.ended[:, world]
    last = int(np.argmax(ended)) if ended.any() else len(ended) - 1
    limit = len(ended) if rollouts.terminated[last, world] else last + 1
    place = {name: rollouts.inputs[name][0, world] for name in ("qpos", "qvel")}
    actor.begin({**place, "carried": rollouts.start[world], "memory": rollouts.memory[world]})
    total, apart, done, t = 0.0, list[float](), False, 0
    while not done and t < limit:
        actor.act(actor.observe(), None)
        actor.body.step(actor.substeps)
        outcome = actor.judge()
        total, done, t = total + outcome.reward, outcome.done, t + 1
        if t < len(ended):
            there = rollouts.inputs["qpos"][t, world, 7:]
            apart.append(float(np.abs(actor.body.data.qpos[7:] - there).max()))
    return total, apart
