"""The C host: built with the compiler that is there, it acts as the Python runtime does, on arm64 too."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import bundles
import numpy as np
import pytest
from deploy_models import misfits, recorded_observations
from learning_bundles import STEPS, Learning

from synthjax.deploy.bundle import write_bundle
from synthjax.deploy.export import Export
from synthjax.deploy.install import install_bundle
from synthjax.deploy.rollouts import Rollouts
from synthjax.deploy.runtime import DeployedPolicy

SOURCES = Path(__file__).parent.parent / "examples" / "host_c"
ARM64_LIBRARY = os.environ.get("LITERT_ARM64", "")  # libLiteRt.so of the wheel for Linux on arm64

if not sys.platform.startswith("linux") or not (shutil.which("make") and shutil.which("cc")):
    pytest.skip("no C compiler and make, or not Linux", allow_module_level=True)


def library() -> str:
    package = importlib.util.find_spec("ai_edge_litert")
    assert package is not None
    assert package.origin is not None
    return str(Path(package.origin).parent / "libLiteRt.so")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    program = tmp_path_factory.mktemp("host") / "host"
    subprocess.run(["make", "-s", "-C", str(SOURCES), f"OUT={program}"], check=True)
    return [str(program), "--library", library()]


@pytest.fixture(scope="module")
def arm64_host(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The host for arm64, and the emulator that runs it."""
    compiler, emulator = "aarch64-linux-gnu-gcc", "qemu-aarch64-static"
    for program in (compiler, emulator):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed (gcc-aarch64-linux-gnu, qemu-user-static)")
    if not ARM64_LIBRARY:
        pytest.skip("LITERT_ARM64 does not name the libLiteRt.so of the arm64 wheel")
    root = tmp_path_factory.mktemp("arm64")
    return [str(SOURCES / "emulated.sh"), str(root), "--library", ARM64_LIBRARY]


@pytest.fixture(scope="module")
def zipped(recorded: tuple[Export, Rollouts], tmp_path_factory: pytest.TempPathFactory) -> Path:
    export = recorded[0]
    path = tmp_path_factory.mktemp("bundle") / "walk.zip"
    write_bundle(export.files, export.manifest | {"version": 1, "exported": "2026-01-02T03:04:05Z"}, path)
    return path


@pytest.fixture
def unpacked(zipped: Path, tmp_path: Path) -> Path:
    return bundles.unzip(zipped, tmp_path / "bundle")


def run(host: list[str], verb: str, bundle: Path, given: np.ndarray, tmp_path: Path) -> np.ndarray:
    """What the host makes of ``given``: a row of 63 numbers for each of its rows."""
    given.astype(np.float32).tofile(tmp_path / "in.f32")
    command = [*host, verb, str(bundle), str(tmp_path / "in.f32"), str(tmp_path / "out.f32")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    bad = np.sum(~np.isfinite(given).all(axis=1)) if verb == "infer" else 0
    assert done.stdout == f"{len(given)} rows of 63 numbers, {bad} observations that were not finite\n"
    return np.fromfile(tmp_path / "out.f32", np.float32).reshape(len(given), -1)


def refusal(host: list[str], bundle: Path, given: Path, verb: str = "infer") -> str:
    command = [*host, verb, str(bundle), str(given), os.devnull]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    (sentence,) = [line for line in done.stderr.splitlines() if not line.startswith("INFO")]
    return sentence


def sensor_rows(policy: DeployedPolicy, rollouts: Rollouts) -> tuple[np.ndarray, list[dict[str, np.ndarray]]]:
    """What a host reads in an episode: as rows of the file, and by name for the Python runtime."""
    names = [name for name in policy.manifest["observe"]["inputs"] if name in rollouts.inputs]
    names.remove("previous_action")
    steps = [
        {name: rollouts.inputs[name][t, 0].astype(np.float32) for name in names}
        for t in range(len(rollouts.action))
    ]
    return np.stack([np.concatenate([x.ravel() for x in step.values()]) for step in steps]), steps


def test_actions_are_those_of_the_python_runtime(
    host: list[str], zipped: Path, unpacked: Path, recorded: tuple[Export, Rollouts], tmp_path: Path
) -> None:
    policy = DeployedPolicy.load(zipped)
    given = recorded_observations(recorded[1])
    expected = np.stack([policy.act(row) for row in given])
    assert np.abs(expected).max() > 0.1
    np.testing.assert_array_equal(expected[7], expected[8])
    np.testing.assert_allclose(run(host, "infer", unpacked, given, tmp_path), expected, atol=1e-5, rtol=0)


def test_control_steps_are_those_of_the_python_runtime(
    host: list[str], zipped: Path, unpacked: Path, recorded: tuple[Export, Rollouts], tmp_path: Path
) -> None:
    """What the task remembers and the action before are handed on."""
    policy = DeployedPolicy.load(zipped)
    rows, steps = sensor_rows(policy, recorded[1])
    expected = np.stack([policy.step(step) for step in steps])
    assert np.ptp(expected, axis=0).max() > 0.1
    np.testing.assert_allclose(run(host, "step", unpacked, rows, tmp_path), expected, atol=1e-5, rtol=0)


def test_it_reads_what_is_installed(
    host: list[str], zipped: Path, unpacked: Path, recorded: tuple[Export, Rollouts], tmp_path: Path
) -> None:
    given = recorded_observations(recorded[1])[:20]
    install_bundle(zipped, tmp_path / "installed")
    there = run(host, "infer", tmp_path / "installed", given, tmp_path)
    np.testing.assert_array_equal(there, run(host, "infer", unpacked, given, tmp_path))


def test_arm64_agrees_with_x86(
    host: list[str],
    arm64_host: list[str],
    zipped: Path,
    unpacked: Path,
    recorded: tuple[Export, Rollouts],
    tmp_path: Path,
) -> None:
    given = recorded_observations(recorded[1])
    there = run(arm64_host, "infer", unpacked, given, tmp_path)
    difference = np.abs(there - run(host, "infer", unpacked, given, tmp_path)).max()
    assert difference <= 1e-5
    rows, _ = sensor_rows(DeployedPolicy.load(zipped), recorded[1])
    there = run(arm64_host, "step", unpacked, rows, tmp_path)
    whole = np.abs(there - run(host, "step", unpacked, rows, tmp_path)).max(axis=1)
    # The models one after the other. Where the heading is nearly arbitrary, rounding is magnified.
    assert np.quantile(whole, 0.9) <= 1e-5
    assert whole.max() <= 1e-3
    print(f"arm64 differs from x86-64 by {difference:.1e} in actions and by {np.median(whole):.1e} (median)")
    print(f"to {whole.max():.1e} in motor inputs")


# ---------------------------------------------------------------------- learning


def trained(
    host: list[str], learns: Learning, bundle: Path, rows: np.ndarray, tmp_path: Path, dropped: int = 0
) -> Path:
    """The file of what the host has learned of ``rows``."""
    rows.tofile(tmp_path / "minibatches.f32")
    learned = tmp_path / f"learned{len(rows)}.f32"
    command = [*host, "train", str(bundle), str(tmp_path / "minibatches.f32"), str(learned)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    size = sum(vector.size for vector in learns.tuning.start.values())
    assert done.stdout == f"{len(rows)} gradient steps on {size} numbers, {dropped} that were not finite\n"
    return learned


def infer_with(host: list[str], bundle: Path, learned: Path, learns: Learning, tmp_path: Path) -> np.ndarray:
    learns.observations.tofile(tmp_path / "in.f32")
    command = [*host, "--learned", str(learned), "infer", str(bundle)]
    subprocess.run([*command, str(tmp_path / "in.f32"), str(tmp_path / "out.f32")], check=True)
    return np.fromfile(tmp_path / "out.f32", np.float32).reshape(learns.actions.shape)


def test_ten_gradient_steps_are_those_of_python_and_jax(
    host: list[str], learns: Learning, tmp_path: Path
) -> None:
    bundle = bundles.unzip(learns.bundle, tmp_path / "bundle")
    learned = trained(host, learns, bundle, learns.rows, tmp_path)
    got = learns.vectors(np.fromfile(learned, np.float32))
    assert max(learns.errors(got, learns.by_python).values()) <= 1e-4
    assert max(learns.errors(got, learns.by_jax).values()) <= 0.01
    actions = infer_with(host, bundle, learned, learns, tmp_path)
    np.testing.assert_allclose(actions, learns.actions, atol=1e-5, rtol=0)
    before = infer_with(host, bundle, bundle / "params.bin", learns, tmp_path)
    assert np.abs(before - actions).max() > 1e-3


def test_training_goes_on_from_what_was_learned(host: list[str], learns: Learning, tmp_path: Path) -> None:
    """And a minibatch whose step would not be finite is as if it were not there."""
    bundle = bundles.unzip(learns.bundle, tmp_path / "bundle")
    whole = trained(host, learns, bundle, learns.rows, tmp_path).read_bytes()
    first = trained(host, learns, bundle, learns.rows[:4], tmp_path)
    rest = np.insert(learns.rows[4:], 2, np.nan, axis=0)
    onward = [*host, "--learned", str(first)]
    assert trained(onward, learns, bundle, rest, tmp_path, dropped=1).read_bytes() == whole


def test_arm64_learns_as_x86(
    host: list[str], arm64_host: list[str], learns: Learning, tmp_path: Path
) -> None:
    bundle = bundles.unzip(learns.bundle, tmp_path / "bundle")
    theirs = trained(arm64_host, learns, bundle, learns.rows, tmp_path)
    actions = infer_with(arm64_host, bundle, theirs, learns, tmp_path)
    there = learns.vectors(np.fromfile(theirs, np.float32))
    here = learns.vectors(np.fromfile(trained(host, learns, bundle, learns.rows, tmp_path), np.float32))
    errors = learns.errors(there, here)
    assert max(errors.values()) <= 0.01
    difference = np.abs(actions - learns.actions).max()
    assert difference <= 1e-3
    print(f"after {STEPS} steps arm64's vectors are off by these shares of their ways: {errors}")
    print(f"and its actions by {difference:.1e}")


def test_what_cannot_be_learned_of_is_refused(
    host: list[str], learns: Learning, unpacked: Path, tmp_path: Path
) -> None:
    def refused(bundle: Path, reason: str, *options: str) -> None:
        assert reason in refusal([*host, *options], bundle, tmp_path / "in.f32", "train")

    learns.rows.tofile(tmp_path / "in.f32")
    bundle = bundles.unzip(learns.bundle, tmp_path / "bundle")
    (tmp_path / "short.f32").write_bytes(bytes(40))
    refused(bundle, "does not hold the", "--learned", str(tmp_path / "short.f32"))
    refused(bundle, "Cannot read", "--learned", str(tmp_path / "none.f32"))
    numbers = np.fromfile(bundle / "params.bin", np.float32)
    numbers[3] = np.inf
    numbers.tofile(tmp_path / "broken.f32")
    refused(bundle, "not finite", "--learned", str(tmp_path / "broken.f32"))
    (tmp_path / "in.f32").write_bytes(bytes(4 * 100))
    refused(bundle, "has no rows of")
    bundles.laid_out(learns.bundle, tmp_path / "installed")
    refused(tmp_path / "installed", "install the bundle with --with-training")
    (bundle / "params.bin").write_bytes(numbers.tobytes())
    refused(bundle, "params.bin: altered")
    bundles.change_manifest(unpacked, finetune=None)
    refused(unpacked, "says nothing of fine-tuning")


@pytest.mark.parametrize("file", ["policy.tflite", "manifest.json", "manifest.sha256"])
def test_an_altered_byte_is_refused(host: list[str], unpacked: Path, tmp_path: Path, file: str) -> None:
    data = bytearray((unpacked / file).read_bytes())
    data[len(data) // 3] ^= 1
    (unpacked / file).write_bytes(bytes(data))
    assert "is damaged" in refusal(host, unpacked, tmp_path / "none")


def test_what_is_cut_off_or_missing_is_refused(host: list[str], unpacked: Path, tmp_path: Path) -> None:
    data = (unpacked / "policy.tflite").read_bytes()
    (unpacked / "policy.tflite").write_bytes(data[:-1])
    assert "policy.tflite: altered" in refusal(host, unpacked, tmp_path / "none")
    (unpacked / "policy.tflite").unlink()
    assert "policy.tflite: missing" in refusal(host, unpacked, tmp_path / "none")
    assert "There is no bundle" in refusal(host, tmp_path / "nowhere", tmp_path / "none")
    bundles.change_manifest(unpacked, format=2)
    assert "format 2" in refusal(host, unpacked, tmp_path / "none")


def test_a_pointer_that_leads_elsewhere_is_refused(host: list[str], unpacked: Path, tmp_path: Path) -> None:
    for folder in ("../bundle", "0123456789abcdef-0", "0123456789abcdef-1/..", "0123456789abcde-1"):
        (tmp_path / "current.json").write_text(json.dumps({"format": 1, "folder": folder}))
        assert "No bundle is installed" in refusal(host, tmp_path, tmp_path / "none")
    (tmp_path / "current.json").write_text(json.dumps({"format": 2, "folder": "0123456789abcdef-1"}))
    assert "format 2" in refusal(host, tmp_path, tmp_path / "none")


def test_rows_of_another_width_are_refused(host: list[str], unpacked: Path, tmp_path: Path) -> None:
    (tmp_path / "in.f32").write_bytes(bytes(4 * 100))
    assert "has no rows of" in refusal(host, unpacked, tmp_path / "in.f32")


def test_a_model_of_another_width_is_refused(host: list[str], unpacked: Path, tmp_path: Path) -> None:
    layout = json.loads((unpacked / "manifest.json").read_text())["observation"]
    bundles.change_manifest(unpacked, observation=layout | {"size": layout["size"] + 1})
    assert "does not fit the manifest" in refusal(host, unpacked, tmp_path / "none")


def test_another_layout_than_the_hosts_is_refused(host: list[str], unpacked: Path, tmp_path: Path) -> None:
    """Before anything is opened; the right one is not."""
    own = json.loads((unpacked / "manifest.json").read_text())["observation"]["hash"]
    other = refusal([*host, "--layout", "0123456789ab"], unpacked, tmp_path / "none")
    assert f"laid out as {own}, the host's as 0123456789ab" in other
    assert "Cannot read" in refusal([*host, "--layout", own], unpacked, tmp_path / "none")
    bundles.change_manifest(unpacked, observation={"size": 1})
    said = refusal([*host, "--layout", own], unpacked, tmp_path / "none")
    assert "does not say how the observation is laid out" in said


def test_models_of_another_kind_are_refused(
    host: list[str], recorded: tuple[Export, Rollouts], tmp_path: Path
) -> None:
    for reason, path in misfits(recorded[0], tmp_path).items():
        assert reason in refusal(host, bundles.unzip(path, path.with_suffix("")), tmp_path / "none")


def test_manifests_of_every_length_are_hashed(host: list[str], unpacked: Path, tmp_path: Path) -> None:
    """SHA-256 fills its last block in another way for each of them."""
    for length in range(66):
        bundles.change_manifest(unpacked, note="x" * length)
        command = [host[0], "--library", "nowhere.so", "infer", str(unpacked), "in", "out"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert "Cannot load LiteRT" in done.stderr


def test_what_is_no_json_is_refused(host: list[str], unpacked: Path, tmp_path: Path) -> None:
    texts = ["", "{", "[1,]", '{"a" 1}', '{"format": 01}', '{"format": 1} x', '{"a": "', '"\\', "[" * 10**5]
    for text in texts:
        bundles.change_manifest(unpacked, text=text.encode())
        assert "cannot be used" in refusal(host, unpacked, tmp_path / "none")
