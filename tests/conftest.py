"""JAX as the commands set it up, two CPU devices for the tests of data parallelism, and what is long to make.

Everything else takes the first device.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

# Most of the suite's time is XLA's, and a quarter of that goes into programs that are as fast as they can be.
# Before JAX is imported, and for the commands that tests start, too.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthjax.physics.dispatch import wait_for_computations

if TYPE_CHECKING:
    from learning_bundles import Learning

    from synthjax.deploy.export import Export
    from synthjax.deploy.rollouts import Rollouts
    from synthjax.training.saved import SavedPolicy

jax.config.update("jax_num_cpu_devices", 2)
# The commands turn on the cache on disk.  XLA has crashed while it serialised a program for it, late in a
# process that had compiled hundreds; commands that tests start as processes of their own use it.
jax.config.update("jax_enable_compilation_cache", False)
wait_for_computations()
MOST_MAPPINGS = 30_000


@pytest.fixture(autouse=True, scope="module")
def _room_for_programs() -> None:
    """Drops compiled programs before they use up the memory mappings of a process, 65,530 on Linux.

    XLA crashes where it gets no more of them, late in a run of all tests.
    """
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > MOST_MAPPINGS:
        jax.clear_caches()


@pytest.fixture(autouse=True)
def _no_options_of_other_tests() -> None:
    """tyro 0.9 remembers unrecognised options for as long as the process lasts, which is one command long.

    It forgets them for each parser, but takes one that is called "synthjax train" for a subcommand.
    """
    formatter = sys.modules.get("tyro._argparse_formatter")
    if hasattr(formatter, "global_unrecognized_arg_and_prog"):
        formatter.global_unrecognized_arg_and_prog = []


@pytest.fixture(scope="session")
def policy() -> SavedPolicy:
    """A small policy of the imitation task that moves every joint that it may."""
    from test_resume import tiny_config

    from synthjax.training.build import build
    from synthjax.training.saved import SavedPolicy

    run = build(tiny_config())
    state = jax.jit(run.agent.init)(jax.random.key(0), jnp.zeros((2, run.env.obs_dim)))
    rng = np.random.default_rng(0)
    average = jax.tree.map(lambda x: jnp.asarray(rng.normal(0.0, 0.1, x.shape), x.dtype), state.average)
    gains = run.env.action_gains(run.env.init_context())
    return SavedPolicy(run, run.agent.with_gains(state.replace(average=average), gains), 7)


@pytest.fixture(scope="session")
def recorded(policy: SavedPolicy) -> tuple[Export, Rollouts]:
    """An export of it, and the rollouts that it was compared on; not to be changed."""
    import deploy_models  # noqa: F401  (skips without the extra)

    from synthjax.deploy import export as exporting

    kept: list[Rollouts] = []
    record = exporting.record
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "record", lambda *args: kept.append(record(*args)) or kept[0])
        return exporting.prepare(policy, "float32", lambda message: None), kept[0]


@pytest.fixture(scope="session", params=[("ppo", "plain"), ("sac", "structured")], ids="-".join)
def learns(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Learning:
    """A bundle of a tiny agent that can learn, and what ten gradient steps make of it."""
    from learning_bundles import learning

    return learning(*request.param, tmp_path_factory.mktemp("learning"))
