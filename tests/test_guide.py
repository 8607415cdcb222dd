"""The guide through the get-up clips: where it puts a body, how it waits, and when it starts over."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from imitation_worlds import rigidly_moved

from synthjax.bodies import Body, make_body
from synthjax.envs.guide import Guide, GuideConfig, GuideState, up_in_body
from synthjax.errors import UserError
from synthjax.motion.clip import Clip
from synthjax.motion.library import resolve_motions
from synthjax.types import Kinematics

DT = 0.05


@functools.cache
def body() -> Body:
    return make_body("synth", "pd")


@functools.cache
def clips() -> tuple[Clip, ...]:
    return tuple(resolve_motions("getup_facedown,getup_faceup", body()))


@functools.cache
def guide() -> Guide:
    return Guide(body(), list(clips()), GuideConfig(), root=1)


@functools.cache
def _advance():
    return jax.jit(lambda state, k: guide().advance(state, k, DT))


def state(clip: int, time: float, lost: float = 0.0) -> GuideState:
    return GuideState(
        clip=jnp.asarray(clip),
        time=jnp.asarray(time),
        lost=jnp.asarray(lost),
        restarted=jnp.zeros((), bool),
    )


def at(clip: int, time: float) -> Kinematics:
    """A body that is exactly where the guide is."""
    return jax.jit(guide().library.sample)(jnp.asarray(clip), jnp.asarray(time))


@pytest.mark.parametrize(("clip", "time"), [(0, 0.2), (0, 1.8), (1, 0.6), (1, 3.0)])
def test_a_body_on_a_frame_is_put_there_wherever_it_lies(clip: int, time: float) -> None:
    there = at(clip, time)
    for k in (there, rigidly_moved(there)):
        found = guide().nearest(jax.tree.map(jnp.asarray, k))
        assert int(found.clip) == clip
        assert float(found.time) == pytest.approx(time, abs=1 / 15)


def test_no_frame_is_nearer_than_the_nearest() -> None:
    """By the distance of frames one after another, of which each is one of those to be put at."""
    library = guide().library
    frames = [(clip, t / 15) for clip in (0, 1) for t in range(int(15 * float(library.duration[clip])))]
    states = jax.tree.map(lambda *each: jnp.stack(each), *(state(clip, time) for clip, time in frames))
    rng = np.random.default_rng(0)
    for clip, time in ((0, 0.4), (0, 1.3), (1, 2.0)):
        there = at(clip, time)
        off = dataclasses.replace(
            there, qpos=there.qpos.at[7:].add(rng.normal(0.0, 0.3, len(there.qpos) - 7))
        )
        found = guide().nearest(off)
        distances = jax.jit(jax.vmap(guide().distance, (None, 0)))(off, states)
        assert float(guide().distance(off, found)) <= float(distances.min()) + 1e-5


def test_the_guide_runs_as_fast_as_the_body_follows() -> None:
    k = at(0, 1.05)
    moved = _advance()(state(0, 1.0), k)
    assert float(moved.time) == pytest.approx(1.0 + DT, abs=1e-5)
    # Every main hinge 0.525 rad off: 2 - 0.525 / 0.35 = half of the clip's speed.
    off = dataclasses.replace(k, qpos=k.qpos.at[7:].add(0.525))
    there = state(0, 1.05)
    assert float(guide().distance(off, there)) == pytest.approx(0.525, abs=1e-5)
    assert float(_advance()(state(0, 1.0), off).time) == pytest.approx(1.0 + 0.5 * DT, abs=1e-5)
    assert float(guide().share_of_speed(jnp.asarray(0.525))) == pytest.approx(0.5, abs=1e-5)
    assert float(guide().share_of_speed(jnp.asarray(9.0))) == pytest.approx(0.2)
    assert float(guide().share_of_speed(jnp.asarray(0.0))) == 1.0


def test_a_guide_may_be_faster_than_its_clips() -> None:
    """1.2 times as fast at full speed, half of that at half of its share."""
    fast = Guide(body(), list(clips()), GuideConfig(speed=1.2), root=1)
    for share, seconds in ((1.0, 1.2 * DT), (0.5, 0.6 * DT)):
        moved = fast.advance(state(0, 1.0), at(0, 1.0 + seconds), DT, share)
        assert float(moved.time) == pytest.approx(1.0 + seconds, abs=1e-5)
    assert float(fast.ahead(state(0, 1.0), DT).time) == pytest.approx(1.06, abs=1e-5)


def test_the_distance_counts_the_attitude() -> None:
    """A body turned upside down has its up axis 2 away from that of the guide: sqrt(2 * 2²)."""
    k = at(0, 0.5)
    w, x, y, z = k.xquat[1]
    upside_down = jnp.stack([-x, w, -z, y])  # half a turn about the world's x axis first
    turned = dataclasses.replace(k, xquat=k.xquat.at[1].set(upside_down))
    np.testing.assert_allclose(up_in_body(upside_down), -up_in_body(k.xquat[1]), atol=1e-6)
    assert float(guide().distance(turned, state(0, 0.5))) == pytest.approx(np.sqrt(8.0), rel=1e-4)


def test_the_distance_counts_the_height() -> None:
    """The same pose half a standing height lower: sqrt(8 * 0.5²).  Where it is put has about its height."""
    k = at(0, 1.4)
    low = dataclasses.replace(k, xpos=k.xpos.at[1, 2].add(-0.5 * body().standing_height))
    assert float(guide().distance(low, state(0, 1.4))) == pytest.approx(np.sqrt(2.0), rel=1e-4)
    # A body that lies with the limbs of one that kneels is put where the clip still lies.
    lying = dataclasses.replace(k, xpos=k.xpos.at[1, 2].set(0.15))
    found = guide().nearest(lying)
    assert float(guide().height(found)) < 0.3 < float(guide().height(state(0, 1.4)))


def test_progress_is_the_time_left_to_standing() -> None:
    """Seconds to the end of the clip, as a share of the longest clip; alike in all of them."""
    longest = float(jnp.max(guide().library.duration))
    for clip in (0, 1):
        end = float(guide().library.duration[clip])
        assert float(guide().progress(state(clip, end - 1.0))) == pytest.approx(1.0 - 1.0 / longest)
        assert float(guide().progress(state(clip, end + 3.0))) == 1.0


def test_after_a_clip_comes_standing() -> None:
    duration = float(guide().library.duration[0])
    late = state(0, duration + 2.0)
    np.testing.assert_allclose(guide().sample(late).qpos[7:], body().standing_qpos[7:], atol=1e-6)
    assert float(guide().height(late)) == pytest.approx(body().standing_height)
    halfway = guide().sample(state(0, duration + 0.35)).qpos[7:]
    end = at(0, duration).qpos[7:]
    np.testing.assert_allclose(halfway, 0.5 * (end + body().standing_qpos[7:]), atol=1e-5)


def test_a_standing_body_is_put_at_standing() -> None:
    k = at(0, 0.0)
    quat = jnp.array([1.0, 0.0, 0.0, 0.0])
    qpos = k.qpos.at[7:].set(jnp.asarray(body().standing_qpos[7:], jnp.float32))
    xpos = k.xpos.at[1, 2].set(body().standing_height)
    found = guide().nearest(dataclasses.replace(k, qpos=qpos, xpos=xpos, xquat=k.xquat.at[1].set(quat)))
    np.testing.assert_allclose(guide().sample(found).qpos[7:], body().standing_qpos[7:], atol=1e-6)


def test_a_body_left_behind_is_put_at_its_nearest_frame_again() -> None:
    lying = at(1, 0.2)
    current = state(0, 5.0)  # the guide of the other clip stands
    steps = 0
    while float(current.time) > 4.0:
        assert not bool(current.restarted)
        current = _advance()(current, lying)
        steps += 1
        assert steps < 100
    assert steps * DT == pytest.approx(0.7, abs=DT)
    assert int(current.clip) == 1
    assert float(current.time) == pytest.approx(0.2, abs=1 / 15)
    assert float(current.lost) == 0.0
    assert bool(current.restarted)
    assert not bool(_advance()(current, lying).restarted)
    # A body that keeps up is never taken for lost.
    assert float(_advance()(state(1, 0.2, lost=0.65), lying).lost) == 0.0


def test_a_clip_that_does_not_end_in_standing_is_refused() -> None:
    for name in ("walk", "roll"):
        clips = resolve_motions(name, body())
        lying = [dataclasses.replace(clip, qpos=0.3 * clip.qpos) for clip in clips]
        with pytest.raises(UserError, match=f"'{name}' does not end in standing"):
            Guide(body(), clips if name == "walk" else lying, GuideConfig(), root=1)
