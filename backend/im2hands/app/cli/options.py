"""Options of the table as arguments of a command."""

from __future__ import annotations

import argparse
from typing import Any

from im2hands.core.options import Option, open_default, options_of


def add_options(parser: argparse.ArgumentParser, command: str) -> None:
    """Add the options of a command to its parser, with the table's defaults, limits and texts.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Parser of the command.
    command : str
        Name of the command in the table, ``reconstruct`` or ``clean``.
    """
    groups: dict[str, Any] = {}
    for option in options_of(command):
        place: Any = parser
        if option.exclusive:
            if option.exclusive not in groups:
                groups[option.exclusive] = parser.add_mutually_exclusive_group()
            place = groups[option.exclusive]
        _add(place, option, open_default(option, command))


def _add(place: Any, option: Option, default: Any) -> None:
    flag = f"--{option.name.replace('_', '-')}"
    if option.type == "bool":
        action = argparse.BooleanOptionalAction
        place.add_argument(flag, action=action, default=default, help=_escaped(option.help))
        return
    metavar = {"file": "FILE", "folder": "DIR", "choice_or_file": "|".join([*map(str, option.values), "FILE"])}
    place.add_argument(
        flag,
        type=option.python_type,
        default=default,
        choices=option.values if option.type == "choice" else None,
        metavar=option.metavar or metavar.get(option.type),
        help=_escaped(option.help),
    )


def _escaped(text: str) -> str:
    """Escape percent signs, which argparse takes for placeholders."""
    return text.replace("%", "%%")
