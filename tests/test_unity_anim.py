"""Unity's clips against kinematics by hand, their curves against SciPy's, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import motion_sources as sources
import numpy as np
import pytest
from motion_sources import turn, write
from scipy.interpolate import CubicHermiteSpline
from scipy.spatial.transform import Rotation
from test_importers import read, same_as_by_hand

from synthjax.errors import UserError
from synthjax.motion.importers.unity_curves import read_clip
from synthjax.motion.importing import read_human


@pytest.mark.parametrize("euler_angles", [False, True])
@pytest.mark.parametrize("above", ["", "Armature/"])
def test_the_figure_is_the_same_from_unity(euler_angles: bool, above: str, tmp_path: Path) -> None:
    path = write(tmp_path, "a.anim", sources.anim(euler_angles=euler_angles, above=above))
    source = read(path)
    same_as_by_hand(source)
    # How an Armature stands that is not animated is not known.
    assert (source.fps, source.up, source.metres) == (30.0, None if above else "y", None if above else 1.0)
    found = read_human(path)
    assert found.rig is not None
    assert found.rig.title == "Rig: Unity or VRM"
    assert found.facts["up axis"].startswith("y")
    assert found.facts["unit"].startswith("1 m")


def test_axes_of_the_bones_do_not_matter(tmp_path: Path) -> None:
    """A rig whose bones all have axes of their own, so that it stands nowhere without rotations."""
    turns = np.random.default_rng(0).uniform(-180.0, 180.0, (len(sources.NAMES), 3))
    axes = {
        n: turn("z", z) @ turn("x", x) @ turn("y", y)
        for n, (z, x, y) in zip(sources.NAMES, turns, strict=True)
    }
    found = read_human(write(tmp_path, "a.anim", sources.anim(axes=axes)))
    plain = read_human(write(tmp_path, "b.anim", sources.anim()))
    assert "as the file's rest pose does not stand" in found.facts["neutral pose"]
    np.testing.assert_allclose(found.motion.positions, plain.motion.positions, atol=1e-6)
    for bone in ("Hips", "UpperChest", "LeftFoot", "RightFoot", "Head"):
        turned, straight = (
            Rotation.from_quat(motion.rotations[:, motion.index(bone)], scalar_first=True)
            for motion in (found.motion, plain.motion)
        )
        assert np.degrees((turned.inv() * straight).magnitude()).max() < 10.0, bone


def keyed(tmp_path: Path, *keys: str) -> Callable[[np.ndarray], np.ndarray]:
    """x, y and z of a curve with ``keys``, as functions of time."""
    content = sources.ANIM_HEAD + "  m_PositionCurves:\n  - curve:\n      m_Curve:\n"
    lines = (
        content + "".join(keys) + "    path: Hips\n" + sources.ANIM_TAIL.format(fps=30.0, end=2.0)
    ).splitlines()
    (curve,) = read_clip(tmp_path / "a.anim", lines).curves["m_PositionCurves"]
    return curve.sample


def key(time: float, value: str, into: str, out: str, weighted: str = "") -> str:
    rows = f"      - time: {time}\n        value: {value}\n        inSlope: {into}\n        outSlope: {out}\n"
    return rows + weighted


def test_tangents_make_cubics_and_infinite_ones_steps(tmp_path: Path) -> None:
    sample = keyed(
        tmp_path,
        key(0.5, "{x: 1, y: 2, z: 3}", "{x: 9, y: 9, z: 9}", "{x: -4, y: Infinity, z: 0}"),
        key(1.5, "{x: -2, y: 5, z: 4}", "{x: 1, y: 0, z: -Infinity}", "{x: 0, y: 1, z: 2}"),
        key(2, "{x: 0, y: 7, z: 6}", "{x: 3, y: Infinity, z: 2}", "{x: 9, y: 9, z: 9}"),
    )
    times = np.array([0.0, 0.5, 0.8, 1.2, 1.4999, 1.5, 1.6, 2.0, 7.0])
    inside = np.clip(times, 0.5, 2.0)
    early, late = inside < 1.5, inside >= 2.0
    x_first = CubicHermiteSpline([0.5, 1.5], [1.0, -2.0], [-4.0, 1.0])
    x_last = CubicHermiteSpline([1.5, 2.0], [-2.0, 0.0], [0.0, 3.0])
    z_last = CubicHermiteSpline([1.5, 2.0], [4.0, 6.0], [2.0, 2.0])
    x = np.where(early, x_first(inside), x_last(inside))
    y = np.where(early, 2.0, np.where(late, 7.0, 5.0))
    z = np.where(early, 3.0, z_last(inside))
    expected = np.stack([x, y, z], axis=-1)
    np.testing.assert_allclose(sample(times), expected, atol=1e-12)


def test_weighted_tangents_bend_time_too(tmp_path: Path) -> None:
    """Points of the Bezier curve whose handles are as long as the weights say, of x alone."""
    sample = keyed(
        tmp_path,
        key(0, "{x: 1, y: 1, z: 0}", "{x: 0, y: 0, z: 0}", "{x: 3, y: 3, z: 0}",
            "        weightedMode: 2\n        outWeight: {x: 0.9, y: 0.33333333333, z: 0}\n"),
        key(2, "{x: 5, y: 5, z: 0}", "{x: -1, y: -1, z: 0}", "{x: 0, y: 0, z: 0}",
            "        weightedMode: 1\n        inWeight: {x: 0.6, y: 0.33333333333, z: 0}\n"),
    )  # fmt: skip
    for u in (0.1, 0.4, 0.75):
        basis = np.array([(1 - u) ** 3, 3 * u * (1 - u) ** 2, 3 * u**2 * (1 - u), u**3])
        time, value = basis @ [0.0, 1.8, 0.8, 2.0], basis @ [1.0, 1.0 + 1.8 * 3.0, 5.0 + 1.2, 5.0]
        x, y, _ = sample(np.array([time]))[0]
        assert x == pytest.approx(value, abs=1e-9)
        assert y == pytest.approx(CubicHermiteSpline([0, 2], [1, 5], [3, -1])(time), abs=1e-9)


def test_names_are_unquoted_and_unfolded(tmp_path: Path) -> None:
    names = tuple(
        {"Hips": "'it''s: hips'", "Spine": '"sp\\xEFne"', "Head": "a b"}.get(n, n) for n in sources.NAMES
    )
    text = sources.anim(names, frames=2, above="")
    for quoted in ("'it''s: hips'/", '"sp\\xEFne"/'):
        text = text.replace(quoted, "it is/")
    text = re.sub(r"path: (it is[^\n]*)\n([^\n]*\n)?", lambda m: m[0].replace("a b", "a\n      b"), text)
    joints = read(write(tmp_path, "a.anim", text)).joints
    assert "it's: hips" in joints
    assert "it is" in joints
    assert "a b" in joints


MUSCLES = (
    sources.ANIM_HEAD
    + "  m_PositionCurves: []\n  m_FloatCurves:\n  - curve:\n      m_Curve:\n      - time: 0\n"
    "        value: 0\n    attribute: {}\n    path: \n    classID: 95\n"
)


@pytest.mark.parametrize(
    "muscle", ["Spine Front-Back", "RootT.x", "Left Upper Leg In-Out", "'Head Nod Down-Up'"]
)
def test_muscles_are_told_what_to_bake(muscle: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"muscle values.*'Synthjax/Bake clip' of examples/host_unity.*FBX"):
        read(write(tmp_path, "a.anim", MUSCLES.format(muscle)))


FLAT = "{x: 0, y: 0, z: 0, w: 0}"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("AnimationClip", "GameObject", "no AnimationClip"),
        ("m_CompressedRotationCurves: []", "m_CompressedRotationCurves:", "compressed"),
        ("time: 0.0333333333", "time: 9", "line 29: the times of a curve do not rise"),
        ("        value: {", "        valu: {", "the key before has no value"),
        ("        inSlope", "        value", "line 13: a key has 'value' twice"),
        (FLAT, "{x: 0, y: 0, z: 0}", "line 13: 'inSlope' must have 4 numbers"),
        (FLAT, FLAT.replace("0", "NaN", 1), "'NaN' is not a number"),
        ("    path: Armature/Hips\n", "", "without the path of its transform"),
        ("path: Armature/Hips\n", f"path: {'a/' * 300}\n", "200 transforms in a row"),
        ("m_SampleRate: 30", "m_SampleRate: 1e5", "frames a second"),
        (r"value: {x.*w.*}", f"value: {FLAT}", "no rotation"),
    ],
)
def test_a_bad_clip_is_refused(old: str, new: str, message: str, tmp_path: Path) -> None:
    text = sources.anim(frames=3)
    changed = re.sub(old if ".*" in old else re.escape(old), new, text, count=1)
    assert changed != text
    with pytest.raises(UserError, match=message):
        read_human(write(tmp_path, "a.anim", changed))


@pytest.mark.parametrize(
    ("kind", "names", "message"),
    [
        ("Position", set(sources.NAMES) - {"Hips"}, "too few of its 22 transforms.*bake it"),
        ("Position", {"LeftLowerLeg"}, "are LeftLowerLeg, LeftFoot cannot be told"),
        ("Rotation", {"Chest"}, "too few of its 22 transforms"),
    ],
)
def test_what_stands_nobody_knows_where_is_left_out(
    kind: str, names: set[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        read_human(write(tmp_path, "a.anim", without(names, kind)))


def test_a_clip_that_would_fill_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Very many curves; paths that share nothing; more keys than any clip has."""
    times, still = np.zeros(1), np.zeros((1, 3))
    head = sources.ANIM_HEAD + "  m_PositionCurves:\n"
    curves = "".join(sources.anim_curve(f"{i}", times, still) for i in range(2001))
    with pytest.raises(UserError, match="more than 2000 curves of one kind"):
        read(write(tmp_path, "a.anim", head + curves))
    curves = "".join(sources.anim_curve(f"{i}" + "/a" * 150, times, still) for i in range(20))
    with pytest.raises(UserError, match="more than 2000 transforms"):
        read(write(tmp_path, "a.anim", head + curves))
    keys = "      - time: 0\n        value: {x: 0, y: 0, z: 0}\n" * 12
    lines = (head + "  - curve:\n" + keys).splitlines()
    monkeypatch.setattr("synthjax.motion.importers.unity_curves._MAX_KEYS", 10)
    with pytest.raises(UserError, match="line 28: more than 10 keys"):
        read_clip(tmp_path / "a.anim", lines)


def without(names: set[str], kind: str) -> str:
    """The clip without the curves of some transforms."""
    before, section, rest = re.split(rf"(  m_{kind}Curves:\n)", sources.anim(frames=3))
    curves, tail = re.split(r"(?<=\n)(?=  m_)", rest, maxsplit=1)
    parts = re.split(r"(?<=\n)(?=  - curve)", curves)
    kept = [part for part in parts if re.split(r"[/\s]+", part.strip())[-1] not in names]
    assert len(kept) == len(parts) - len(names)
    return before + section + "".join(kept) + tail
