"""Rewards as pure functions of arrays, by name."""

from synthjax.rewards.phases import Phase, PhaseConfig, next_phase, seed_phase
from synthjax.rewards.registry import TRACKING_REWARDS, tracking_reward
from synthjax.rewards.tracking import TrackingInputs, TrackingReward, total

__all__ = [
    "TRACKING_REWARDS",
    "Phase",
    "PhaseConfig",
    "TrackingInputs",
    "TrackingReward",
    "next_phase",
    "seed_phase",
    "total",
    "tracking_reward",
]
