"""What a command says while it works."""

import io

import pytest
from rich.console import Console

from synthjax.cli.working import working


def test_in_a_pipe_each_step_is_a_line_beside_the_results(capsys: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    with working(Console(file=out), "loading") as say:
        say("rendering [bold]walk[/bold]")
    assert capsys.readouterr().err == "rendering [bold]walk[/bold]\n"
    assert out.getvalue() == ""


def test_on_a_terminal_it_stands_beside_a_spinner(capsys: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    with working(Console(file=out, force_terminal=True, width=40), "loading") as say:
        say("rendering")
    assert "rendering" in out.getvalue()
    assert capsys.readouterr().err == ""
