"""Rewards as pure functions of arrays, by name."""

from synthjax.rewards.registry import TRACKING_REWARDS, tracking_reward
from synthjax.rewards.tracking import TrackingInputs, TrackingReward, total

__all__ = ["TRACKING_REWARDS", "TrackingInputs", "TrackingReward", "total", "tracking_reward"]
