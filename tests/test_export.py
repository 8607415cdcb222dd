"""A whole export: recorded rollouts, the bundle, and the runtime that acts with it."""

from __future__ import annotations

import copy
import dataclasses
import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
from deploy_models import recorded_observations

from synthjax import cli
from synthjax.deploy import export as exporting
from synthjax.deploy.bundle import Bundle, load_bundle
from synthjax.deploy.closed_loop import closed_loop_gate
from synthjax.deploy.export import Export
from synthjax.deploy.gates import SURE_HEADING
from synthjax.deploy.rollouts import Rollouts
from synthjax.deploy.runtime import DeployedPolicy
from synthjax.errors import UserError
from synthjax.motion.clip_file import load_clip
from synthjax.training import saved
from synthjax.training.run_folder import save_config
from synthjax.training.saved import SavedPolicy


@pytest.fixture
def export(recorded: tuple[Export, Rollouts]) -> Export:
    return Export(dict(recorded[0].files), copy.deepcopy(recorded[0].manifest))


@pytest.fixture
def rollouts(recorded: tuple[Export, Rollouts]) -> Rollouts:
    return recorded[1]


def deployed(export: Export, **options: Any) -> DeployedPolicy:
    return DeployedPolicy(export.manifest, export.files, **options)


def sensors(rollouts: Rollouts, t: int, world: int) -> dict[str, np.ndarray]:
    given = {name: values[t, world] for name, values in rollouts.inputs.items()}
    return {name: value for name, value in given.items() if name != "previous_action"}


# ---------------------------------------------------------------------- the bundle


def test_rollouts_are_whole_episodes(policy: SavedPolicy, rollouts: Rollouts) -> None:
    steps, worlds = rollouts.reward.shape
    assert steps == policy.run.env.max_steps
    assert steps * worlds >= 1000
    assert not rollouts.inputs["previous_action"][0].any()
    np.testing.assert_array_equal(rollouts.inputs["previous_action"][1:], rollouts.action[:-1])
    assert rollouts.ended[-1].all()  # by their time limit at the latest
    assert len(np.unique(rollouts.start[:, 1])) > worlds // 2


def test_files_are_what_the_manifest_says(policy: SavedPolicy, export: Export) -> None:
    manifest = json.loads(json.dumps(export.manifest, allow_nan=False))
    body = policy.run.body
    model = mujoco.MjModel.from_xml_string(export.files[manifest["body"]["file"]].decode())
    assert [model.joint(j).name for j in range(1, model.njnt)] == manifest["body"]["joints"]
    assert manifest["body"]["joints"] == manifest["action"]["joints"] == list(body.joints)
    assert [model.body(b).name for b in range(1, model.nbody)] == manifest["body"]["bodies"]
    np.testing.assert_allclose(model.actuator_gainprm[:, 0], manifest["body"]["actuators"]["kp"])
    np.testing.assert_allclose(model.dof_damping[6:], manifest["body"]["actuators"]["damping"])
    assert manifest["observation"]["hash"] == policy.run.env.layout.hash
    timing = manifest["timing"]
    assert timing["control_dt"] == pytest.approx(timing["sim_dt"] * timing["n_substeps"])
    tuning, params = manifest["finetune"], np.frombuffer(export.files["params.bin"], "<f4")
    assert sum(vector["size"] for vector in tuning["vectors"]) == params.size
    assert tuning["settings"].keys() >= {"gamma", "gae_lambda"}
    starts = np.frombuffer(export.files["starts.bin"], "<f4").reshape(tuning["starts"]["rows"], -1)
    assert starts.shape == (512, sum(column["size"] for column in tuning["starts"]["columns"]))
    parity = manifest["parity"]
    assert max(parity["train step"].values()) <= 0.01
    assert parity["observations"] >= 1000
    assert all(
        0.0 <= parity[name] <= 1e-4 for name in ("observation", "action", "mean", "log_std", "control")
    )
    assert manifest["versions"].keys() >= {"synthjax", "jax", "litert-converter"}


def test_clips_bring_their_kinematics(policy: SavedPolicy, export: Export, tmp_path: Path) -> None:
    (clip,) = policy.run.clips
    (row,) = export.manifest["clips"]
    path = tmp_path / "walk.npz"
    path.write_bytes(export.files[row["file"]])
    assert load_clip(path, policy.run.body).hash == clip.hash
    assert (row["name"], row["loop"], row["duration"]) == ("walk", True, clip.duration)
    with np.load(path) as content:
        for name in ("qvel", "xpos", "xquat", "linvel", "angvel"):
            np.testing.assert_allclose(content[name], getattr(clip, name), atol=1e-5)


# ---------------------------------------------------------------------- the runtime


def test_runtime_does_what_the_environment_did(export: Export, rollouts: Rollouts) -> None:
    """Observation, action and motor input of whole rollouts, from what a host reads."""
    policy = deployed(export, num_threads=2)
    sure = np.flatnonzero(rollouts.heading_length.min(axis=0) > SURE_HEADING)
    for world in sure[:2].tolist():
        policy.reset(rollouts.start[world])
        for t in range(len(rollouts.reward)):
            control = policy.step(sensors(rollouts, t, world))
            # Rounding, which a heading near the vertical and random weights magnify, on some processors more.
            np.testing.assert_allclose(control, rollouts.control[t, world], atol=5e-4)
            np.testing.assert_allclose(policy.action, rollouts.action[t, world], atol=5e-4)
            # Random weights blow up what rounding did to the action that they see again.
            policy.action = rollouts.action[t, world]
    assert len(sure) > 1
    assert policy.repeated == 0


def test_body_and_manifest_are_enough_for_a_host(export: Export, rollouts: Rollouts) -> None:
    """MuJoCo with the bundle's body, its timing and its solver goes where the training environment went."""
    policy, manifest = deployed(export), export.manifest
    model = mujoco.MjModel.from_xml_string(export.files["body.xml"].decode())
    timing, physics = manifest["timing"], manifest["physics"]
    model.opt.timestep, model.opt.iterations = timing["sim_dt"], physics["iterations"]
    model.opt.solver = getattr(mujoco.mjtSolver, f"mjSOL_{physics['solver']}")
    data = mujoco.MjData(model)
    policy.reset(rollouts.start[0])
    data.qpos[:], data.qvel[:] = rollouts.inputs["qpos"][0, 0], rollouts.inputs["qvel"][0, 0]
    mujoco.mj_forward(model, data)
    data.qacc_warmstart[:] = 0.0
    for t in range(6):
        np.testing.assert_allclose(data.qpos, rollouts.inputs["qpos"][t, 0], atol=2e-3)
        data.ctrl[:] = policy.step({"qpos": data.qpos, "qvel": data.qvel, "body_positions": data.xpos[1:]})
        mujoco.mj_step(model, data, timing["n_substeps"])
        mujoco.mj_kinematics(model, data)


def test_a_bundle_alone_lives_as_in_training(export: Export, rollouts: Rollouts) -> None:
    """Whole episodes of the models on the bundle's body in MuJoCo; other ones stop the export."""
    figures = export.manifest["parity"]["closed loop"]
    assert figures["training"] == pytest.approx(rollouts.returns.mean())
    assert figures["bundle"] == pytest.approx(figures["training"], rel=0.01)
    assert figures["episodes"] == rollouts.reward.shape[1]
    assert 0.0 < figures["joints of the first steps"] <= 2e-3
    assert 0.0 < figures["joints"] <= 2e-3

    def stopped(rollouts: Rollouts, **timing: Any) -> str:
        manifest = export.manifest | {"timing": export.manifest["timing"] | timing}
        with pytest.raises(UserError, match="gate 'closed loop'") as stop:
            closed_loop_gate(Bundle(manifest, export.files, b""), rollouts)
        return str(stop.value)

    # Ten standard errors off; with fewer substeps it falls later, and more steps make up for what each loses.
    twice = 2 * export.manifest["timing"]["n_substeps"]
    stopped(rollouts, n_substeps=twice, control_dt=twice * export.manifest["timing"]["sim_dt"])
    said = stopped(dataclasses.replace(rollouts, reward=1.2 * rollouts.reward))
    assert f"earn {figures['bundle']:.4g}, those in training {1.2 * figures['training']:.4g}" in said


def test_stochastic_actions_take_the_hosts_noise(
    policy: SavedPolicy, export: Export, rollouts: Rollouts
) -> None:
    runtime, observation = deployed(export), rollouts.observation[3, 0]
    noise = np.random.default_rng(0).normal(size=runtime.action_dim)
    state = policy.agent_state
    mean, log_std = policy.run.agent.distribution(state, observation)
    drawn = runtime.act(observation, noise)
    np.testing.assert_allclose(drawn, state.gains * (mean + np.exp(log_std) * noise), atol=1e-5)
    np.testing.assert_array_equal(runtime.action, drawn)
    np.testing.assert_allclose(runtime.act(observation, 0.0 * noise), runtime.act(observation), atol=1e-6)
    assert np.any(drawn == 0.0)  # a joint that is not steered does not move


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_observations_that_are_not_finite_repeat_the_action(
    value: float, export: Export, rollouts: Rollouts
) -> None:
    runtime, good = deployed(export), rollouts.observation[3, 0].astype(np.float64)
    bad = good.copy()
    bad[5] = value
    np.testing.assert_array_equal(runtime.act(bad), np.zeros(runtime.action_dim))
    action = runtime.act(good)
    np.testing.assert_array_equal(runtime.act(bad), action)
    assert runtime.repeated == 2


def test_a_broken_sensor_repeats_the_motor_input_and_is_forgotten(export: Export, rollouts: Rollouts) -> None:
    runtime, whole = deployed(export), deployed(export)
    for policy in (runtime, whole):
        policy.reset(rollouts.start[0])
        policy.step(sensors(rollouts, 0, 0))
    broken = sensors(rollouts, 1, 0)
    broken["qpos"] = np.full_like(broken["qpos"], np.nan)
    during = runtime.step(broken)
    assert runtime.repeated == 1
    whole.observe(sensors(rollouts, 1, 0))  # the reference goes on, the action does not
    np.testing.assert_array_equal(during, whole.control())
    np.testing.assert_array_equal(runtime.step(sensors(rollouts, 2, 0)), whole.step(sensors(rollouts, 2, 0)))


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda p: p.act(np.zeros(3)), r"'observation' is float64 of shape \(3,\): give \(\d+,\), float32"),
        (lambda p: p.act(np.zeros((1, p.observation_dim))), "'observation' is float64 of shape"),
        (lambda p: p.act(np.zeros(p.observation_dim, complex)), "'observation' is complex128"),
        (lambda p: p.act(None), "'observation' is object"),
        (lambda p: p.act(np.zeros(p.observation_dim), np.zeros(1)), "'noise' is float64 of shape"),
        (lambda p: p.observe({}), "takes .*qpos.*: given were"),
        (lambda p: p.observe({"carried": np.zeros(2)}), "Leave out carried"),
    ],
)
def test_wrong_arguments_are_named(call: Any, reason: str, export: Export) -> None:
    with pytest.raises(UserError, match=reason):
        call(deployed(export))


def test_a_bundle_that_does_not_fit_is_refused(export: Export) -> None:
    for name in ("policy.tflite", "observe.tflite"):
        rest = {key: value for key, value in export.files.items() if key != name}
        with pytest.raises(UserError, match=f"The bundle has no {name}"):
            DeployedPolicy(export.manifest, rest)
    swapped = export.files | {"policy.tflite": export.files["observe.tflite"]}
    with pytest.raises(UserError, match="lacks the signature 'infer'"):
        DeployedPolicy(export.manifest, swapped)
    other = copy.deepcopy(export.manifest)
    for name in ("joints", "gains", "scale"):
        other["action"][name].pop()
    with pytest.raises(UserError, match=r"policy\.tflite does not fit the manifest"):
        DeployedPolicy(other, export.files)
    for inputs in ({"ground_force": {"shape": [21, 3]}}, {"qpos": {"shape": [3]}}):
        other = copy.deepcopy(export.manifest)
        other["observe"]["inputs"] |= inputs
        with pytest.raises(UserError, match=r"observe\.tflite does not fit the manifest"):
            DeployedPolicy(other, export.files)


def test_another_layout_than_the_hosts_is_refused(export: Export) -> None:
    own = export.manifest["observation"]["hash"]
    assert deployed(export, observation_hash=own).observation_dim == export.manifest["observation"]["size"]
    with pytest.raises(UserError, match=f"laid out as {own}, the host's as 0123456789ab"):
        deployed(export, observation_hash="0123456789ab")
    export.manifest["observation"]["fields"][0]["name"] = "height"
    with pytest.raises(UserError, match="the manifest says"):
        deployed(export)


# ---------------------------------------------------------------------- the command


@pytest.fixture
def run_dir(policy: SavedPolicy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rollouts: Rollouts) -> Path:
    """A run whose policy and rollouts are those of this module."""
    folder = tmp_path / "run"
    save_config(folder, policy.run.config)
    monkeypatch.setattr(saved, "load_policy", lambda *args, **options: policy)
    monkeypatch.setattr(exporting, "record", lambda *args: rollouts)
    return folder


def test_command_writes_a_bundle_that_runs_without_jax(
    run_dir: Path, rollouts: Rollouts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["export", str(run_dir)]) == 0
    shown = capsys.readouterr().out
    assert f"Bundle: {run_dir / 'bundle.zip'}" in shown.replace("\n", "")
    assert "observations of whole rollouts" in shown
    rows = json.loads(zip_entry(run_dir / "bundle.zip", "manifest.json"))["files"]
    assert {row["name"] for row in rows if row["part"] == "training"} == exporting.TRAINING
    np.save(tmp_path / "observations.npy", rollouts.observation[:5, 0])
    code = f"""
import sys
for name in ("jax", "jaxlib", "flax", "mujoco", "optax", "orbax", "chex", "rich", "tyro"):
    sys.modules[name] = None
import pathlib, numpy
from synthjax.deploy.runtime import DeployedPolicy
policy = DeployedPolicy.load(pathlib.Path({str(run_dir / "bundle.zip")!r}))
rows = numpy.load({str(tmp_path / "observations.npy")!r})
numpy.save({str(tmp_path / "actions.npy")!r}, [policy.act(row) for row in rows])
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "actions.npy"), rollouts.action[:5, 0], atol=1e-4)


@pytest.mark.parametrize(
    ("gate", "field"),
    [("observe", "observation"), ("policy", "action"), ("control", "control"), ("reward", "reward")],
)
def test_a_failing_gate_leaves_no_file(
    gate: str, field: str, run_dir: Path, rollouts: Rollouts, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    values = getattr(rollouts, field).copy()
    # The reward is that of the first step: none is looked at after the end of its episode.
    values[(0, 0) if field == "reward" else (-1, -1, -1)] += 1e-3
    bad = dataclasses.replace(rollouts, **{field: values})
    monkeypatch.setattr(exporting, "record", lambda *args: bad)
    before = sorted(run_dir.rglob("*"))
    assert cli.main(["export", str(run_dir)]) == 2
    assert f"stopped at its gate '{gate}' and wrote nothing" in capsys.readouterr().err
    assert sorted(run_dir.rglob("*")) == before


def test_int8_is_judged_by_its_return(
    run_dir: Path, rollouts: Rollouts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[int] = []

    def record(*args: Any) -> Rollouts:
        calls.append(args[-1])
        return rollouts if len(calls) == 1 else dataclasses.replace(rollouts, reward=0.9 * rollouts.reward)

    monkeypatch.setattr(exporting, "record", record)
    assert cli.main(["export", str(run_dir), "--format", "int8", "--out", str(run_dir / "x.zip")]) == 2
    assert "stopped at its gate 'return'" in capsys.readouterr().err
    assert calls == [exporting.RETURN_WORLDS, rollouts.action.shape[1]]
    assert not (run_dir / "x.zip").exists()


def test_smaller_weights_have_a_name_of_their_own(run_dir: Path) -> None:
    assert cli.main(["export", str(run_dir), "--format", "float16"]) == 0
    assert json.loads(zip_entry(run_dir / "bundle-float16.zip", "manifest.json"))["weights"] == "float16"


def test_a_bundle_may_be_of_the_policy_alone(
    run_dir: Path, rollouts: Rollouts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It acts as the whole one does, is taken everywhere, and says that it cannot learn."""
    assert cli.main(["export", str(run_dir), "--policy-only"]) == 0
    path = run_dir / "bundle-policy-only.zip"
    bundle = load_bundle(path)
    assert bundle.parts == ("policy",)
    assert "finetune" not in bundle.manifest
    assert {"policy.tflite", "observe.tflite", "body.xml"} < bundle.files.keys()
    assert not {"finetune.tflite", "params.bin", "reward.tflite", "starts.bin"} & bundle.files.keys()
    policy = DeployedPolicy.load(path)
    np.testing.assert_allclose(policy.act(rollouts.observation[5, 0]), rollouts.action[5, 0], atol=1e-4)
    assert cli.main(["bundle", "verify", str(path)]) == 0
    assert cli.main(["bundle", "install", str(path), "--to", str(tmp_path / "to"), "--with-training"]) == 0
    capsys.readouterr()
    assert cli.main(["finetune", str(path)]) == 2
    assert "has no finetune.tflite" in capsys.readouterr().err


def test_without_the_converter_policies_are_exported(
    run_dir: Path, rollouts: Rollouts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "litert_converter.mlir", None)
    assert cli.main(["export", str(run_dir)]) == 0
    said = capsys.readouterr().out.replace("\n", " ")
    assert (
        "There is no observe.tflite, so the host computes observations itself, and no finetune.tflite" in said
    )
    assert "the gates 'observe' and 'control', 'reward' and 'train step' had nothing to judge" in said
    assert cli.main(["bundle", "verify", str(run_dir / "bundle.zip")]) == 0
    assert "pip install 'synthjax[deploy]' on Linux (x86-64) or macOS (arm64)" in said
    policy = DeployedPolicy.load(run_dir / "bundle.zip")
    policy.reset()
    np.testing.assert_allclose(policy.act(rollouts.observation[5, 0]), rollouts.action[5, 0], atol=1e-4)
    with pytest.raises(UserError, match=r"no observe.tflite: compute observations yourself"):
        policy.step({})


def test_without_the_runtime_the_extra_is_named(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    assert cli.main(["export", str(run_dir)]) == 2
    assert "pip install 'synthjax[deploy]'" in capsys.readouterr().err.replace("\n", " ")


# ---------------------------------------------------------------------- for ONNX Runtime


def test_a_file_for_onnx_runtime_says_what_it_is(
    run_dir: Path, rollouts: Rollouts, capsys: pytest.CaptureFixture[str]
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
    assert cli.main(["export", str(run_dir), "--onnx", "--version", "3", "--format", "float16"]) == 0
    path = run_dir / "bundle-float16.onnx"
    assert f"For ONNX Runtime: {path}" in capsys.readouterr().out.replace("\n", "")
    session = onnxruntime.InferenceSession(path.read_bytes())
    (given,) = session.get_inputs()
    assert (given.name, given.shape) == ("observation", [1, rollouts.observation.shape[-1]])
    rows = recorded_observations(rollouts)[9:]
    actions = np.concatenate([session.run(["action"], {"observation": row[None]})[0] for row in rows])
    known = {row.tobytes(): action for row, action in zip(
        rollouts.observation.reshape(-1, rows.shape[-1]), rollouts.action.reshape(-1, actions.shape[-1]),
        strict=True,
    )}  # fmt: skip
    np.testing.assert_allclose(actions, [known[row.tobytes()] for row in rows], atol=1e-4)
    manifest = json.loads(session.get_modelmeta().custom_metadata_map["manifest"])
    whole = json.loads(zip_entry(run_dir / "bundle-float16.zip", "manifest.json"))
    assert (manifest["weights"], whole["weights"]) == ("float32", "float16")
    assert manifest["version"] == session.get_modelmeta().version == 3
    assert "observe" not in manifest
    for name in ("name", "exported", "action", "body", "observation", "timing", "parity"):
        assert manifest[name] == whole[name]
    assert manifest["parity"]["onnx"]["observations"] >= 1000
    assert 0.0 < manifest["parity"]["onnx"]["action"] <= 1e-4


def test_a_file_for_onnx_runtime_has_a_gate(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
    written = exporting.onnx_policy
    monkeypatch.setattr(
        exporting,
        "onnx_policy",
        lambda agent, state, scale, limit: written(agent, state, np.multiply(scale, 1.01), limit),
    )
    before = sorted(run_dir.rglob("*"))
    assert cli.main(["export", str(run_dir), "--onnx"]) == 2
    assert "stopped at its gate 'onnx' and wrote nothing: 'offset'" in capsys.readouterr().err
    assert sorted(run_dir.rglob("*")) == before


def test_a_full_disk_leaves_no_half_of_it(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if ".onnx" in path.name:
            write(path, content[:100])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    assert cli.main(["export", str(run_dir), "--onnx"]) == 2
    said = capsys.readouterr().err.replace("\n", " ")
    assert "bundle.onnx' (No space left on device): make room or choose another place." in said
    assert not [path for path in run_dir.iterdir() if "onnx" in path.name]
    assert DeployedPolicy.load(run_dir / "bundle.zip").repeated == 0


def test_onnx_mistakes_are_told_before_the_work(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(exporting, "prepare", None)
    assert cli.main(["export", str(run_dir), "--onnx", "--out", str(run_dir / "walk.onnx")]) == 2
    assert "give its name with .zip" in capsys.readouterr().err.replace("\n", " ")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert cli.main(["export", str(run_dir), "--onnx"]) == 2
    assert "pip install 'synthjax[onnx]'" in capsys.readouterr().err.replace("\n", " ")


def zip_entry(path: Path, name: str) -> bytes:
    import zipfile

    with zipfile.ZipFile(path) as archive:
        return archive.read(name)
