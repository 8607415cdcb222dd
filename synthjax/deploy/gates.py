"""What an export must prove before a bundle is written: the models do what the training environment does.

A gate that fails ends the export with its name; nothing is written then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, Protocol

import jax
import numpy as np

from synthjax.deploy.finetune import FineTuning
from synthjax.deploy.model import Model
from synthjax.deploy.rollouts import Rollouts
from synthjax.envs.observation import ObservationLayout
from synthjax.errors import UserError

LEAST_OBSERVATIONS = 1000
# Largest difference from JAX: of observations in their own units, of actions, and of motor inputs.
TOLERANCE = {"float32": 1e-4, "float16": 1e-2}
# Where the heading is nearly arbitrary so are its rounding errors, on any machine: below this length they
# count in proportion to it.
SURE_HEADING = 0.02
TRAIN_STEPS, WAY_SHARE = 10, 0.01
RETURN_SHARE = 0.05  # of the policy's return that int8 weights may change

Figures = dict[str, Any]


class Infer(Protocol):
    """A file of a policy, whatever runs it: observation (1, obs_dim) by name -> outputs (1, A) by name."""

    @property
    def outputs(self) -> Iterable[str]: ...

    def __call__(self, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]: ...


def stop(gate: str, reason: str) -> NoReturn:
    """Ends the export at ``gate``."""
    raise UserError(f"The export stopped at its gate '{gate}' and wrote nothing: {reason}.")


def observe_gate(
    observe: Model, rollouts: Rollouts, layout: ObservationLayout
) -> tuple[Figures, np.ndarray, np.ndarray, np.ndarray]:
    """Gate ``observe``: every observation of whole rollouts, with "carried" handed on by the model alone.

    Returns:
      The largest difference, and what the model made of the rollouts: observations (T, N, obs_dim),
      ``base`` (T, N, nu) and ``carried_next`` (T, N, C).

    Raises:
      UserError: a field of an observation differs by more than the tolerance of float32.
    """
    steps, worlds = rollouts.observation.shape[:2]
    seen = np.empty_like(rollouts.observation)
    base = np.empty_like(rollouts.control)
    handed_on = np.empty((steps, *rollouts.start.shape), np.float32)
    for world in range(worlds):
        carried = rollouts.start[world]
        for t in range(steps):
            given = {name: values[t, world] for name, values in rollouts.inputs.items()}
            out = observe(given | {"carried": carried})
            seen[t, world], base[t, world], carried = out["observation"][0], out["base"], out["carried_next"]
            handed_on[t, world] = carried
    figures = {"observation": 0.0}
    for name, part in layout.slices.items():
        error = _worst(seen[..., part], rollouts.observation[..., part], rollouts.heading_length)
        _limit("observe", f"'{name}' of the observation", error, TOLERANCE["float32"])
        figures["observation"] = max(figures["observation"], error)
    return figures, seen, base, handed_on


def policy_gate(
    infer: Infer, expected: Mapping[str, np.ndarray], rollouts: Rollouts, kind: str, gate: str = "policy"
) -> Figures:
    """Gate ``policy``: all outputs, for all observations of the rollouts.

    Args:
      infer: the model.
      expected: its outputs (T, N, A) by name, as training computes them.
      rollouts: where the observations come from.
      kind: of the weights; int8 has no tolerance here, its policy is judged by its return.
      gate: its name, for another file than the bundle's.

    Returns:
      The largest difference of each output, and how many observations differ from each other.

    Raises:
      UserError: one is larger than the tolerance, or there are too few observations.
    """
    # Worlds that begin alike go on alike.
    count = len(np.unique(rollouts.observation.reshape(-1, rollouts.observation.shape[-1]), axis=0))
    if count < LEAST_OBSERVATIONS:
        stop(gate, f"{count} different observations were recorded, {LEAST_OBSERVATIONS} are needed")
    got = _inferred(infer, rollouts.observation)
    errors = {name: _worst(got[name], value) for name, value in expected.items()}
    # Those that the environment was given, whoever computed what is expected.
    errors["action of the rollout"] = _worst(got["action"], rollouts.action)
    for name, error in errors.items():
        _limit(gate, f"'{name}'", error, TOLERANCE.get(kind, np.inf))
    return {**errors, "observations": count}


def control_gate(infer: Infer, seen: np.ndarray, base: np.ndarray, rollouts: Rollouts, kind: str) -> Figures:
    """Gate ``control``: one model after the other makes the motor inputs of the training environment.

    Raises:
      UserError: an input differs by more than the tolerance.
    """
    offset = _inferred(infer, seen)["offset"]
    error = _worst(base + offset, rollouts.control, rollouts.heading_length)
    _limit("control", "the motor input", error, TOLERANCE.get(kind, np.inf))
    return {"control": error}


def reward_gate(reward: Model, carried: np.ndarray, rollouts: Rollouts) -> Figures:
    """Gate ``reward``: every step of every episode up to its end is worth what training says, and ends there.

    Args:
      reward: the model.
      carried: (T, N, C) what the observation before the step has handed on.
      rollouts: where the steps come from.

    Raises:
      UserError: a reward differs by more than the tolerance of float32, or an episode ends elsewhere.
    """
    worst = 0.0
    for world in range(rollouts.reward.shape[1]):
        memory = {"memory": rollouts.memory[world]} if rollouts.memory.size else {}
        for t in range(len(rollouts.reward)):
            sensors = {name: values[t, world] for name, values in rollouts.sensors.items()}
            place = {"carried": carried[t, world], **memory}
            before = rollouts.inputs["previous_action"][t, world]
            actions = {"action": rollouts.action[t, world], "previous_action": before}
            out = reward({**sensors, **actions, **place})
            if bool(out["terminated"][0]) != bool(rollouts.terminated[t, world]):
                stop("reward", f"step {t} of episode {world} ends it here or in training, not in both")
            # Unlike max, it hands NaN on.
            worst = float(np.maximum(worst, abs(out["reward"][0] - rollouts.reward[t, world])))
            if rollouts.ended[t, world]:
                break
            memory = {"memory": out["memory_next"]} if memory else {}
    _limit("reward", "the reward", worst, TOLERANCE["float32"])
    return {"reward": worst}


def train_gate(
    train_step: Model,
    infer: Model,
    tuning: FineTuning,
    expected: Mapping[str, np.ndarray],
    rollouts: Rollouts,
) -> Figures:
    """Gate ``train step``: ten steps end where those of JAX end, and before them the policy is the same.

    What counts is the distance of each vector from JAX's as a share of the way it has gone: Adam turns the
    sign of a gradient near zero into a whole step of that parameter, and PPO drops a sample at the edge of
    its clip.

    Args:
      train_step: the model by its signature for a step.
      infer: the same by its signature for acting.
      tuning: what it was converted from.
      expected: outputs (T, N, A) of the policy by name.
      rollouts: where observations and actions come from.

    Raises:
      UserError: a vector, or an output of the policy, differs by more than the tolerance.
    """
    start, limit = tuning.start, TOLERANCE["float32"]
    for t in range(min(len(rollouts.observation), 50)):
        out = infer({"params": start["params"], "observation": rollouts.observation[t, :1]})
        for name, value in expected.items():
            _limit("train step", f"'{name}' before it", _worst(out[name][0], value[t, 0]), limit)
    step, rng = jax.jit(tuning.step), np.random.default_rng(0)
    ours, theirs = dict(start), dict(start)
    for _ in range(TRAIN_STEPS):
        given = minibatch(tuning, expected["mean"], rollouts, rng)
        ours = _after(train_step({**ours, **given}), start)
        theirs = _after(jax.device_get(step({**theirs, **given})), start)
    errors = {}
    for name, before in start.items():
        way = float(np.linalg.norm(theirs[name] - before))
        errors[name] = float(np.linalg.norm(ours[name] - theirs[name])) / max(way, 1e-6)
        _limit("train step", f"the way of '{name}' in {TRAIN_STEPS} steps", errors[name], WAY_SHARE)
    return {"train step": errors}


def return_gate(before: Rollouts, after: Rollouts) -> Figures:
    """Gate ``return``: what episodes earn with the model's actions, from the same starts.

    Raises:
      UserError: the mean return has changed by more than its share.
    """
    expected, got = float(before.returns.mean()), float(after.returns.mean())
    if not abs(got - expected) <= RETURN_SHARE * abs(expected):
        stop("return", f"episodes earn {got:.4g} with these weights, {expected:.4g} without: take float16")
    return {"return": {"float32": expected, "model": got}}


def minibatch(
    tuning: FineTuning, mean: np.ndarray, rollouts: Rollouts, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """What a host could sample: places in the rollouts, and numbers for what it would compute.

    Args:
      tuning: says which tensors, and their shapes.
      mean: (T, N, A) of the policy.
      rollouts: where observations and actions come from.
      rng: draws the places and the numbers.

    Returns:
      The tensors by name, float32.
    """
    count = rollouts.reward.size
    shapes = tuning.minibatch
    rows = rng.integers(count - 1, size=shapes["observation"][0])
    observations, actions, means = (
        x.reshape(count, -1) for x in (rollouts.observation, rollouts.action, mean)
    )
    sampled = {
        "observation": observations[rows],
        "next_observation": observations[rows + 1],
        "mean": means[rows],
        "action": actions[rows] + rng.normal(0.0, 0.05, actions[rows].shape),
        "discount": np.full(len(rows), 0.9),
    }
    return {
        name: np.asarray(sampled.get(name, rng.normal(size=shape)), np.float32)
        for name, shape in shapes.items()
    }


def _after(outputs: Mapping[str, np.ndarray], start: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: outputs[f"{name}_next"] for name in start}


def _inferred(infer: Infer, observations: np.ndarray) -> dict[str, np.ndarray]:
    """The outputs (T, N, A) by name, for observations (T, N, obs_dim) one by one."""
    rows = [infer({"observation": row[None]}) for row in observations.reshape(-1, observations.shape[-1])]
    shape = observations.shape[:-1]
    return {name: np.concatenate([row[name] for row in rows]).reshape(*shape, -1) for name in infer.outputs}


def _worst(got: np.ndarray, expected: np.ndarray, heading_length: np.ndarray | None = None) -> float:
    """The largest difference, of (T, N, n) where the heading counts; NaN if anything is NaN."""
    error = np.abs(got - expected)
    if heading_length is not None:
        error *= np.minimum(1.0, heading_length / SURE_HEADING)[..., None]
    return float(np.max(error, initial=0.0))


def _limit(gate: str, what: str, error: float, tolerance: float) -> None:
    if not error <= tolerance:  # NaN is no pass
        stop(gate, f"{what} differs from the training's by {error:.3g}, {tolerance:g} is allowed")
