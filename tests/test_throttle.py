"""The throttle of training on a device: its timelines by hand, and what holds for all of them."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthjax.deploy.throttle import PROFILES, Throttle, ThrottleConfig

FRAME = 1 / 72  # s
BUDGET = 13.9e-3  # s
CALM, BUSY = 0.6 * BUDGET, 0.95 * BUDGET


def begin(throttle: Throttle, now: float) -> float:
    """When a train step begins that is first asked for at ``now``."""
    while (wait := throttle.ask(now)) > 0.0:
        now += wait
    return now


def run(
    throttle: Throttle, seconds: float, step_seconds: float, work: Callable[[float], float]
) -> tuple[list[float], list[float]]:
    """Begins of train steps, and the share after each frame, in frames at 72 Hz that do ``work(time)``."""
    begins: list[float] = []
    shares: list[float] = []
    now, stepping = 0.0, False
    for number in range(1, round(seconds / FRAME) + 1):
        end = number * FRAME
        while now < end:
            if stepping:
                throttle.finished(now)
            wait = throttle.ask(now)
            stepping = wait == 0.0
            if stepping:
                begins.append(now)
            now = now + step_seconds if stepping else min(now + wait, end)
        throttle.frame(end, work(end))
        shares.append(throttle.share)
    return begins, shares


def test_the_profiles_have_the_numbers_of_the_original() -> None:
    quest, desktop = PROFILES["quest"], PROFILES["desktop"]
    assert (quest.steps_per_second, quest.frame_seconds, quest.busy_above) == (30, 13.9e-3, 0.9)
    assert (desktop.steps_per_second, desktop.frame_seconds) == (200, None)
    assert quest.rest_seconds == desktop.rest_seconds == 1e-3


# Timelines by hand


def test_steps_follow_each_other_at_the_rate() -> None:
    throttle = Throttle(ThrottleConfig(steps_per_second=10), now=100.0)
    assert throttle.ask(100.0) == 0.0
    throttle.finished(100.02)
    assert throttle.ask(100.02) == pytest.approx(0.08)
    assert throttle.ask(100.07) == pytest.approx(0.03)
    assert throttle.ask(100.1) == 0.0
    throttle.finished(100.35)  # longer than its share: the next one has to wait for the rest alone
    assert throttle.ask(100.35) == pytest.approx(1e-3)
    assert throttle.ask(100.351) == 0.0


def test_a_rest_saves_no_more_than_a_burst() -> None:
    throttle = Throttle(ThrottleConfig(steps_per_second=10, burst=3, rest_seconds=0), now=0.0)
    for moment in (0.0, 60.0):
        assert [throttle.ask(moment) for _ in range(3)] == [0.0, 0.0, 0.0]
        assert throttle.ask(moment) == pytest.approx(0.1)


def test_a_busy_frame_halves_the_rate_down_to_the_least() -> None:
    throttle = Throttle(PROFILES["quest"], now=0.0)
    shares = []
    for number in range(5):
        throttle.frame(number * FRAME, BUSY)
        shares.append(throttle.share)
    assert shares == [0.5, 0.25, 0.125, 0.1, 0.1]
    now = 4 * FRAME
    assert throttle.ask(now) == 0.0
    throttle.finished(now)
    assert throttle.ask(now) == pytest.approx(0.5 / 3)  # half a token at 30 a second, a tenth of it


def test_calm_frames_bring_the_rate_back_at_a_steady_pace() -> None:
    throttle = Throttle(PROFILES["quest"], now=0.0)
    throttle.frame(1.0, BUSY)
    throttle.frame(1.5, CALM)
    assert throttle.share == pytest.approx(0.6)
    throttle.frame(2.0, 0.9 * BUDGET)  # filled to the limit, not above it
    assert throttle.share == pytest.approx(0.7)
    throttle.frame(10.0, CALM)
    assert throttle.share == 1.0


def test_rising_load_makes_a_wait_longer() -> None:
    throttle = Throttle(ThrottleConfig(steps_per_second=10.0, frame_seconds=BUDGET), now=0.0)
    assert throttle.ask(0.0) == 0.0
    throttle.finished(0.0)
    wait = throttle.ask(0.0)
    assert wait == pytest.approx(1 / 10)
    throttle.frame(FRAME, BUSY)
    assert throttle.ask(wait) == pytest.approx(1 / 10)  # half a token came; the rest takes as long


def test_a_step_begins_only_right_after_a_frame() -> None:
    config = ThrottleConfig(steps_per_second=100.0, frame_seconds=BUDGET, rest_seconds=0.0)
    throttle = Throttle(config, now=0.0)
    throttle.frame(10.0, CALM)
    throttle.frame(10.0 + FRAME, CALM)
    end = 10.0 + FRAME
    assert throttle.ask(end + 1.1e-3) == pytest.approx(2 * BUDGET - 1.1e-3)  # too late for this one
    throttle.frame(end + FRAME, CALM)
    assert throttle.ask(end + FRAME + 0.9e-3) == 0.0
    throttle.finished(end + FRAME + 5e-3)
    throttle.frame(end + 2 * FRAME, CALM)
    assert throttle.ask(end + 2 * FRAME) == 0.0  # the next gap has a step of its own
    # Two budgets without a frame: there is none that a step could take time from.
    throttle.finished(end + 2 * FRAME + 4e-3)
    assert throttle.ask(end + 3 * FRAME) == pytest.approx(2 * BUDGET - FRAME)
    assert throttle.ask(end + 2 * FRAME + 2 * BUDGET) == 0.0


def test_a_frame_time_that_is_no_number_counts_as_busy() -> None:
    throttle = Throttle(PROFILES["quest"], now=0.0)
    throttle.frame(FRAME, float("nan"))
    assert throttle.share == 0.5


def test_the_desktop_is_not_slowed_by_its_frames() -> None:
    throttle = Throttle(PROFILES["desktop"], now=0.0)
    throttle.frame(FRAME, 1.0)
    assert throttle.share == 1.0


def test_it_backs_off_while_the_load_is_high_and_recovers_after_it() -> None:
    """Ten calm seconds, five with every frame at 95 % of its budget, ten calm ones; 10 ms a train step."""
    throttle = Throttle(PROFILES["quest"], now=0.0)
    begins, shares = run(throttle, 25.0, 0.01, lambda now: BUSY if 10.0 < now <= 15.0 else CALM)

    def steps(first: float, last: float) -> int:
        return sum(first <= moment < last for moment in begins)

    assert steps(0.0, 10.0) == pytest.approx(300, abs=2)
    # Each of them right after a frame.
    assert max(moment - FRAME * round(moment / FRAME) for moment in begins) < 1e-3
    assert steps(10.5, 15.0) == pytest.approx(0.1 * 30 * 4.5, abs=2)
    # From a tenth to all of it takes 0.9 / 0.2 seconds, in which 0.55 of the rate is left on average.
    assert steps(15.0, 19.5) == pytest.approx(0.55 * 30 * 4.5, abs=3)
    assert steps(20.0, 25.0) == pytest.approx(150, abs=2)
    frames = [round(moment / FRAME) for moment in (10.06, 19.4, 19.6)]
    assert [shares[frame] for frame in frames] == [0.1, pytest.approx(0.98, abs=0.01), 1.0]


# What holds for all

configs = st.builds(
    ThrottleConfig,
    steps_per_second=st.floats(0.5, 500),
    frame_seconds=st.none() | st.floats(5e-3, 20e-3),
    burst=st.floats(1.0, 4.0),
    rest_seconds=st.sampled_from([0.0, 1e-3]),
)
moves = st.lists(
    st.tuples(st.sampled_from(["frame", "ask", "wait"]), st.floats(0.0, 0.5), st.floats(0.0, 0.03)),
    max_size=60,
)
always = settings(deadline=None, max_examples=150, derandomize=True)


@always
@given(config=configs, moves=moves, start=st.sampled_from([0.0, 1e6]))
def test_no_window_holds_more_steps_than_the_bucket(
    config: ThrottleConfig, moves: list[tuple[str, float, float]], start: float
) -> None:
    throttle, now = Throttle(config, start), start
    begins: list[float] = []
    for kind, passed, seconds in moves:
        now += passed
        if kind == "frame":
            before = throttle.share
            throttle.frame(now, seconds)
            assert config.least_share <= throttle.share <= 1.0
            busy = config.frame_seconds is not None and seconds > 0.9 * config.frame_seconds
            assert throttle.share <= before if busy else throttle.share >= before
        elif kind == "ask":  # impatient: what has to wait does not come back
            if throttle.ask(now) == 0.0:
                begins.append(now)
                throttle.finished(now)
        else:
            now = begin(throttle, now)
            begins.append(now)
            now += seconds
            throttle.finished(now)
    for first in range(len(begins)):
        for last in range(first, len(begins)):
            time = begins[last] - begins[first]
            assert last - first + 1 <= config.burst + config.steps_per_second * (time + 1e-5)
    gaps = [after - before for before, after in itertools.pairwise(begins)]
    assert min(gaps, default=1.0) >= config.rest_seconds - 1e-5


@always
@given(config=configs, frames=st.lists(st.floats(0.0, 0.1), max_size=30))
def test_a_wait_that_is_kept_ends_in_a_step(config: ThrottleConfig, frames: list[float]) -> None:
    """However busy the frames were, and on a clock that resolves no waits of rounding errors."""
    throttle, now = Throttle(config, 1e6), 1e6
    for seconds in frames:
        now += FRAME
        throttle.frame(now, seconds)
    for _ in range(3):
        wait = throttle.ask(now)
        longest = 1.0 / (config.least_share * config.steps_per_second) + config.rest_seconds
        longest = max(longest, 2 * (config.frame_seconds or 0.0))
        assert 0.0 <= wait <= longest + 1e-9
        if wait > 0.0:
            now += wait
            assert throttle.ask(now) == 0.0
        throttle.finished(now)


@always
@given(frames=st.lists(st.floats(0.0, 0.1), max_size=60))
def test_it_recovers_from_anything(frames: list[float]) -> None:
    config = PROFILES["quest"]
    throttle, now = Throttle(config, 0.0), 0.0
    for seconds in frames:
        now += FRAME
        throttle.frame(now, seconds)
    for _ in range(round(72 * (1 - config.least_share) / config.recovery) + 1):
        now += FRAME
        throttle.frame(now, CALM)
    assert throttle.share == 1.0


def test_the_throttle_needs_nothing_but_python() -> None:
    program = (
        "import sys; import synthjax.deploy.throttle;sys.exit('jax' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
