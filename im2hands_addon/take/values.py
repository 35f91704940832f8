"""Checked numbers and texts of a take's header."""

from __future__ import annotations

from typing import Any


def whole(what: str, value: Any, most: int) -> int:
    """A whole number from 0 to ``most``."""
    if not 0 <= (number := int(value)) <= most:
        raise ValueError(f"{what} is {number}, not between 0 and {most}")
    return number


def text(value: Any) -> str:
    """The text of a value; ValueError for text that Blender and the operating system cannot hold."""
    made = str(value)
    if "\0" in made:
        raise ValueError("a text has a character that is none")
    made.encode("utf-8", errors="surrogateescape")  # a byte of a path that is not UTF-8 is such a surrogate
    return made
