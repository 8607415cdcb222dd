"""Bounds on settings, by the names of their options."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

from synthjax.errors import UserError


def options(config: Any, prefix: str = "--") -> Iterator[tuple[str, Any]]:
    """All settings of a dataclass, and of those in it, by the names of their options."""
    for field in dataclasses.fields(config):
        option, value = prefix + field.name.replace("_", "-"), getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from options(value, f"{option}.")
        else:
            yield option, value


def check_finite(config: Any) -> None:
    """Refuses numbers that are infinite or none, wherever they stand in ``config``.

    Comparisons with NaN are false, so that the other checks would let it pass.
    """
    for option, value in options(config):
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, float) and not math.isfinite(number):
                raise UserError(f"{option} is {number}: give a finite number.")


def above_zero(part: Any, prefix: str, *names: str) -> None:
    """Refuses zero and what is below, as :func:`within`."""
    for option, value in _named(part, prefix, names):
        if value <= 0:
            raise UserError(f"{option} is {value}: give a number above zero.")


def not_negative(part: Any, prefix: str, *names: str) -> None:
    """Refuses what is below zero, as :func:`within`."""
    for option, value in _named(part, prefix, names):
        if value < 0:
            raise UserError(f"{option} is {value}: give a number of at least 0.")


def below_one(part: Any, prefix: str, *names: str) -> None:
    """Refuses what is not from zero to below one, as :func:`within`."""
    for option, value in _named(part, prefix, names):
        if not 0.0 <= value < 1.0:
            raise UserError(f"{option} is {value}: give a number from 0 to below 1.")


def within(part: Any, prefix: str, low: float, high: float, *names: str) -> None:
    """Refuses what is outside of ``low`` to ``high``.

    Args:
      part: dataclass.
      prefix: of its options, such as ``--agent``.
      low: least.
      high: greatest.
      names: of the fields that are bounded.

    Raises:
      UserError: names the option.
    """
    for option, value in _named(part, prefix, names):
        if not low <= value <= high:
            raise UserError(f"{option} is {value}: give a number from {low:g} to {high:g}.")


def in_order(part: Any, prefix: str, low: str, high: str) -> None:
    """Refuses a field ``low`` that is above the field ``high``."""
    (lower, small), (upper, large) = _named(part, prefix, (low, high))
    if small > large:
        raise UserError(f"{lower} must not be above {upper}: they are {small} and {large}.")


def _named(part: Any, prefix: str, names: tuple[str, ...]) -> list[tuple[str, Any]]:
    return [(f"{prefix}.{name.replace('_', '-')}", getattr(part, name)) for name in names]
