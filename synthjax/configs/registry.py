"""Presets by environment, agent and name: a new experiment is one new file and one line here."""

from __future__ import annotations

from typing import Any, cast

from synthjax.configs import continuous, imitation
from synthjax.configs.train import TrainConfig
from synthjax.errors import unknown

# The first agent of an environment is the one that it is trained with if none is named.
PRESETS: dict[str, dict[str, dict[str, TrainConfig]]] = {
    "imitation": imitation.PRESETS,
    "continuous": continuous.PRESETS,
}


def get(env: str, algorithm: str | None = None, *, preset: str = "cpu", actuation: str = "pd") -> TrainConfig:
    """The preset called ``preset`` of environment ``env`` for an agent, its usual one if not given.

    Where there is one for motors of the strength ``actuation``, such as ``cpu-torque``, it is that one.

    Raises:
      UserError: unknown environment, agent or preset; names the near matches.
    """
    if env not in PRESETS:
        raise unknown("environment", env, PRESETS)
    agents = PRESETS[env]
    if algorithm is None:
        algorithm = next(iter(agents))
    if algorithm not in agents:
        raise unknown(f"{env} agent", algorithm, agents)
    if preset not in agents[algorithm]:
        raise unknown(f"{env} preset", preset, agents[algorithm])
    return agents[algorithm].get(f"{preset}-{actuation}", agents[algorithm][preset])


def missing_preset(env: str, algorithm: str, actuation: str) -> str | None:
    """A sentence, where motors of the strength ``actuation`` have presets of another agent than this one."""
    ending = f"-{actuation}"
    having = [name for name, presets in PRESETS[env].items() if any(p.endswith(ending) for p in presets)]
    if not having or algorithm in having:
        return None
    return (
        f"--agent {algorithm} has no preset for the motors of --body.actuation {actuation} "
        f"and takes the one for pd: --agent {having[0]} has one."
    )


def type_of(config: TrainConfig) -> type[TrainConfig]:
    """``TrainConfig`` with the types of the task and agent of ``config``, for parsers."""
    # To a type checker the arguments of a generic are no values.
    kind: type[TrainConfig] = cast(Any, TrainConfig)[type(config.task), type(config.agent)]
    return kind
