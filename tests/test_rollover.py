"""Ways from the back to the belly."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from continuous_worlds import body
from scipy.spatial.transform import Rotation

from synthjax.envs.rollover import roll_overs
from synthjax.motion.clip import Clip
from synthjax.motion.ground import lowest_points
from synthjax.motion.library import resolve_motions


@pytest.fixture(scope="module")
def clip() -> Clip:
    return resolve_motions("getup_facedown", body())[0]


def up_in_root(qpos: np.ndarray) -> np.ndarray:
    """The world's up axis in the root's axes (x forward, y left), (T, 3)."""
    return Rotation.from_quat(qpos[:, [4, 5, 6, 3]]).inv().apply([0.0, 0.0, 1.0])


def test_rolls_begin_on_the_back_and_go_over_their_side_to_the_end_of_the_clip(clip: Clip) -> None:
    left, right = roll_overs(body(), clip)
    for rolled, side in ((left, -1.0), (right, 1.0)):
        up = up_in_root(rolled.qpos)
        assert up[0, 0] > 0.95  # the front is up
        assert np.abs(up[0, 1]) < 0.2
        halfway = np.argmin(np.abs(up[:90, 0]))
        assert side * up[halfway, 1] > 0.9  # lying on the left side, the right is up
        np.testing.assert_array_equal(rolled.qpos[-1], clip.qpos[-1])


def test_rolls_touch_the_ground_and_do_not_jump(clip: Clip) -> None:
    limits = body().model.jnt_range[1:]
    for rolled in roll_overs(body(), clip):
        rolling = rolled.qpos[:90]
        lowest = lowest_points(body(), rolling)
        names = body().body_names
        trunk = [names.index(name) for name in ("Hips", "Spine", "Chest", "UpperChest")]
        above = lowest[:, trunk].min(axis=1)
        np.testing.assert_allclose(above[:45], 0.0, atol=1e-6)
        assert (np.diff(above[45:]) >= -1e-9).all()  # then carried up to where the clip begins
        assert above[-1] < 0.1
        assert lowest[0].min() > -0.03  # straight and level on the back
        # Between frames 1/60 s apart: less than 20 rad/s at any hinge, and 0.05 m of height.
        steps = np.diff(rolled.qpos[:100], axis=0)
        assert np.abs(steps[:, 7:]).max() < 20 / 60
        assert np.abs(steps[:, 2]).max() < 0.05
        assert (rolling[:, 7:] >= limits[:, 0] - 1e-9).all()
        assert (rolling[:, 7:] <= limits[:, 1] + 1e-9).all()


def test_the_two_sides_mirror_each_other(clip: Clip) -> None:
    """While the limbs swing: the roots' up axes differ in the sign of y but for the end's own lean."""
    left, right = (up_in_root(rolled.qpos) for rolled in roll_overs(body(), clip))
    lean = np.abs(up_in_root(clip.qpos)[20, 1])
    np.testing.assert_allclose(left[:90, 1], -right[:90, 1], atol=2.5 * lean + 0.05)


def test_clips_that_begin_otherwise_have_no_rolls(clip: Clip) -> None:
    assert roll_overs(body(), resolve_motions("getup_faceup", body())[0]) == []
    assert roll_overs(body(), resolve_motions("walk", body())[0]) == []
    # These begin on the back, and are on the belly before their first half is over.
    for rolling in resolve_motions("getup_straight_left,getup_straight_right", body()):
        assert roll_overs(body(), rolling) == []
    assert len(roll_overs(body(), dataclasses.replace(clip, name="another"))) == 2
