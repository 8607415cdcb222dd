"""Bodies by name."""

from __future__ import annotations

from pathlib import Path

from synthjax.bodies.spec import Body
from synthjax.bodies.synth import make_synth
from synthjax.bodies.user import make_user_body
from synthjax.errors import unknown


def make_body(name: str = "synth", actuation: str = "pd", drive: str = "servo") -> Body:
    """The Synth, or the body of the mapping file ``name`` (``my_robot.toml``).

    Args:
      actuation: how strong the motors are, ``pd``, ``torque`` or ``strong``.
      drive: what a control is: ``servo`` (a joint angle) or ``direct`` (a torque).

    Raises:
      UserError: unknown body, actuation or drive, or a mapping file that cannot be used.
    """
    if name == "synth":
        return make_synth(actuation, drive)
    if Path(name).suffix != ".toml":
        raise unknown("body", name, ["synth", "a mapping file (*.toml)"])
    return make_user_body(Path(name), actuation, drive)
