"""What a host does with a bundle, on ``ai-edge-litert`` and NumPy alone: the reference for ports.

JAX and MuJoCo need not be installed where this is imported.  Every control step:

1. the host reads its simulator: joints, bodies, contacts (``manifest["observe"]["inputs"]``);
2. ``observe.tflite`` makes the observation of it, and the motor input ``base`` of a zero action;
3. ``policy.tflite`` makes the action of the observation;
4. the motor input is ``base + scale * action``, which holds for one control step.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from synthjax.deploy.files import INFER_SIGNATURE, OBSERVE, OBSERVE_SIGNATURE, POLICY
from synthjax.deploy.model import Model
from synthjax.deploy.schema import check_policy
from synthjax.errors import UserError


class DeployedPolicy:
    """A policy from a bundle, and what it remembers from one control step to the next.

    An observation that is not finite repeats the last action (none yet: zero); ``repeated`` counts them.
    """

    def __init__(
        self,
        manifest: Mapping[str, Any],
        files: Mapping[str, bytes],
        num_threads: int = 1,
        observation_hash: str | None = None,
    ):
        """Loads the models of a bundle that was verified.

        Args:
          manifest: of the bundle.
          files: by name.
          num_threads: that one call may use.
          observation_hash: of the layout that a host which computes observations itself was built for.

        Raises:
          UserError: the manifest cannot be used, a file is missing or does not fit it, the observation is
            laid out in another way, or the runtime is not installed.
        """
        check_policy(manifest, files)
        layout = manifest["observation"]["hash"]
        if observation_hash is not None and layout != observation_hash:
            raise UserError(
                f"The bundle's observations are laid out as {layout}, the host's as {observation_hash}: "
                "export the policy of a run with the host's layout, or build the host for this one."
            )
        self.manifest = manifest
        self.observation_dim = int(manifest["observation"]["size"])
        self.action_dim = len(manifest["action"]["joints"])
        self._infer = Model(POLICY, files[POLICY], INFER_SIGNATURE, num_threads)
        self._observe = None
        if manifest["observe"] is not None:
            self._observe = Model(OBSERVE, files[OBSERVE], OBSERVE_SIGNATURE, num_threads)
        sizes = (self._infer.inputs.get("observation"), self._infer.outputs.get("action"))
        if sizes != ((1, self.observation_dim), (1, self.action_dim)):
            raise UserError(f"{POLICY} does not fit the manifest of its bundle: export it again.")
        if self._observe is not None:
            given = {name: tuple(row["shape"]) for name, row in manifest["observe"]["inputs"].items()}
            made = self._observe.outputs.get("observation")
            if given != self._observe.inputs or made != (1, self.observation_dim):
                raise UserError(f"{OBSERVE} does not fit the manifest of its bundle: export it again.")
        action = manifest["action"]
        self._gains, self._scale = (np.asarray(action[name], np.float32) for name in ("gains", "scale"))
        self._squashes = action["squash"] == "tanh"
        self._limit = np.inf if action["limit"] is None else float(action["limit"])
        self.repeated = 0
        self.reset()

    @classmethod
    def load(cls, path: Path, num_threads: int = 1, observation_hash: str | None = None) -> DeployedPolicy:
        """The policy of the bundle at ``path``, a file, a folder, or a folder that it is installed in.

        Raises:
          UserError: the bundle is missing, damaged, of a newer version, or not usable here.
        """
        from synthjax.deploy.install import bundle_at

        bundle = bundle_at(path)
        return cls(bundle.manifest, bundle.files, num_threads, observation_hash)

    def reset(self, carried: np.ndarray | None = None) -> None:
        """Begins anew, with the last action at zero.

        Args:
          carried: what the task remembers, such as the place in the reference; the manifest's if not given.
        """
        if carried is None and self._observe is not None:
            carried = self.manifest["observe"]["carried"]["start"]
        self.carried = np.asarray([] if carried is None else carried, np.float32)
        self._base = np.zeros(self.action_dim, np.float32)
        self.outputs: dict[str, np.ndarray] = {}
        self.action = np.zeros(self.action_dim, np.float32)

    def act(self, observation: np.ndarray, noise: np.ndarray | None = None) -> np.ndarray:
        """The action (A,) for an observation (obs_dim,).

        Args:
          observation: laid out as the manifest says.
          noise: (A,) standard normal numbers of the host's, for a stochastic action; deterministic without.

        Raises:
          UserError: wrong shape or type.
        """
        row = _checked("observation", observation, (self.observation_dim,))[None]
        if not np.isfinite(row).all():
            self.repeated += 1
            return self.action.copy()
        self.outputs = out = self._infer({"observation": row})
        if noise is None:
            self.action = out["action"][0]
        else:
            drawn = out["mean"][0] + np.exp(out["log_std"][0]) * _checked("noise", noise, (self.action_dim,))
            self.action = self._gains * (np.tanh(drawn) if self._squashes else drawn)
        return self.action.copy()

    def observe(self, sensors: Mapping[str, np.ndarray]) -> np.ndarray:
        """The observation (obs_dim,) of what the host has read, by the names in the manifest.

        What the task remembers goes on with it, unless it would not be finite.

        Raises:
          UserError: a sensor is missing, not known, or of another shape or type.
        """
        if self._observe is None:
            raise UserError(
                f"The bundle has no {OBSERVE}: compute observations yourself, or export it again with the "
                "TFLite converter."
            )
        own = {"previous_action": self.action, "carried": self.carried}
        if twice := own.keys() & sensors.keys():
            raise UserError(f"Leave out {' and '.join(sorted(twice))}: the policy remembers it itself.")
        out = self._observe({**sensors, **own})
        if np.isfinite(out["carried_next"]).all() and np.isfinite(out["base"]).all():
            self.carried, self._base = out["carried_next"], out["base"]
        return out["observation"][0]

    def control(self) -> np.ndarray:
        """Motor input (A,) of the last action after the last :meth:`observe`."""
        return self._base + self._scale * np.clip(self.action, -self._limit, self._limit)

    def step(self, sensors: Mapping[str, np.ndarray], noise: np.ndarray | None = None) -> np.ndarray:
        """Motor input (A,) for the control step that follows what the host has read."""
        self.act(self.observe(sensors), noise)
        return self.control()


def _checked(name: str, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(value)
    if array.shape != shape or array.dtype.kind not in "fiu":
        raise UserError(f"'{name}' is {array.dtype} of shape {array.shape}: give {shape}, float32.")
    with np.errstate(over="ignore"):  # a number that float32 cannot hold is not finite
        return array.astype(np.float32)
