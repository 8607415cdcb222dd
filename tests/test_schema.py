"""Whole bundles of which the manifest or a file is wrong: one sentence from whoever is given one."""

from __future__ import annotations

import copy
import hashlib
import struct
from pathlib import Path
from typing import Any

import bundles
import pytest

from synthjax import cli
from synthjax.deploy.bundle import load_bundle
from synthjax.deploy.manifest import INPUTS
from synthjax.deploy.runtime import DeployedPolicy
from synthjax.deploy.schema import REWARD_INPUTS, check_contents
from synthjax.errors import UserError

GONE = object()  # instead of a value: the field is taken away
NAN, INF = struct.pack("<f", float("nan")), struct.pack("<f", float("inf"))
COLUMNS = ("qpos", "qvel", "carried", "memory")
# By the field that is wrong in it.
MANIFESTS = [
    *[(path, GONE) for path in (
        "timing", "timing.sim_dt", "timing.n_substeps", "timing.control_dt", "physics", "physics.solver",
        "physics.iterations", "agent", "agent.algorithm", "observation", "observation.fields",
        "observation.size", "observation.hash", "action", "action.joints", "action.gains", "action.scale",
        "action.squash", "action.limit", "observe", "observe.inputs", "observe.carried.entries",
        "observe.carried.start", "body", "body.hash", "finetune", "finetune.settings",
        "finetune.settings.gamma", "finetune.minibatch", "finetune.vectors", "finetune.reward",
        "finetune.reward.memory", "finetune.max_steps", "finetune.starts", "finetune.starts.rows",
        "finetune.starts.columns",
    )],
    ("timing.sim_dt", 0.0),
    ("timing.control_dt", "0.02"),
    ("timing.control_dt", 0.5),
    ("timing.n_substeps", 1.5),
    ("physics.solver", "Newtonian"),
    ("physics.solver", []),
    ("physics.iterations", True),
    ("observation.fields", 3),
    ("observation.fields", [{"name": "height", "start": 1, "size": 1}]),
    ("action.joints", []),
    ("action.gains", [1.0, 1.0]),
    ("action.gains", "1"),
    ("action.gains", [10**400]),
    ("action.scale", ["1"]),
    ("action.scale", None),
    ("action.squash", "tanhh"),
    ("action.limit", -1.0),
    ("observe", []),
    ("observe.inputs", {"mood": {"shape": [1]}}),
    ("observe.inputs", {"qpos": {"shape": 7}}),
    ("observe.inputs", ["qpos"]),
    ("observe.carried.start", [0.0]),
    ("observe.carried.entries", [1]),
    ("finetune.vectors", []),
    ("finetune.vectors", [{"name": "params", "start": 0, "size": 3}]),
    ("finetune.vectors", 7),
    ("finetune.settings.gamma", "0.9"),
    ("finetune.settings.gamma", 5.0),
    ("finetune.minibatch", {"observation": 256}),
    ("finetune.minibatch", {name: [1] for name in ("observation", "action", "advantage", "target")}),
    ("finetune.reward.inputs", {"mood": {"shape": [1]}}),
    ("finetune.starts.columns", [{"name": "qpos", "size": 2}]),
    ("finetune.starts.columns", [{"name": n, "size": int(n == "qvel")} for n in COLUMNS]),
    ("finetune.max_steps", 0),
]  # fmt: skip
FILES: list[tuple[str, Any, str]] = [
    ("policy.tflite", None, "has no policy.tflite"),
    ("observe.tflite", None, "has no observe.tflite"),
    ("body.xml", None, "has no body.xml"),
    ("body.xml", bundles.BODY.replace(b"<body>", b"<body >"), "body.xml is of the body"),
    ("params.bin", bytes(13), "params.bin has 13 bytes, 12 by the manifest"),
    ("params.bin", NAN * 3, "params.bin holds numbers that are not finite"),
    ("params.bin", bytes(4) + INF + INF, "params.bin holds numbers that are not finite"),
    ("starts.bin", bytes(4), "starts.bin has 4 bytes, 8 by the manifest"),
    ("starts.bin", bytes(4) + NAN, "starts.bin holds numbers that are not finite"),
]


def changed(path: str, value: Any) -> dict[str, Any]:
    """The fields of a good manifest but for one."""
    fields = copy.deepcopy(bundles.ACTING)
    *tables, name = path.split(".")
    table = fields
    for key in tables:
        table = table[key]
    if value is GONE:
        del table[name]
    else:
        table[name] = value
    return fields


def refused(path: Path, said: str, capsys: pytest.CaptureFixture[str], acts: bool = True) -> None:
    """By every command and, if it concerns acting, by the runtime."""
    to = path.with_suffix("")
    for args in (
        ["bundle", "verify", str(path)],
        ["bundle", "install", str(path), "--to", str(to / "installed")],
        ["finetune", str(path), "--out", str(to / "out")],
    ):
        assert cli.main(args) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    assert not to.exists()
    if acts:
        with pytest.raises(UserError) as caught:
            DeployedPolicy.load(path)
        assert said in str(caught.value)


@pytest.mark.parametrize(("field", "value"), MANIFESTS)
def test_a_manifest_that_cannot_be_used_is_refused(field: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"lacks a usable field '{field}"):
        check_contents(changed(field, value), bundles.ACTING_FILES)


@pytest.mark.parametrize("field", ["action.gains", "observation", "finetune.settings"])
def test_everyone_who_is_given_one_refuses_it(
    field: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundles.make_acting(tmp_path / "x.zip", fields=changed(field, GONE))
    refused(
        tmp_path / "x.zip", f"lacks a usable field '{field}", capsys, acts=not field.startswith("finetune")
    )


@pytest.mark.parametrize(("name", "content", "said"), FILES)
def test_a_file_that_does_not_fit_is_refused(name: str, content: bytes | None, said: str) -> None:
    files = {key: data for key, data in bundles.ACTING_FILES.items() if key != name}
    with pytest.raises(UserError, match=said):
        check_contents(bundles.ACTING, files | ({} if content is None else {name: content}))


def test_a_body_that_is_none_is_refused() -> None:
    """Also if its hash is the one in the manifest."""
    for body, said in (
        (b"<mujoco>", "is no XML"),
        (b"<mujoco/>", "has no joint 'knee'"),
        (b"\xff", "is no XML"),
    ):
        fields = changed("body.hash", hashlib.sha256(body).hexdigest()[:12])
        with pytest.raises(UserError, match=said):
            check_contents(fields, bundles.ACTING_FILES | {"body.xml": body})


def test_training_without_an_observer_is_refused() -> None:
    with pytest.raises(UserError, match="lacks a usable field 'observe'"):
        check_contents(changed("observe", None), bundles.ACTING_FILES)


def test_what_is_left_out_is_not_asked_for(tmp_path: Path) -> None:
    """A bundle that only acts needs nothing of the part for training, and one without a model no observer."""
    whole = bundles.make_acting(tmp_path / "x.zip")
    check_contents(whole.manifest, whole.files)
    policy = {name: data for name, data in whole.files.items() if name in ("policy.tflite", "body.xml")}
    fields = changed("observe", None)
    del fields["finetune"]
    check_contents(fields, policy)
    assert cli.main(["bundle", "install", str(tmp_path / "x.zip"), "--to", str(tmp_path / "to")]) == 0
    assert load_bundle(tmp_path / "x.zip") == whole


def test_other_algorithms_have_their_own_settings_and_vectors() -> None:
    fields = changed("agent.algorithm", "sac")
    names = ("params", "opt", "targets")
    vectors = [{"name": name, "start": index, "size": 1} for index, name in enumerate(names)]
    settings = {"gamma": 0.97, "n_step": 3, "reward_rate": 0.5}
    names = ("observation", "action", "reward", "next_observation", "discount", "noise", "next_noise")
    minibatch = {name: [1] for name in names}
    fields["finetune"] |= {
        "settings": settings,
        "minibatch": minibatch,
        "vectors": vectors,
        "policy": {"start": 0, "size": 1},
    }
    check_contents(fields, bundles.ACTING_FILES)
    for start, size in ((-1, 1), (0, 0), (1, 1), (0.0, 1), (0, None)):
        policy = {"start": start, "size": size}
        wrong = fields | {"finetune": fields["finetune"] | {"policy": policy}}
        with pytest.raises(UserError, match=r"lacks a usable field 'finetune\.policy'"):
            check_contents(wrong, bundles.ACTING_FILES)
    fields["finetune"]["vectors"] = bundles.ACTING["finetune"]["vectors"]
    with pytest.raises(UserError, match=r"lacks a usable field 'finetune\.vectors'"):
        check_contents(fields, bundles.ACTING_FILES)


def test_every_input_that_is_known_has_a_meaning() -> None:
    assert INPUTS.keys() == set(REWARD_INPUTS)
