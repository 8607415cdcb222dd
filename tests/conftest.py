"""JAX as the commands set it up, and two CPU devices for the tests of data parallelism.

Everything else takes the first device.
"""

import jax

from synthjax.physics.dispatch import wait_for_computations

jax.config.update("jax_num_cpu_devices", 2)
wait_for_computations()
