"""One gradient step of a trained agent as a pure function of flat vectors, for learning on a device.

Loops, shuffling, random numbers and buffers are the host's.  What is learned goes in and comes out as
vectors, ``params`` first: a host that swaps one reference has a new policy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from synthjax.agents import distributions
from synthjax.agents.ppo import PPO
from synthjax.agents.ppo.actor_critic import Batch as PPOBatch
from synthjax.agents.ppo.actor_critic import spread
from synthjax.agents.sac.actor_critic import Batch as SACBatch
from synthjax.deploy.convert import Named
from synthjax.deploy.judges import Judge
from synthjax.deploy.observers import Observer
from synthjax.deploy.policy import policy_function
from synthjax.training.build import Run
from synthjax.training.policies import SEED
from synthjax.types import PyTree

MINIBATCH = 256  # transitions of one step
STARTS = 512  # places in the task where episodes may begin


@dataclasses.dataclass(frozen=True)
class FineTuning:
    """What ``finetune.tflite`` computes.

    ``step`` takes ``start`` and a minibatch by name.  It gives each vector of ``start`` back as it is after
    the step, under its name with ``_next``, and the metrics of the step, (1,) each.
    """

    step: Callable[[Named], Named]
    infer: Callable[[Named], Named]  # "params" and "observation" (1, obs_dim) -> the outputs of the policy
    start: dict[str, np.ndarray]  # the vectors before the first step
    minibatch: dict[str, tuple[int, ...]]  # shapes of what the host samples
    policy: dict[str, int]  # "start" and "size" of the policy's parameters in "params"
    settings: dict[str, float]  # of the training, that a host computes a minibatch by

    def packed(self) -> tuple[bytes, list[dict[str, Any]]]:
        """``start`` one after another, float32 with the low byte first, and where each vector lies in it."""
        rows, end = [], 0
        for name, vector in self.start.items():
            rows.append({"name": name, "start": end, "size": vector.size})
            end += vector.size
        return np.concatenate(list(self.start.values())).astype("<f4").tobytes(), rows


@dataclasses.dataclass(frozen=True)
class Starts:
    """Places in the task where training begins its episodes."""

    columns: dict[str, np.ndarray]  # (N, ...) of "qpos", "qvel", and the "carried" and "memory" to begin with

    def packed(self) -> bytes:
        """One row after another, float32 with the low byte first."""
        return np.concatenate(list(self.columns.values()), axis=1).astype("<f4").tobytes()


def starts_of(run: Run, observer: Observer, judge: Judge) -> Starts:
    """:data:`STARTS` starts as training draws them, on the nominal body."""
    ctx, keys = run.env.init_context(), jax.random.split(jax.random.key(SEED), STARTS)

    def start(key: jax.Array) -> Named:
        state = run.env.reset(ctx, key)
        body = state.physics.kinematics
        place = {"carried": observer.start(state), "memory": judge.start(state)}
        return {"qpos": body.qpos, "qvel": body.qvel, **place}

    rows = jax.device_get(jax.jit(jax.vmap(start))(keys))
    return Starts({name: rows[name] for name in ("qpos", "qvel", "carried", "memory")})


def fine_tuning(run: Run, agent_state: PyTree) -> FineTuning:
    """The training of ``run`` as it goes on from ``agent_state``: its losses, optimiser and normaliser."""
    make = _ppo if isinstance(run.agent, PPO) else _sac
    return make(run.agent, agent_state, run.env.steering.offset)


def _ppo(agent: Any, state: PyTree, offset: Callable[[jax.Array], jax.Array]) -> FineTuning:
    """From the averaged policy, which is what acts on a device; with fresh moments."""
    params, unravel = ravel_pytree({"policy": state.average, "value": state.params["value"]})
    opt, unravel_opt = ravel_pytree(agent.actor_critic.optimizer.init(unravel(params)))
    noise = agent.noise(state.failure_rate)
    std = spread(noise, state.gains)

    def step(given: Named) -> Named:
        mean = state.gains * given["mean"]
        batch = PPOBatch(
            obs=agent.normalize(state.normalizer, given["observation"]),
            action=given["action"],
            log_prob=distributions.gaussian_log_prob(given["action"], mean, std, state.gains > 0.0),
            mean=mean,
            advantage=given["advantage"],
            target=given["target"],
            exact_obs=None,
            weights=jnp.ones(MINIBATCH),
        )
        carry = (unravel(given["params"]), unravel_opt(given["opt"]), given["learning_rate"][0])
        target_kl = jnp.asarray(agent.config.target_kl)
        (new, opt, rate), metrics = agent.actor_critic.minibatch_step(
            carry, batch, noise, state.gains, target_kl
        )
        return {
            "params_next": ravel_pytree(new)[0],
            "opt_next": ravel_pytree(opt)[0],
            "learning_rate_next": rate[None],
            **{name: value[None] for name, value in metrics.items()},
        }

    def infer(given: Named) -> Named:
        new = unravel(given["params"])
        acting = dataclasses.replace(state, params=new, average=new["policy"])
        outputs = policy_function(agent, acting, offset)({"observation": given["observation"]})
        return outputs | {"value": agent.values(acting, given["observation"])}

    return FineTuning(
        step=step,
        infer=infer,
        start=_vectors(params=params, opt=opt, learning_rate=state.learning_rate[None]),
        minibatch={
            "observation": (MINIBATCH, agent.obs_dim),
            "action": (MINIBATCH, agent.action_dim),
            "mean": (MINIBATCH, agent.action_dim),
            "advantage": (MINIBATCH,),
            "target": (MINIBATCH,),
        },
        policy=_place({"policy": state.average, "value": state.params["value"]}, "policy"),
        settings=_settings(agent, "gamma", "gae_lambda", "reward_scale", "advantage_clip"),
    )


def _sac(agent: Any, state: PyTree, offset: Callable[[jax.Array], jax.Array]) -> FineTuning:
    """From the policy, critics and temperature as they are, with their moments."""
    params, unravel = ravel_pytree(state.params | {"policy": state.average})
    targets, unravel_targets = ravel_pytree(state.targets)
    opt, unravel_opt = ravel_pytree(state.opt_state)
    learning_rate = agent.learning_rate(state.updates)

    def step(given: Named) -> Named:
        batch = SACBatch(
            obs=agent.normalize(state.normalizer, given["observation"]),
            action=given["action"],
            reward=given["reward"],
            next_obs=agent.normalize(state.normalizer, given["next_observation"]),
            discount=given["discount"],
            weights=jnp.ones(MINIBATCH),
        )
        vectors = unravel(given["params"]), unravel_targets(given["targets"]), unravel_opt(given["opt"])
        noise = given["noise"], given["next_noise"]
        (new, targets, opt), _, metrics = agent.actor_critic.minibatch_step(
            vectors, batch, state.gains, noise, learning_rate
        )
        return {
            "params_next": ravel_pytree(new)[0],
            "targets_next": ravel_pytree(targets)[0],
            "opt_next": ravel_pytree(opt)[0],
            **{name: value[None] for name, value in metrics.items()},
        }

    def infer(given: Named) -> Named:
        acting = dataclasses.replace(state, average=unravel(given["params"])["policy"])
        return policy_function(agent, acting, offset)({"observation": given["observation"]})

    observations, actions = (MINIBATCH, agent.obs_dim), (MINIBATCH, agent.action_dim)
    return FineTuning(
        step=step,
        infer=infer,
        start=_vectors(params=params, targets=targets, opt=opt),
        minibatch={
            "observation": observations,
            "action": actions,
            "reward": (MINIBATCH,),
            "next_observation": observations,
            "discount": (MINIBATCH,),
            "noise": actions,
            "next_noise": actions,
        },
        policy=_place(state.params, "policy"),
        # Any constant may be taken from the rewards of a life without an end; the critics know this one.
        settings=_settings(agent, "gamma", "n_step")
        | {"reward_rate": float(state.reward_rate) if agent.config.center_rewards else 0.0},
    )


def _place(params: dict[str, PyTree], name: str) -> dict[str, int]:
    """Where the leaves of ``params[name]`` lie in the flat vector of ``params``."""
    marks = {key: jax.tree.map(jnp.zeros_like, part) for key, part in params.items()}
    marks[name] = jax.tree.map(jnp.ones_like, params[name])
    flat = np.asarray(ravel_pytree(marks)[0])
    return {"start": int(np.argmax(flat)), "size": int(flat.sum())}


def _settings(agent: Any, *names: str) -> dict[str, float]:
    return {name: getattr(agent.config, name) for name in names}


def _vectors(**vectors: jax.Array) -> dict[str, np.ndarray]:
    return {name: np.asarray(vector, np.float32) for name, vector in vectors.items()}
