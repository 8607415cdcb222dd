"""Damaged files: every reader gives a finite motion or one sentence, whatever the bytes.

``SYNTHJAX_FUZZ=10000 pytest -m '' tests/test_import_fuzz.py`` tries so many of each format.
"""

from __future__ import annotations

import io
import json
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import motion_sources as sources
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_importers import AMC, ASF
from test_motion_deepmimic import frame

from synthjax.errors import UserError
from synthjax.motion.importers.reading import MAX_SAMPLES
from synthjax.motion.importing import read_human

EXAMPLES = int(os.environ.get("SYNTHJAX_FUZZ", "60"))
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


FILES: dict[str, Callable[[], bytes]] = {
    "walk.bvh": lambda: sources.bvh(frames=3).encode(),
    "walk.glb": lambda: sources.glb(frames=3),
    "walk.amc": lambda: AMC.format(root="20 30 40", values="20 30 40").encode(),
    "walk.asf": lambda: ASF.format(root="RX RY RZ", axis="XYZ", dof="rx ry rz").encode(),
    "walk.npz": smpl,
    "walk.txt": lambda: json.dumps({"Loop": "wrap", "Frames": [frame(), frame()]}).encode(),
    "walk.fbx": lambda: sources.fbx(frames=3).encode(),
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


def check(name: str, content: bytes, beside: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for other, text in beside.items():
            (Path(folder) / other).write_bytes(text)
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            motion = read_human(path).motion
        except UserError:
            return
    assert np.isfinite(motion.positions).all()
    assert np.isfinite(motion.rotations).all()
    assert 2 <= len(motion.positions) <= MAX_SAMPLES
    np.testing.assert_allclose(np.linalg.norm(motion.rotations, axis=-1), 1.0, atol=1e-6)


@pytest.mark.parametrize("name", [n for n in FILES if n != "walk.fbx"])
def test_damaged_files_end_in_a_motion_or_a_sentence(name: str) -> None:
    content = FILES[name]()
    beside = {}
    if name in ("walk.asf", "walk.amc"):
        beside = {other: FILES[other]() for other in ("walk.asf", "walk.amc") if other != name}
    read = "walk.amc" if name == "walk.asf" else name

    @settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(edits)
    def run(steps: list[tuple[str, float, float, bytes, str]]) -> None:
        broken = damaged(content, steps)
        if read == name:
            check(name, broken, beside)
        else:
            check(read, beside[read], {name: broken})

    run()


@pytest.mark.slow
def test_damaged_fbx_files_end_in_a_motion_or_a_sentence() -> None:
    pytest.importorskip("ufbx")
    content = FILES["walk.fbx"]()

    @settings(max_examples=max(10, EXAMPLES // 10), deadline=None, database=None, derandomize=True,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(edits)
    def run(steps: list[tuple[str, float, float, bytes, str]]) -> None:
        check("walk.fbx", damaged(content, steps), {})

    run()


@pytest.mark.parametrize("name", [n for n in FILES if n not in ("walk.fbx", "walk.asf", "walk.amc")])
def test_the_whole_files_are_read_or_are_no_human(name: str) -> None:
    check(name, FILES[name](), {})
