"""Where the next take will go, for the panel. Finding it out reads the disk, so it is done between drawings."""

from __future__ import annotations

from dataclasses import dataclass

import bpy

from . import running
from .errors import AddonError
from .locations import default_takes, take_folder
from .properties import Im2HandsSettings, inputs_of, several_inputs
from .take.reader import TAKE_FILE


@dataclass
class _Known:
    """The module's state, in one place."""

    scene: str = ""
    told: str = ""
    answered: tuple[str, ...] = ()
    moment: object = None


_known = _Known()


def told(settings: Im2HandsSettings) -> str:
    """Return where the take will go, in words; until that is known, the chosen folder or that for new takes.

    Parameters
    ----------
    settings : Im2HandsSettings
        The scene's settings.

    Returns
    -------
    str
        The words, for the panel.
    """
    is_answered = _known.answered == _key(settings)
    if not is_answered or _known.moment != _moment():
        _known.scene = settings.id_data.name
        if not bpy.app.timers.is_registered(refresh):
            bpy.app.timers.register(refresh, first_interval=0.0)
    if is_answered:
        return _known.told
    return f"Into {settings.output}" if settings.output else f"Into a folder in {default_takes()}"


def refresh() -> None:
    """Find out where the take of the scene that was drawn last will go, and draw it."""
    scene = bpy.data.scenes.get(_known.scene) or bpy.context.scene
    settings = scene.im2hands
    _known.answered, _known.moment = _key(settings), _moment()
    if not (settings.source or settings.output):
        _known.told = f"Into a folder in {default_takes()}"
    else:
        try:
            take = take_folder(settings.output, inputs_of(settings))
            goes_on = (take / TAKE_FILE).is_file()
            _known.told = f"Continues the take in {take}" if goes_on else f"Into {take}"
        except (AddonError, OSError) as error:
            _known.told = str(error)
    running.redraw()


def _key(settings: Im2HandsSettings) -> tuple[str, ...]:
    """What the place depends on."""
    files = several_inputs(settings)
    return (settings.id_data.name, settings.source, settings.output, str(default_takes()), *files)


def _moment() -> object:
    """It changes when a job has made or continued a take."""
    ended = running.reconstruction()
    return (id(ended), ended.has_ended) if ended is not None else None


def unregister() -> None:
    """Drop the answer that is awaited."""
    if bpy.app.timers.is_registered(refresh):
        bpy.app.timers.unregister(refresh)


def register() -> None:
    """Start without an answer."""
    _known.answered = ()
