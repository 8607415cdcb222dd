"""From a configuration to the objects of a run."""

from __future__ import annotations

import dataclasses

import jax

from synthjax.agents.ppo import PPO
from synthjax.bodies import Body, make_body
from synthjax.configs.train import TrainConfig
from synthjax.envs.imitation import ImitationEnv
from synthjax.envs.reset_table import StartNoise
from synthjax.motion.clip import Clip
from synthjax.motion.library import resolve_motions
from synthjax.physics import make_physics
from synthjax.physics.base import Physics
from synthjax.training.devices import check_memory, tree_bytes
from synthjax.training.program import TrainProgram


@dataclasses.dataclass(frozen=True)
class Run:
    """The parts of a run, built from its configuration."""

    config: TrainConfig
    body: Body
    physics: Physics
    clips: list[Clip]
    env: ImitationEnv
    agent: PPO
    program: TrainProgram

    @property
    def identity(self) -> dict[str, str]:
        """What a checkpoint must share with the run that restores it."""
        return {
            "body": self.body.hash,
            "observation": self.env.layout.hash,
            "control_dt": f"{self.env.control_dt:.6f}",
        }

    def evaluation_env(self, noise: StartNoise) -> ImitationEnv:
        """The same task with starts spread evenly over the clips, with ``noise``."""
        task = dataclasses.replace(self.config.task, start_noise=noise)
        return ImitationEnv(self.body, self.physics, self.clips, task, seed=EVALUATION_SEED)


# Start noise of evaluations: fixed, so that runs of different seeds are compared on the same starts.
EVALUATION_SEED = 20_000


def build(config: TrainConfig) -> Run:
    """Builds everything that ``config`` names.

    Raises:
      UserError: something in it does not exist or does not fit together.
    """
    body = make_body(config.body.name, config.body.actuation)
    settings = config.physics
    body.model.opt.iterations = settings.solver_iterations
    physics = make_physics(settings.engine, body, settings.sim_dt, settings.n_substeps)
    clips = resolve_motions(config.motion, body)
    env = ImitationEnv(body, physics, clips, config.task, seed=config.seed)
    agent = PPO(config.agent, env.obs_dim, env.action_dim, env.action_mask)
    program = TrainProgram(env, agent, config.agent.num_envs, config.agent.unroll_length)
    return Run(config, body, physics, clips, env, agent, program)


def check_run_fits(run: Run) -> None:
    """Estimates memory from shapes alone, before anything is allocated.

    The state, its copy while an epoch runs, one batch of transitions, and the update's working set
    (observations of the batch, normalised, shuffled and in the networks' layers).

    Raises:
      UserError: the run does not fit; says what to lower.
    """
    state = jax.eval_shape(run.program.init, jax.random.key(0))
    agent = run.config.agent
    per_sample = 6 * run.env.obs_dim + 4 * run.env.action_dim + 4 * sum(agent.hidden)
    check_memory(2 * tree_bytes(state) + 4 * agent.batch_size * per_sample)
