"""Bundles: one zip file for each content, and nothing altered, cut off or hostile gets past the reader."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import subprocess
import sys
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import bundles
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from synthjax import cli
from synthjax.deploy import archive
from synthjax.deploy.bundle import FORMAT, load_bundle, timestamp, verify_bundle, write_bundle
from synthjax.errors import UserError

quickly = settings(deadline=None, max_examples=150, derandomize=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="module")
def whole(place: Path) -> Path:
    bundles.make(place / "whole.zip")
    return place / "whole.zip"


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return bundles.unzip(whole, tmp_path / "folder")


# What is written


def test_the_bytes_of_a_zip_file_are_those_of_its_content(whole: Path, place: Path) -> None:
    """Pinned: other bytes for the same files would make every bundle that exists an altered one."""
    assert hashlib.sha256(whole.read_bytes()).hexdigest() == PINNED
    reordered = dict(reversed(bundles.FILES.items()))
    write_bundle(reordered, bundles.head(), place / "again.zip", set(bundles.TRAINING))
    assert (place / "again.zip").read_bytes() == whole.read_bytes()


PINNED = "616fa100049a833d08080c1f38f5eb87dd8fec206487e8154b7df4354ba8c044"


def test_any_program_reads_the_zip_file(whole: Path) -> None:
    with zipfile.ZipFile(whole) as file:
        assert file.testzip() is None
        assert file.namelist() == sorted([*bundles.FILES, "manifest.json", "manifest.sha256"])
        assert {name: file.read(name) for name in bundles.FILES} == bundles.FILES
        assert {info.compress_type for info in file.infolist()} == {zipfile.ZIP_STORED}


def test_the_manifest_lists_every_file_with_its_hash(folder: Path) -> None:
    text = (folder / "manifest.json").read_bytes()
    assert (folder / "manifest.sha256").read_text() == f"{hashlib.sha256(text).hexdigest()}  manifest.json\n"
    manifest = json.loads(text)
    assert {name: manifest[name] for name in bundles.head()} == bundles.head()
    assert manifest["format"] == FORMAT
    assert manifest["files"] == [
        {
            "name": name,
            "part": "training" if name in bundles.TRAINING else "policy",
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        for name, data in sorted(bundles.FILES.items())
    ]


@settings(quickly, max_examples=50)
@given(
    files=st.dictionaries(
        st.from_regex(r"[a-z0-9_]{1,9}(/[a-z0-9_]{1,9})?\.bin", fullmatch=True), st.binary()
    ),
    extra=st.dictionaries(st.text(max_size=9), st.floats(allow_nan=False, allow_infinity=False) | st.text()),
    version=st.integers(0, 2**31 - 1),
)
def test_what_was_written_comes_back(
    place: Path, files: dict[str, bytes], extra: dict[str, Any], version: int
) -> None:
    assume(archive.collision(files) is None and all(map(archive.is_safe, files)))
    files = {"policy.tflite": b"", **files}
    manifest = bundles.head(version, exported=timestamp(), more=extra)
    written = write_bundle(files, manifest, place / "any.zip")
    read = load_bundle(place / "any.zip")
    assert read == written
    assert read.files == files
    assert {name: read.manifest[name] for name in manifest} == manifest
    assert read.digest == hashlib.sha256(read.manifest_bytes).hexdigest()


def test_a_folder_is_as_good_as_a_zip_file(whole: Path, folder: Path) -> None:
    assert load_bundle(folder) == load_bundle(whole)
    (folder / "empty").mkdir()
    assert load_bundle(folder) == load_bundle(whole)


@pytest.mark.parametrize(
    ("files", "manifest", "training", "fault"),
    [
        ({}, bundles.head(), (), "no file of the policy"),
        ({"a": b""}, bundles.head(), ("a",), "no file of the policy"),
        ({"a": b""}, bundles.head(), ("b",), "'b'"),
        ({"a": b""}, bundles.head(format=1), (), "format"),
        ({"a": b""}, bundles.head(more=float("nan")), (), "JSON"),
        ({"a": b""}, bundles.head(name="../walk"), (), "'name'"),
        ({"a": b""}, bundles.head(-1), (), "'version'"),
        ({"a": b""}, bundles.head(True), (), "'version'"),
        ({"a": b""}, bundles.head(exported="yesterday"), (), "'exported'"),
    ],
)
def test_faults_of_the_exporter_are_refused(
    files: dict[str, bytes],
    manifest: Mapping[str, Any],
    training: tuple[str, ...],
    fault: str,
    tmp_path: Path,
) -> None:
    with pytest.raises(ValueError, match=fault):
        write_bundle(files, manifest, tmp_path / "x.zip", training)
    assert not list(tmp_path.iterdir())


UNSAFE = [
    "", ".", "..", "../x", "a/../../x", "/etc/passwd", "a//b", "a/", "./a", "C:/x", "C:x", "a\\b", "..\\x",
    ".hidden", "a/.hidden", "x.", "con", "NUL.txt", "clips/lpt1.bin", "a b", "ä", "a\0b", "x" * 121, "~/x",
    "-rf",
]  # fmt: skip


@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe_names_are_not_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x\.zip' holds the unsafe name"):
        write_bundle({"policy.tflite": b"", name: b""}, bundles.head(), tmp_path / "x.zip")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "names",
    [
        ("a", "A"),
        ("clips/a", "Clips/b"),
        ("a", "a/b"),
        ("a/b", "A"),
        ("manifest.json",),
        ("MANIFEST.sha256",),
    ],
)
def test_names_that_are_one_on_some_systems_are_not_written(names: tuple[str, ...], tmp_path: Path) -> None:
    for order in (names, names[::-1]):
        with pytest.raises(UserError, match=r"x\.zip' holds .* twice"):
            write_bundle(dict.fromkeys(order, b""), bundles.head(), tmp_path / "x.zip")
    assert not list(tmp_path.iterdir())


def test_more_than_a_bundle_may_have_is_not_written_or_read(
    monkeypatch: pytest.MonkeyPatch, whole: Path, folder: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 1000)
    for path in (whole, folder):
        with pytest.raises(UserError, match="more than"):
            load_bundle(path)
    with pytest.raises(UserError, match=r"x\.zip' has more than"):
        bundles.make(tmp_path / "x.zip")


def test_a_failed_write_leaves_the_bundle_that_was_there(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bundle.zip"
    path.write_bytes(whole.read_bytes())

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match=r"No space left on device.*make room"):
            bundles.make(path, version=2)
    assert path.read_bytes() == whole.read_bytes()
    with pytest.raises(UserError, match="Cannot write the bundle"):
        bundles.make(path / "below a file.zip")
    assert list(tmp_path.iterdir()) == [path]


# What is read


def flipped(data: bytes, position: int, mask: int) -> bytes:
    return data[:position] + bytes([data[position] ^ mask]) + data[position + 1 :]


def refused(path: Path, data: bytes) -> str:
    """The one sentence for a bundle of these bytes."""
    path.write_bytes(data)
    with pytest.raises(UserError) as raised:
        load_bundle(path)
    sentence = str(raised.value)
    assert sentence.endswith((".", "?"))
    assert "\n" not in sentence
    return sentence


@quickly
@given(data=st.data())
def test_one_flipped_byte_anywhere_is_found(place: Path, whole: Path, data: st.DataObject) -> None:
    original = whole.read_bytes()
    position = data.draw(st.integers(0, len(original) - 1))
    refused(place / "changed.zip", flipped(original, position, data.draw(st.integers(1, 255))))


@quickly
@given(data=st.data())
def test_one_flipped_byte_in_any_file_of_a_folder_is_found(
    place: Path, whole: Path, data: st.DataObject
) -> None:
    folder = place / "changed"
    if not folder.exists():
        bundles.unzip(whole, folder)
    sized = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size]
    path = data.draw(st.sampled_from(sized))
    original = path.read_bytes()
    position = data.draw(st.integers(0, len(original) - 1))
    try:
        path.write_bytes(flipped(original, position, data.draw(st.integers(1, 255))))
        with pytest.raises(UserError, match="damaged"):
            load_bundle(folder)
    finally:
        path.write_bytes(original)
    load_bundle(folder)


@quickly
@given(data=st.data())
def test_a_part_that_is_missing_doubled_or_strange_is_found(
    place: Path, whole: Path, data: st.DataObject
) -> None:
    original = whole.read_bytes()
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(original))] * 2)))
    instead = data.draw(st.just(b"") | st.binary(max_size=60) | st.just(original[first:last] * 2))
    changed = original[:first] + instead + original[last:]
    assume(changed != original)
    refused(place / "changed.zip", changed)


@quickly
@given(length=st.integers(0, 2000))
def test_a_bundle_that_was_cut_off_is_refused(place: Path, whole: Path, length: int) -> None:
    assert "cut off" in refused(place / "changed.zip", whole.read_bytes()[:length][:-1])


@quickly
@given(data=st.binary(max_size=200) | st.binary(max_size=100).map(lambda data: b"PK\x03\x04" + data))
def test_other_files_are_refused(place: Path, data: bytes) -> None:
    assert "no bundle" in refused(place / "changed.zip", data)


@quickly
@given(
    # zipfile cuts names at a zero byte and stumbles over those that are empty then.
    names=st.lists(
        st.text(min_size=1, max_size=12).filter(lambda name: name[0] != "\0") | st.sampled_from(UNSAFE[1:]),
        min_size=1,
        max_size=4,
    ),
    data=st.data(),
)
def test_zip_files_of_others_are_refused(place: Path, names: list[str], data: st.DataObject) -> None:
    compression = data.draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]))
    refused(
        place / "changed.zip",
        zipped([(name, data.draw(st.binary(max_size=30))) for name in names], compression),
    )


def zipped(files: list[tuple[str | zipfile.ZipInfo, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there already
        for name, data in files:
            file.writestr(name, data)
    return buffer.getvalue()


def test_a_bundle_that_another_program_packed_is_refused(folder: Path, place: Path) -> None:
    files: list[Any] = [(str(path.relative_to(folder)), path.read_bytes()) for path in folder.rglob("*.*")]
    assert "altered" in refused(place / "changed.zip", zipped(files))  # other dates
    assert "another program" in refused(place / "changed.zip", zipped(files, zipfile.ZIP_DEFLATED))


@pytest.mark.parametrize("name", UNSAFE)
def test_no_name_leads_out_of_a_zip_file(name: str, whole: Path, place: Path) -> None:
    """ZipInfo is told the name after it was made, because it would clean it."""
    info = zipfile.ZipInfo("x")
    info.filename = info.orig_filename = name
    with zipfile.ZipFile(whole) as file:
        files: list[Any] = [(name, file.read(name)) for name in file.namelist()]
    assert "unsafe name" in refused(place / "changed.zip", zipped([*files, (info, b"")]))


@pytest.mark.parametrize("names", [("a", "a"), ("a", "A"), ("a", "a/b"), ("a/b", "A/c")])
def test_no_name_stands_twice_in_a_zip_file(names: tuple[str, str], place: Path) -> None:
    assert "twice" in refused(place / "changed.zip", zipped([(name, b"") for name in names]))


def test_links_in_a_zip_file_are_refused(place: Path) -> None:
    link = zipfile.ZipInfo("policy.tflite")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    assert "link" in refused(place / "changed.zip", zipped([(link, b"/etc/passwd")]))


def test_zip_bombs_are_refused_before_they_cost_anything(place: Path) -> None:
    zeros = bytes(50_000_000)
    deflated = zipped([("manifest.json", zeros)], zipfile.ZIP_DEFLATED)
    many = zipped([(f"{number}.bin", b"") for number in range(3000)])
    false_count = many[:-14] + b"\1\0\1\0" + many[-10:]
    overlapping = overlapped(900, 100_000)
    del zeros
    tracemalloc.start()
    try:
        assert "another program" in refused(place / "changed.zip", deflated)
        for bomb in (many, false_count, overlapping):
            assert "damaged or no bundle" in refused(place / "changed.zip", bomb)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def overlapped(entries: int, size: int) -> bytes:
    """A zip file of ``entries`` names for the same stored bytes: 90 MB in 190 kB."""
    one = zipped([("000.bin", bytes(size))])
    end = one.rindex(b"PK\x05\x06")
    start = one.index(b"PK\x01\x02")
    record = one[start:end]
    records = b"".join(record.replace(b"000.bin", f"{number:03}.bin".encode()) for number in range(entries))
    counts = entries.to_bytes(2, "little") * 2
    sizes = len(records).to_bytes(4, "little") + start.to_bytes(4, "little")
    return one[:start] + records + one[end : end + 8] + counts + sizes + b"\0\0"


def test_a_missing_bundle_is_one_sentence(place: Path) -> None:
    for path in (place / "none.zip", place / "whole.zip" / "below"):
        with pytest.raises(UserError, match="check the path"):
            load_bundle(path)


def add_link(folder: Path) -> None:
    (folder / "clips" / "walk.bin").unlink()
    (folder / "clips" / "walk.bin").symlink_to(folder / "policy.tflite")


def add_linked_folder(folder: Path) -> None:
    (folder / "more").symlink_to(folder.parent)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda folder: (folder / "clips" / "walk.bin").unlink(), r"clips/walk.bin: missing"),
        (lambda folder: (folder / "params.bin").unlink(), r"params.bin: missing"),
        (lambda folder: (folder / "readme.txt").touch(), r"readme.txt: not in the manifest"),
        (lambda folder: (folder / "clips" / "walk.bin").write_bytes(b"walk!"), r"clips/walk.bin: altered"),
        (lambda folder: (folder / ".DS_Store").touch(), r"unsafe name '.DS_Store'"),
        (lambda folder: (folder / "Policy.tflite").touch(), "two spellings"),
        (lambda folder: (folder / "manifest.json").unlink(), "no manifest.json, so it is no bundle"),
        (lambda folder: (folder / "manifest.sha256").unlink(), "does not fit manifest.sha256"),
        (add_link, "a link"),
        (add_linked_folder, "a link"),
        (lambda folder: os.mkfifo(folder / "pipe"), "no file"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="needs links, pipes and names that differ in case")
def test_a_folder_that_holds_something_else_is_refused(
    change: Callable[[Path], None], sentence: str, folder: Path
) -> None:
    change(folder)
    with pytest.raises(UserError, match=sentence):
        load_bundle(folder)


def test_only_a_whole_part_can_be_left_out(folder: Path) -> None:
    assert load_bundle(folder).parts == ("policy", "training")
    for name in bundles.TRAINING:
        (folder / name).unlink()
    bundle, verdicts = verify_bundle(folder)
    assert bundle.parts == ("policy",)
    assert bundle.files.keys() == bundles.FILES.keys() - set(bundles.TRAINING)
    assert {verdict.name for verdict in verdicts if verdict.finding == "left out"} == set(bundles.TRAINING)
    assert load_bundle(folder) == bundle
    (folder / "policy.tflite").unlink()
    (folder / "clips" / "walk.bin").unlink()
    with pytest.raises(UserError, match="missing"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"format": FORMAT + 1},
            f"format {FORMAT + 1}, this synthjax reads up to {FORMAT}: upgrade synthjax",
        ),
        ({"format": FORMAT + 1, "files": {"another": "form"}}, "upgrade synthjax"),
        ({"format": "1"}, "'format'"),
        ({"format": 0}, "'format'"),
        ({"name": None}, "'name'"),
        ({"name": "a\x1b[2J"}, "'name'"),
        ({"version": 1.0}, "'version'"),
        ({"version": 2**31}, "'version'"),
        ({"exported": "2026-01-02"}, "'exported'"),
        ({"files": None}, "'files'"),
        ({"files": [{"name": "policy.tflite", "part": "policy"}]}, "'files'"),
        ({"files": ["policy.tflite"]}, "'files'"),
        ({"files": []}, "no file of the policy"),
        ({"text": b"[1]"}, "not a table"),
        ({"text": b"{"}, "not JSON"),
        ({"text": b'{"format": NaN}'}, "not JSON"),
        ({"text": b"\xff"}, "not JSON"),
        ({"text": b"[" * 100_000}, "not JSON"),
    ],
)
def test_a_manifest_that_was_made_otherwise_is_refused(
    change: dict[str, Any], sentence: str, folder: Path
) -> None:
    bundles.change_manifest(folder, **change)
    with pytest.raises(UserError, match=sentence):
        load_bundle(folder)


@pytest.mark.parametrize("name", [*UNSAFE, "manifest.json", "POLICY.TFLITE"])
def test_a_manifest_cannot_name_a_file_elsewhere(name: str, folder: Path) -> None:
    rows = json.loads((folder / "manifest.json").read_text())["files"]
    bundles.change_manifest(folder, files=[*rows, {**rows[0], "name": name}])
    with pytest.raises(UserError, match=r"unsafe name|twice"):
        load_bundle(folder)


# The command, and what it needs


def test_verify_says_what_a_bundle_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = tmp_path / "whole.zip"
    bundles.make_acting(whole)
    assert cli.main(["bundle", "verify", str(whole)]) == 0
    shown = capsys.readouterr().out
    assert "walk, version 1 of 2026-01-02T03:04:05Z" in shown
    assert load_bundle(whole).digest in shown
    rows = {line.split()[0]: line.split()[1:] for line in shown.splitlines()[2:]}
    assert rows["policy.tflite"] == ["policy", "768", "bytes", "whole"]
    assert rows["params.bin"] == ["training", "12", "bytes", "whole"]
    assert rows.keys() == bundles.ACTING_FILES.keys()


def test_verify_has_a_verdict_on_each_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "policy.tflite").write_bytes(b"")
    (folder / "clips" / "walk.bin").unlink()
    (folder / "more.bin").write_bytes(b"more")
    assert cli.main(["bundle", "verify", str(folder)]) == 2
    shown = capsys.readouterr()
    findings = {line.split()[0]: line.split("bytes")[1].strip() for line in shown.out.splitlines()[2:]}
    assert findings == {
        "clips/walk.bin": "missing",
        "finetune.tflite": "whole",
        "more.bin": "not in the manifest",
        "params.bin": "whole",
        "policy.tflite": "altered",
    }
    assert f"Error: Bundle '{folder}' is damaged (clips/walk.bin: missing, and 2 more)" in shown.err


def test_verify_refuses_what_changed_between_the_files(
    whole: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    original = whole.read_bytes()
    (place / "changed.zip").write_bytes(flipped(original, original.rindex(b"PK\x01\x02") + 12, 1))  # its hour
    assert cli.main(["bundle", "verify", str(place / "changed.zip")]) == 2
    assert "damaged (changed.zip: altered)" in capsys.readouterr().err


def test_bundles_need_only_the_standard_library(tmp_path: Path) -> None:
    whole = tmp_path / "whole.zip"
    bundles.make_acting(whole)
    program = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in {{*sys.stdlib_module_names, "synthjax"}}:
            raise ImportError(f"{{name}} is not there")
sys.meta_path.insert(0, Blocked())
from pathlib import Path
from synthjax.deploy.bundle import load_bundle, write_bundle
from synthjax.deploy.install import install_bundle, load_installed
install_bundle(Path({str(whole)!r}), Path({str(tmp_path / "to")!r}))
print(load_installed(Path({str(tmp_path / "to")!r})).digest)
try:
    import jax
except ImportError:
    print("blocked")
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == [load_bundle(whole).digest, "blocked"]


def test_the_command_loads_neither_jax_nor_mujoco(whole: Path) -> None:
    program = (
        f"import sys; from synthjax.cli import main; main(['bundle', 'verify', {str(whole)!r}]);"
        "sys.exit(any(name in sys.modules for name in ('jax', 'mujoco', 'flax', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", program], stdout=subprocess.DEVNULL).returncode == 0
