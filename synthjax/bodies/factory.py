"""Bodies by name."""

from __future__ import annotations

from synthjax.bodies.spec import Body
from synthjax.bodies.synth import make_synth
from synthjax.errors import unknown


def make_body(name: str = "synth", actuation: str = "pd") -> Body:
    """The body called ``name`` with the actuation preset ``pd``, ``torque`` or ``strong``.

    Raises:
      UserError: unknown body or actuation.
    """
    if name != "synth":
        raise unknown("body", name, ["synth"])
    return make_synth(actuation)
