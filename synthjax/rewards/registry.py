"""Rewards by name: a new one is one new file and one line here."""

from __future__ import annotations

from synthjax.errors import unknown
from synthjax.rewards.beyondmimic import BeyondMimicReward
from synthjax.rewards.continuing import ContinuingReward
from synthjax.rewards.continuing_default import DefaultContinuingReward
from synthjax.rewards.continuing_seed import SeedContinuingReward
from synthjax.rewards.deepmimic import DeepMimicReward
from synthjax.rewards.precise import PreciseReward
from synthjax.rewards.seed import SeedReward
from synthjax.rewards.tracking import TrackingReward

TRACKING_REWARDS: dict[str, TrackingReward] = {
    "deepmimic": DeepMimicReward(),
    "beyondmimic": BeyondMimicReward(),
    "seed": SeedReward(),
    "precise": PreciseReward(),
}

CONTINUING_REWARDS: dict[str, ContinuingReward] = {
    "default": DefaultContinuingReward(),
    "seed": SeedContinuingReward(),
}


def tracking_reward(name: str) -> TrackingReward:
    """The tracking reward called ``name``.

    Raises:
      UserError: no such reward; names the near matches.
    """
    if name not in TRACKING_REWARDS:
        raise unknown("tracking reward", name, TRACKING_REWARDS)
    return TRACKING_REWARDS[name]


def continuing_reward(name: str) -> ContinuingReward:
    """The continuing reward called ``name``.

    Raises:
      UserError: no such reward; names the near matches.
    """
    if name not in CONTINUING_REWARDS:
        raise unknown("continuing reward", name, CONTINUING_REWARDS)
    return CONTINUING_REWARDS[name]
