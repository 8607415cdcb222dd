"""Settings of JAX that host callbacks need on a CPU."""

from __future__ import annotations

import os

import jax
import psutil

_LEAST_THREADS = 2


def wait_for_computations() -> None:
    """Lets a CPU computation run in the thread that asks for it.  Only before JAX is first used.

    Otherwise it runs in XLA's pool of as many threads as there are cores.  A callback in it waits for its
    arguments, and these are copied by a thread of the same pool: with all of them taken, for ever.  A
    computation whose own arguments are still being copied runs in the pool all the same, so the pool gets
    a second thread where there is one core.
    """
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    affinity = getattr(psutil.Process(), "cpu_affinity", None)  # not on macOS
    cores = len(affinity()) if affinity else os.cpu_count() or 1
    if cores < _LEAST_THREADS:
        # What XLA takes the size of its pool from (xla/pjrt/utils.cc, DefaultThreadPoolSize).
        os.environ.setdefault("NPROC", str(_LEAST_THREADS))
