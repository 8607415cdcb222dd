"""Frozen dataclasses as JSON and back, checked field by field."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from synthjax.errors import unknown
from synthjax.whole_files import replacing

T = TypeVar("T")


def write_json(path: Path, content: Any) -> None:
    """Writes ``content`` so that a kill or a full disk leaves either the old file or the new one.

    Its folder is made if missing.  A dataclass is written as its fields.
    """
    if dataclasses.is_dataclass(content) and not isinstance(content, type):
        content = dataclasses.asdict(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def from_json(cls: type[T], values: Any, where: str = "") -> T:
    """The dataclass ``cls`` from the nested dictionaries that :func:`write_json` wrote.

    Fields may be numbers, text, None, tuples, ``Literal``, unions of these, dataclasses, and type parameters
    of ``cls``, which then is given with its arguments.  Every field has to be there: a default may have
    changed since the file was written.

    Args:
      where: path of ``values`` in the file, for messages, such as ``agent.``.

    Raises:
      ValueError: names the field that is missing, unknown or of another type.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{where.rstrip('.') or 'the file'} is not a table of fields")
    plain = typing.get_origin(cls) or cls  # a generic dataclass comes with the types of its parameters
    parameters = dict(zip(getattr(plain, "__parameters__", ()), typing.get_args(cls), strict=True))
    hints = {name: parameters.get(hint, hint) for name, hint in typing.get_type_hints(plain).items()}
    names = [field.name for field in dataclasses.fields(typing.cast(Any, plain))]
    for name in values:
        if name not in names:
            raise ValueError(str(unknown(f"field {where}", name, names)).rstrip("?."))
    for name in names:
        if name not in values:
            raise ValueError(f"{where}{name} is missing")
    return cls(**{name: _convert(hints[name], values[name], where + name) for name in names})


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return from_json(typing.cast(type, hint), value, f"{where}.")
    if origin in (Union, types.UnionType):
        return _first_fit(arguments, value, where)
    if origin is Literal:
        if value in arguments:
            return value
        raise ValueError(f"{where} is {value!r}, not one of {', '.join(map(repr, arguments))}")
    if origin is tuple and isinstance(value, list | tuple):
        hints = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(hints) == len(value):
            return tuple(
                _convert(h, v, f"{where}[{i}]") for i, (h, v) in enumerate(zip(hints, value, strict=True))
            )
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is hint:  # not isinstance: a bool is no int
        return value
    raise ValueError(f"{where} is {value!r}, not {getattr(hint, '__name__', hint)}")


def _first_fit(hints: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in hints:
        return None
    errors = []
    for hint in hints:
        if hint is not type(None):
            try:
                return _convert(hint, value, where)
            except ValueError as error:
                errors.append(str(error))
    raise ValueError(" or ".join(errors))
