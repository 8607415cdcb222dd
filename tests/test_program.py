"""The training program as XLA sees it."""

from __future__ import annotations

import dataclasses

import jax
import pytest

from synthjax import configs
from synthjax.training.build import build


@pytest.mark.parametrize(
    ("env", "algorithm", "randomize"),
    [
        ("imitation", "ppo", False),
        ("imitation", "sac", False),
        ("continuous", "ppo", False),
        ("continuous", "sac", False),
        ("imitation", "ppo", True),
        ("continuous", "sac", True),
    ],
)
def test_an_epoch_gives_back_the_types_it_takes(env: str, algorithm: str, randomize: bool) -> None:
    """A weakly typed leaf in the first state would make every run compile its program twice."""
    config = configs.get(env, algorithm)
    small = {"imitation": {"starts_per_bin": 1}, "continuous": {"falls": 4}}[env]
    config = dataclasses.replace(
        config,
        randomize=randomize,
        agent=dataclasses.replace(config.agent, num_envs=4, unroll_length=4),
        task=dataclasses.replace(config.task, **small),
    )
    program = build(config).program
    first = jax.eval_shape(program.init, jax.random.key(0))
    second, _ = jax.eval_shape(program.iterate, first)

    def types(state: object) -> dict[str, tuple]:
        leaves = jax.tree_util.tree_leaves_with_path(state)
        return {jax.tree_util.keystr(path): (x.shape, x.dtype, x.weak_type) for path, x in leaves}

    assert types(first) == types(second)
    assert not any(weak for _, _, weak in types(first).values())
