"""Networks that all agents share."""

from __future__ import annotations

from collections.abc import Callable

import flax.linen as nn
import jax

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "elu": nn.elu,
    "relu": nn.relu,
    "swish": nn.swish,
    "tanh": nn.tanh,
}


class MLP(nn.Module):
    """Dense layers with orthogonal weights (Saxe et al. 2014) and zero biases.

    Hidden layers are initialised with gain sqrt(2); the last with ``last_gain``, small for a policy so
    that the first actions are near zero.  ``layer_norm`` normalises hidden layers before their activation
    (Ba et al. 2016).  (..., in) -> (..., output).
    """

    hidden: tuple[int, ...]
    output: int
    last_gain: float
    activation: str = "relu"
    layer_norm: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for width in self.hidden:
            x = nn.Dense(width, kernel_init=nn.initializers.orthogonal(2.0**0.5))(x)
            x = nn.LayerNorm()(x) if self.layer_norm else x
            x = ACTIVATIONS[self.activation](x)
        return nn.Dense(self.output, kernel_init=nn.initializers.orthogonal(self.last_gain))(x)
