"""Networks that all agents share."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "elu": nn.elu,
    "relu": nn.relu,
    "swish": nn.swish,
    "tanh": nn.tanh,
}
POLICY_GAIN = 0.01  # of a policy's last layer: the first actions are near zero

Chains = tuple[tuple[int, ...], ...]  # the actions of each kinematic chain, by index


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """Settings of the networks that all agents have."""

    actor: Literal["plain", "structured"] = "plain"  # one network, or a shared trunk and a head per chain
    chain_hidden: tuple[int, ...] = (64,)  # widths of the hidden layers of a structured actor's heads
    activation: Literal["elu", "relu", "swish", "tanh"] = "relu"  # of the hidden layers


class MLP(nn.Module):
    """Dense layers with orthogonal weights (Saxe et al. 2014) and zero biases.

    Hidden layers are initialised with gain sqrt(2); the last with ``last_gain``.  ``layer_norm`` normalises
    hidden layers before their activation (Ba et al. 2016).  (..., in) -> (..., output).
    """

    hidden: tuple[int, ...]
    output: int
    last_gain: float
    activation: str = "relu"
    layer_norm: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = _hidden_layers(x, self.hidden, self.activation, self.layer_norm)
        return nn.Dense(self.output, kernel_init=nn.initializers.orthogonal(self.last_gain))(x)

    @property
    def units(self) -> int:
        """Hidden units of one sample, for estimates of memory."""
        return sum(self.hidden)


class StructuredActor(nn.Module):
    """A trunk that sees everything, and on it a head of its own for each kinematic chain.

    The structured actor of the Unity project that the Synth comes from, with trunk and heads initialised as
    an :class:`MLP`.  A head has ``per_action`` numbers for each action of its chain; they are gathered to the
    order of the actions: the first numbers of all actions, then the second ones.
    (..., in) -> (..., per_action * A).
    """

    hidden: tuple[int, ...]  # widths of the trunk
    chain_hidden: tuple[int, ...]  # widths of each head
    chains: Chains  # every action in exactly one
    per_action: int
    last_gain: float
    activation: str = "relu"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        trunk = _hidden_layers(x, self.hidden, self.activation)
        heads = []
        for chain in self.chains:
            width = self.per_action * len(chain)
            head = MLP(self.chain_hidden, width, self.last_gain, self.activation)(trunk)
            heads.append(head.reshape(*head.shape[:-1], self.per_action, len(chain)))
        # Where each action stands among the heads' outputs: the inverse of the order they come in.
        place = np.argsort(np.concatenate(self.chains))
        gathered = _permuted(jnp.concatenate(heads, axis=-1), tuple(place.tolist()))
        return gathered.reshape(*gathered.shape[:-2], -1)

    @property
    def units(self) -> int:
        """Hidden units of one sample, for estimates of memory."""
        return sum(self.hidden) + len(self.chains) * sum(self.chain_hidden)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _permuted(x: jax.Array, order: tuple[int, ...]) -> jax.Array:
    """``x[..., order]``, whose gradient is a gather too: JAX's own is a scatter, which TFLite has not."""
    return x[..., np.array(order)]


_permuted.defvjp(
    lambda x, order: (_permuted(x, order), None),
    lambda order, _, gradient: (gradient[..., np.argsort(order)],),
)


def make_actor(
    config: NetworkConfig, hidden: tuple[int, ...], action_dim: int, per_action: int, chains: Chains
) -> MLP | StructuredActor:
    """The network of a policy, (..., in) -> (..., per_action * action_dim).

    Args:
      config: says which one.
      hidden: widths of its hidden layers, those of the trunk of a structured one.
      action_dim: size A of an action.
      per_action: numbers for each action: the first ones of all actions come first.
      chains: what a structured actor has heads for; each holds the indices of its actions.

    Raises:
      ValueError: the chains of a structured actor do not hold every action once.
    """
    if config.actor == "plain":
        return MLP(hidden, per_action * action_dim, POLICY_GAIN, config.activation)
    if sorted(itertools.chain(*chains)) != list(range(action_dim)) or not all(chains):
        raise ValueError(f"The chains {chains} do not hold each of {action_dim} actions once.")
    return StructuredActor(hidden, config.chain_hidden, chains, per_action, POLICY_GAIN, config.activation)


def _hidden_layers(
    x: jax.Array, widths: tuple[int, ...], activation: str, layer_norm: bool = False
) -> jax.Array:
    """Adds layers to the module whose ``__call__`` it is used in.  (..., in) -> (..., widths[-1])."""
    for width in widths:
        x = nn.Dense(width, kernel_init=nn.initializers.orthogonal(2.0**0.5))(x)
        x = nn.LayerNorm()(x) if layer_norm else x
        x = ACTIVATIONS[activation](x)
    return x
