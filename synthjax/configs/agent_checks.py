"""Settings of agents that cannot work."""

from __future__ import annotations

from synthjax.agents.ppo import PPOConfig
from synthjax.agents.sac import SACConfig
from synthjax.configs.bounds import above_zero, below_one, in_order, not_negative, within
from synthjax.errors import UserError

_AGENT = "--agent"


def check_ppo(agent: PPOConfig) -> None:
    """Raises UserError for a setting outside of its range, or a batch that does not divide."""
    above_zero(
        agent, _AGENT, "num_envs", "unroll_length", "num_minibatches", "num_epochs", "clip_ratio",
        "value_coefficient", "reward_scale", "advantage_clip", "max_grad_norm", "min_learning_rate",
        "target_kl", "settled_kl", "min_noise", "min_noise_failure", "observation_clip",
    )  # fmt: skip
    below_one(agent, _AGENT, "gamma", "settle_from", "failure_decay", "average_decay")
    within(agent, _AGENT, 0.0, 1.0, "gae_lambda", "settled_kl")
    in_order(agent, _AGENT, "min_learning_rate", "learning_rate")
    in_order(agent, _AGENT, "learning_rate", "max_learning_rate")
    in_order(agent, _AGENT, "min_noise", "max_noise")
    _layers(agent.hidden)
    _layers(agent.chain_hidden)
    if agent.min_noise_failure >= agent.max_noise_failure:
        raise UserError("--agent.min-noise-failure must be below --agent.max-noise-failure.")
    if agent.batch_size % agent.num_minibatches:
        raise UserError(
            f"A batch of --agent.num-envs {agent.num_envs} x --agent.unroll-length {agent.unroll_length} = "
            f"{agent.batch_size} does not divide into --agent.num-minibatches {agent.num_minibatches}: "
            "choose a divisor."
        )


def check_sac(agent: SACConfig) -> None:
    """Raises UserError for a setting outside of its range."""
    above_zero(
        agent, _AGENT, "num_envs", "unroll_length", "capacity", "minibatch_size", "samples_per_step",
        "n_step", "tau", "learning_rate", "settled_rate", "initial_alpha", "min_std",
        "reward_rate_step", "observation_clip",
    )  # fmt: skip
    below_one(
        agent, _AGENT, "gamma", "importance_exponent", "reward_rate_step", "settle_from", "average_decay"
    )
    within(agent, _AGENT, 0.0, 1.0, "tau", "settled_rate")
    not_negative(agent, _AGENT, "priority_exponent")
    _layers(agent.policy_hidden)
    _layers(agent.chain_hidden)
    _layers(agent.critic_hidden)
    if agent.min_std >= agent.max_std:
        raise UserError("--agent.min-std must be below --agent.max-std.")


def _layers(hidden: tuple[int, ...]) -> None:
    if not hidden or min(hidden) <= 0:
        raise UserError(f"The layers are {hidden} wide: give the width of at least one, above zero.")
