"""The bodies on which a policy is judged that is to work on others than its own."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from synthjax.bodies import Body
from synthjax.envs.randomization import random_bodies
from synthjax.envs.weakening import stronger
from synthjax.errors import UserError
from synthjax.physics import ModelVariant
from synthjax.training.policies import SEED
from synthjax.types import EnvState

RANGE = (0.8, 1.2)  # of the factors of mass, friction and motor strength, each body its own
NOMINAL, CHANGED = "nominal body", "bodies changed by up to 20 %"  # in reports


def changed_bodies(body: Body, count: int) -> ModelVariant:
    """``count`` bodies, (count, ...); the same for all runs, and the first ones of any larger count."""
    return random_bodies(body, count, SEED, mass=RANGE, friction=RANGE, strength=RANGE)


def judged_bodies(body: Body, count: int, changed: bool, motors: float) -> tuple[str, ModelVariant]:
    """What ``count`` bodies are called in reports, and what makes them others than ``body``.

    Args:
      body: that of the run.
      count: N.
      changed: whether they are :func:`changed_bodies`.
      motors: how many times as strong as the body's own their motors are.

    Raises:
      UserError: other motors for a body without servos.
    """
    name, variants = (CHANGED, changed_bodies(body, count)) if changed else (NOMINAL, {})
    if motors == 1.0:
        return name, variants
    if body.drive != "servo":
        raise UserError("--motors changes servos, and this run's body has none: leave it out.")
    strength = jnp.full(count, motors)
    varied = jax.vmap(lambda x, variant: stronger(body, x, variant))(strength, variants)
    return f"{name}, motors {motors:g} times as strong", varied


def with_bodies(first: EnvState, variants: ModelVariant) -> EnvState:
    """Worlds ``first`` (N, ...) at their start with the bodies of ``variants`` (N, ...)."""
    return dataclasses.replace(first, task=dataclasses.replace(first.task, variant=variants))
