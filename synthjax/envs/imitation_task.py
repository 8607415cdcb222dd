"""Settings of imitation, and what its worlds share and remember."""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax
from flax import struct

from synthjax.envs.curriculum import CurriculumConfig, CurriculumState
from synthjax.envs.drift import DriftConfig
from synthjax.envs.pushes import PushState
from synthjax.envs.randomization import Drawn
from synthjax.envs.reset_table import StartNoise
from synthjax.envs.sampler import SamplerConfig, SamplerState


@dataclasses.dataclass(frozen=True)
class ImitationConfig:
    """The task, apart from the body, the motions and the physics."""

    reward: str = "precise"  # name in synthjax.rewards
    action_mode: Literal["reference", "absolute"] = "reference"  # what a zero action means to servos
    steered: Literal["main", "all"] = "main"  # hinges that the policy moves; others hold the reference
    action_scale: float = 0.4  # of the body's own scale of joint targets; torques have theirs
    lookahead: tuple[int, ...] = (1,)  # control steps ahead of the reference frames in the observation
    max_episode_seconds: float = 4.0  # time limit, with its value bootstrapped; short ones see more starts
    termination_distance: float = 0.3  # m, of any body from its reference, root xy and yaw aligned
    drift: DriftConfig = dataclasses.field(default_factory=DriftConfig)  # limit on the root's own distance
    terminate_on_fall: bool = True  # end at a ground contact that the reference does not have
    start_noise: StartNoise = dataclasses.field(default_factory=StartNoise)  # on every start
    starts_per_bin: int = 64  # stored start states of each time bin
    bin_seconds: float = 0.1  # length of a time bin of the sampler
    sampler: SamplerConfig = dataclasses.field(default_factory=SamplerConfig)  # where episodes start
    # joints unlocked in stages; success is the share of the episodes that end which are complete
    curriculum: CurriculumConfig = dataclasses.field(default_factory=CurriculumConfig)


@struct.dataclass
class ImitationContext:
    """What all worlds share and epochs change."""

    sampler: SamplerState
    drift_limit: jax.Array  # () m
    curriculum: CurriculumState


@struct.dataclass
class ImitationTask:
    """What one world remembers."""

    clip: jax.Array  # () int32
    time: jax.Array  # () s since the clip's first frame; grows past its duration when it loops
    age: jax.Array  # () int32, control steps since the start
    previous_action: jax.Array  # (nu,)
    variant: dict[str, jax.Array]  # this world's model fields; empty for the nominal body
    push: PushState | None = None  # of a randomised world
    drawn: Drawn | None = None  # what else has been drawn for it
