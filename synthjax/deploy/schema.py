"""Whether what a bundle says about its policy can be used, and whether its files are what it says.

:mod:`synthjax.deploy.bundle` verifies that every byte is as it was written; this is about what was written.
Runs on the standard library alone.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from array import array
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn
from xml.etree import ElementTree

from synthjax.deploy.files import BODY, OBSERVE, PARAMS, POLICY, STARTS, TRAINING
from synthjax.errors import UserError

# What a host gives to observe.tflite, and beside it to reward.tflite; docs/deployment.md says how to read it.
SENSORS = (
    "qpos", "qvel", "body_positions", "body_rotations", "body_velocities", "actuator_force",
    "ground_contact", "ground_force",
)  # fmt: skip
OBSERVE_INPUTS = (*SENSORS, "previous_action", "carried")
REWARD_INPUTS = (*OBSERVE_INPUTS, "action", "memory")

_SOLVERS = ("PGS", "CG", "NEWTON")
_COLUMNS = {"qpos", "qvel", "carried", "memory"}
_SETTINGS = {  # of an algorithm, that a host needs to learn by it
    "ppo": ("gamma", "gae_lambda", "reward_scale", "advantage_clip"),
    "sac": ("gamma", "n_step", "reward_rate"),
}
ALGORITHMS = tuple(_SETTINGS)
_SHARES = ("gamma", "gae_lambda")
_MINIBATCH = {  # what train_step takes of an algorithm, beside its vectors
    "ppo": {"observation", "action", "mean", "advantage", "target"},
    "sac": {"observation", "action", "reward", "next_observation", "discount", "noise", "next_noise"},
}
_VECTORS = {"ppo": {"params", "opt", "learning_rate"}, "sac": {"params", "opt", "targets"}}
_SPLIT = ("sac",)  # those of which a host has to know where the policy lies in "params"


def check_contents(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Refuses a bundle that cannot act, or whose part for training, if it is there, cannot be learned from.

    Raises:
      UserError: names the field or the file.
    """
    check_policy(manifest, files)
    if "finetune" in manifest or any(name in files for name in TRAINING):
        check_training(manifest, files)


def check_policy(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """What a policy needs to act.

    Raises:
      UserError: a field of the manifest or a file is missing or cannot be used.
    """
    fields = _Fields(manifest)
    step, count = fields.demand("timing.sim_dt", _is_positive), fields.demand("timing.n_substeps", _is_count)
    fields.demand("timing.control_dt", lambda value: math.isclose(value, count * step, rel_tol=1e-6))
    fields.demand("physics.solver", lambda value: value in _SOLVERS)
    fields.demand("physics.iterations", _is_count)
    fields.demand("agent.algorithm", _is_text)
    _check_layout(fields)
    joints = len(fields.demand("action.joints", _is_names))
    for name in ("gains", "scale"):
        fields.demand(f"action.{name}", lambda value: _is_numbers(value, joints))
    fields.demand("action.squash", lambda value: value in ("tanh", "none"))
    fields.demand("action.limit", lambda value: value is None or _is_positive(value))
    if POLICY not in files:
        raise UserError(f"The bundle has no {POLICY}: export it again.")
    if fields.demand("observe", lambda value: value is None or isinstance(value, dict)) is not None:
        fields.demand("observe.inputs", lambda value: _is_shapes(value, OBSERVE_INPUTS))
        entries = fields.demand("observe.carried.entries", lambda value: value == [] or _is_names(value))
        fields.demand("observe.carried.start", lambda value: _is_numbers(value, len(entries)))
        if OBSERVE not in files:
            raise UserError(f"The bundle has no {OBSERVE}: export it again.")
    _check_body(fields, files)


def check_training(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """What fine-tuning needs beside :func:`check_policy`; its files count as far as they are there.

    Raises:
      UserError: a field of the manifest is missing or cannot be used, or a file does not fit it.
    """
    fields = _Fields(manifest)
    fields.demand("observe", lambda value: isinstance(value, dict))
    algorithm = fields.demand("agent.algorithm", lambda value: value in _SETTINGS)
    for name in _SETTINGS[algorithm]:
        usable = _is_share if name in _SHARES else _is_number
        fields.demand(f"finetune.settings.{name}", usable)
    fields.demand("finetune.minibatch", lambda value: _is_minibatch(value, _MINIBATCH[algorithm]))
    fields.demand("finetune.reward.inputs", lambda value: _is_shapes(value, REWARD_INPUTS))
    fields.demand("finetune.reward.memory", lambda value: value == [] or _is_names(value))
    fields.demand("finetune.max_steps", _is_count)
    vectors = fields.demand("finetune.vectors", _is_vectors)
    if {row["name"] for row in vectors} != _VECTORS[algorithm]:
        fields.refuse("finetune.vectors")
    sizes = {row["name"]: row["size"] for row in vectors}
    if algorithm in _SPLIT:
        fields.demand("finetune.policy", lambda value: _is_part(value, sizes["params"]))
    fields.demand("finetune.starts.columns", _is_columns)
    columns = {row["name"]: row["size"] for row in fields.get("finetune.starts.columns")}
    seen = fields.get("observe.inputs")
    if any([columns[name]] != seen[name]["shape"] for name in ("qpos", "qvel") if name in seen):
        fields.refuse("finetune.starts.columns")
    rows = fields.demand("finetune.starts.rows", _is_count)
    entries = fields.get("observe.carried.entries"), fields.get("finetune.reward.memory")
    if (columns["carried"], columns["memory"]) != tuple(map(len, entries)):
        fields.refuse("finetune.starts.columns")
    expected = {PARAMS: sum(sizes.values()), STARTS: rows * sum(columns.values())}
    for name, size in expected.items():
        if name in files:
            _check_numbers(name, files[name], size)


class _Fields:
    """A manifest's fields by their path, such as ``action.gains``."""

    def __init__(self, manifest: Mapping[str, Any]):
        self._manifest = manifest

    def get(self, path: str) -> Any:
        value: Any = self._manifest
        for name in path.split("."):
            if not isinstance(value, Mapping) or name not in value:
                self.refuse(path)
            value = value[name]
        return value

    def demand(self, path: str, usable: Callable[[Any], Any]) -> Any:
        """The field, if it is usable; what cannot be judged is not."""
        value = self.get(path)
        try:
            good = usable(value)
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
            good = False
        if not good:
            self.refuse(path)
        return value

    def refuse(self, path: str) -> NoReturn:
        raise UserError(f"The bundle's manifest.json lacks a usable field '{path}': export it again.")


def _check_layout(fields: _Fields) -> None:
    """The observation's fields: one after another, and those that their hash was taken of."""
    layout = fields.demand("observation", lambda value: isinstance(value, dict))
    parts = fields.demand("observation.fields", _is_vectors)
    size = fields.demand("observation.size", _is_count)
    fields.demand("observation.hash", _is_text)
    sizes = [[part["name"], part["size"]] for part in parts]
    digest = hashlib.sha256(json.dumps(sizes).encode()).hexdigest()[:12]
    if digest != layout["hash"] or sum(part["size"] for part in parts) != size:
        raise UserError(
            f"The observation's fields have the hash {digest}, the manifest says {layout['hash']}: "
            "export the bundle again."
        )


def _check_body(fields: _Fields, files: Mapping[str, bytes]) -> None:
    """The MJCF: there, XML, and of the body that the manifest is about."""
    if BODY not in files:
        raise UserError(f"The bundle has no {BODY}: export it again.")
    digest = hashlib.sha256(files[BODY]).hexdigest()[:12]
    expected = fields.demand("body.hash", _is_text)
    if digest != expected:
        raise UserError(
            f"{BODY} is of the body {digest}, the manifest of {expected}: export the bundle again."
        )
    try:
        names = {element.get("name") for element in ElementTree.fromstring(files[BODY]).iter("joint")}
    except ElementTree.ParseError as error:
        raise UserError(f"{BODY} is no XML ({error}): export the bundle again.") from None
    if missing := [joint for joint in fields.get("action.joints") if joint not in names]:
        raise UserError(f"{BODY} has no joint '{missing[0]}', the manifest has: export the bundle again.")


def _check_numbers(name: str, data: bytes, size: int) -> None:
    """Refuses a file that is not ``size`` finite float32 numbers, the low byte first."""
    if len(data) != 4 * size:
        raise UserError(f"{name} has {len(data)} bytes, {4 * size} by the manifest: export the bundle again.")
    numbers = array("f", data)
    if sys.byteorder == "big":
        numbers.byteswap()
    if not math.isfinite(sum(numbers)):  # in double precision, which finite ones do not overflow
        raise UserError(f"{name} holds numbers that are not finite: export the bundle again.")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 < value < 1 << 31


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value > 0


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0.0 <= value <= 1.0


def _is_numbers(value: Any, count: int) -> bool:
    return isinstance(value, list) and len(value) == count and all(map(_is_number, value))


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and value != [] and all(map(_is_text, value))


def _is_shapes(value: Any, names: Iterable[str] | None = None) -> bool:
    """A table of shapes by name, of ``names`` alone if they are given."""
    shapes = [row["shape"] for row in value.values()]
    known = names is None or value.keys() <= set(names)
    return known and all(isinstance(shape, list) and all(map(_is_count, shape)) for shape in shapes)


def _is_minibatch(value: Any, names: set[str]) -> bool:
    return value.keys() == names and _is_shapes({k: {"shape": shape} for k, shape in value.items()})


def _is_vectors(value: Any) -> bool:
    """Rows of name, start and size that lie one after another; each name once."""
    begin = 0
    for row in value:
        if not _is_text(row["name"]) or not _is_count(row["size"]) or row["start"] != begin:
            return False
        begin += row["size"]
    return isinstance(value, list) and 0 < len(value) == len({row["name"] for row in value})


def _is_part(value: Any, whole: int) -> bool:
    """Where a part lies in a vector of ``whole`` numbers."""
    start, size = value["start"], value["size"]
    return type(start) is int and start >= 0 and _is_count(size) and start + size <= whole


def _is_columns(value: Any) -> bool:
    sizes = {row["name"]: row["size"] for row in value}
    return sizes.keys() == _COLUMNS and all(
        type(size) is int and 0 <= size < 1 << 16 for size in sizes.values()
    )
