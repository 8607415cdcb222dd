"""Randomised worlds: other bodies, late commands, other control rates, noisy sensors, pushes.

A policy that has been trained on many bodies and delays works on one that it has not seen, such as the real
one (Tobin et al. 2017; Peng et al. 2018, "Sim-to-real transfer of robotic control").  What a world is like
is drawn when it starts anew and stays for that life; only the sensors' noise changes with every step.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from synthjax.bodies import Body
from synthjax.envs.observation import flatten
from synthjax.envs.pushes import Pushes
from synthjax.envs.sensors import SensorNoise, sensed
from synthjax.physics import SUBSTEP, ModelVariant, make_variants
from synthjax.types import PhysicsState

Range = tuple[float, float]

# Whoever steps an environment splits its worlds' keys: numbers that far up are nobody else's.
PUSH_STREAM, NOISE_STREAM, DRAW_STREAM, ASSIST_STREAM = 2**20, 2**21, 2**22, 2**23


@dataclasses.dataclass(frozen=True)
class RandomizationConfig:
    """What differs between worlds, and by how much.  Ranges are drawn from uniformly."""

    bodies: int = 256  # different bodies, made once; every start takes one of them
    mass: Range = (0.75, 1.25)  # factor of all masses and inertias of a body
    friction: Range = (0.6, 1.4)  # factor of its friction with the ground
    strength: Range = (0.75, 1.25)  # factor of its motors' gains and limits
    latency: Range = (0.0, 0.04)  # s, from an observation to its command's effect
    control_rate: float = 50.0  # Hz, highest; control periods lie between the run's own and this one's
    noise: SensorNoise = dataclasses.field(default_factory=SensorNoise)  # on what the policy sees
    # in imitation, the stronger the narrower the limit on drift; always-on life has --task.pushes
    pushes: Pushes = dataclasses.field(default_factory=lambda: Pushes(speed=0.3))


@struct.dataclass
class Drawn:
    """What has been drawn for one world, beside the fields of its model."""

    control_dt: jax.Array  # () s
    latency: jax.Array  # () s
    commands: jax.Array  # (K, nu) what the motors were told in the last control steps, newest first


class Task(Protocol):
    """What both tasks remember of a randomised world."""

    @property
    def variant(self) -> ModelVariant: ...

    @property
    def drawn(self) -> Drawn | None: ...


TaskT = TypeVar("TaskT", bound=Task)


class Randomization:
    """Draws worlds of one body; :meth:`draw` is pure and traceable."""

    def __init__(self, config: RandomizationConfig, body: Body, control_dt: float, seed: int):
        """``control_dt`` in s is the nominal, longest one; ``seed`` that of the bodies."""
        self.config = config
        self.variants = random_bodies(
            body, config.bodies, seed, mass=config.mass, friction=config.friction, strength=config.strength
        )
        self.periods = (1.0 / config.control_rate, control_dt)
        # Late by L s means: by so many commands at most, and by none.
        self.num_commands = 1 + math.ceil(config.latency[1] / self.periods[0] - 1e-6)

    def draw(self, idle: jax.Array, key: jax.Array) -> tuple[ModelVariant, Drawn]:
        """A world at its start, whose motors have been told ``idle`` (nu,) before."""
        body_key, period_key, latency_key = jax.random.split(key, 3)
        index = jax.random.randint(body_key, (), 0, self.config.bodies)
        drawn = Drawn(
            control_dt=_uniform(period_key, self.periods),
            latency=_uniform(latency_key, self.config.latency),
            commands=jnp.broadcast_to(idle, (self.num_commands, *idle.shape)),
        )
        return {name: values[index] for name, values in self.variants.items()}, drawn


def random_bodies(
    body: Body, count: int, seed: int, *, mass: Range, friction: Range, strength: Range
) -> ModelVariant:
    """``count`` variants of ``body`` with factors of their own; of any count the first ones are the same."""
    factors = np.random.default_rng(seed).uniform(size=(count, 3))
    ranges = {"mass": mass, "friction": friction, "strength": strength}
    scales = {
        name: low + (high - low) * column
        for (name, (low, high)), column in zip(ranges.items(), factors.T, strict=True)
    }
    return make_variants(body, scales)


def bodies_bytes(body: Body, count: int) -> int:
    """Memory that making ``count`` variants of ``body`` takes: a few numbers of each, in two precisions."""
    one = random_bodies(body, 1, 0, mass=(1.0, 1.0), friction=(1.0, 1.0), strength=(1.0, 1.0))
    numbers = sum(values.size for values in one.values())
    state = body.model.nq + body.model.nv
    return count * (8 * (numbers + state) + 4 * numbers)


def control_seconds(task: Task, nominal: float) -> float | jax.Array:
    """Length of this world's control steps, s."""
    return nominal if task.drawn is None else task.drawn.control_dt


def model_of(task: Task, n_substeps: int) -> ModelVariant:
    """The fields of this world's model, its substep included."""
    if task.drawn is None:
        return task.variant
    return task.variant | {SUBSTEP: task.drawn.control_dt / n_substeps}


def duration_of(task: Task, nominal: float) -> jax.Array | None:
    """Length of this world's control steps in ``nominal`` ones, None if it is one of those."""
    return None if task.drawn is None else task.drawn.control_dt / nominal


def observations(
    randomization: Randomization | None,
    observe: Callable[[PhysicsState, TaskT], Mapping[str, jax.Array]],
    physics: PhysicsState,
    task: TaskT,
    key: jax.Array,
) -> dict[str, jax.Array]:
    """``obs`` of a world, with ``exact_obs`` in a randomised one: fields of its state.

    Args:
      randomization: of the environment, if any.
      observe: the named parts of its observation.
      physics: of the world.
      task: of the world.
      key: of the world.
    """
    exact = flatten(observe(physics, task))
    if randomization is None or task.drawn is None:
        return {"obs": exact}
    noise, noise_key = randomization.config.noise, jax.random.fold_in(key, NOISE_STREAM)
    noisy = dataclasses.replace(physics, kinematics=sensed(noise, physics.kinematics, noise_key))
    return {"obs": flatten(observe(noisy, task)), "exact_obs": exact}


def transmitted(drawn: Drawn | None, command: jax.Array) -> tuple[jax.Array, Drawn | None]:
    """What the motors are told in a control step for which the policy has chosen ``command``.

    A command comes into effect ``latency`` after its observation, in the middle of a control step.  The
    engine holds its input over the step, so it gets the mean over the step of what arrives: the two commands
    between whose arrivals the step lies, in proportion to their shares of it.

    Args:
      drawn: of the world; in a nominal one commands arrive at once.
      command: (nu,) at time t.

    Returns:
      The motors' input (nu,) from t to t+1, and what is drawn with the command remembered.
    """
    if drawn is None:
        return command, None
    commands = jnp.concatenate([command[None], drawn.commands[:-1]])
    steps_late = drawn.latency / drawn.control_dt
    shares = jnp.clip(1.0 - jnp.abs(jnp.arange(len(commands)) - steps_late), 0.0, 1.0)
    return shares @ commands, dataclasses.replace(drawn, commands=commands)


def _uniform(key: jax.Array, between: Range) -> jax.Array:
    low, high = between
    return low + (high - low) * jax.random.uniform(key)
