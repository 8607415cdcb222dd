"""Bodies by name."""

from __future__ import annotations

from pathlib import Path

from synthjax.bodies.spec import Body
from synthjax.bodies.synth import make_synth
from synthjax.bodies.user import make_user_body
from synthjax.errors import unknown


def make_body(name: str = "synth", actuation: str = "pd") -> Body:
    """The Synth, or the body of the mapping file ``name`` (``my_robot.toml``).

    Args:
      actuation: the preset ``pd``, ``torque`` or ``strong``.

    Raises:
      UserError: unknown body or actuation, or a mapping file that cannot be used.
    """
    if name == "synth":
        return make_synth(actuation)
    if Path(name).suffix != ".toml":
        raise unknown("body", name, ["synth", "a mapping file (*.toml)"])
    return make_user_body(Path(name), actuation)
