"""Settings of always-on life, and what its worlds share and remember."""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax
from flax import struct

from synthjax.envs.assist import AssistConfig, AssistState
from synthjax.envs.curriculum import CurriculumConfig, CurriculumState
from synthjax.envs.guide import GuideConfig, GuideState
from synthjax.envs.pushes import PushConfig, PushState
from synthjax.envs.randomization import Drawn
from synthjax.envs.weakening import WeakeningConfig, WeakeningState, WeakeningTask
from synthjax.rewards.phases import PhaseConfig


@dataclasses.dataclass(frozen=True)
class ContinuousConfig:
    """The task, apart from the body, the get-up clips and the physics."""

    reward: str = "default"  # name in synthjax.rewards.CONTINUING_REWARDS
    # hinges that the policy moves; others hold the guide's pose, which takes servos: without, all move
    steered: Literal["main", "all"] = "main"
    action_scale: float = 0.4  # of the body's own scale of joint targets; torques have theirs
    life_seconds: float = 10.0  # most after which a world starts anew, with its value bootstrapped
    ends_when_lost: bool = True  # in training a life ends, worth nothing more, when its guide starts over
    falls: int = 256  # settled falls that worlds start in
    fallen_share: float = 0.3  # of the starts: settled falls
    clip_share: float = 0.6  # of the starts: frames of the get-up clips; the others stand
    guide_weight: float = 0.5  # of the reward for being where the guide is
    guide_floor: float = 0.2  # share of it at the beginning of the longest clip; all of it at standing
    guide_scale: float = 0.5  # pose distance at which it is worth exp(-1)
    guide: GuideConfig = dataclasses.field(default_factory=GuideConfig)
    pushes: PushConfig = dataclasses.field(default_factory=PushConfig)
    phases: PhaseConfig = dataclasses.field(default_factory=PhaseConfig)
    # help for who lies for long; no life that is cut before can come to it
    assist: AssistConfig = dataclasses.field(default_factory=AssistConfig)
    # joints unlocked in stages; success is the share of time that worlds are on their feet
    curriculum: CurriculumConfig = dataclasses.field(default_factory=CurriculumConfig)
    # motors that begin stronger than the body's own, and a guide that begins as slow as its clips
    weakening: WeakeningConfig = dataclasses.field(default_factory=WeakeningConfig)


@struct.dataclass
class ContinuousContext:
    """What all worlds share and epochs change."""

    push_strength: jax.Array  # () share of the pushes' speed
    on_feet: jax.Array  # () moving average of the share of time that worlds are on their feet
    curriculum: CurriculumState
    weakening: WeakeningState | None = None  # if motors weaken


@struct.dataclass
class ContinuousTask:
    """What one world remembers."""

    guide: GuideState
    phase: jax.Array  # () int32, a value of Phase
    age: jax.Array  # () int32, control steps; a life is cut at ``max_steps``
    fresh: jax.Array  # () bool, no action has been taken yet
    previous_action: jax.Array  # (nu,)
    push: PushState
    assist: AssistState
    variant: dict[str, jax.Array]  # this world's model fields; empty for the nominal body
    weakening: WeakeningTask | None = None  # in training, if motors weaken
    drawn: Drawn | None = None  # what else has been drawn for a randomised world
