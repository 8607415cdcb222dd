"""The bodies on which a policy is judged that is to work on others than its own."""

from __future__ import annotations

import dataclasses

from synthjax.bodies import Body
from synthjax.envs.randomization import random_bodies
from synthjax.physics import ModelVariant
from synthjax.training.policies import SEED
from synthjax.types import EnvState

RANGE = (0.8, 1.2)  # of the factors of mass, friction and motor strength, each body its own
NOMINAL, CHANGED = "nominal body", "bodies changed by up to 20 %"  # in reports


def changed_bodies(body: Body, count: int) -> ModelVariant:
    """``count`` bodies, (count, ...); the same for all runs, and the first ones of any larger count."""
    return random_bodies(body, count, SEED, mass=RANGE, friction=RANGE, strength=RANGE)


def with_bodies(first: EnvState, variants: ModelVariant) -> EnvState:
    """Worlds ``first`` (N, ...) at their start with the bodies of ``variants`` (N, ...)."""
    return dataclasses.replace(first, task=dataclasses.replace(first.task, variant=variants))
