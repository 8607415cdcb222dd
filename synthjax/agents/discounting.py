"""Discounts of steps that are not all of one length."""

from __future__ import annotations

import jax


def over_durations(factor: float, duration: jax.Array | None) -> float | jax.Array:
    """``factor`` of one nominal step over steps of ``duration`` (...), in nominal steps; None: over one.

    The discount of a semi-Markov decision process (Sutton, Precup & Singh 1999, section 3): what is a second
    away weighs the same however many steps it takes.
    """
    return factor if duration is None else factor**duration
