"""From a configuration to the objects of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import mujoco

from synthjax.agents.networks import Chains
from synthjax.agents.ppo import PPO
from synthjax.agents.sac import SAC
from synthjax.bodies import Body, make_body
from synthjax.configs.train import PhysicsConfig, TrainConfig
from synthjax.envs.continuous import ContinuousEnv
from synthjax.envs.continuous_task import ContinuousConfig
from synthjax.envs.imitation import ImitationEnv
from synthjax.envs.randomization import RandomizationConfig, bodies_bytes
from synthjax.errors import UserError
from synthjax.motion.clip import Clip
from synthjax.motion.library import resolve_motions
from synthjax.physics import make_physics, resolve_engine
from synthjax.physics.base import Physics
from synthjax.training.devices import check_memory, tree_bytes
from synthjax.training.mesh import worlds_mesh
from synthjax.training.program import TrainProgram
from synthjax.types import Agent, Env


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """The parts of a run, built from its configuration."""

    config: TrainConfig
    body: Body
    physics: Physics
    clips: list[Clip]
    env: Any  # an Env with its task's own parts, which only that task's evaluator uses
    agent: Agent
    program: TrainProgram

    @property
    def identity(self) -> dict[str, str]:
        """What a checkpoint must share with the run that takes its policy."""
        return {
            "body": self.body.hash,
            "observation": self.env.layout.hash,
            "control_dt": f"{self.env.control_dt:.6f}",
            "actor": self._actor,
        }

    @property
    def _actor(self) -> str:
        """The kind of actor; a structured one is of the chains that its heads were trained for."""
        kind = self.config.agent.actor
        return f"{kind} {self.body.chains_hash}" if kind == "structured" else kind

    @property
    def _curriculum(self) -> str:
        """What changes with success, in words: joints, and motors in always-on life."""
        task = self.config.task
        weakening = task.weakening.identity if isinstance(task, ContinuousConfig) else ""
        return task.curriculum.identity + weakening

    @property
    def training_identity(self) -> dict[str, str]:
        """What a checkpoint must share with the run that goes on from it.

        Worlds, sampler and drift limit are of its clips, its steps are counted in batches, and its stage is
        one of its curriculum.
        """
        return self.identity | {
            "clips": " ".join(f"{clip.name}:{clip.hash}" for clip in self.clips),
            "unroll_length": str(self.config.agent.unroll_length),
            "curriculum": self._curriculum,
            "randomized_worlds": str(self.config.randomize).lower(),
        }


def _imitation(config: TrainConfig, body: Body, physics: Physics, clips: list[Clip]) -> ImitationEnv:
    return ImitationEnv(body, physics, clips, config.task, config.seed, _randomization(config))


def _continuous(config: TrainConfig, body: Body, physics: Physics, clips: list[Clip]) -> ContinuousEnv:
    return ContinuousEnv(body, physics, clips, config.task, config.seed, _randomization(config))


def _randomization(config: TrainConfig) -> RandomizationConfig | None:
    return config.randomization if config.randomize else None


def _ppo(config: TrainConfig, env: Env, chains: Chains, num_devices: int) -> PPO:
    return PPO(config.agent, env.obs_dim, env.action_dim, _num_updates(config), chains)


def _sac(config: TrainConfig, env: Env, chains: Chains, num_devices: int) -> SAC:
    return SAC(config.agent, env.obs_dim, env.action_dim, _num_updates(config), num_devices, chains)


def _num_updates(config: TrainConfig) -> int:
    return -(-config.steps // config.agent.batch_size)


ENVS: dict[str, Callable[[TrainConfig, Body, Physics, list[Clip]], Env]] = {
    "imitation": _imitation,
    "continuous": _continuous,
}
AGENTS: dict[str, Callable[[TrainConfig, Env, Chains, int], Agent]] = {"ppo": _ppo, "sac": _sac}

SOLVERS = {"newton": mujoco.mjtSolver.mjSOL_NEWTON, "pgs": mujoco.mjtSolver.mjSOL_PGS}
ITERATIONS = {"newton": 6, "pgs": 10}
JACOBIANS = {"newton": mujoco.mjtJacobian.mjJAC_AUTO, "pgs": mujoco.mjtJacobian.mjJAC_DENSE}


def build(config: TrainConfig) -> Run:
    """Builds everything that ``config`` names.

    Raises:
      UserError: something in it does not exist or does not fit together.
    """
    body = make_body(config.body.name, config.body.actuation, config.body.drive)
    if config.randomize:
        check_memory(bodies_bytes(body, config.randomization.bodies), _fewer_bodies)
    physics = build_physics(config.physics, body)
    clips = resolve_motions(config.motion, body)
    env = ENVS[config.env](config, body, physics, clips)
    sizes = config.agent
    mesh = worlds_mesh(sizes.num_envs, sizes.minibatch_size)
    agent = AGENTS[config.algorithm](config, env, body.chain_actuators, mesh.size)
    program = TrainProgram(env, agent, sizes.num_envs, sizes.unroll_length, mesh)
    return Run(config, body, physics, clips, env, agent, program)


def build_physics(config: PhysicsConfig, body: Body) -> Physics:
    """The engine that ``config`` names, with its contact solver.

    On the native engine projected Gauss-Seidel is the default: a humanoid on its feet has some twenty
    constraint rows against 69 degrees of freedom, so ten sweeps over the rows cost 0.65 of Newton's
    time and end 3 mrad from its solution after 0.3 s of walking.  MJX and Warp have no such solver.
    Its matrix over all pairs of rows takes two thirds as long from a dense Jacobian; MuJoCo would choose a
    sparse one from 60 degrees of freedom on, with which Newton is faster.

    Raises:
      UserError: unknown engine, or a solver that the engine does not have.
    """
    engine = resolve_engine(config.engine)
    solver = config.solver
    if solver == "auto":
        solver = "pgs" if engine == "native" else "newton"
    if solver == "pgs" and engine != "native":
        raise UserError(f"The {engine} engine has no pgs solver: use --physics.solver newton.")
    options = body.model.opt
    options.solver = SOLVERS[solver]
    options.jacobian = JACOBIANS[solver]
    options.iterations = config.solver_iterations or ITERATIONS[solver]
    return make_physics(engine, body, config.sim_dt, config.n_substeps)


def _fewer_bodies(excess: int) -> str:
    return "lower --randomization.bodies"


def check_run_fits(run: Run) -> None:
    """Estimates memory from shapes alone, before anything is allocated.

    What one device holds: the state, its copy while an epoch runs but for what is changed in place, and
    the agent's working set.

    Raises:
      UserError: the run does not fit; says what to lower.
    """
    state = jax.eval_shape(run.program.init, jax.random.key(0))
    worlds, resident = tree_bytes(state.env), run.agent.resident_bytes()
    # Poses, velocities and actions of two unrolls, for the worlds that blow up.
    trail = 8 * run.config.agent.batch_size * (run.body.model.nq + run.body.model.nv + run.body.model.nu)
    split = 2 * worlds + resident + run.agent.working_bytes() + trail
    copied = 2 * (tree_bytes(state) - worlds - resident)
    if run.config.randomize:
        copied += tree_bytes(run.env.randomization.variants)
    check_memory(copied + split // run.program.mesh.size, run.agent.memory_advice)
