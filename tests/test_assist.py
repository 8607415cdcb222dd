"""The help under the chest, by hand."""

from __future__ import annotations

import jax.numpy as jnp
import pytest

from synthjax.envs.assist import AssistConfig, assist_force, update_share

CONFIG = AssistConfig(most=0.6, ease_above=0.4, raise_below=0.2, rate=0.1)


@pytest.mark.parametrize(
    ("share", "height", "force"),
    [
        (1.0, 0.0, 300.0),  # 0.6 of 500 N under a chest on the floor
        (0.5, 0.3, 112.5),  # half of it, a quarter of the way up: 150 * 0.75
        (1.0, 1.2, 0.0),  # standing
        (1.0, 1.5, 0.0),  # and never downward
        (0.0, 0.0, 0.0),
    ],
)
def test_force(share: float, height: float, force: float) -> None:
    actual = assist_force(CONFIG, jnp.asarray(share), jnp.asarray(height), 1.2, 500.0)
    assert float(actual) == pytest.approx(force, rel=1e-5)


@pytest.mark.parametrize(
    ("share", "on_feet", "after"),
    [
        (0.5, 0.41, 0.45),
        (0.5, 0.3, 0.5),
        (0.5, 0.19, 0.55),
        (0.95, 0.0, 1.0),
        (0.011, 1.0, 0.0),  # the last hundredth goes at once
        (0.0, 0.0, 0.0),  # and does not come back
    ],
)
def test_share_follows_success(share: float, on_feet: float, after: float) -> None:
    assert float(update_share(CONFIG, jnp.asarray(share), jnp.asarray(on_feet))) == pytest.approx(after)
