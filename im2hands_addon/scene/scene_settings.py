"""Fits a scene to a take: by itself only a scene that nobody has touched, else when asked; gives it back afterwards.

A scene is *untouched* if its range, rate and size have Blender's factory values (or those that this add-on set), and
if it holds nothing but takes and the factory's cube, light and camera, without animation. In any other scene the
add-on sets nothing but a camera where there is none, and a range that it set itself is only ever extended.

What was set is kept on the take's collection, with the values before, for :func:`give_back`.
"""

from __future__ import annotations

import json
import math

import bpy
import numpy as np

from ..take.reader import Take
from . import conform, tree
from .blender_versions import sequencer_strips
from .camera import pixel_aspect
from .ownership import ROLE
from .shots import is_moving

_CHANGES = "im2hands_scene"
_WANTED = "im2hands_wanted"

Settings = dict[str, int | float | str]
"""Name of a setting -> value; the camera by its name, "" for none."""

_RANGE = ("frame_start", "frame_end")
_RATE = ("fps", "fps_base")
_SIZE = ("resolution_x", "resolution_y", "resolution_percentage", "pixel_aspect_x", "pixel_aspect_y")
FACTORY: Settings = {
    "frame_start": 1, "frame_end": 250, "fps": 24, "fps_base": 1.0, "resolution_x": 1920, "resolution_y": 1080,
    "resolution_percentage": 100, "pixel_aspect_x": 1.0, "pixel_aspect_y": 1.0,
}  # fmt: skip
"""The values of a new scene."""

# The objects of a new scene: name -> type, location in metres, number of vertices.
_FACTORY_OBJECTS = {
    "Cube": ("MESH", (0.0, 0.0, 0.0), 8),
    "Light": ("LIGHT", (4.076245, 1.005454, 5.903862), 0),
    "Camera": ("CAMERA", (7.358891, -6.925791, 4.958309), 0),
}
_NEAR = 1e-4


def read_settings(scene: bpy.types.Scene) -> Settings:
    """Return the settings of a scene that a take has too."""
    found: Settings = {name: getattr(scene, name) for name in _RANGE}
    found |= {name: getattr(scene.render, name) for name in (*_RATE, *_SIZE)}
    found["camera"] = scene.camera.name if scene.camera is not None else ""
    return found


def is_factory_object(thing: bpy.types.Object) -> bool:
    """Whether an object is the cube, the light or the camera of a new scene, unchanged."""
    known = _FACTORY_OBJECTS.get(thing.name)
    if known is None or thing.library is not None or thing.animation_data is not None or thing.parent is not None:
        return False
    kind, place, vertices = known
    is_there = all(abs(have - want) < _NEAR for have, want in zip(thing.location, place, strict=True))
    is_plain = not thing.modifiers and not thing.constraints and all(abs(one - 1.0) < _NEAR for one in thing.scale)
    return (
        thing.type == kind and is_there and is_plain and len(getattr(thing.data, "vertices", ())) == vertices
        and getattr(thing.data, "animation_data", None) is None
    )  # fmt: skip


def is_untouched(scene: bpy.types.Scene) -> bool:
    """Return whether a scene is as Blender made it, but for takes.

    Parameters
    ----------
    scene : bpy.types.Scene
        The scene.

    Returns
    -------
    bool
        True if its settings are those of the factory or were set by the add-on, and if it has no objects, animation or
        strips of the person.
    """
    settings = read_settings(scene)
    for collection in tree.take_collections(scene):
        for name, (before, after) in _changes(collection, scene).items():
            if settings.get(name) == after:
                settings[name] = before
    if any(settings[name] != value for name, value in FACTORY.items()) or scene.animation_data is not None:
        return False
    if scene.sequence_editor is not None and len(sequencer_strips(scene.sequence_editor)):
        return False
    return all(ROLE in thing or is_factory_object(thing) for thing in scene.objects)


def adapt(scene: bpy.types.Scene, collection: bpy.types.Collection, take: Take, *, allowed: bool) -> list[str]:
    """Fit a scene to a take as far as that changes nothing of the person's; tell what does not fit.

    Parameters
    ----------
    scene : bpy.types.Scene
        The scene.
    collection : bpy.types.Collection
        The take's collection; it keeps what the take would set and what was changed.
    take : Take
        The take.
    allowed : bool
        Whether anything may be set at all.

    Returns
    -------
    list of str
        What the person should know: the take has another frame rate than the scene, or another range or size.
    """
    wanted = _wanted(take)
    collection[_WANTED] = json.dumps(wanted)
    if allowed:
        others = [one for one in tree.take_collections(scene) if one != collection and _changes(one, scene)]
        if not others and is_untouched(scene):
            set_to_take(scene, collection)
        else:
            is_ours = any(_is_set_by(_changes(one, scene), scene) for one in (collection, *others))
            _apply(scene, collection, _extended(scene, _placed(wanted, collection)) if is_ours else {})
            if scene.camera is None:
                _apply(scene, collection, {"camera": _camera_name(collection)})
    return _notes(scene, collection, take, allowed)


def set_to_take(scene: bpy.types.Scene, collection: bpy.types.Collection) -> None:
    """Set range, rate, size and camera of a scene to those of a take.

    A range that the person has set, or that another take needs, is only extended. That of a new scene becomes the
    take's.

    Parameters
    ----------
    scene : bpy.types.Scene
        The scene.
    collection : bpy.types.Collection
        The collection of an imported take.
    """
    wanted = _wanted_now(collection)
    have = read_settings(scene)
    is_free = all(have[name] == FACTORY[name] for name in _RANGE) or _is_set_by(_changes(collection, scene), scene)
    if len(tree.take_collections(scene)) > 1 or not is_free:
        wanted |= _extended(scene, wanted)
    _apply(scene, collection, {**wanted, "camera": _camera_name(collection)})
    if not scene.frame_start <= scene.frame_current <= scene.frame_end:
        scene.frame_set(scene.frame_start)


def fits(scene: bpy.types.Scene, collection: bpy.types.Collection) -> bool:
    """Whether a scene has the rate and the size of a take and shows all its frames."""
    wanted = _wanted_now(collection)
    have = read_settings(scene)
    is_equal = all(have[name] == value for name, value in wanted.items() if name in _SIZE)
    is_shown = all(have[name] == value for name, value in _extended(scene, wanted).items())
    return is_equal and is_shown and has_rate_of(scene, collection)


def has_rate_of(scene: bpy.types.Scene, collection: bpy.types.Collection) -> bool:
    """Whether a scene has the frame rate of a take."""
    wanted: Settings = json.loads(collection.get(_WANTED, "{}"))
    if "fps" not in wanted:
        return True
    return conform.is_same_rate(conform.frame_rate(scene), wanted["fps"] / wanted["fps_base"])


def give_back(scene: bpy.types.Scene, collection: bpy.types.Collection) -> None:
    """Undo what a take has set in a scene, where nobody has changed it since. Call it before the take is deleted.

    What another take in the scene still needs is handed over to it.

    Parameters
    ----------
    scene : bpy.types.Scene
        The scene.
    collection : bpy.types.Collection
        The take's collection.
    """
    have = read_settings(scene)
    others = [one for one in tree.take_collections(scene) if one != collection and one.library is None]
    heir = others[0] if others else None
    for name, (before, after) in _changes(collection, scene).items():
        later = [one for one in others if _changes(one, scene).get(name, (None,))[0] == after != have[name]]
        for one in later:
            _remember(one, scene, name, before, _changes(one, scene)[name][1])
        if have[name] != after:
            continue
        if name == "camera" and heir is not None:
            _write(scene, name, _camera_name(heir))
            _remember(heir, scene, name, before, _camera_name(heir))
        elif heir is None or any(_changes(one, scene).get(name, (None, None))[1] == before for one in others):
            _write(scene, name, before)
        else:
            _remember(heir, scene, name, before, after)


def _wanted(take: Take) -> Settings:
    """The settings that show a take as it was filmed; without the camera."""
    fps = max(1, round(take.fps))
    aspect = pixel_aspect(take.camera)
    wanted: Settings = {"fps": fps, "fps_base": fps / take.fps}
    wanted |= dict(zip(_SIZE, (take.camera.width, take.camera.height, 100, *aspect), strict=True))
    if take.records:
        wanted |= {"frame_start": min(take.records), "frame_end": max(take.records) + take.step - 1}
    return {name: _as_stored(value) for name, value in wanted.items()}


def _placed(wanted: Settings, collection: bpy.types.Collection) -> Settings:
    """The settings with the range in scene frames; a take may start later, or be conformed to another rate."""
    if "frame_start" not in wanted:
        return wanted
    first, last = (conform.to_scene(collection, wanted[name]) for name in _RANGE)
    return {**wanted, "frame_start": math.floor(first), "frame_end": math.ceil(last)}


def _wanted_now(collection: bpy.types.Collection) -> Settings:
    return _placed(json.loads(collection.get(_WANTED, "{}")), collection)


def _as_stored(value: float) -> float:
    """A value as Blender stores it: with single precision where it is no whole number."""
    return float(np.float32(value)) if isinstance(value, float) else value


def _extended(scene: bpy.types.Scene, wanted: Settings) -> Settings:
    """The range of the scene, extended by that of a take; {} for a take without frames."""
    if "frame_start" not in wanted:
        return {}
    return {
        "frame_start": min(scene.frame_start, wanted["frame_start"]),
        "frame_end": max(scene.frame_end, wanted["frame_end"]),
    }


def _camera_name(collection: bpy.types.Collection) -> str:
    camera = tree.find_object(collection, "camera")
    return camera.name if camera is not None else ""


def _changes(collection: bpy.types.Collection, scene: bpy.types.Scene) -> dict[str, tuple]:
    """Setting -> value before and value that the take set, in this scene."""
    kept = json.loads(collection.get(_CHANGES, "{}"))
    if kept.get("scene") != scene.name:
        return {}
    return {name: tuple(values) for name, values in kept["settings"].items()}


def _is_set_by(changes: dict[str, tuple], scene: bpy.types.Scene) -> bool:
    """Whether the range of the scene is the one that a take has set."""
    return any(name in changes and changes[name][1] == getattr(scene, name) for name in _RANGE)


def _apply(scene: bpy.types.Scene, collection: bpy.types.Collection, wanted: Settings) -> None:
    """Set some settings, and remember on the collection what they were before its first change."""
    changes = _changes(collection, scene)
    for name, value in wanted.items():
        before = read_settings(scene)[name]
        if before == value:
            continue
        _write(scene, name, value)
        first, last = changes.get(name, (before, before))
        _remember(collection, scene, name, first if last == before else before, read_settings(scene)[name])


def _remember(
    collection: bpy.types.Collection, scene: bpy.types.Scene, name: str, before: object, after: object
) -> None:
    settings = {**_changes(collection, scene), name: (before, after)}
    collection[_CHANGES] = json.dumps({"scene": scene.name, "settings": settings})


def _write(scene: bpy.types.Scene, name: str, value: object) -> None:
    if name == "camera":
        scene.camera = scene.objects.get(str(value)) if value else None
    else:
        setattr(scene if name in _RANGE else scene.render, name, value)


def _rate_text(rate: float) -> str:
    """A frame rate with as many decimals as tell 23.976 from 24."""
    return f"{rate:.3f}".rstrip("0").rstrip(".")


def _notes(scene: bpy.types.Scene, collection: bpy.types.Collection, take: Take, allowed: bool) -> list[str]:
    """Messages about what of the take does not fit into the scene."""
    notes, wanted = [], _wanted_now(collection)
    here = conform.frame_rate(scene)
    is_timed = conform.is_same_rate(here, take.fps) or conform.is_conformed_to(collection, scene)
    if is_moving(take) and not is_timed:
        notes.append(
            f"The take has {_rate_text(take.fps)} fps, the scene {_rate_text(here)}: its motion plays at the wrong "
            "speed. Press Conform to Scene to put its keys at their true times, or Set Scene to Take."
        )
    have, unlike = read_settings(scene), []
    if _extended(scene, wanted) != {name: have[name] for name in _RANGE if name in wanted}:
        unlike.append(
            f"frames {have['frame_start']}-{have['frame_end']} (take: {wanted['frame_start']}-{wanted['frame_end']})"
        )
    if any(have[name] != wanted[name] for name in _SIZE):
        unlike.append(
            f"{have['resolution_x']} x {have['resolution_y']} pixels (take: {take.camera.width} x {take.camera.height})"
        )
    if allowed and unlike:
        notes.append(f"The scene was left as it is: {' and '.join(unlike)}. Press Set Scene to Take to change it.")
    return notes
