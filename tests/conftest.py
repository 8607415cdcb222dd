"""Two CPU devices, for the tests of data parallelism; everything else takes the first."""

import jax

jax.config.update("jax_num_cpu_devices", 2)
