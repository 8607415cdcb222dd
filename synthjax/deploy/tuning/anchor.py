"""How far a policy may go from the shipped one: a bound on their divergence, kept by a projection."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Generator, Mapping

import numpy as np

from synthjax.deploy.bundle import Bundle
from synthjax.deploy.files import INFER_SIGNATURE, POLICY
from synthjax.deploy.model import Model
from synthjax.deploy.tuning.models import Snapshot, TunablePolicy, Vectors, frozen

_PROJECTIONS = 8  # most attempts to come back within the bound
_ROWS_PER_TURN = 32  # observations between two admissions, less than a train step's time


def gaussian_kl(
    mean: np.ndarray, std: np.ndarray, other_mean: np.ndarray, other_std: np.ndarray, active: np.ndarray
) -> float:
    """KL divergence of Gaussians from others, the mean over a batch, nats per action.

    It is that of the actions too if both are squashed by tanh, which can be undone.

    Args:
      mean: (B, A).
      std: (B, A).
      other_mean: (B, A).
      other_std: (B, A).
      active: (A,) bool, the actions that are the policy's to decide.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is not finite
        ratio, shift = std / other_std, (mean - other_mean) / other_std
        each = 0.5 * (ratio * ratio + shift * shift - 1.0) - np.log(ratio)
        return float(np.mean(np.sum(each[:, active], axis=-1)))


class Anchor:
    """Not thread-safe: it calls models."""

    def __init__(self, bundle: Bundle, shipped: Snapshot, tuned: TunablePolicy, part: slice, bound: float):
        """Bounds policies by the shipped one.

        Args:
          bundle: of the shipped policy.
          shipped: its vectors.
          tuned: judges the other policies; whoever uses it beside this sets its snapshot.
          part: of the parameters, that is drawn back.
          bound: nats per action.
        """
        self._shipped, self._tuned, self._part, self._bound = shipped, tuned, part, bound
        self._base = Model(POLICY, bundle.files[POLICY], INFER_SIGNATURE)
        self._active = np.asarray(bundle.manifest["action"]["gains"]) > 0.0

    def within(
        self, vectors: Vectors, observations: np.ndarray
    ) -> Generator[None, None, tuple[Snapshot, float] | None]:
        """The policy of ``vectors``, drawn towards the shipped one until it is within the bound.

        A projection of parameters on the line between the two, by the divergence over ``observations``
        (B, obs_dim).  Returns the policy and the share of its way that is left, or None if it does not come
        within the bound.
        """
        base = yield from _distributions(lambda row: self._base({"observation": row[None]}), observations)
        share = 1.0
        for _ in range(_PROJECTIONS):
            policy = Snapshot(frozen(self._drawn_back(vectors, share)))
            self._tuned.snapshot = policy
            own = yield from _distributions(self._tuned.infer, observations)
            kl = gaussian_kl(*own, *base, self._active)
            if kl <= self._bound:
                return dataclasses.replace(policy, kl=kl), share
            if not math.isfinite(kl):
                break
            share *= 0.97 * math.sqrt(self._bound / kl)  # it is nearly quadratic in the share
        return None

    def _drawn_back(self, vectors: Vectors, share: float) -> dict[str, np.ndarray]:
        params, base = vectors["params"].copy(), self._shipped.params[self._part]
        params[self._part] = base + np.float32(share) * (params[self._part] - base)
        return {**vectors, "params": params}


def _distributions(
    infer: Callable[[np.ndarray], Mapping[str, np.ndarray]], observations: np.ndarray
) -> Generator[None, None, tuple[np.ndarray, np.ndarray]]:
    """Means and standard deviations (B, A) of what a model gives for observations one by one."""
    outputs = []
    for count, row in enumerate(observations, 1):
        outputs.append(infer(row))
        if count % _ROWS_PER_TURN == 0:
            yield
    means, log_stds = (np.stack([out[name][0] for out in outputs]) for name in ("mean", "log_std"))
    return means, np.exp(log_stds)
