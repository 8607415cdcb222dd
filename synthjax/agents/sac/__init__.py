"""Soft actor-critic."""

from synthjax.agents.sac.agent import SAC, SACState
from synthjax.agents.sac.config import SACConfig
from synthjax.agents.sac.replay import replay_bytes

__all__ = ["SAC", "SACConfig", "SACState", "replay_bytes"]
