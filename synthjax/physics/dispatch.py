"""A setting of JAX that host callbacks need on a CPU."""

from __future__ import annotations

import jax


def wait_for_computations() -> None:
    """Lets a CPU computation run in the thread that asks for it.  Only before JAX is first used.

    Otherwise it runs in XLA's pool of as many threads as there are cores.  A callback in it waits for its
    arguments, and these are copied by a thread of the same pool: with all of them taken, for ever.
    """
    jax.config.update("jax_cpu_enable_async_dispatch", False)
