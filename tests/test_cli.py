"""The command line: exit codes, sentences, and how little a bare start loads."""

from __future__ import annotations

import errno
import subprocess
import sys

import pytest

from synthjax import cli
from synthjax.errors import UserError


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch):
    """Adds a command ``fail`` that raises the error it is given."""

    def register(error: BaseException) -> None:
        def fail() -> None:
            """Fail."""
            raise error

        monkeypatch.setitem(cli.COMMANDS, "fail", fail)

    return register


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in cli.COMMANDS)


def test_help_loads_neither_jax_nor_mujoco() -> None:
    code = (
        "import sys; from synthjax.cli import main; main(['--help']);"
        "sys.exit(any(name in sys.modules for name in ('jax', 'mujoco', 'flax')))"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


@pytest.mark.parametrize("command", sorted(cli.COMMANDS))
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, "--help"]) == 0
    assert f"synthjax {command}" in capsys.readouterr().out


def test_unknown_command_names_the_near_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["docter"]) == 2
    assert capsys.readouterr().err == "Error: Unknown command 'docter': did you mean doctor?\n"


def test_unknown_flag_names_the_near_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--jsno"]) == 2
    shown = capsys.readouterr().err
    assert "--jsno" in shown
    assert "Perhaps you meant" in shown
    assert "--json" in shown.split("Perhaps you meant")[1]


def test_mistake_of_the_user_is_one_sentence(failing, capsys: pytest.CaptureFixture[str]) -> None:
    failing(UserError("Lower --num-envs to 64."))
    assert cli.main(["fail"]) == 2
    assert capsys.readouterr().err == "Error: Lower --num-envs to 64.\n"


def test_debug_adds_the_traceback(failing, capsys: pytest.CaptureFixture[str]) -> None:
    failing(UserError("Lower --num-envs to 64."))
    assert cli.main(["fail", "--debug"]) == 2
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.endswith("Error: Lower --num-envs to 64.\n")


@pytest.mark.parametrize(
    ("code", "advice"), [(errno.ENOSPC, "make room"), (errno.EACCES, "choose another folder")]
)
def test_failed_write_is_one_sentence(code: int, advice: str, failing, capsys) -> None:
    failing(OSError(code, "the system's words", "runs/walk/metrics.jsonl"))
    assert cli.main(["fail"]) == 2
    shown = capsys.readouterr().err
    assert advice in shown
    assert "runs/walk/metrics.jsonl" in shown
    assert "Traceback" not in shown


def test_fault_of_the_program_is_not_hidden(failing) -> None:
    failing(OSError(errno.EBADF, "Bad file descriptor"))
    with pytest.raises(OSError, match="Bad file descriptor"):
        cli.main(["fail"])


def test_ctrl_c_has_the_shells_exit_code(failing) -> None:
    failing(KeyboardInterrupt())
    assert cli.main(["fail"]) == 130
