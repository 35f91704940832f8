"""Reconstructions that wait for the one that runs: what each will do is settled when it is added."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import bpy

from . import api, recent
from .errors import InputError
from .locations import take_folder
from .properties import inputs_of, options_of, timing_of
from .reconstruction import Reconstruction


@dataclass(frozen=True)
class Waiting:
    """A reconstruction that has not started.

    Parameters
    ----------
    name : str
        Name of its take, for the person.
    take : Path
        Folder of its take.
    start : callable
        Starts it, without arguments. It raises an AddonError if it cannot be started.
    """

    name: str
    take: Path
    start: Callable[[], Reconstruction]


@dataclass
class _Queue:
    """The module's state, in one place."""

    entries: list[Waiting] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


_queue = _Queue()


def queue() -> list[Waiting]:
    """The reconstructions that wait, in the order in which they will start."""
    return list(_queue.entries)


def notes() -> list[str]:
    """Why waiting reconstructions were not started, since the last one was added."""
    return list(_queue.notes)


def note(text: str) -> None:
    """Tell why a waiting reconstruction was not started."""
    _queue.notes.append(text)


def forget_notes() -> None:
    """Forget why earlier ones were not started."""
    _queue.notes.clear()


def hold(one: Waiting) -> None:
    """Let a reconstruction wait; one with the same folder that waits already is replaced.

    Parameters
    ----------
    one : Waiting
        The reconstruction. It starts after the work that runs, or when there is a backend.
    """
    forget_notes()
    _queue.entries = [*(other for other in _queue.entries if other.take != one.take), one]


def take_next() -> Waiting:
    """Take the first one out of the queue, which must not be empty."""
    return _queue.entries.pop(0)


def remove(number: int) -> None:
    """Take one out of the queue; a number that is not there is ignored."""
    del _queue.entries[number : number + 1]


def clear(words: str = "") -> None:
    """Empty the queue.

    Parameters
    ----------
    words : str
        What to tell of those that waited, with {} for their names; "" for nothing, also of earlier ones.
    """
    names = ", ".join(one.name for one in _queue.entries)
    _queue.entries.clear()
    if words and names:
        _queue.notes = [words.format(names)]
    elif not words:
        forget_notes()


def from_settings(scene: bpy.types.Scene) -> Waiting:
    """Make a reconstruction from the settings of the sidebar as they are now.

    Parameters
    ----------
    scene : bpy.types.Scene
        The scene with the settings, into which the frames are imported.

    Returns
    -------
    Waiting
        The reconstruction. Settings that are changed later do not concern it.

    Raises
    ------
    InputError
        There is no source, or the lens that is chosen cannot be used.
    """
    settings = scene.im2hands
    inputs, options, timing = inputs_of(settings), options_of(settings), timing_of(settings)
    take = take_folder(settings.output, inputs)
    kept = {"set_scene": settings.set_scene, "surfaces": settings.surfaces, "timing": timing, **options}
    place = scene.name

    def start() -> Reconstruction:
        there = bpy.data.scenes.get(place)
        if there is None:
            raise InputError(f"The scene {place} is gone.", "Choose the source again in another scene.")
        started = api.start(inputs, take, scene=there, **kept)
        recent.remember(tuple(inputs))
        return started

    return Waiting(take.name, take, start)
