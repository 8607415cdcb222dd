"""The models of a bundle that fine-tuning calls, and the vectors that it changes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from synthjax.deploy.bundle import Bundle
from synthjax.deploy.files import (
    FINETUNE,
    INFER_SIGNATURE,
    PARAMS,
    REWARD,
    REWARD_SIGNATURE,
    STARTS,
    STEP_SIGNATURE,
    TRAINING,
)
from synthjax.deploy.model import Model
from synthjax.deploy.runtime import DeployedPolicy
from synthjax.deploy.schema import ALGORITHMS, check_policy, check_training
from synthjax.errors import UserError, unknown

ENVIRONMENTS = ("imitation", "continuous")
Vectors = Mapping[str, np.ndarray]
Shapes = Mapping[str, tuple[int, ...]]
TrainStep = Callable[[Vectors], dict[str, np.ndarray]]  # vectors and a minibatch -> what the step gives


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A policy that was taken; nothing in it ever changes, so that one reference is the whole of it."""

    vectors: Vectors  # "params" and the optimiser's, read-only
    rounds: int = 0  # of learning that led here
    steps: int = 0  # train steps that led here
    reward: float | None = None  # mean return of the held-out episodes
    kl: float = 0.0  # from the shipped policy, nats per action

    @property
    def params(self) -> np.ndarray:
        return self.vectors["params"]


class TunablePolicy(DeployedPolicy):
    """A deployed policy whose parameters are those of ``snapshot``, an attribute that may be replaced."""

    def __init__(self, bundle: Bundle, snapshot: Snapshot):
        super().__init__(bundle.manifest, bundle.files)
        self.snapshot = snapshot
        model = Model(FINETUNE, bundle.files[FINETUNE], INFER_SIGNATURE)
        self._infer = lambda given: model({**given, "params": self.snapshot.params})  # type: ignore[assignment]

    def infer(self, observation: np.ndarray) -> dict[str, np.ndarray]:
        """The model's outputs for an observation (obs_dim,) without acting: (1, A); of PPO ``value`` (1,)."""
        return self._infer({"observation": observation[None]})


def check_bundle(bundle: Bundle, env: str | None) -> None:
    """Refuses a bundle that nothing can be learned from.

    Raises:
      UserError: it has no part for training, is of an older synthjax, of another environment or of an
        algorithm that is not learned with here.
    """
    manifest = bundle.manifest
    if env is not None and env not in ENVIRONMENTS:
        raise unknown("environment", env, ENVIRONMENTS)
    made_for = manifest.get("environment")
    if env is not None and env != made_for:
        raise UserError(f"The bundle is of the environment '{made_for}': leave out --env {env}.")
    missing = sorted(TRAINING - bundle.files.keys())
    if missing or "finetune" not in manifest:
        raise UserError(
            f"The bundle has no {', '.join(missing) or FINETUNE}: install it '--with-training', or "
            "export it again where the converter is installed."
        )
    check_policy(manifest, bundle.files)
    algorithm = manifest["agent"]["algorithm"]
    if algorithm not in ALGORITHMS:
        names = " and ".join(ALGORITHMS)
        raise UserError(f"The bundle's policy is of {algorithm}: only those of {names} go on learning here.")
    check_training(manifest, bundle.files)


def shipped(bundle: Bundle) -> Snapshot:
    """The policy of the bundle as it was exported."""
    whole, vectors = np.frombuffer(bundle.files[PARAMS], "<f4"), {}
    for row in bundle.manifest["finetune"]["vectors"]:
        vectors[row["name"]] = whole[row["start"] :][: row["size"]].astype(np.float32)
    return Snapshot(frozen(vectors))


def frozen(vectors: Vectors) -> dict[str, np.ndarray]:
    """The same arrays, which nobody can write into any more."""
    for vector in vectors.values():
        vector.flags.writeable = False
    return dict(vectors)


def train_step(bundle: Bundle) -> Model:
    """The gradient step."""
    return Model(FINETUNE, bundle.files[FINETUNE], STEP_SIGNATURE)


def reward_model(bundle: Bundle) -> Model:
    """What a control step is worth."""
    return Model(REWARD, bundle.files[REWARD], REWARD_SIGNATURE)


def starts(bundle: Bundle) -> list[dict[str, np.ndarray]]:
    """Where episodes may begin: ``qpos``, ``qvel``, and ``carried`` and ``memory`` of the models."""
    described: dict[str, Any] = bundle.manifest["finetune"]["starts"]
    rows = np.frombuffer(bundle.files[STARTS], "<f4").reshape(described["rows"], -1)
    ends = np.cumsum([column["size"] for column in described["columns"]])
    names = [column["name"] for column in described["columns"]]
    return [dict(zip(names, np.split(row, ends[:-1]), strict=True)) for row in rows]
