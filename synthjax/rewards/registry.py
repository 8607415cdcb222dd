"""Tracking rewards by name: a new reward is one new file and one line here."""

from __future__ import annotations

from synthjax.errors import unknown
from synthjax.rewards.beyondmimic import BeyondMimicReward
from synthjax.rewards.deepmimic import DeepMimicReward
from synthjax.rewards.seed import SeedReward
from synthjax.rewards.tracking import TrackingReward

TRACKING_REWARDS: dict[str, TrackingReward] = {
    "deepmimic": DeepMimicReward(),
    "beyondmimic": BeyondMimicReward(),
    "seed": SeedReward(),
    # DeepMimic with more weight on where the limbs and the root are, and narrower kernels: small
    # errors stay worth correcting, which is what brings tracking from 60 mm to 30 mm.
    "precise": DeepMimicReward(
        pose_weight=0.3, pose_scale=0.5, root_pose_weight=0.2, root_pose_scale=10.0, key_body_weight=0.3
    ),
}


def tracking_reward(name: str) -> TrackingReward:
    """The reward called ``name``.

    Raises:
      UserError: no such reward; names the near matches.
    """
    if name not in TRACKING_REWARDS:
        raise unknown("tracking reward", name, TRACKING_REWARDS)
    return TRACKING_REWARDS[name]
