"""JAX as the commands set it up, and two CPU devices for the tests of data parallelism.

Everything else takes the first device.
"""

import sys

import jax
import pytest

from synthjax.physics.dispatch import wait_for_computations

jax.config.update("jax_num_cpu_devices", 2)
wait_for_computations()


@pytest.fixture(autouse=True)
def _no_options_of_other_tests() -> None:
    """tyro 0.9 remembers unrecognised options for as long as the process lasts, which is one command long.

    It forgets them for each parser, but takes one that is called "synthjax train" for a subcommand.
    """
    formatter = sys.modules.get("tyro._argparse_formatter")
    if hasattr(formatter, "global_unrecognized_arg_and_prog"):
        formatter.global_unrecognized_arg_and_prog = []
