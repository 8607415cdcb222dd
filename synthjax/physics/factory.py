"""Engines by name."""

from __future__ import annotations

import importlib.util

import jax

from synthjax.bodies.spec import Body
from synthjax.errors import UserError, unknown
from synthjax.physics.base import Physics
from synthjax.physics.dispatch import wait_for_computations

ENGINES = ("native", "mjx", "warp")


def make_physics(engine: str, body: Body, sim_dt: float, n_substeps: int) -> Physics:
    """The engine called ``engine`` for ``body``, with steps of ``sim_dt`` seconds.

    ``auto`` takes native MuJoCo on a CPU, MJX-Warp on an NVIDIA GPU and MJX-JAX on any other device.

    Raises:
      UserError: unknown or missing engine, or a body with actuators that have a state of their own.
    """
    engine = resolve_engine(engine)
    if body.model.na:
        raise UserError(
            f"The body '{body.name}' has actuators with activation states (muscles, filters), "
            "which the physics state does not carry: use stateless motor or position actuators."
        )
    if engine == "native":
        wait_for_computations()
        from synthjax.physics.native import NativePhysics

        return NativePhysics(body, sim_dt, n_substeps)
    if engine == "mjx":
        from synthjax.physics.mjx_jax import MjxPhysics

        return MjxPhysics(body, sim_dt, n_substeps)
    if importlib.util.find_spec("warp") is None:
        raise UserError("The warp engine is not installed: pip install 'synthjax[warp]', or choose another.")
    from synthjax.physics.mjx_warp import WarpPhysics

    return WarpPhysics(body, sim_dt, n_substeps)


def resolve_engine(engine: str) -> str:
    """One of ``ENGINES`` for its name or ``auto``.

    Raises:
      UserError: unknown engine; names the near matches.
    """
    if engine == "auto":
        return auto_engine()
    if engine not in ENGINES:
        raise unknown("engine", engine, ("auto", *ENGINES))
    return engine


def auto_engine() -> str:
    """The engine that ``auto`` takes for the device that JAX computes on."""
    wait_for_computations()
    device = jax.devices()[0]
    if device.platform == "cpu":
        return "native"
    # By JAX's own word for the platform: not every NVIDIA card has the maker's name in its own.
    return "warp" if "cuda" in device.client.platform_version.lower() else "mjx"
