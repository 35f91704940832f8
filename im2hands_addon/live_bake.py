"""Bakes again while a take is adjusted, so that the character follows: one take and one character, polled by a timer.

What counts are the keys of the hands, the strength of the smoothing, the place of the take and the settings of the
bake. Opening another file ends it.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass

import bpy
import numpy as np

from . import api
from .bake_settings import SHARED, options_of
from .errors import AddonError, InputError
from .scene import animation, clean, layers, status_bar, tree

_INTERVAL_SECONDS = 0.4
_log = logging.getLogger(__name__)


@dataclass
class _Live:
    """The module's state, in one place."""

    take: str = ""
    scene: str = ""
    baked: str = ""
    seen: str = ""


_state = _Live()


def is_on() -> bool:
    """Whether a character follows a take."""
    return bool(_state.take)


def start(collection: bpy.types.Collection, scene: bpy.types.Scene) -> None:
    """Bake, and bake again after each change.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    scene : bpy.types.Scene
        The scene, with the character in its settings.

    Raises
    ------
    InputError
        There is no character, or the hands cannot be baked onto it.
    """
    _bake(collection, scene)
    _state.take, _state.scene = collection.name, scene.name
    _state.baked = _state.seen = _fingerprint(collection, scene)
    if not bpy.app.timers.is_registered(_tick):
        bpy.app.timers.register(_tick, first_interval=_INTERVAL_SECONDS)


def stop() -> None:
    """Leave the character as it is from now on."""
    _state.take = ""
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)


def _tick() -> float | None:
    """Bake if something has changed and rests; returns the seconds until the next call, None when it is off."""
    if not is_on():
        return None
    scene = bpy.data.scenes.get(_state.scene)
    collection = bpy.data.collections.get(_state.take)
    if scene is None or collection is None or collection not in tree.take_collections(scene):
        _state.take = ""
        return None
    if bpy.app.is_job_running("RENDER"):
        return _INTERVAL_SECONDS
    try:
        now = _fingerprint(collection, scene)
        if now == _state.seen and now != _state.baked:
            _bake(collection, scene)
            _state.baked = now
        _state.seen = now
    except Exception as error:  # Blender drops a timer whose function raises
        if not isinstance(error, AddonError):
            _log.exception("Im2Hands: %s", error)
        status_bar.say(f"Im2Hands: the character does not follow any more. {error}")
        _state.take = ""
        return None
    return _INTERVAL_SECONDS


def _bake(collection: bpy.types.Collection, scene: bpy.types.Scene) -> None:
    settings = scene.im2hands_bake
    if settings.target is None:
        raise InputError("There is no character.", "Choose it first.")
    if settings.into == "NEW":
        raise InputError("A character that follows cannot get a new action each time.", "Choose another Into.")
    api.bake_to_rig(collection, settings.target, **options_of(settings, scene))


def _fingerprint(collection: bpy.types.Collection, scene: bpy.types.Scene) -> str:
    """A hash of all that the bake depends on, but the character itself."""
    settings, found = scene.im2hands_bake, hashlib.sha256()
    rows = [(row.name, row.left, row.right) for row in settings.rows]
    values = [settings.target.name if settings.target is not None else "", rows, scene.frame_start, scene.frame_end]
    found.update(repr([*values, *(getattr(settings, name) for name in SHARED)]).encode())
    for rig in clean.rigs(collection).values():
        found.update(np.array(rig.matrix_world, np.float32).tobytes())
        found.update(repr(layers.strength_of(rig)).encode())
        for action in sorted(animation.actions_of(rig), key=lambda one: one.name):
            for curve in animation.all_curves(action):
                found.update(curve.data_path.encode())
                for part in animation.read_values(curve):
                    found.update(np.ascontiguousarray(part).tobytes())
    return found.hexdigest()


@bpy.app.handlers.persistent
def _stop_before_load(*_: object) -> None:
    stop()


def register() -> None:
    """Add the handler for file loads."""
    bpy.app.handlers.load_pre.append(_stop_before_load)


def unregister() -> None:
    """End it and remove the handler."""
    stop()
    if _stop_before_load in bpy.app.handlers.load_pre:
        bpy.app.handlers.load_pre.remove(_stop_before_load)
