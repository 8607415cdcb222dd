"""The mapping file of a user's body: which of its parts are which bones of a human (docs/bodies.md)."""

from __future__ import annotations

import dataclasses
import importlib.util
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthjax.bodies import synth_table as table
from synthjax.errors import UserError, unknown

BONES = tuple(
    f"{side}{bone.name}" for bone in table.BONES for side in (("Left", "Right") if bone.sided else ("",))
)
# What retargeting and the evaluation rule cannot do without.
NEEDED = tuple(
    bone
    for bone in BONES
    if bone.removeprefix("Left").removeprefix("Right")
    in ("Hips", "UpperChest", "Head", "UpperArm", "LowerArm", "Hand", "UpperLeg", "LowerLeg", "Foot")
)


@dataclasses.dataclass(frozen=True)
class BodyMapping:
    """A mapping file as written, checked for form; names are checked against the MJCF later.

    ``None`` means "derive it from ``bones``".  Bodies and joints go by the MJCF's names.
    """

    file: Path
    mjcf: Path
    bones: Mapping[str, str]  # HumanBodyBones name -> body; a site or a geom where there is no body
    kp: Mapping[str, float]  # joint, or body for all its hinges -> N m/rad
    force: Mapping[str, float]  # joint, or body for all its hinges -> N m
    self_collisions: tuple[tuple[str, str], ...] | None  # pairs of bodies
    key_bodies: tuple[str, ...] | None
    feet: tuple[str, ...] | None
    fall_bodies: tuple[str, ...] | None
    chains: Mapping[str, tuple[str, ...]] | None  # chain -> joints
    groups: Mapping[str, tuple[str, ...]] | None  # curriculum group -> joints


def read_mapping(file: Path) -> BodyMapping:
    """Reads ``file``.

    Raises:
      UserError: it is missing, not TOML, has unknown keys or bones, lacks a needed bone, or names an
        MJCF that does not exist.
    """
    form = _Form(file, _read_toml(file))
    for key in form.content:
        if key not in _KEYS:
            raise unknown(f"key in '{file}'", key, _KEYS)
    bones = form.texts("bones")
    for bone in bones:
        if bone not in BONES:
            raise unknown(f"bone in '{file}'", bone, BONES)
    if missing := [bone for bone in NEEDED if bone not in bones]:
        raise UserError(
            f"'{file}' does not map {', '.join(missing)}: add them under [bones], each with the body, site "
            "or geom of the MJCF that it is."
        )
    return BodyMapping(
        file=file,
        mjcf=_find_mjcf(form),
        bones=bones,
        kp=form.positive("kp"),
        force=form.positive("force"),
        self_collisions=form.pairs("self_collisions"),
        key_bodies=form.names("key_bodies"),
        feet=form.names("feet"),
        fall_bodies=form.names("fall_bodies"),
        chains=form.lists("chains"),
        groups=form.lists("groups"),
    )


_KEYS = tuple(field.name for field in dataclasses.fields(BodyMapping) if field.name != "file")
_KEYS += ("mjcf_package",)


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(f"There is no mapping file '{file}': check the path.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"'{file}' is not a TOML file ({error}): see docs/bodies.md for its form.") from None


@dataclasses.dataclass(frozen=True)
class _Form:
    """Access to a file's values by kind; a value of another kind is the user's mistake."""

    file: Path
    content: dict[str, Any]

    def text(self, key: str) -> str | None:
        """The text under ``key``, if any."""
        value = self.content.get(key)
        self._demand(value is None or isinstance(value, str), key, "text in quotes")
        return value

    def texts(self, key: str) -> dict[str, str]:
        """The table of texts under ``key``, empty if there is none."""
        return {name: self._name(value, key) for name, value in self._table(key).items()}

    def positive(self, key: str) -> dict[str, float]:
        """The table of numbers above zero under ``key``, empty if there is none."""
        table = self._table(key)
        fit = all(isinstance(v, int | float) and not isinstance(v, bool) and v > 0 for v in table.values())
        self._demand(fit, key, "numbers above zero")
        return {name: float(value) for name, value in table.items()}

    def names(self, key: str) -> tuple[str, ...] | None:
        """The list of names under ``key``, if any."""
        return self._names(self.content[key], key) if key in self.content else None

    def pairs(self, key: str) -> tuple[tuple[str, str], ...] | None:
        """The list of pairs of names under ``key``, if any."""
        value = self.content.get(key)
        if value is None:
            return None
        fit = isinstance(value, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in value)
        self._demand(fit, key, "a list of pairs of names")
        return tuple((self._name(first, key), self._name(second, key)) for first, second in value)

    def lists(self, key: str) -> dict[str, tuple[str, ...]] | None:
        """The table of lists of names under ``key``, if any."""
        if key not in self.content:
            return None
        return {name: self._names(value, key) for name, value in self._table(key).items()}

    def _table(self, key: str) -> dict[str, Any]:
        value = self.content.get(key, {})
        self._demand(isinstance(value, dict), key, f"a table, [{key}]")
        return value

    def _names(self, value: Any, key: str) -> tuple[str, ...]:
        self._demand(isinstance(value, list), key, "a list of names")
        return tuple(self._name(item, key) for item in value)

    def _name(self, value: Any, key: str) -> str:
        self._demand(isinstance(value, str), key, "names in quotes")
        return str(value)

    def _demand(self, fit: bool, key: str, wanted: str) -> None:
        if not fit:
            raise UserError(f"'{key}' in '{self.file}' must hold {wanted}: see docs/bodies.md for its form.")


def _find_mjcf(form: _Form) -> Path:
    """The MJCF's path: relative to the mapping file, or to an installed package."""
    name, package = form.text("mjcf"), form.text("mjcf_package")
    if name is None:
        raise UserError(f"'{form.file}' does not name its MJCF: add mjcf = \"my_robot.xml\" at the top.")
    folder = form.file.parent
    if package is not None:
        folder = _package_folder(form.file, package)
    if not (folder / name).is_file():
        raise UserError(f"There is no MJCF '{folder / name}', which '{form.file}' names: correct its path.")
    return folder / name


def _package_folder(file: Path, package: str) -> Path:
    try:
        found = importlib.util.find_spec(package)
    except (ModuleNotFoundError, ValueError):  # the parent of a dotted name is missing; not a name at all
        found = None
    if found is None or not found.submodule_search_locations:
        raise UserError(f"'{file}' takes its MJCF from the package '{package}': install that with pip.")
    return Path(found.submodule_search_locations[0])
