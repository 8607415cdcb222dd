"""Damaged files: every reader gives a finite motion or one sentence, whatever the bytes.

``pytest -s -m slow tests/test_import_fuzz.py`` tries 10,000 of each format and says how they ended.
"""

from __future__ import annotations

import functools
import io
import json
import os
import re
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import acclaim_files
import fbx_files
import marker_files
import motion_sources as sources
import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_motion_deepmimic import frame

from synthjax.bodies import Body, make_body
from synthjax.errors import UserError
from synthjax.motion.clip_file import load_clip, whole_clip
from synthjax.motion.edit import cut
from synthjax.motion.importers import fbx
from synthjax.motion.importers.qpos_csv import read_qpos_csv
from synthjax.motion.importers.reading import MAX_SAMPLES
from synthjax.motion.importing import read_human
from synthjax.motion.library import resolve_motions

EXAMPLES = pytest.mark.parametrize("examples", [40, pytest.param(10_000, marks=pytest.mark.slow)])
SECONDS = 10.0  # that a file of this size may take, on a busy machine
MEMORY = 2**30  # bytes by which the process may grow
WILD = (
    "nan",
    "-1e308",
    "1e-320",
    "0",
    "-1",
    "99999999999999999999",
    "65536",
    '"',
    "{",
    "}",
    "[]",
    "null",
    "\n",
    "\0",
)


def smpl() -> bytes:
    packed = io.BytesIO()
    np.savez(packed, poses=np.full((3, 66), 0.1), trans=np.zeros((3, 3)), mocap_framerate=30.0)
    return packed.getvalue()


VRM: dict[str, object] = {
    "VRMC_vrm_animation": {
        "humanoid": {"humanBones": {n[0].lower() + n[1:]: {"node": i} for i, n in enumerate(sources.NAMES)}}
    }
}

FILES: dict[str, Callable[[], bytes]] = {
    "walk.bvh": lambda: sources.bvh(frames=3).encode(),
    "walk.glb": lambda: sources.glb(frames=3),
    "walk.gltf": lambda: sources.gltf(frames=3).encode(),
    "walk.amc": lambda: acclaim_files.motion(frames=3).encode(),
    "walk.asf": lambda: acclaim_files.skeleton().encode(),
    "walk.npz": smpl,
    "walk.txt": lambda: json.dumps({"Loop": "wrap", "Frames": [frame(), frame()]}).encode(),
    "walk.c3d": marker_files.small,
    "walk.csv": lambda: "\n".join([",".join(["0"] * 6 + ["1"] + ["0.1"] * 63)] * 3).encode(),
    "text.fbx": lambda: sources.fbx(frames=2).encode(),
    "binary.fbx": lambda: fbx_files.binary(sources.fbx(frames=2)),
    "walk.vrma": lambda: sources.glb(VRM, frames=3),
    "walk.anim": lambda: sources.anim(frames=2).encode(),
}

edits = st.lists(
    st.tuples(
        st.sampled_from(("byte", "cut", "copy", "end", "number", "word")),
        st.floats(0.0, 1.0, exclude_max=True),
        st.floats(0.0, 1.0, exclude_max=True),
        st.binary(min_size=1, max_size=4),
        st.sampled_from(WILD),
    ),
    min_size=1,
    max_size=4,
)


def damaged(content: bytes, steps: list[tuple[str, float, float, bytes, str]]) -> bytes:
    """``content`` after a few edits at places between 0 (its start) and 1."""
    for kind, first, second, some, word in steps:
        a, b = sorted((int(first * len(content)), int(second * len(content))))
        b = min(b, a + 200)
        if kind == "byte":
            content = content[:a] + some + content[a + len(some) :]
        elif kind == "cut":
            content = content[:a] + content[b:]
        elif kind == "copy":
            content = content[:b] + content[a:b] + content[b:]
        elif kind == "end":
            content = content[:a]
        else:
            pattern = rb"-?\d+\.?\d*" if kind == "number" else rb"[A-Za-z]+"
            places = list(re.finditer(pattern, content))
            if places:
                at = places[int(first * len(places))]
                content = content[: at.start()] + word.encode() + content[at.end() :]
    return content


@functools.cache
def synth() -> Body:
    return make_body("synth")


def check(name: str, content: bytes, beside: dict[str, bytes]) -> bool:
    """Reads a file as ``motion import`` does.  -> whether it is a motion, which else is a sentence"""
    with tempfile.TemporaryDirectory() as folder:
        for other, text in beside.items():
            (Path(folder) / other).write_bytes(text)
        path = Path(folder) / name
        path.write_bytes(content)
        start, refusal = time.perf_counter(), ""
        try:
            if name == "clip.npz":
                clip = load_clip(path, synth())
                positions, rotations = clip.xpos, clip.xquat
            elif name.endswith(".csv"):
                qpos, _ = read_qpos_csv(path, synth(), 30.0)
                positions, rotations = qpos, qpos[:, 3:7]
            else:
                motion = read_human(path).motion
                positions, rotations = motion.positions, motion.rotations
        except UserError as error:
            refusal = str(error)
        assert time.perf_counter() - start < SECONDS
    if refusal:
        assert refusal.isprintable()
        return False
    assert np.isfinite(positions).all()
    assert np.isfinite(rotations).all()
    assert 2 <= len(positions) <= MAX_SAMPLES
    np.testing.assert_allclose(np.linalg.norm(rotations, axis=-1), 1.0, atol=1e-6)
    return True


@pytest.fixture(scope="module")
def forks() -> Iterator[fbx_files.Forks]:
    pytest.importorskip("ufbx", reason="FBX files need synthjax[motion]")
    if not hasattr(os, "fork"):
        pytest.skip("many FBX files are read in forks")
    forks = fbx_files.Forks()
    yield forks
    forks.close()


def hammer(name: str, examples: int) -> None:
    """Reads so many damaged versions of a file."""
    content = FILES[name]()
    beside = {}
    if name in ("walk.asf", "walk.amc"):
        beside = {other: FILES[other]() for other in ("walk.asf", "walk.amc") if other != name}
    read = "walk.amc" if name == "walk.asf" else name
    ended: list[bool] = []
    before = psutil.Process().memory_info().rss

    @settings(max_examples=examples, deadline=None, database=None, derandomize=True,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(edits)
    def run(steps: list[tuple[str, float, float, bytes, str]]) -> None:
        broken = damaged(content, steps)
        if read == name:
            ended.append(check(name, broken, beside))
        else:
            ended.append(check(read, beside[read], {name: broken}))

    run()
    grown = psutil.Process().memory_info().rss - before
    print(f"\n{name}: {len(ended)} files, {sum(ended)} motions, {grown / 2**20:.0f} MB more memory")
    assert grown < MEMORY


@EXAMPLES
@pytest.mark.parametrize("name", [n for n in FILES if not n.endswith(".fbx")])
def test_damaged_files_end_in_a_motion_or_a_sentence(name: str, examples: int) -> None:
    hammer(name, examples)


@EXAMPLES
@pytest.mark.parametrize("name", [n for n in FILES if n.endswith(".fbx")])
def test_damaged_fbx_files_end_in_a_motion_or_a_sentence(
    name: str, examples: int, forks: fbx_files.Forks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Crashes of the library are its process's alone, and none of its files hangs it."""
    monkeypatch.setattr(fbx, "run_process", forks.read)
    hammer(name, examples)
    print(f"{forks.crashed} crashes of ufbx so far, at most {forks.largest >> 10} MB for a file")
    assert forks.largest << 10 < MEMORY


STRANGE = (
    np.array("a"), np.array(b"a"), np.array(True), np.array(-1), np.array(2**62), np.array(np.nan),
    np.array(np.inf), np.array(1e30), np.array(1j), np.array("2020-01-01", "M8[D]"), np.zeros(0),
    np.zeros((0, 70)), np.array(["a", ""]), np.zeros((3, 1, 1)), np.zeros(3, [("x", "f4")]),
)  # fmt: skip


def strange(values: np.ndarray, kind: str, index: float, number: float) -> np.ndarray:
    """An array with a change of another kind than those of bytes, which a checksum tells."""
    if kind == "other" or not values.ndim:
        return STRANGE[int(index * len(STRANGE))]
    if kind == "cut":
        return values[: int(index * len(values))]
    if kind == "turn":
        return values.T
    if kind == "type":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what does not fit the other type
            return values.astype(["U4", "f2", "c8", "i4"][int(4 * index) if values.dtype.kind != "U" else 0])
    values = values.copy()
    if values.dtype.kind == "f" and values.size:
        with np.errstate(over="ignore"):  # of what is too large for float16
            values.reshape(-1)[int(index * values.size)] = number
    return values


def arrays(name: str) -> dict[str, np.ndarray]:
    if name == "walk.npz":
        content = smpl()
    else:
        (walk,) = resolve_motions("walk", synth())
        content = whole_clip(cut(walk, synth(), start=0.0, end=0.1))
    derived = ("qvel", "xpos", "xquat", "linvel", "angvel")  # which load_clip does not look at
    with np.load(io.BytesIO(content)) as archive:
        return {key: archive[key] for key in archive.files if key not in derived}


@EXAMPLES
@pytest.mark.parametrize("name", ["walk.npz", "clip.npz"])
def test_strange_arrays_end_in_a_motion_or_a_sentence(name: str, examples: int) -> None:
    whole = arrays(name)
    changes = st.tuples(
        st.sampled_from(sorted(whole)),
        st.sampled_from(("other", "cut", "turn", "type", "number", "none")),
        st.floats(0.0, 1.0, exclude_max=True),
        st.sampled_from((np.nan, np.inf, 1e38, 1e-38, -1.0, 0.0)),
    )

    @settings(max_examples=examples, deadline=None, database=None, derandomize=True,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.lists(changes, min_size=1, max_size=3))
    def run(steps: list[tuple[str, str, float, float]]) -> None:
        content = dict(whole)
        for key, kind, index, number in steps:
            if kind == "none":
                content.pop(key, None)
            elif key in content:
                content[key] = strange(content[key], kind, index, number)
        file = io.BytesIO()
        np.savez(file, **content)
        check(name, file.getvalue(), {})

    run()


@pytest.mark.parametrize("name", [n for n in FILES if n != "walk.asf"])
def test_the_whole_files_are_motions(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name.endswith(".fbx"):
        monkeypatch.setattr(fbx, "run_process", request.getfixturevalue("forks").read)
    assert check(name, FILES[name](), {"walk.asf": FILES["walk.asf"]()})
