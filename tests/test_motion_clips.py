"""What the shipped clips must satisfy, with or without the tools that made them."""

from __future__ import annotations

import numpy as np
import pytest

from synthjax.bodies import Body, make_body
from synthjax.motion.ground import flights, lowest_points
from synthjax.motion.library import resolve_motions, shipped_folder, shipped_names


@pytest.fixture(scope="module")
def body() -> Body:
    return make_body("synth")


def test_shipped_clips_stand_on_the_floor_and_keep_their_limits(body: Body) -> None:
    limits = body.model.jnt_range[1:]
    for clip in resolve_motions("all", body):
        lowest = lowest_points(body, clip.qpos).min(axis=-1)
        supported = ~flights(body, clip.qpos, clip.fps, clip.loop)
        assert lowest.min() > -0.02, clip.name
        assert np.abs(lowest[supported]).mean() < 0.01, clip.name
        assert (clip.qpos[:, 7:] > limits[:, 0] - 1e-3).all(), clip.name
        assert (clip.qpos[:, 7:] < limits[:, 1] + 1e-3).all(), clip.name
        np.testing.assert_allclose(clip.qpos[0, :2], 0.0, atol=0.05)


def test_seventeen_clips_ship_in_small_files() -> None:
    assert len(shipped_names()) == 17
    assert max(path.stat().st_size for path in shipped_folder().glob("*.npz")) < 300_000


def test_what_touches_the_floor_in_the_walk_hardly_moves(body: Body) -> None:
    """Speed of the feet's points on the floor, in all frames in which a foot or its toes are there."""
    (walk,) = resolve_motions("walk", body)
    feet = body.body_ids(body.feet)
    lever = np.zeros((walk.num_frames, len(feet), 3))
    lever[..., 2] = -walk.xpos[:, feet, 2]
    speed = np.linalg.norm((walk.linvel[:, feet] + np.cross(walk.angvel[:, feet], lever))[..., :2], axis=-1)
    down = lowest_points(body, walk.qpos)[:, feet] < 0.005
    assert down.mean() > 0.25  # each foot stands for most of half of the cycle
    assert speed[down].mean() < 0.05
    assert np.percentile(speed[down], 90) < 0.15  # a foot that pushes off rolls over its toes
    assert speed.max() > 3.0  # a swinging foot is fast
