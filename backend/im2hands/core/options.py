"""The table of options (``options.toml``): reading, checking of values, and dataclasses made from it."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Any

from im2hands.core.errors import InputError
from im2hands.core.person_path import person_path

TABLE_FILE = Path(__file__).with_name("options.toml")

_PYTHON_TYPES: dict[str, type] = {
    "text": str, "file": str, "folder": str, "choice_or_file": str, "choice_or_text": str,
    "bool": bool, "int": int, "float": float,
}  # fmt: skip
_LARGEST = 1e300  # of a number; greater whole numbers of Python fit into no other type
_SHOWN = 80  # characters of a refused value in a message
_TYPE_WORDS = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}


@dataclass(frozen=True)
class Option:
    """One option, as ``options.toml`` declares it.

    Parameters
    ----------
    name : str
        Name in the protocol and in Python. The command line has dashes in place of underscores.
    type : str
        ``text``, ``file``, ``folder``, ``bool``, ``int``, ``float``, ``choice``, ``choice_or_file`` or
        ``choice_or_text``.
    text : str
        What the option does.
    default : bool, int, float or str, optional
        Default value; None if nothing is chosen by default.
    by_quality : dict of str to value
        Values that the option ``quality`` chooses in place of the default.
    min : float, optional
        Smallest allowed value.
    max : float, optional
        Largest allowed value.
    choices : list of [value, label, text]
        The values of a ``choice``.
    unit : str
        Unit of a number.
    hint : str
        What to do about a value that is refused.
    label : str
        Name in the add-on's sidebar; empty if the option is not shown there.
    advanced : bool
        Whether the sidebar shows it in the panel Advanced.
    needs : str
        Name of the option that must be on for this one to be shown in the sidebar.
    metavar : str
        Placeholder of the value on the command line.
    exclusive : str
        Name of a group of options. At most one option of a group may be given.
    commands : list of str
        Commands that take this option, besides ``reconstruct``.
    """

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
        """The values of the choices."""
        return tuple(row[0] for row in self.choices)

    @property
    def python_type(self) -> Any:
        """The Python type of the value; for a ``choice``, the type of its values."""
        return type(self.values[0]) if self.type == "choice" else _PYTHON_TYPES[self.type]

    @property
    def limits(self) -> str:
        """The limits as text: ``0.4 to 10``, ``1 or more``, or ``""`` without limits."""
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
        facts += [f"with --quality {quality}: {value}" for quality, value in self.by_quality.items()]
        known = "; ".join(fact for fact in facts if fact)
        return f"{self.text} ({known})" if known else self.text

    def typed(self, value: Any) -> Any:
        """Convert a JSON value to the option's Python type.

        JSON does not distinguish 2 and 2.0: a whole float is accepted for an ``int``, and an int for a ``float``.

        Parameters
        ----------
        value : Any
            The value from JSON.

        Returns
        -------
        Any
            The value as ``python_type``.

        Raises
        ------
        InputError
            The value has another type.
        """
        wanted = self.python_type
        number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST
        if wanted in (str, bool) and isinstance(value, wanted):
            return value
        if wanted is int and number and float(value).is_integer():
            return int(value)
        if wanted is float and number:
            return float(value)
        shown = repr(value)[:_SHOWN] if not isinstance(value, int) or abs(value) <= _LARGEST else "too large"
        raise InputError(f"The option {self.name} is {shown}, it must be {_TYPE_WORDS[wanted]}.", self.hint)

    def check(self, value: Any) -> None:
        """Check a value against the limits and the choices. None is allowed if the option has no default.

        Parameters
        ----------
        value : Any
            The value, of type ``python_type``.

        Raises
        ------
        InputError
            The value is out of the limits or not among the choices.
        """
        if value is None and self.default is None:
            return
        if self.type == "choice" and value not in self.values:
            *others, last = (str(one) for one in self.values)
            raise InputError(f'There is no {self.name} "{value}".', self.hint or f"Use {', '.join(others)} or {last}.")
        low = -math.inf if self.min is None else self.min
        high = math.inf if self.max is None else self.max
        if isinstance(value, int) and abs(value) > _LARGEST:
            raise InputError(f"{self.name} is too large.", self.hint)
        if value and self.type in ("file", "folder", "choice_or_file"):
            person_path(value)
        if self.limits and not low <= value <= high:
            unit = f"It is in {self.unit}." if self.unit else ""
            raise InputError(f"{self.name} is {value:g}, it must be {self.limits}.", self.hint or unit)


def read_options(path: Path = TABLE_FILE) -> dict[str, Option]:
    """Read a table of options.

    Parameters
    ----------
    path : Path
        A file like ``options.toml``.

    Returns
    -------
    dict of str to Option
        Options by name, in the table's order.
    """
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    return {name: Option(name=name, **entry) for name, entry in table.items()}


OPTIONS = read_options()
"""All options by name."""


def open_default(option: Option, command: str) -> Any:
    """Return the value that an option of a command has where it is not given.

    Parameters
    ----------
    option : Option
        The option.
    command : str
        Name of the command.

    Returns
    -------
    Any
        The default; None where ``quality``, an option of ``reconstruct`` alone, may choose another one.
    """
    return None if option.by_quality and command == "reconstruct" else option.default


def with_quality(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of options that were not given, as the option ``quality`` chooses them.

    Parameters
    ----------
    values : dict of str to Any
        Values by option name, ``quality`` among them.

    Returns
    -------
    dict of str to Any
        Values of the options whose value is None.
    """
    quality = values["quality"]
    open_ones = [one for one in OPTIONS.values() if one.by_quality and values.get(one.name) is None]
    return {one.name: one.by_quality.get(quality, one.default) for one in open_ones}


def options_of(command: str) -> list[Option]:
    """Return the options of a command.

    Parameters
    ----------
    command : str
        Name of the command.

    Returns
    -------
    list of Option
        All options for ``reconstruct``; for other commands those that name the command in ``commands``.
    """
    return [one for one in OPTIONS.values() if command == "reconstruct" or command in one.commands]


def check_options(values: dict[str, Any]) -> None:
    """Check values against the table, and that exclusive options are not combined.

    Parameters
    ----------
    values : dict of str to Any
        Values by option name. Names that are not in the table are ignored.

    Raises
    ------
    InputError
        A value is not allowed, or two options of one exclusive group are given.
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


def options_dataclass(name: str, command: str, base: type, before: Iterable[tuple[str, Any]] = ()) -> type[Any]:
    """Make a frozen dataclass with one field per option of a command, each with ``open_default``.

    Parameters
    ----------
    name : str
        Name of the class.
    command : str
        Name of the command.
    base : type
        Base class with the methods. Its ``__post_init__`` is called.
    before : iterable of (str, type)
        Fields without a default, which come first.

    Returns
    -------
    type
        The dataclass, with the module and docstring of ``base``.
    """
    fields: list[Any] = [
        *before,
        *((one.name, Any, field(default=open_default(one, command))) for one in options_of(command)),
    ]
    made = make_dataclass(name, fields, bases=(base,), frozen=True)
    made.__module__, made.__doc__ = base.__module__, base.__doc__
    return made
