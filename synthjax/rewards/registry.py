"""Tracking rewards by name: a new reward is one new file and one line here."""

from __future__ import annotations

from synthjax.errors import unknown
from synthjax.rewards.beyondmimic import BeyondMimicReward
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


def tracking_reward(name: str) -> TrackingReward:
    """The reward called ``name``.

    Raises:
      UserError: no such reward; names the near matches.
    """
    if name not in TRACKING_REWARDS:
        raise unknown("tracking reward", name, TRACKING_REWARDS)
    return TRACKING_REWARDS[name]
