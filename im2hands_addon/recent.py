"""The sources of the last reconstructions, for all files, in the person's folder for data of programs."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from .locations import data_folder

_MOST = 10
_FILE = "recent-sources.json"


@dataclass
class _Kept:
    """The module's state, in one place."""

    sources: list[tuple[str, ...]] = field(default_factory=list)


_kept = _Kept()


def sources() -> list[tuple[str, ...]]:
    """The paths of each source, the last one first; does not read the disk."""
    return list(_kept.sources)


def read() -> None:
    """Read the list from disk; without one that can be read it is empty."""
    try:
        stored = json.loads(_path().read_text(encoding="utf-8"))
        found = [tuple(map(str, paths)) for paths in stored if isinstance(paths, list) and paths]
    except (OSError, ValueError, TypeError):
        found = []
    _kept.sources = found[:_MOST]


def remember(paths: tuple[str, ...]) -> None:
    """Put a source at the head of the list, and write the list.

    Parameters
    ----------
    paths : tuple of str
        Its absolute paths.
    """
    read()  # another Blender may have added to it
    _kept.sources = [paths, *(one for one in _kept.sources if one != paths)][:_MOST]
    with contextlib.suppress(OSError, UnicodeEncodeError):  # a list that cannot be kept is no reason to stop
        _path().parent.mkdir(parents=True, exist_ok=True)
        _path().write_text(json.dumps(_kept.sources, ensure_ascii=False), encoding="utf-8")


def name_of(paths: tuple[str, ...]) -> str:
    """A source in a menu: its name and the folder that it lies in."""
    first = Path(paths[0])
    name = f"{len(paths)} files" if len(paths) > 1 else first.name
    return f"{name}  ({first.parent.name})" if first.parent.name else name


def _path() -> Path:
    return data_folder() / _FILE
