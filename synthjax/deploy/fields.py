"""What the parts of an observation mean: unit, frame, order of the entries, and where the formula stands."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from synthjax.envs.observation import ObservationLayout

_BODY = "synthjax.envs.imitation_observation.body_parts"
_TARGET = "synthjax.envs.imitation_observation.target_parts"
_PHASE = "synthjax.envs.imitation_observation.phase_parts"
_FELT = "synthjax.envs.continuous_observation.body_parts"
_GUIDE = "synthjax.envs.continuous_observation.guide_parts"
_STRAIN = "synthjax.envs.continuous_reward.strain"
_TASK = "synthjax.types.Transition"


@dataclasses.dataclass(frozen=True)
class Field:
    """One part."""

    unit: str  # "1" for numbers without one
    frame: str  # heading: at the root, z up, x where the root faces; the first line of the formula's module
    order: str  # of the entries: a list of names in the manifest, or words
    formula: str  # the function that computes it


FIELDS = {
    "root_height": Field("m", "world", "z", _BODY),
    "root_rotation": Field("1", "heading", "columns x and y of the rotation matrix", _BODY),
    "root_linear_velocity": Field("m/s", "heading", "x y z", _BODY),
    "root_angular_velocity": Field("rad/s", "heading", "x y z", _BODY),
    "joint_angles": Field("rad", "joint", "joints", _BODY),
    "joint_rates": Field("10 rad/s", "joint", "joints", _BODY),
    "body_positions": Field("m", "heading, from the root", "bodies, x y z each", _BODY),
    "previous_action": Field("1", "action", "joints", _TASK),
    "phase": Field("1", "clip", "sine and cosine of the place in the clip", _PHASE),
    "target_root_offset": Field("m", "heading", "x y z", _TARGET),
    "target_root_offset_near": Field("m", "heading", "x y z, each within 0.1", _TARGET),
    "target_root_rotation": Field("1", "heading", "columns x and y of the rotation matrix", _TARGET),
    "target_joint_errors": Field("rad", "joint", "joints", _TARGET),
    "target_key_body_errors": Field("m", "heading, less the root's", "key_bodies, x y z each", _TARGET),
    "up": Field("1", "root", "x y z of the world's up axis", _FELT),
    "contacts": Field("1", "ground", "contact_slots, 1 where one touches", _FELT),
    "loads": Field("body weights", "world z", "contact_slots", _FELT),
    "strain": Field("1", "joint", "joints", _STRAIN),
    "guide_joint_errors": Field("rad", "joint", "joints", _GUIDE),
    "guide_up": Field("1", "root of the guide", "x y z of the world's up axis", _GUIDE),
    "guide_height_error": Field("m", "world", "z", _GUIDE),
    "guide_progress": Field("1", "clip", "share of the way", _GUIDE),
    "guide_lost": Field("s", "clip", "how long the body has been left behind", _GUIDE),
}


def describe_layout(layout: ObservationLayout) -> dict[str, Any]:
    """The observation for a manifest: every part with its place and its meaning, and the hash of them."""
    fields = []
    for name, part in layout.slices.items():
        steps = re.match(r"target(\d+)_", name)  # control steps ahead
        known = FIELDS[re.sub(r"^target\d+_", "target_", name)]
        ahead = {"steps_ahead": int(steps.group(1))} if steps else {}
        place = {"name": name, "start": part.start, "size": part.stop - part.start}
        fields.append(place | ahead | dataclasses.asdict(known))
    return {"hash": layout.hash, "size": layout.dim, "fields": fields}
