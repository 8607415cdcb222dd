"""Installing bundles: killed, out of room or raced at any moment, the old or the new one is there, whole."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bundles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthjax import cli
from synthjax.deploy.bundle import FORMAT, load_bundle, write_bundle
from synthjax.deploy.file_lock import locked
from synthjax.deploy.install import bundle_at, install_bundle, installed_folder, load_installed
from synthjax.errors import UserError
from synthjax.whole_files import replacing

POLICY = ("policy.tflite", "observe.tflite", "body.xml", "clips/walk.bin")  # files of the part


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Bundles of increasing version and other content, which is long to write."""
    folder = tmp_path_factory.mktemp("versions")
    paths = {version: folder / f"{version}.zip" for version in range(1, 54)}
    for version, path in paths.items():
        bundles.make_acting(path, version, files_of(version))
    return paths


def files_of(version: int) -> dict[str, bytes]:
    return {**bundles.ACTING_FILES, "policy.tflite": bytes([version]) * 400_000}


def write_policy(path: Path, version: int = 1, exported: str = "2026-01-02T03:04:05Z", **more: Any) -> None:
    """A bundle without a part for training."""
    files = {name: bundles.ACTING_FILES[name] for name in POLICY}
    write_bundle(files, bundles.head(version, exported, **bundles.ACTING) | more, path)


@pytest.fixture
def to(tmp_path: Path) -> Path:
    return tmp_path / "installed"


def version_in(to: Path) -> int:
    """The version that is installed, every byte of it verified, with the policy and nothing else."""
    bundle = load_installed(to)
    version = bundle.manifest["version"]
    files = files_of(version)
    assert bundle.files == {name: files[name] for name in POLICY}
    return version


def assert_nothing_else(to: Path) -> None:
    """No remains of other installations."""
    folder = installed_folder(to)
    assert folder is not None
    assert {path.name for path in to.iterdir()} == {"current.json", "installing.lock", folder.name}


# What is installed


def test_a_first_installation_holds_the_policy_alone(versions: dict[int, Path], to: Path) -> None:
    done = install_bundle(versions[1], to / "and" / "below")
    assert done.installed
    assert done.bundle == load_installed(to / "and" / "below")
    folder = installed_folder(to / "and" / "below")
    assert folder is not None
    whole = load_bundle(versions[1])
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {*POLICY, "manifest.json", "manifest.sha256"}
    assert (folder / "manifest.json").read_bytes() == whole.manifest_bytes
    pointer = json.loads((to / "and" / "below" / "current.json").read_text())
    assert pointer == {"format": FORMAT, "folder": f"{whole.digest[:16]}-1"}
    assert_nothing_else(to / "and" / "below")


def test_the_files_for_training_come_when_they_are_asked_for(versions: dict[int, Path], to: Path) -> None:
    assert install_bundle(versions[1], to).installed
    assert install_bundle(versions[1], to, with_training=True).installed
    assert load_installed(to).files == files_of(1)
    assert not install_bundle(versions[1], to, with_training=True).installed
    assert not install_bundle(versions[1], to).installed
    assert load_installed(to).parts == ("policy", "training")
    assert install_bundle(versions[2], to).installed
    assert load_installed(to).parts == ("policy",)
    assert_nothing_else(to)


def test_a_bundle_that_has_none_is_installed_once(to: Path, tmp_path: Path) -> None:
    write_policy(tmp_path / "x.zip")
    assert install_bundle(tmp_path / "x.zip", to, with_training=True).installed
    assert not install_bundle(tmp_path / "x.zip", to, with_training=True).installed


def test_a_folder_and_an_installation_can_be_installed(versions: dict[int, Path], to: Path) -> None:
    folder = bundles.unzip(versions[1], to / "folder")
    assert install_bundle(folder, to / "first").installed
    source = installed_folder(to / "first")
    assert source is not None
    for number, path in enumerate((source, to / "first")):
        assert install_bundle(path, to / f"next{number}").installed
        assert load_installed(to / f"next{number}") == load_installed(to / "first") == bundle_at(path)


@settings(deadline=None, max_examples=20, derandomize=True)
@given(
    ages=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from([f"202{n}-01-01T00:00:00Z" for n in range(3)])),
        min_size=1, max_size=5,
    )
)  # fmt: skip
def test_the_newest_of_all_wins_in_any_order(
    ages: list[tuple[int, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("ages")
    newest: tuple[int, tuple[int, str]] | None = None
    for number, age in enumerate(ages):
        path = place / "bundle.zip"
        write_policy(path, *age, number=number)
        newer = newest is None or age > newest[1]
        if newer:
            newest = number, age
        assert install_bundle(path, place / "to").installed == newer
        bundle = load_installed(place / "to")
        assert (bundle.manifest["number"], bundle.age) == newest


def test_another_policy_is_not_replaced(versions: dict[int, Path], to: Path, tmp_path: Path) -> None:
    install_bundle(versions[1], to)
    write_policy(tmp_path / "run.zip", 9, name="run")
    with pytest.raises(UserError, match="the place of 'walk', not of 'run'"):
        install_bundle(tmp_path / "run.zip", to)
    assert version_in(to) == 1


@pytest.mark.parametrize("folder", ["", "..", "../escape", "/etc", "0123456789abcdef-0", 7, None])
def test_a_pointer_that_nobody_wrote_counts_as_none(folder: Any, versions: dict[int, Path], to: Path) -> None:
    install_bundle(versions[3], to)
    (to / "current.json").write_text(json.dumps({"format": FORMAT, "folder": folder}))
    assert installed_folder(to) is None
    with pytest.raises(UserError, match="No bundle is installed"):
        load_installed(to)
    assert install_bundle(versions[2], to).installed
    assert version_in(to) == 2
    assert_nothing_else(to)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"format": 1}'])
def test_a_pointer_that_is_damaged_counts_as_none(text: bytes, versions: dict[int, Path], to: Path) -> None:
    install_bundle(versions[2], to)
    (to / "current.json").write_bytes(text)
    assert installed_folder(to) is None
    assert install_bundle(versions[1], to).installed
    assert version_in(to) == 1


def test_a_pointer_that_cannot_be_read_is_one_sentence(versions: dict[int, Path], to: Path) -> None:
    (to / "current.json").mkdir(parents=True)
    for refused in (lambda: install_bundle(versions[1], to), lambda: load_installed(to)):
        with pytest.raises(UserError, match=r"Cannot read .*current\.json"):
            refused()


def test_what_is_damaged_is_replaced_even_by_an_older_bundle(versions: dict[int, Path], to: Path) -> None:
    install_bundle(versions[3], to)
    folder = installed_folder(to)
    assert folder is not None
    (folder / "policy.tflite").write_bytes(b"?")
    with pytest.raises(UserError, match="damaged"):
        load_installed(to)
    assert install_bundle(versions[3], to).installed
    assert version_in(to) == 3
    folder = installed_folder(to)
    assert folder is not None
    shutil.rmtree(folder)
    assert install_bundle(versions[1], to).installed
    assert version_in(to) == 1
    assert_nothing_else(to)


def test_a_damaged_bundle_changes_nothing(versions: dict[int, Path], to: Path, tmp_path: Path) -> None:
    install_bundle(versions[1], to)
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(versions[2].read_bytes()[:-1])
    with pytest.raises(UserError, match="cut off"):
        install_bundle(damaged, to)
    assert version_in(to) == 1
    with pytest.raises(UserError, match="cut off"):
        install_bundle(damaged, to / "new")
    assert not (to / "new").exists()


def test_what_a_newer_program_installed_stays(versions: dict[int, Path], to: Path) -> None:
    install_bundle(versions[1], to)
    before = sorted(path.name for path in to.iterdir())
    text = json.dumps({"format": FORMAT + 1, "folder": {"another": "form"}})
    (to / "current.json").write_text(text)
    for refused in (lambda: install_bundle(versions[2], to), lambda: load_installed(to)):
        with pytest.raises(UserError, match="upgrade synthjax"):
            refused()
    assert (to / "current.json").read_text() == text
    assert sorted(path.name for path in to.iterdir()) == before


def test_files_of_others_stay(versions: dict[int, Path], to: Path) -> None:
    others = {"0123456789abcdef", "notes-1", "0123456789ABCDEF-1", "0123456789abcdef-1.bak"}
    for name in others:
        (to / name).mkdir(parents=True)
        (to / name / "file").touch()
    install_bundle(versions[1], to)
    install_bundle(versions[2], to)
    assert all((to / name / "file").exists() for name in others)


def test_places_that_are_no_folder_for_installations(versions: dict[int, Path], tmp_path: Path) -> None:
    folder = bundles.unzip(versions[1], tmp_path / "bundle")
    with pytest.raises(UserError, match="is itself a bundle"):
        install_bundle(versions[1], folder)
    load_bundle(folder)
    for path in (versions[1], versions[1] / "below"):
        with pytest.raises(UserError, match="Cannot install into"):
            install_bundle(versions[1], path)


# Kills


INSTALLER = """
import os, signal, sys
from pathlib import Path
from synthjax.deploy.install import install_bundle
source, to, kill_at = sys.argv[1:]
count = 0
def count_changes(event, args):
    global count
    writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
    if writes or event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir"):
        count += 1
        if count == int(kill_at):
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count_changes)
print("ready", flush=True)
install_bundle(Path(source), Path(to))
print("done", flush=True)
"""


def installer(source: Path, to: Path, kill_at: int = 0) -> subprocess.Popen[str]:
    """A process that installs a bundle; it says when it begins, and dies before change ``kill_at``."""
    process = subprocess.Popen(
        [sys.executable, "-c", INSTALLER, str(source), str(to), str(kill_at)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def ended(process: subprocess.Popen[str]) -> bool:
    """Whether the process came to the end of its installation, instead of being killed."""
    said, _ = process.communicate()
    assert (said, process.returncode) in [("done\n", 0), ("done\n", -9), ("", -9)]
    return said == "done\n"


kills = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")


@kills
def test_a_kill_at_fifty_random_moments_leaves_the_old_or_the_new_bundle(
    versions: dict[int, Path], to: Path
) -> None:
    """Half of the time the next installation begins at what the kill left, or several kills."""
    install_bundle(versions[1], to)
    process = installer(versions[2], to)
    start = time.perf_counter()
    assert process.stdout is not None
    assert process.stdout.readline() == "done\n"
    duration = time.perf_counter() - start
    process.communicate()
    moments = random.Random(0)
    version = 2
    for _ in range(50):
        process = installer(versions[version + 1], to)
        time.sleep(moments.uniform(0, duration))
        process.kill()
        complete = ended(process)
        found = version_in(to)
        assert found == version + 1 if complete else found in (version, version + 1)
        version = found
        if moments.random() < 0.5:
            install_bundle(versions[version], to)
            assert version_in(to) == version
            assert_nothing_else(to)


@kills
@pytest.mark.parametrize("first", [True, False])
def test_a_kill_before_any_change_leaves_the_old_or_the_new_bundle(
    first: bool, versions: dict[int, Path], tmp_path: Path
) -> None:
    """Each write, renaming and removal of an installation, one after the other."""
    found = []
    for kill_at in range(1, 100):
        to = tmp_path / str(kill_at)
        if not first:
            install_bundle(versions[1], to)
        whole = ended(installer(versions[2], to, kill_at))
        if whole:
            break
        found.append(0 if first and installed_folder(to) is None else version_in(to))
        install_bundle(versions[2], to)
        assert version_in(to) == 2
        assert_nothing_else(to)
        shutil.rmtree(to)
    assert version_in(to) == 2
    assert_nothing_else(to)
    before = 0 if first else 1
    switch = found.index(2) if 2 in found else len(found)
    assert found == [before] * switch + [2] * (len(found) - switch)
    assert switch >= 11  # folder, lock, partial folder, its subfolder, six files, two renamings
    assert first or switch < len(found)  # the old one is removed after the switch


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
@pytest.mark.parametrize("first", [True, False])
def test_a_disk_that_is_full_or_protected_from_any_call_on(
    code: int, first: bool, versions: dict[int, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulated, because permissions do not bind the administrator that a container runs as."""
    for fail_at in range(1, 100):
        to = tmp_path / str(fail_at)
        if not first:
            install_bundle(versions[1], to)
        with monkeypatch.context() as patch:
            failed = fail_from(patch, fail_at, code)
            try:
                install_bundle(versions[2], to)
                sentence = ""
            except UserError as error:
                sentence = str(error)
        if not failed:
            assert sentence == ""
            break
        assert f"({os.strerror(code)}): make room" in sentence
        assert sentence.endswith("as it was.")
        if installed_folder(to) is None:
            assert first
            assert not to.exists() or {path.name for path in to.iterdir()} <= {"installing.lock"}
        else:
            assert version_in(to) in (1, 2)
            assert_nothing_else(to)
        assert install_bundle(versions[2], to).bundle.manifest["version"] == 2
        assert_nothing_else(to)
    assert fail_at > 15


def fail_from(patch: pytest.MonkeyPatch, number: int, code: int) -> list[str]:
    """Has calls that make, write or rename something fail from the given one on; lists those that did."""
    count = 0
    failed: list[str] = []

    def failing(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count < number:
                return call(*args, **options)
            failed.append(name)
            raise OSError(code, os.strerror(code))

        return counted

    for name in ("mkdir", "fsync", "rename", "replace"):
        patch.setattr(os, name, failing(name, getattr(os, name)))
    for name in ("write_bytes", "write_text"):
        patch.setattr(Path, name, failing(name, getattr(Path, name)))
    return failed


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs the names of open files")
def test_everything_is_on_the_disk_before_it_is_named(
    versions: dict[int, Path], to: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a power cut, what was not flushed may be missing although later things are there."""
    install_bundle(versions[1], to)
    folder = installed_folder(to)
    assert folder is not None
    events: list[tuple[str, str]] = []

    def recorded(verb: str, call: Callable[..., Any], subject: Callable[..., str]) -> Callable[..., Any]:
        def record(*args: Any, **options: Any) -> Any:
            events.append((verb, subject(*args)))
            return call(*args, **options)

        return record

    def name(path: Any, *rest: Any) -> str:
        path = os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else path
        return Path(path).relative_to(to).as_posix()

    for owner, verb in [(os, "fsync"), (os, "rename"), (os, "replace"), (shutil, "rmtree")]:
        monkeypatch.setattr(owner, verb, recorded(verb, getattr(owner, verb), name))
    install_bundle(versions[2], to)
    partial = f"{load_bundle(versions[2]).digest[:16]}-1.partial"
    written = ["", "/clips", *(f"/{name}" for name in POLICY), "/manifest.json", "/manifest.sha256"]
    assert set(events[: len(written)]) == {("fsync", partial + name) for name in written}
    assert events[len(written) :] == [
        ("rename", partial),
        ("fsync", "."),
        ("fsync", ".current.json.partial"),
        ("replace", ".current.json.partial"),
        ("fsync", "."),
        ("rmtree", folder.name),
    ]


def test_a_replaced_file_is_on_the_disk_before_it_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *args, name=name, original=original: calls.append(name) or original(*args)
        )
    with replacing(tmp_path / "file") as partial:
        partial.write_bytes(b"new")
    assert calls[:2] == ["fsync", "replace"]
    assert (tmp_path / "file").read_bytes() == b"new"


# Others at the same time


def test_a_second_installer_is_refused_while_the_first_is_at_work(
    versions: dict[int, Path], to: Path
) -> None:
    install_bundle(versions[1], to)
    with locked(to / "installing.lock") as mine:
        assert mine
        with pytest.raises(UserError, match="Somebody else is installing"):
            install_bundle(versions[2], to)
    assert install_bundle(versions[2], to).installed


@kills
def test_the_lock_goes_with_its_holder(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from synthjax.deploy.file_lock import locked
with locked(Path({str(tmp_path / "lock")!r})) as mine:
    print(mine, flush=True)
    input()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    with locked(tmp_path / "lock") as mine:
        assert not mine
    process.kill()
    process.communicate()
    with locked(tmp_path / "lock") as mine:
        assert mine


def test_a_reader_never_meets_half_a_bundle(versions: dict[int, Path], to: Path) -> None:
    install_bundle(versions[1], to)
    seen: list[int] = []
    faults: list[Exception] = []
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            try:
                seen.append(version_in(to))
            except Exception as error:
                faults.append(error)
                return

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for version in range(2, 31):
            install_bundle(versions[version], to)
    finally:
        over.set()
        reader.join()
    assert not faults
    assert seen == sorted(seen)
    assert len(set(seen)) > 1


# The command


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., tuple[int, str, str]]]:
    def run(*args: object) -> tuple[int, str, str]:
        code = cli.main(["bundle", *map(str, args)])
        return code, *capsys.readouterr()

    return run


def test_install_says_what_it_did(
    to: Path, tmp_path: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    versions = {version: tmp_path / f"{version}.zip" for version in range(1, 4)}
    for version, path in versions.items():
        bundles.make_acting(path, version)
    stamp = "2026-01-02T03:04:05Z"
    assert command("install", versions[2], "--to", to) == (
        0, f"walk, version 2 of {stamp}: installed, there was none that could be used.\n", "",
    )  # fmt: skip
    assert command("install", versions[2], "--to", to)[1].endswith(
        "nothing to do, it is installed already.\n"
    )
    assert command("install", versions[1], "--to", to) == (
        0, f"walk, version 2 of {stamp}: nothing to do, a newer bundle is installed.\n", "",
    )  # fmt: skip
    code, shown, _ = command("install", versions[3], "--to", to, "--with-training")
    assert (code, shown) == (0, f"walk, version 3 of {stamp}: installed, in place of version 2 of {stamp}.\n")
    assert load_installed(to).parts == ("policy", "training")
    code, shown, _ = command("verify", to)
    assert code == 0
    assert "version 3" in shown


def test_mistakes_in_an_installation_are_one_sentence(
    versions: dict[int, Path], to: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    for args in [(versions[1], "--to", versions[2]), (to / "none", "--to", to)]:
        code, shown, error = command("install", *args)
        assert (code, shown) == (2, "")
        assert error.startswith("Error: ")
        assert error.count("\n") == 1
    assert command("install", versions[1])[0] == 2
