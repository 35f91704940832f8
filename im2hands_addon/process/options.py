"""The options of a reconstruction, read from the backend's table ``options.toml`` (no bpy)."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field, make_dataclass, replace
from pathlib import Path
from typing import Any

TABLE = "options.toml"
_PACKAGED = Path(__file__).parents[1] / "backend_wheel" / TABLE
_IN_A_CHECKOUT = Path(__file__).parents[2] / "backend" / "im2hands" / "core" / TABLE

_PYTHON_TYPES = {"bool": bool, "int": int, "float": float}


@dataclass(frozen=True)
class Option:
    """One option of a reconstruction; the fields are described at the top of ``options.toml``."""

    name: str
    type: str
    text: str
    default: Any = None
    by_quality: dict[str, Any] = field(default_factory=dict)
    min: float | None = None
    max: float | None = None
    choices: list[list[Any]] = field(default_factory=list)
    unit: str = ""
    hint: str = ""
    label: str = ""
    advanced: bool = False
    needs: str = ""
    metavar: str = ""
    exclusive: str = ""
    commands: list[str] = field(default_factory=list)

    @property
    def values(self) -> tuple[Any, ...]:
        """The possible values of a choice."""
        return tuple(row[0] for row in self.choices)

    @property
    def python_type(self) -> type:
        """The Python type of the values."""
        return type(self.values[0]) if self.type == "choice" else _PYTHON_TYPES.get(self.type, str)

    @property
    def open_default(self) -> Any:
        """The value where it is not given; None where the option ``quality`` chooses it."""
        return None if self.by_quality else self.default

    @property
    def is_path(self) -> bool:
        """Whether a value can name a file or a folder."""
        return self.type in ("file", "folder", "choice_or_file")


def _read() -> dict[str, Option]:
    path = _PACKAGED if _PACKAGED.is_file() else _IN_A_CHECKOUT
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    return {name: Option(name=name, **entry) for name, entry in table.items()}


OPTIONS = _read()
"""All options by name, in the order of the table."""


class _Options:
    """Base of ``Options``, a dataclass with one field for each option of the table, with its default."""

    def to_dict(self) -> dict[str, Any]:
        """The options for a request to the backend: those that have a value."""
        return {name: value for name, value in vars(self).items() if value not in (None, "")}

    def with_paths(self, path_of: Callable[[str], str]) -> _Options:
        """Return the options with other paths of files.

        Parameters
        ----------
        path_of : callable
            Returns the new path of a file. It is asked for absolute paths only, not for words such as "auto".
        """
        changed = {
            one.name: path_of(value)
            for one in OPTIONS.values()
            if one.is_path and (value := getattr(self, one.name)) and Path(value).is_absolute()
        }
        return replace(self, **changed)


Options = make_dataclass(
    "Options",
    [(one.name, Any, field(default=one.open_default)) for one in OPTIONS.values()],
    bases=(_Options,),
    frozen=True,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add every option as an argument of ``blender --command im2hands reconstruct``.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The parser of the command.
    """
    groups: dict[str, Any] = {}
    for option in OPTIONS.values():
        place: Any = parser
        if option.exclusive:
            if option.exclusive not in groups:
                groups[option.exclusive] = parser.add_mutually_exclusive_group()
            place = groups[option.exclusive]
        flag = f"--{option.name.replace('_', '-')}"
        text = option.text.replace("%", "%%")
        if option.type == "bool":
            place.add_argument(flag, action=argparse.BooleanOptionalAction, default=option.default, help=text)
        else:
            choices = option.values if option.type == "choice" else None
            paths = {"file": "FILE", "folder": "DIR", "choice_or_file": "|".join([*map(str, option.values), "FILE"])}
            metavar = option.metavar or paths.get(option.type)
            place.add_argument(
                flag, type=option.python_type, default=option.open_default, choices=choices, metavar=metavar, help=text
            )
