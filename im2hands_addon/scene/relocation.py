"""Moves takes to another folder and changes their paths in the open file."""

from __future__ import annotations

import shutil
from pathlib import Path

import bpy

from ..errors import InputError
from ..locations import takes_in
from .ownership import TAKE, take_key


def move_takes(source: Path, target: Path) -> dict[Path, Path]:
    """Move all takes of a folder to another one. A take whose name is taken there gets a number.

    Parameters
    ----------
    source : Path
        The folder with the takes.
    target : Path
        The folder for them; made if it does not exist.

    Returns
    -------
    dict
        Old folder -> new folder.

    Raises
    ------
    InputError
        A take cannot be moved. It stays where it is; those before it were moved.
    """
    moved: dict[Path, Path] = {}
    for take in takes_in(source):
        place = _free(target / take.name)
        try:
            target.mkdir(parents=True, exist_ok=True)
            shutil.move(take, place)
        except OSError as error:
            raise InputError(
                f"{take} cannot be moved to {target}: {error.strerror or error}.",
                "Move the folder yourself, or choose another folder for takes in the preferences.",
            ) from error
        moved[take] = place
        _rename(take, place)
    return moved


def _free(place: Path) -> Path:
    """The first path of the kind ``name``, ``name 2``, ``name 3`` at which there is nothing."""
    number, found = 1, place
    while found.exists():
        number += 1
        found = place.with_name(f"{place.name} {number}")
    return found


def _rename(old: Path, new: Path) -> None:
    """Give the collections of a moved take in the open file its new path."""
    for collection in bpy.data.collections:
        if collection.library is None and collection.get(TAKE) == take_key(old):
            collection[TAKE] = take_key(new)
