"""Proximal policy optimisation."""

from synthjax.agents.ppo.agent import PPO, PPOState
from synthjax.agents.ppo.config import PPOConfig

__all__ = ["PPO", "PPOConfig", "PPOState"]
