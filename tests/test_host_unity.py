"""The C# host for Unity, as far as it needs no Unity: compiled and run by Mono, it does what Python does."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import bundles
import numpy as np
import pytest
from test_throttle import BUDGET, FRAME

from synthjax.deploy.bundle import Bundle, load_bundle, write_bundle
from synthjax.deploy.export import Export
from synthjax.deploy.file_lock import locked
from synthjax.deploy.install import install_bundle, installed_folder, load_installed
from synthjax.deploy.rollouts import Rollouts
from synthjax.deploy.runtime import DeployedPolicy
from synthjax.deploy.throttle import PROFILES, Throttle
from synthjax.errors import UserError

if TYPE_CHECKING:
    from learning_bundles import Learning

HOST = Path(__file__).parent.parent / "examples" / "host_unity"

if not (shutil.which("mcs") and shutil.which("mono")):
    pytest.skip("Mono is not installed (mono-mcs, mono-runtime)", allow_module_level=True)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("host") / "host.exe")


def compiled(path: Path) -> Path:
    """The part without Unity, with the tests' own program."""
    sources = [
        *sorted((HOST / "Runtime" / "Core").glob("*.cs")),
        HOST / "Runtime" / "Backends" / "LiteRtModel.cs",
        *(HOST / "Tests~" / name for name in ("Program.cs", "Life.cs")),
    ]
    command = ["mcs", "-langversion:7.2", "-warnaserror", f"-out:{path}"]
    subprocess.run([*command, *map(str, sources)], check=True)
    return path


def start(program: Path, *arguments: object) -> subprocess.Popen[str]:
    environment = dict(os.environ)
    if package := importlib.util.find_spec("ai_edge_litert"):
        environment["LD_LIBRARY_PATH"] = str(Path(package.origin or "").parent)
    return subprocess.Popen(
        ["mono", str(program), *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def host(program: Path, *arguments: object) -> list[str]:
    """Lines of what the host says."""
    process = start(program, *arguments)
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    return out.splitlines()


def refusal(program: Path, *arguments: object) -> str:
    process = start(program, *arguments)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 2, error
    (sentence,) = [line for line in error.splitlines() if not line.startswith("INFO")]
    return sentence


def described(bundle: Bundle) -> str:
    """As the test program says it."""
    files = ",".join(f"{name}:{len(bundle.files[name])}" for name in sorted(bundle.files))
    return " ".join([bundle.digest, bundle.manifest["name"], *map(str, bundle.age), files])


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_all_of_it_compiles(tmp_path: Path) -> None:
    """Against declarations by hand of what it names of Unity: this proves no more than its grammar."""
    sources = [path for path in HOST.rglob("*.cs") if path.name != "Program.cs"]
    assert len(sources) >= 15
    defines = ["-define:SYNTHJAX_SENTIS", "-define:SYNTHJAX_TFLITE", "-nowarn:0649,0169"]
    command = ["mcs", "-langversion:7.2", "-target:library", *defines, f"-out:{tmp_path / 'unity.dll'}"]
    subprocess.run([*command, *map(str, sources)], check=True)


# ---------------------------------------------------------------------- bundles


def test_it_reads_what_python_wrote(program: Path, tmp_path: Path) -> None:
    whole = bundles.make_acting(tmp_path / "walk.zip")
    folder = bundles.unzip(tmp_path / "walk.zip", tmp_path / "walk")
    install_bundle(folder, tmp_path / "installed")
    assert host(program, "read", tmp_path / "walk.zip", folder) == [described(whole)] * 2
    assert host(program, "installed", tmp_path / "installed") == [
        described(load_installed(tmp_path / "installed"))
    ]


def test_it_refuses_what_python_refuses(program: Path, tmp_path: Path) -> None:
    """Bytes of zip files flipped, cut off, doubled and replaced; folders with other manifests and files."""
    rng = random.Random(0)
    bundles.make(tmp_path / "walk.zip")
    data = (tmp_path / "walk.zip").read_bytes()
    paths = []
    for number in range(60):
        changed, at = bytearray(data), rng.randrange(len(data))
        if number % 4 == 0:
            changed[at] ^= 1 << rng.randrange(8)
        elif number % 4 == 1:
            del changed[at:]
        elif number % 4 == 2:
            changed[at:at] = changed[at : at + rng.randrange(1, 40)]
        else:
            changed[at : at + 4] = rng.randbytes(4)
        paths.append(tmp_path / f"{number}.zip")
        paths[-1].write_bytes(changed)
    edits = [
        {"format": 2},
        {"format": 0},
        {"format": 1.0},
        {"version": -1},
        {"version": 2**31},
        {"version": True},
        {"name": "../walk"},
        {"name": "walk\n"},
        {"exported": "2026-01-02 03:04:05Z"},
        {"files": None},
        {"files": []},
        {"more": [1.5, {"a": "é\u0000\\"}, None, -0.0, 1e300]},
    ]
    texts = [b"", b"[]", b"{", b'{"format": NaN}', b"\xff", b"[" * 5000, b"\xef\xbb\xbf{}"]
    manifest = (bundles.unzip(tmp_path / "walk.zip", tmp_path / "whole") / "manifest.json").read_bytes()
    values = [
        "1e400",
        "-1e400",
        r'"\ud83d\ude00"',
        "[ ]",
        "-0",
        '"a\tb"',
        "01",
        "1.",
        ".5",
        "+1",
        r'"\x"',
        r'"\u12"',
    ]
    values += ["[1,]", "{}}", "nul", "'a'", "1 2", "Infinity", "True", '{"a" 1}', "{1: 2}", "1e", "-"]
    texts += [manifest.replace(b"{", b'{"more": %s,' % value.encode(), 1) for value in values]
    for number, edit in enumerate([*edits, *texts]):
        paths.append(bundles.unzip(tmp_path / "walk.zip", tmp_path / f"edit{number}"))
        if isinstance(edit, bytes):
            bundles.change_manifest(paths[-1], edit)
        else:
            bundles.change_manifest(paths[-1], **edit)
    unsafe = ["a..", "con.txt", "a//b", ".a", "a/../b", "/a", "a\\b", "x" * 121, "manifest.json"]
    collisions = [
        "Policy.tflite",
        "policy.tflite",
        "policy.tflite/x",
        "clips",
        "Clips/run.bin",
        "clips/walk.bin/x",
    ]
    for number, name in enumerate(["clips/run.bin", "x" * 120, "a.con", *unsafe, *collisions]):
        paths.append(bundles.unzip(tmp_path / "walk.zip", tmp_path / f"name{number}"))
        rows = json.loads((paths[-1] / "manifest.json").read_text())["files"]
        for left_out in bundles.TRAINING:  # so that it does not matter that the file itself is missing
            (paths[-1] / left_out).unlink()
        bundles.change_manifest(paths[-1], files=[*rows, rows[0] | {"name": name, "part": "training"}])
    paths.append(bundles.unzip(tmp_path / "walk.zip", tmp_path / "more"))
    (paths[-1] / "more.bin").write_bytes(b"more")
    paths.append(bundles.unzip(tmp_path / "walk.zip", tmp_path / "part"))
    (paths[-1] / "params.bin").unlink()
    paths.append(bundles.unzip(tmp_path / "walk.zip", tmp_path / "left_out"))
    for name in bundles.TRAINING:
        (paths[-1] / name).unlink()
    paths.append(bundles.unzip(tmp_path / "walk.zip", tmp_path / "link"))
    (paths[-1] / "policy.tflite").unlink()
    (paths[-1] / "policy.tflite").symlink_to(tmp_path / "walk" / "policy.tflite")

    def verdict(path: Path) -> str:
        try:
            return described(load_bundle(path))
        except UserError:
            return "refused"

    expected = [verdict(path) for path in paths]
    assert sum(line != "refused" for line in expected) == 10
    found = ["refused" if line.startswith("refused") else line for line in host(program, "read", *paths)]
    assert found == expected


def test_both_install_alike(program: Path, tmp_path: Path) -> None:
    """The same installations one after the other leave the same bytes in the same places."""
    by_python, by_host = tmp_path / "python", tmp_path / "host"
    for version in range(1, 4):
        bundles.make_acting(tmp_path / f"{version}.zip", version)
    later = bundles.head(2, "2026-01-02T03:04:06Z", **bundles.ACTING)
    write_bundle(bundles.ACTING_FILES, later, tmp_path / "later.zip", bundles.TRAINING)
    for name, training in [
        ("2", False),
        ("2", False),
        ("1", False),
        ("2", True),
        ("later", False),
        ("2", True),
        ("3", True),
        ("3", False),
    ]:
        done = install_bundle(tmp_path / f"{name}.zip", by_python, training)
        more = ["with_training"] if training else []
        (line,) = host(program, "install", tmp_path / f"{name}.zip", by_host, *more)
        assert line.startswith(f"{done.installed} {described(done.bundle)} ")
        assert tree(by_host) == tree(by_python)
    write_bundle(bundles.FILES, bundles.head() | {"name": "run"}, tmp_path / "run.zip")
    assert "is the place of 'walk'" in refusal(program, "install", tmp_path / "run.zip", by_host)
    assert tree(by_host) == tree(by_python)


def test_remains_and_damage_go_with_the_next_installation(program: Path, tmp_path: Path) -> None:
    bundles.make(tmp_path / "walk.zip")
    to = tmp_path / "to"
    host(program, "install", tmp_path / "walk.zip", to)
    first = installed_folder(to)
    assert first is not None
    (first / "policy.tflite").write_bytes(b"")
    for name in ("0123456789abcdef-3", "0123456789abcdef-4.partial", "mine"):
        (to / name).mkdir()
        (to / name / "file").touch()
    (to / ".current.json.partial").touch()
    host(program, "install", tmp_path / "walk.zip", to)
    second = load_installed(to)
    assert second.files == {name: bundles.FILES[name] for name in ("policy.tflite", "clips/walk.bin")}
    folder = installed_folder(to)
    assert folder is not None
    assert {path.name for path in to.iterdir()} == {"current.json", "installing.lock", "mine", folder.name}


def test_it_waits_for_nobody_who_installs(program: Path, tmp_path: Path) -> None:
    bundles.make(tmp_path / "walk.zip")
    (tmp_path / "to").mkdir()
    with locked(tmp_path / "to" / "installing.lock") as mine:
        assert mine
        assert "Somebody else" in refusal(program, "install", tmp_path / "walk.zip", tmp_path / "to")
    assert not (tmp_path / "to" / "current.json").exists()
    host(program, "install", tmp_path / "walk.zip", tmp_path / "to")


def test_a_kill_leaves_the_old_or_the_new_one(program: Path, tmp_path: Path) -> None:
    """A process installs newer and newer bundles; Python reads meanwhile, and after each kill."""
    rng, to = random.Random(0), tmp_path / "to"
    paths = [tmp_path / f"{version}.zip" for version in range(1, 49)]
    for version, path in enumerate(paths, 1):
        bundles.make(path, version, bundles.FILES | {"policy.tflite": bytes([version]) * 50_000})
    versions = [0]
    for first in range(0, 48, 12):
        process = start(program, "installs", to, *paths[first:])
        try:
            until = rng.randrange(first + 1, first + 11)
            deadline = time.monotonic() + 60
            while versions[-1] < until and time.monotonic() < deadline:
                if (to / "current.json").exists():
                    bundle = load_installed(to)
                    versions.append(bundle.manifest["version"])
                    assert bundle.files["policy.tflite"] == bytes([versions[-1]]) * 50_000
            time.sleep(rng.uniform(0.0, 0.01))
        finally:
            process.kill()
            process.communicate()
        assert versions[-1] >= until
        versions.append(load_installed(to).manifest["version"])
    assert versions == sorted(versions)
    host(program, "install", paths[-1], to)
    folder = installed_folder(to)
    assert folder is not None
    assert {path.name for path in to.iterdir()} == {"current.json", "installing.lock", folder.name}


# ---------------------------------------------------------------------- the throttle


@pytest.mark.parametrize("profile", ["quest", "desktop"])
def test_the_throttle_decides_as_pythons(program: Path, tmp_path: Path, profile: str) -> None:
    """A timeline with busy, calm and nonsensical frames: every number is the same to the last bit."""
    rng = random.Random(0)
    throttle, now = Throttle(PROFILES[profile], 1e3), 1e3
    lines, expected = [f"{profile} {now!r}"], []
    for _ in range(3000):
        now += rng.uniform(0.0, 0.02)
        move = rng.choice(["frame", "ask", "finished"])
        if move == "frame":
            seconds = rng.choice([float("nan"), 0.5 * BUDGET, 0.9 * BUDGET, FRAME, rng.uniform(0.0, FRAME)])
            lines.append(f"frame {now!r} {seconds!r}")
            throttle.frame(now, seconds)
            expected.append(throttle.share)
        elif move == "ask":
            lines.append(f"ask {now!r}")
            expected.append(throttle.ask(now))
        else:
            lines.append(f"finished {now!r}")
            throttle.finished(now)
    assert expected.count(0.0) > 50
    (tmp_path / "timeline").write_text("\n".join(lines))
    assert list(map(float, host(program, "throttle", tmp_path / "timeline"))) == expected


# ---------------------------------------------------------------------- builds


def test_a_build_takes_the_newest_of_each_name_and_cleans_up(program: Path, tmp_path: Path) -> None:
    source, to = tmp_path / "source", tmp_path / "StreamingAssets"
    for name, version in [("walk", 1), ("walk", 10), ("walk", 9), ("run", 1), ("jump", 1)]:
        head = bundles.head(version) | {"name": name}
        write_bundle(bundles.FILES, head, source / name / f"{version}.zip", bundles.TRAINING)
    assert host(program, "stage", source, to, "") == ["jump.zip run.zip walk.zip"]
    (to / "mine.txt").touch()
    assert host(program, "stage", source, to, "?u*") == ["jump.zip run.zip"]
    assert {path.name for path in to.iterdir()} == {"jump.zip", "run.zip", "bundles.txt", "mine.txt"}
    assert host(program, "stage", source, to, "walk") == ["walk.zip"]
    assert load_bundle(to / "walk.zip").manifest["version"] == 10
    host(program, "clean", to)
    assert {path.name for path in to.iterdir()} == {"mine.txt"}
    assert "no bundle of the name 'w'" in refusal(program, "stage", source, to, "w")
    small = bundles.FILES.keys() - set(bundles.TRAINING)  # newer, and without the part for training
    files = {name: bundles.FILES[name] for name in small}
    write_bundle(files, bundles.head(11), source / "walk" / "11.zip")
    assert host(program, "stage", source, to, "walk") == ["walk.zip"]
    assert load_bundle(to / "walk.zip").parts == ("policy",)
    (source / "walk" / "10.zip").write_bytes(b"PK")
    assert "damaged" in refusal(program, "stage", source, to, "")


# ---------------------------------------------------------------------- acting


@pytest.fixture(scope="module")
def zipped(recorded: tuple[Export, Rollouts], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "walk.zip"
    head = {"version": 1, "exported": "2026-01-02T03:04:05Z"}
    write_bundle(recorded[0].files, recorded[0].manifest | head, path, bundles.TRAINING)
    return path


@pytest.fixture(scope="module")
def squashed(zipped: Path) -> Path:
    """The same models with the last steps of another agent and drive, which are the runtime's own."""
    bundle = load_bundle(zipped)
    fields = {name: value for name, value in bundle.manifest.items() if name not in ("format", "files")}
    action = fields["action"] | {"squash": "tanh", "limit": 0.05}
    path = zipped.with_name("squashed.zip")
    write_bundle(bundle.files, fields | {"action": action}, path)
    return path


def numbers(path: Path, columns: int) -> np.ndarray:
    return np.fromfile(path, np.float32).reshape(-1, columns)


@pytest.mark.parametrize(("kind", "stochastic"), [("zipped", False), ("zipped", True), ("squashed", True)])
def test_actions_are_those_of_the_python_runtime(
    program: Path,
    request: pytest.FixtureRequest,
    recorded: tuple[Export, Rollouts],
    tmp_path: Path,
    kind: str,
    stochastic: bool,
) -> None:
    from deploy_models import recorded_observations

    path: Path = request.getfixturevalue(kind)
    policy = DeployedPolicy.load(path)
    given = recorded_observations(recorded[1])
    noise = np.random.default_rng(0).normal(size=(len(given), policy.action_dim)).astype(np.float32)
    given.tofile(tmp_path / "given")
    noise.tofile(tmp_path / "noise")
    expected = np.stack([policy.act(x, z if stochastic else None) for x, z in zip(given, noise, strict=True)])
    more = [tmp_path / "noise"] if stochastic else []
    assert host(program, "act", path, tmp_path / "given", tmp_path / "out", *more) == ["3"]
    np.testing.assert_allclose(numbers(tmp_path / "out", policy.action_dim), expected, atol=1e-5, rtol=0)


def test_models_of_another_kind_are_refused(
    program: Path, recorded: tuple[Export, Rollouts], tmp_path: Path
) -> None:
    from deploy_models import misfits

    for reason, path in misfits(recorded[0], tmp_path).items():
        assert reason in refusal(program, "act", path, tmp_path / "none", tmp_path / "none")


def test_what_does_not_fit_the_host_is_refused(program: Path, zipped: Path, tmp_path: Path) -> None:
    folder = bundles.unzip(zipped, tmp_path / "walk")
    manifest = json.loads((folder / "manifest.json").read_text())
    own, seen = manifest["observation"]["hash"], manifest["observe"]
    other = refusal(program, "open", folder, "0123456789ab")
    assert f"laid out as {own}, the host's as 0123456789ab" in other
    first = next(name for name in seen["inputs"] if name not in ("previous_action", "carried"))
    assert f"The sensor '{first}' is missing" in refusal(program, "open", folder, own)
    for inputs in (None, [], seen["inputs"] | {"mood": {"shape": [1]}}):
        bundles.change_manifest(folder, observe=seen | {"inputs": inputs})
        assert "observe.tflite does not fit the manifest" in refusal(program, "open", folder)


@pytest.mark.parametrize("kind", ["zipped", "squashed"])
def test_a_skill_acts_from_the_first_launch_on(
    program: Path,
    request: pytest.FixtureRequest,
    recorded: tuple[Export, Rollouts],
    tmp_path: Path,
    kind: str,
) -> None:
    """It has no action before the bundle is installed, and then the motor inputs of the Python runtime.

    If the bundle has a training part, the skill acts with the parameters that training begins from.
    """
    path: Path = request.getfixturevalue(kind)
    policy, rollouts = DeployedPolicy.load(path), recorded[1]
    names = [name for name in policy.manifest["observe"]["inputs"] if name in rollouts.inputs]
    names.remove("previous_action")
    steps = [
        {name: rollouts.inputs[name][t, 0].astype(np.float32) for name in names}
        for t in range(len(rollouts.action))
    ]
    steps[5]["qpos"][3] = np.nan
    expected = np.stack([policy.step(step) for step in steps])
    assert np.isfinite(expected).all()
    assert np.abs(policy.action).max() > 0.05
    np.concatenate([x.ravel() for step in steps for x in step.values()]).tofile(tmp_path / "sensors")
    lines = host(program, "skill", path, tmp_path / "data", tmp_path / "sensors", tmp_path / "out")
    assert lines[0] == "False False True False"
    assert lines[1].startswith(f"True True True {kind == 'zipped'} 'broken.zip' is cut off")
    skip, seconds = round(policy.manifest["timing"]["control_dt"] / 0.0025), 0.05 * len(steps)
    assert lines[2] == f"{skip} {seconds:.3f}"
    twice = np.concatenate([expected, expected])
    np.testing.assert_allclose(numbers(tmp_path / "out", policy.action_dim), twice, atol=1e-5, rtol=0)
    assert load_installed(tmp_path / "data" / policy.manifest["name"]).digest == load_bundle(path).digest


# ---------------------------------------------------------------------- learning


def test_ten_gradient_steps_are_those_of_python_and_jax(
    program: Path, learns: Learning, tmp_path: Path
) -> None:
    """One more in their midst, which would not be finite, changes nothing."""

    def learned(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows.tofile(tmp_path / "minibatches")
        names = (learns.bundle, *(tmp_path / name for name in ("minibatches", "learned", "given", "actions")))
        dropped = int(not np.isfinite(rows).all())
        assert host(program, "learn", *names) == [f"{dropped} False"]
        return np.fromfile(tmp_path / "learned", np.float32), numbers(tmp_path / "actions", 5)

    learns.observations.tofile(tmp_path / "given")
    vectors, actions = learned(np.insert(learns.rows, 4, np.nan, axis=0))
    got = learns.vectors(vectors)
    assert max(learns.errors(got, learns.by_python).values()) <= 1e-4
    assert max(learns.errors(got, learns.by_jax).values()) <= 0.01
    np.testing.assert_allclose(actions, learns.actions, atol=1e-5, rtol=0)
    assert np.abs(actions - learned(learns.rows[:0])[1]).max() > 1e-3


def test_learning_goes_on_from_what_was_kept(program: Path, learns: Learning, tmp_path: Path) -> None:
    """In two halves as in one, and from a file that the C host would have written."""
    whole, halves = tmp_path / "kept" / "whole.f32", tmp_path / "kept" / "halves.f32"
    learns.rows.tofile(tmp_path / "rows")
    learns.rows[:4].tofile(tmp_path / "first")
    learns.rows[4:].tofile(tmp_path / "rest")
    assert host(program, "onward", learns.bundle, tmp_path / "rows", whole) == ["False"]
    assert host(program, "onward", learns.bundle, tmp_path / "first", halves) == ["False"]
    assert host(program, "onward", learns.bundle, tmp_path / "rest", halves) == ["True"]
    assert halves.read_bytes() == whole.read_bytes()
    got = learns.vectors(np.fromfile(whole, np.float32))
    assert max(learns.errors(got, learns.by_python).values()) <= 1e-4
    assert {path.name for path in whole.parent.iterdir()} == {"whole.f32", "halves.f32"}
    numbers_before = np.fromfile(whole, np.float32)
    for damaged in (
        numbers_before[:-1],
        np.where(np.arange(len(numbers_before)) == 3, np.nan, numbers_before),
    ):
        damaged.astype(np.float32).tofile(halves)
        said = refusal(program, "onward", learns.bundle, tmp_path / "rest", halves)
        assert f"does not hold the {len(numbers_before)} finite float32 numbers" in said
    said = refusal(program, "onward", learns.bundle, tmp_path / "rest", tmp_path / "rest" / "below")
    assert "Cannot write" in said


def test_a_kill_leaves_what_was_learned_whole(program: Path, learns: Learning, tmp_path: Path) -> None:
    path, rng, last = tmp_path / "learned.f32", random.Random(0), 0.0
    for _ in range(4):
        process = start(program, "saves", learns.bundle, path)
        deadline = time.monotonic() + 60
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(rng.uniform(0.05, 0.2))
        process.kill()
        process.communicate()
        kept = np.fromfile(path, np.float32)
        assert len(kept) == sum(start.size for start in learns.tuning.start.values())
        assert (kept == kept[0]).all()
        last = max(last, float(kept[0]))
        path.unlink()
    assert last > 1


def test_what_cannot_be_learned_of_is_refused(
    program: Path, learns: Learning, zipped: Path, tmp_path: Path
) -> None:
    def refused(bundle: Path, reason: str) -> None:
        assert reason in refusal(program, "learn", bundle, *[tmp_path / "none"] * 4)

    bundle = bundles.unzip(learns.bundle, tmp_path / "bundle")
    vectors = json.loads((bundle / "manifest.json").read_text())["finetune"]["vectors"]
    bundles.change_manifest(bundle, finetune={"vectors": vectors[:-1], "minibatch": {}})
    refused(bundle, "params.bin does not fit")
    bundles.change_manifest(bundle, finetune=None)
    refused(bundle, "says nothing of fine-tuning")
    refused(bundles.laid_out(learns.bundle, tmp_path / "installed"), "install it with its training part")
