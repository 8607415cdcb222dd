"""A trained agent as the function that ``policy.tflite`` computes."""

from __future__ import annotations

from collections.abc import Callable

import jax

from synthjax.deploy.convert import Named
from synthjax.types import Agent, PyTree


def policy_function(
    agent: Agent, agent_state: PyTree, offset: Callable[[jax.Array], jax.Array]
) -> Callable[[Named], Named]:
    """``observation`` (..., obs_dim) -> what the policy makes of it, (..., A) each.

    ``action`` is deterministic, and ``offset`` what it adds to the motor input of a zero action.  ``mean``
    and ``log_std`` are those before tanh, if the agent squashes its actions, and before the gains: with noise
    drawn by the host, gains * tanh(mean + exp(log_std) * noise) or gains * (mean + exp(log_std) * noise) is
    a stochastic action.
    """
    unused = jax.random.key(0)

    def infer(given: Named) -> Named:
        observation = given["observation"]
        action, _ = agent.act(agent_state, observation, unused, deterministic=True)
        mean, log_std = agent.distribution(agent_state, observation)
        return {"action": action, "offset": offset(action), "mean": mean, "log_std": log_std}

    return infer
