"""Bodies: the Synth and any user's humanoid, in one form."""

from synthjax.bodies.factory import make_body
from synthjax.bodies.spec import Body

__all__ = ["Body", "make_body"]
