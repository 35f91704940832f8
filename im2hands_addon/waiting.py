"""Reconstructions that wait for the one that runs: what each will do is settled when it is added."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import bpy

from . import api, recent
from .errors import InputError
from .locations import absolute, default_take
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
    take = absolute(settings.output) if settings.output else default_take(inputs)
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
