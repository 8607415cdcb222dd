"""Host callbacks on a machine with one core."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from synthjax.physics.dispatch import wait_for_computations
wait_for_computations()
import jax, numpy as np

@jax.jit
def add_one(x):
    host = lambda x: np.asarray(x) + 1
    return jax.pure_callback(host, jax.ShapeDtypeStruct(x.shape, x.dtype), 2 * x)

large = np.ones((2000, 1000), np.float32)
for _ in range(20):  # its argument is still being copied when it is called
    result = add_one(jax.device_put(large))
print(float(result[0, 0]))
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes cannot be kept to one core here")
def test_a_callback_on_one_core_gets_its_arguments() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "NPROC"}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    assert float(done.stdout) == 3.0
