"""Patterns in file names, as shells and renderers know them: ``*.jpg``, ``shot_?.png``, ``shot_####.png``, ``%04d``.

Windows' command prompt passes ``*.jpg`` to the program, and every shell does so with a pattern in quotes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_PLACE = re.compile(r"#+|%(?P<zeros>0?)(?P<width>\d*)d")
_WILD = re.compile(r"\*+|\?|\[(?P<not>[!^]?)(?P<set>\]?(?:\[:[a-z]+:\]|[^\]])*)\]")
_EITHER = re.compile(f"{_PLACE.pattern}|{_WILD.pattern}")
_CLASSES = {"digit": "0-9", "alpha": "A-Za-z", "alnum": "0-9A-Za-z", "upper": "A-Z", "lower": "a-z", "space": "\\s"}
_CASE = re.IGNORECASE if os.name == "nt" else 0


@dataclass(frozen=True)
class Match:
    """Files that a pattern stands for.

    Parameters
    ----------
    paths : list of Path
        Existing files and folders; empty if there are none. They are in the order of a shell, or of their numbers if
        the pattern is ``numbered``.
    numbered : bool
        Whether the pattern says where the frame number stands (``####``, ``%04d``).
    """

    paths: list[Path]
    numbered: bool = False


def is_pattern(text: str) -> bool:
    """Return whether a text can be a pattern of file names."""
    return bool(_PLACE.search(text) or _WILD.search(text))


def find_matches(path: Path) -> Match:
    """Return the files that a pattern stands for, as a shell does without quotes.

    A folder or file whose name really is the text of a part of the path wins over the pattern in that part. Hidden
    files match only if the part begins with a dot. The ending (``.jpg``) matches in upper and lower case.

    Parameters
    ----------
    path : Path
        An absolute path with patterns in some of its parts.

    Returns
    -------
    Match
        The files.
    """
    places, numbered = [Path(path.anchor)], False
    *folders, last = path.parts[1:]
    for part in folders:
        places = [found for place in places for found in _step(place, part) if found.is_dir()]
    found = [file for place in places for file in _step(place, last)]
    if not found and _PLACE.search(last):
        numbered = True
        found = [file for place in places for file in _numbered_files(place, last)]
    return Match(sorted(found, key=natural if numbered else str), numbered)


def natural(path: Path) -> tuple[list[tuple[int, int | str]], ...]:
    """Return a sort key with which 9 comes before 10, folder by folder."""
    return tuple(_natural_part(part) for part in path.parts)


def _natural_part(name: str) -> list[tuple[int, int | str]]:
    parts = re.split(r"([0-9]+)", name.lower())
    key: list[tuple[int, int | str]] = [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]
    return [*key, (2, name)]


def _step(place: Path, part: str) -> Iterator[Path]:
    """Yield what one part of a path stands for in a folder: the name itself, or else the names that match."""
    if os.path.lexists(place / part):
        yield place / part
    elif _WILD.search(part):
        accepts = _compiled(part, _WILD, _wild)
        yield from (place / name for name in _names(place) if _shown(name, part) and accepts(name))


def _numbered_files(place: Path, part: str) -> list[Path]:
    """Return the files of a numbered pattern: with as many digits as it asks for, or else with any number."""
    for number in (_padded, lambda match: "[0-9]+"):
        accepts = _compiled(part, _EITHER, lambda match, number=number: _translated(match, number))  # type: ignore[misc]
        found = [place / name for name in _names(place) if _shown(name, part) and accepts(name)]
        if found:
            return found
    return []


def _names(place: Path) -> list[str]:
    try:
        return [path.name for path in place.iterdir()]
    except OSError:  # as a shell does, which finds no match there
        return []


def _shown(name: str, pattern: str) -> bool:
    return not name.startswith(".") or pattern.startswith(".")


def _compiled(part: str, kind: re.Pattern[str], translate: Callable[[re.Match[str]], str]) -> Callable[[str], object]:
    """Return a test of whole names; an ending without patterns may have capitals or not."""
    stem, dot, ending = part.rpartition(".")
    if not stem or kind.search(ending):
        stem, dot, ending = part, "", ""
    pieces, end = [], 0
    for match in kind.finditer(stem):
        pieces += [re.escape(stem[end : match.start()]), translate(match)]
        end = match.end()
    text = "".join(pieces) + re.escape(stem[end:]) + (f"(?i:{re.escape(dot + ending)})" if dot else "")
    return re.compile(text, _CASE | re.DOTALL).fullmatch


def _translated(match: re.Match[str], number: Callable[[re.Match[str]], str]) -> str:
    return number(match) if match[0][0] in "#%" else _wild(match)


def _wild(match: re.Match[str]) -> str:
    if match["set"] is None:
        return "." if match[0] == "?" else ".*"
    class_name = re.fullmatch(r"\[:([a-z]+):\]", match["set"])
    plain = re.sub(r"([\\\[\]&~|^])", r"\\\1", match["set"])
    letters = _CLASSES.get(class_name[1], "") if class_name else plain
    negated = "^" if match["not"] else ""
    try:
        return re.compile(f"[{negated}{letters}]").pattern
    except re.error:  # a range that runs backwards, which matches nothing in a shell
        return "(?!)"


def _padded(match: re.Match[str]) -> str:
    """Translate ``####`` and ``%04d``: that many digits, or more without leading zeros. ``%d`` has no leading zeros."""
    width = len(match[0]) if match["width"] is None else int(match["width"] or 1) if match["zeros"] else 1
    return rf"(?:[0-9]{{{width}}}|[1-9][0-9]{{{width},}})" if width > 1 else "(?:0|[1-9][0-9]*)"
