"""The options that README and docs name are options of the program."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from synthjax.cli import main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OPTION = re.compile(r"--[a-z][a-z0-9-]*(?:\.[a-z][a-z0-9-]*)*")
CODE = re.compile(r"`([^`]+)`|^ {4,}(.+)$", re.MULTILINE)
COMMANDS = [
    ["train"],
    ["train", "--env", "continuous"],
    ["train", "--agent", "sac"],
    ["train", "--env", "continuous", "--agent", "sac"],
    *(["eval"], ["play"], ["export"], ["finetune"], ["bench"], ["doctor"]),
    *(["bundle", name] for name in ("verify", "install")),
    *(["motion", name] for name in ("import", "check", "list", "preview", "export")),
    *(["motion", name] for name in ("cut", "join", "resample", "mirror")),
]


@pytest.fixture(scope="module")
def options() -> set[str]:
    """Those of all commands' help, and the groups that they stand in."""
    found = {"--debug", "--version"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "400")
        for command in COMMANDS:
            found |= set(OPTION.findall(_help(command)))
    groups = {option.rsplit(".", depth)[0] for option in found for depth in range(1, option.count(".") + 1)}
    return found | groups


def _help(command: list[str]) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        main([*command, "--help"])
    return out.getvalue()


def documented(page: Path) -> set[str]:
    """Options in the page's code: of lines that call synthjax, and with a dot wherever they stand."""
    found = set()
    for quoted, indented in CODE.findall(page.read_text()):
        code = quoted or indented
        ours = code.startswith("synthjax ")
        found |= {option for option in OPTION.findall(code) if ours or "." in option}
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documented_options_exist(page: Path, options: set[str]) -> None:
    assert documented(page) <= options
