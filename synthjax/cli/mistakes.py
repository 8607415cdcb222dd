"""What the parser of options says in a box, as the one sentence that all mistakes of a user's get."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches

from synthjax.errors import UserError, unknown

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_FRAME = re.compile(r"^[│|]\s?|\s*[│|]$")
_RULE = re.compile(r"^[─-]{3,}$")
_QUOTED = re.compile(r"'([^']*)'")
_OPTION = re.compile(r"--[\w.-]*\w")


def explain(said: str, command: str, short: Iterable[str] = ()) -> UserError:
    """The error for what tyro has printed; both its releases 0.9 and 1 are understood.

    Args:
      said: the box, with colours or without.
      command: name of the command, to point to its help.
      short: forms of options that the parser does not know.
    """
    lines = [_FRAME.sub("", line).strip() for line in _COLOUR.sub("", said).splitlines()]
    lines = [line for line in lines if line and line[0] not in "╭╰"]
    if "╭" not in said:  # where no box can be drawn, the title stands over a rule
        lines = lines[2:]
    end = next((i for i, line in enumerate(lines) if _RULE.match(line)), len(lines))
    text, rest = " ".join(lines[:end]), " ".join(lines[end:])
    see = f"'synthjax {command} --help' lists the options."
    if text.startswith("Unrecognized options:"):
        word = text.split(":", 1)[1].replace(",", " ").split()[0]
        # Tyro lists its own near ones, for all that is unknown, in an order by parts of long names.
        listed = [line for line in lines[end:] if line.startswith("--")]
        near = [option for line in listed for option in _OPTION.findall(line)]
        if near := [*get_close_matches(word, short, n=1), *near]:
            return UserError(f"Unknown option '{word}': did you mean {_nearest(word, near)}?")
        if found := re.search(r"subcommands: (.*?)\s*[─-]{3}", rest):
            return unknown("command", word, found[1].split(", "))
        return UserError(f"Unknown option '{word}': {see}")
    option = next(iter(_OPTION.findall(text)), "")
    if "invalid choice" in text:
        word, *choices = [quoted for quoted in _QUOTED.findall(text) if quoted != option]
        return unknown(f"value of {option}" if option else "command", word, choices)
    if "invalid literal for int()" in text:
        return UserError(f"{option} is '{_QUOTED.findall(text)[-1]}': give a whole number.")
    if "could not convert string to float" in text:
        return UserError(f"{option} is '{_QUOTED.findall(text)[-1]}': give a number.")
    if option and ("Missing value" in text or re.search(r"expected \d+ argument", text)):
        return UserError(f"{option} lacks its value: {see}")
    return UserError(f"{text.rstrip('.:')}: {see}")


def _nearest(word: str, options: list[str]) -> str:
    """The option that is most like ``word``, which may leave out what stands before its last dot."""

    def likeness(option: str) -> float:
        forms = (option, f"--{option.rpartition('.')[2].removeprefix('--')}")
        return max(SequenceMatcher(None, word, form).ratio() for form in forms)

    return max(options, key=likeness)
