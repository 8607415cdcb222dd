"""The configuration of a training run; every run writes the resolved one to its folder."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Generic, Literal, TypeVar

import tyro

from synthjax.agents.ppo import PPOConfig
from synthjax.agents.sac import SACConfig
from synthjax.envs.continuous_task import ContinuousConfig
from synthjax.envs.imitation_task import ImitationConfig
from synthjax.envs.randomization import RandomizationConfig

TaskConfig = TypeVar("TaskConfig", bound=ImitationConfig | ContinuousConfig)  # of any environment
AgentConfig = TypeVar("AgentConfig", bound=PPOConfig | SACConfig)  # of any agent


@dataclasses.dataclass(frozen=True)
class BodyConfig:
    """Which body is trained and what drives it."""

    name: str = "synth"  # "synth", or a mapping file (.toml) of your own MJCF
    # how strong the motors are: six times, 0.4 times (the original's limit) or twice the gears
    actuation: Literal["pd", "torque", "strong"] = "pd"
    # what an action is to torque and strong motors: a target of joint servos, or a torque as in the original
    drive: Literal["servo", "direct"] = "servo"


@dataclasses.dataclass(frozen=True)
class PhysicsConfig:
    """Which engine steps the worlds, and how finely."""

    engine: Literal["auto", "native", "mjx", "warp"] = "auto"  # auto: native on a CPU, warp on NVIDIA
    sim_dt: float = 1 / 120  # s, one substep
    n_substeps: int = 6  # substeps per control step: 20 control steps a second
    solver: Literal["auto", "newton", "pgs"] = "auto"  # contact solver; auto: pgs on native, else newton
    solver_iterations: int | None = None  # most per substep; 10 for pgs and 6 for newton if not given


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """Evaluation during training, by the fixed rule."""

    every: int = 250_000  # environment steps between two evaluations
    episodes: int = 128  # of each evaluation; twice as many in the one that ends the run
    seconds: float = 10.0  # length of an episode


@dataclasses.dataclass(frozen=True)
class TrainConfig(Generic[TaskConfig, AgentConfig]):
    """Everything that decides a run; the types of ``task`` and ``agent`` follow from the two names."""

    task: TaskConfig
    agent: AgentConfig
    env: Literal["imitation", "continuous"] = "imitation"  # the task
    # how the policy is learned
    algorithm: Annotated[Literal["ppo", "sac"], tyro.conf.arg(name="agent")] = "ppo"
    motion: str = "walk"  # a shipped clip, several with commas, "all", or a folder of clips
    seed: int = 0  # of everything random
    steps: int = 8_000_000  # environment steps in all, over which learning settles
    randomize: bool = False  # every world has a body, delays and sensors of its own, by the ranges below
    forever: bool = False  # go on until stopped: learning settles over the steps, which are no end
    epoch_iterations: int = 12  # updates between two looks at the clock, the display and the log
    checkpoint_seconds: float = 60.0  # wall time between two checkpoints
    keep_checkpoints: int = 3  # newest ones that are kept, beside the best
    body: BodyConfig = dataclasses.field(default_factory=BodyConfig)
    physics: PhysicsConfig = dataclasses.field(default_factory=PhysicsConfig)
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)
    # with --randomize
    randomization: RandomizationConfig = dataclasses.field(default_factory=RandomizationConfig)

    @property
    def end(self) -> int | None:
        """Environment steps at which the run ends; None for one that goes on until it is stopped."""
        return None if self.forever else self.steps
