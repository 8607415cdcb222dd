"""The display: its figures worked out by hand, on a terminal and in a pipe."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from synthjax.training.display import Phase, TrainingDisplay


class Clock:
    """Seconds that move only when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


SHOWN = {
    "reward": ("reward per step", lambda value: f"{value:.3f}"),
    "completion": ("episode completion", lambda value: f"{value:.0%}"),
    "body_error_mm": ("body error", lambda value: f"{value:.0f} mm"),
}


def make(clock: Clock, *, terminal: bool = False, **options: int) -> tuple[TrainingDisplay, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=110, color_system=None)
    return TrainingDisplay("run", 1000, SHOWN, console=console, clock=clock, **options), out


def test_speed_leaves_out_compiling_and_evaluating() -> None:
    clock = Clock()
    display, _ = make(clock)
    clock.now += 20  # compiling
    display.phase(Phase.TRAINING)
    display.update(100, {})  # made while compiling: says nothing about the speed
    assert display.steps_per_second == 0
    assert display.seconds_left is None
    clock.now += 3
    display.phase(Phase.EVALUATING)
    clock.now += 6
    display.phase(Phase.TRAINING)
    clock.now += 1
    display.update(300, {})
    assert display.compile_seconds == pytest.approx(20)
    assert display.steps_per_second == pytest.approx(200 / 4)
    # 200 steps took 10 s, evaluation included, so the other 700 take 35 s.
    assert display.seconds_left == pytest.approx(35)
    clock.now += 2
    assert display.seconds_left == pytest.approx(33)


def test_what_is_wrong_in_the_worlds_is_said_while_it_is_so() -> None:
    clock = Clock()
    display, out = make(clock)
    display.phase(Phase.TRAINING)
    for steps, bad, overflow in ((100, 0.0, 0.0), (200, 0.0005, 0.25), (300, 0.0, 0.0)):
        clock.now += 20
        display.update(steps, {"reward": 0.5, "bad_world": bad, "overflow": overflow})
    healthy, broken, healed = [line for line in out.getvalue().splitlines() if "steps/s" in line]
    assert "broken worlds 1 in 2,000 steps" in broken
    assert "contacts without room 0.25 a step" in broken
    for line in (healthy, healed):
        assert "reward per step 0.500" in line
        assert "broken" not in line
        assert "room" not in line


def test_resumed_run_counts_only_its_own_steps() -> None:
    clock = Clock()
    display, _ = make(clock)
    display.resume_at(500)
    display.phase(Phase.TRAINING)
    display.update(600, {})
    clock.now += 10
    display.update(700, {})
    assert display.steps_per_second == pytest.approx(10)
    assert display.seconds_left == pytest.approx(30)


def test_pipe_gets_one_line_per_interval_and_per_phase() -> None:
    clock = Clock()
    display, out = make(clock, interval=10)
    with display:
        display.phase(Phase.TRAINING)
        for step in range(1, 26):
            clock.now += 1
            display.update(40 * step, {"reward": 0.5, "completion": 0.25, "body_error_mm": 61.0, "loss": 3.0})
        display.phase(Phase.SAVING)
    lines = out.getvalue().splitlines()
    assert lines[0] == "0:00  compiling"
    assert [line.split()[0] for line in lines[1:-1]] == ["0:01", "0:11", "0:21"]
    assert lines[2].split("  ") == [
        "0:11",
        " 44%",
        "440 steps",
        "40 steps/s",
        "reward per step 0.500",
        "episode completion 25%",
        "body error 61 mm",
        "0:14 left",
    ]
    assert lines[-1] == "0:25  saving"


def test_panel_shows_what_the_user_asks_about() -> None:
    clock = Clock()
    display, out = make(clock, terminal=True)
    display.phase(Phase.TRAINING)
    display.update(125, {})
    clock.now += 5
    display.update(375, {"reward": 0.5, "completion": 0.25, "body_error_mm": 61.0})
    Console(file=out, width=110, color_system=None).print(display.render())
    shown = out.getvalue()
    for part in ("collecting and updating", "375 of 1 k steps", "0.500", "25%", "61 mm", "0:12 left", "50"):
        assert part in shown


def test_a_run_without_an_end_shows_neither_share_nor_time_left() -> None:
    clock = Clock()
    out = io.StringIO()
    console = Console(file=out, width=110, color_system=None)
    display = TrainingDisplay("run", None, SHOWN, console=console, clock=clock)
    with display:
        display.phase(Phase.TRAINING)
        for steps in (2_000_000, 3_000_000):
            display.update(steps, {"reward": 0.5})
            clock.now += 10
    assert display.seconds_left is None
    assert out.getvalue().splitlines()[-1] == "0:10  3 M steps  100,000 steps/s  reward per step 0.500"
    console.print(display.render())
    panel = out.getvalue()
    assert "3 M steps, until it is stopped" in panel
    assert "0:20 elapsed " in panel
    assert "left" not in panel
    assert "%" not in panel


def test_live_display_ends_with_the_block() -> None:
    clock = Clock()
    display, out = make(clock, terminal=True)

    def interrupted() -> None:
        with display:
            display.message("a line that stays")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "a line that stays" in out.getvalue()
