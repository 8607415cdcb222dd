"""The seam to the physics engines: native MuJoCo, MJX-JAX and MJX-Warp."""

from synthjax.physics.base import SUBSTEP, ModelVariant, Physics
from synthjax.physics.factory import ENGINES, auto_engine, make_physics, resolve_engine
from synthjax.physics.variants import make_variants

__all__ = [
    "ENGINES",
    "SUBSTEP",
    "ModelVariant",
    "Physics",
    "auto_engine",
    "make_physics",
    "make_variants",
    "resolve_engine",
]
