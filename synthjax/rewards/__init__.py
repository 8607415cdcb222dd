"""Rewards as pure functions of arrays, by name."""

from synthjax.rewards.continuing import (
    ContinuingInputs,
    ContinuingReward,
    joint_strain,
    load_share,
    motor_use,
    nearest_pose_distance,
)
from synthjax.rewards.phases import Phase, PhaseConfig, next_phase, seed_phase
from synthjax.rewards.registry import (
    CONTINUING_REWARDS,
    TRACKING_REWARDS,
    continuing_reward,
    tracking_reward,
)
from synthjax.rewards.tracking import TrackingInputs, TrackingReward, total

__all__ = [
    "CONTINUING_REWARDS",
    "TRACKING_REWARDS",
    "ContinuingInputs",
    "ContinuingReward",
    "Phase",
    "PhaseConfig",
    "TrackingInputs",
    "TrackingReward",
    "continuing_reward",
    "joint_strain",
    "load_share",
    "motor_use",
    "nearest_pose_distance",
    "next_phase",
    "seed_phase",
    "total",
    "tracking_reward",
]
