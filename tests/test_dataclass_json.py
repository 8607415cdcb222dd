"""Configurations survive their way through a file, and a wrong file is told by field."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import pytest

from synthjax.training.dataclass_json import from_json, write_json


@dataclasses.dataclass(frozen=True)
class Inner:
    rate: float = 1 / 3
    mode: Literal["a", "b"] = "a"


@dataclasses.dataclass(frozen=True)
class Outer:
    name: str = "walk"
    count: int = 3
    on: bool = True
    note: str | None = None
    widths: tuple[int, ...] = (4, 5)
    box: tuple[float, str] = (1.0, "m")
    nested: tuple[Inner, ...] = (Inner(), Inner(0.5, "b"))
    limit: float | Literal["auto"] = "auto"
    inner: Inner = dataclasses.field(default_factory=Inner)
    maybe: Inner | None = None


Part = TypeVar("Part")


@dataclasses.dataclass(frozen=True)
class Either(Generic[Part]):
    part: Part
    seed: int = 0


def test_a_generic_comes_back_with_the_types_that_are_given() -> None:
    values = json.loads(json.dumps(dataclasses.asdict(Either(Inner(0.25)))))
    assert from_json(Either[Inner], values) == Either(Inner(0.25))
    with pytest.raises(ValueError, match=r"part\.name is missing"):
        from_json(Either[Outer], values | {"part": {}})


@pytest.mark.parametrize(
    "value",
    [
        Outer(),
        Outer(name="ä 'x'", note="", widths=(), limit=2.0, inner=Inner(-math.inf, "b"), maybe=Inner(1e-300)),
    ],
)
def test_round_trip(tmp_path: Path, value: Outer) -> None:
    path = tmp_path / "config.json"
    write_json(path, value)
    assert from_json(Outer, json.loads(path.read_text(encoding="utf-8"))) == value
    assert [file.name for file in tmp_path.iterdir()] == ["config.json"]


def test_a_whole_number_where_a_float_is_meant() -> None:
    values = json.loads(json.dumps(dataclasses.asdict(Inner()))) | {"rate": 2}
    assert type(from_json(Inner, values).rate) is float


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inner": {"rate": 1.0}}, r"inner\.mode is missing"),
        ({"inner": {"rate": 1.0, "mode": "c"}}, r"inner\.mode is 'c', not one of 'a', 'b'"),
        ({"inner": {"rate": 1.0, "mode": "a", "ratee": 1}}, r"field inner\. 'ratee': did you mean rate"),
        ({"inner": 3}, "inner is not a table of fields"),
        ({"count": True}, "count is True, not int"),
        ({"count": 1.5}, "count is 1.5, not int"),
        ({"on": 1}, "on is 1, not bool"),
        ({"name": None}, "name is None, not str"),
        ({"note": 1}, "note is 1, not str"),
        ({"widths": [1, "x"]}, r"widths\[1\] is 'x', not int"),
        ({"widths": 3}, "widths is 3, not"),
        ({"box": [1.0]}, r"box is \[1.0\], not"),
        ({"limit": "all"}, "limit is 'all', not float or limit is 'all', not one of 'auto'"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], message: str) -> None:
    values = json.loads(json.dumps(dataclasses.asdict(Outer()))) | change
    with pytest.raises(ValueError, match=message):
        from_json(Outer, values)


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    write_json(tmp_path / "new" / "figures.json", {"score": 1})
    assert json.loads((tmp_path / "new" / "figures.json").read_text()) == {"score": 1}


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.json"
    write_json(path, {"a": 1})

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]
