"""Decisions that all processes of a run take at the same moment."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding

from synthjax.training.mesh import COPIED, SPLIT


class Votes:
    """Counts the wishes of all processes on their devices, behind the epoch in flight.

    The outcome is read one turn later, as metrics are, so that no host waits for its device.  A single
    process has its wishes at once.
    """

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._count = jax.jit(lambda votes: jnp.any(votes, axis=0), out_shardings=NamedSharding(mesh, COPIED))
        self._own: tuple[bool, ...] = ()
        self._cast: jax.Array | None = None

    def turn(self, *wishes: bool) -> tuple[bool, ...]:
        """Casts this process's ``wishes`` and says which ones any process had at the turn before.

        All processes have to come here with equally many.  A wish that waits for its outcome is not cast
        again.
        """
        if not self._mesh.is_multi_process:
            return wishes
        before = self._cast
        waiting = self._own or (False,) * len(wishes)
        self._own = tuple(wish and not waits for wish, waits in zip(wishes, waiting, strict=True))
        # A row for each of this process's devices.
        rows = np.tile(np.array(self._own), (len(self._mesh.local_devices), 1))
        self._cast = self._count(
            jax.make_array_from_process_local_data(NamedSharding(self._mesh, SPLIT), rows)
        )
        if before is None:
            return (False,) * len(wishes)
        return tuple(bool(wish) for wish in jax.device_get(before))
