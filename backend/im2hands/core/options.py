"""The table of options (``options.toml``): reading it, checking values, making dataclasses of it."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Any

from im2hands.core.errors import InputError

TABLE_FILE = Path(__file__).with_name("options.toml")

_PYTHON_TYPES: dict[str, type] = {
    "text": str, "file": str, "folder": str, "choice_or_file": str, "bool": bool, "int": int, "float": float,
}  # fmt: skip
_TYPE_WORDS = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}


@dataclass(frozen=True)
class Option:
    """One option of a reconstruction, as a table of ``options.toml`` declares it.

    Parameters
    ----------
    name : str
        Its name in the protocol and in Python; with dashes, on the command line.
    type : str
        ``text``, ``file``, ``folder``, ``bool``, ``int``, ``float``, ``choice`` or ``choice_or_file``.
    text : str
        What it does.
    default : bool, int, float or str, optional
        None: nothing is chosen.
    min, max : float, optional
        Limits, both allowed.
    choices : list of [value, label, text]
        The values of a choice.
    unit, hint, label, needs, metavar, exclusive : str
        See the table.
    commands : list of str
        Commands besides ``reconstruct`` that take it.
    """

    name: str
    type: str
    text: str
    default: Any = None
    min: float | None = None
    max: float | None = None
    choices: list[list[Any]] = field(default_factory=list)
    unit: str = ""
    hint: str = ""
    label: str = ""
    needs: str = ""
    metavar: str = ""
    exclusive: str = ""
    commands: list[str] = field(default_factory=list)

    @property
    def values(self) -> tuple[Any, ...]:
        """The values of the choices."""
        return tuple(row[0] for row in self.choices)

    @property
    def python_type(self) -> Any:
        """The type of its values; that of the choices for a ``choice``."""
        return type(self.values[0]) if self.type == "choice" else _PYTHON_TYPES[self.type]

    @property
    def limits(self) -> str:
        """``0.4 to 10``, ``1 or more``, or ``""`` without limits."""
        if self.min is not None and self.max is not None:
            return f"{self.min:g} to {self.max:g}"
        return f"{self.min:g} or more" if self.min is not None else ""

    @property
    def help(self) -> str:
        """The text with choices, unit, limits and default, for command lines and documentation."""
        facts = [f"{value}: {text[0].lower()}{text[1:]}" for value, _, text in self.choices]
        facts += [self.unit, self.limits]
        if self.type == "bool":
            facts.append(f"default: {'on' if self.default else 'off'}")
        elif self.default is not None:
            facts.append(f"default: {self.default:g}" if self.python_type is float else f"default: {self.default}")
        known = "; ".join(fact for fact in facts if fact)
        return f"{self.text} ({known})" if known else self.text

    def typed(self, value: Any) -> Any:
        """A value from JSON as the option's type; 2 and 2.0 are the same number there.

        Raises
        ------
        InputError
            The value is of another kind.
        """
        wanted = self.python_type
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if wanted in (str, bool) and isinstance(value, wanted):
            return value
        if wanted is int and number and float(value).is_integer():
            return int(value)
        if wanted is float and number:
            return float(value)
        raise InputError(f"The option {self.name} is {value!r}, it must be {_TYPE_WORDS[wanted]}.", self.hint)

    def check(self, value: Any) -> None:
        """Check a value against the limits and the choices; None is allowed where there is no default.

        Raises
        ------
        InputError
            The value is not possible.
        """
        if value is None and self.default is None:
            return
        if self.type == "choice" and value not in self.values:
            *others, last = (str(one) for one in self.values)
            raise InputError(f'There is no {self.name} "{value}".', self.hint or f"Use {', '.join(others)} or {last}.")
        low = -math.inf if self.min is None else self.min
        high = math.inf if self.max is None else self.max
        if self.limits and not low <= value <= high:
            unit = f"It is in {self.unit}." if self.unit else ""
            raise InputError(f"{self.name} is {value:g}, it must be {self.limits}.", self.hint or unit)


def read_options(path: Path = TABLE_FILE) -> dict[str, Option]:
    """The table of options by name, in its order."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    return {name: Option(name=name, **entry) for name, entry in table.items()}


OPTIONS = read_options()
"""All options by name."""


def options_of(command: str) -> list[Option]:
    """The options that a command takes: all for ``reconstruct``, some for others."""
    return [one for one in OPTIONS.values() if command == "reconstruct" or command in one.commands]


def check_options(values: dict[str, Any]) -> None:
    """Check every value that the table has a limit for, and that exclusive options are not combined.

    Raises
    ------
    InputError
        A value is not possible.
    """
    given: dict[str, str] = {}
    for name, value in values.items():
        option = OPTIONS.get(name)
        if option is None:
            continue
        option.check(value)
        if option.exclusive and value is not None:
            other = given.setdefault(option.exclusive, name)
            if other != name:
                raise InputError(f"{other} and {name} are both given.", "Give one of them.")


def options_dataclass(
    name: str, options: Iterable[Option], base: type, before: Iterable[tuple[str, Any]] = ()
) -> type[Any]:
    """A frozen dataclass with one field an option, which has the option's default.

    Parameters
    ----------
    name : str
        Name of the class.
    options : iterable of Option
        Its fields.
    base : type
        Base class with the methods; its ``__post_init__`` is called.
    before : iterable of (str, type)
        Fields without a default that come first.
    """
    fields: list[Any] = [*before, *((one.name, Any, field(default=one.default)) for one in options)]
    made = make_dataclass(name, fields, bases=(base,), frozen=True)
    made.__module__, made.__doc__ = base.__module__, base.__doc__
    return made
