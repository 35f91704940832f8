"""What is known of how far each hand can be trusted, as animated custom properties, and as colours.

Each hand has the properties on one object: its rigged mesh, or the empty of its keypoints where the take has no rig. A
property whose values the take does not know is not there.
"""

from __future__ import annotations

from collections.abc import Mapping

import bpy
import numpy as np

from ..errors import InputError
from ..take.contact import DEEP_MM
from ..take.motion import DOUBTFUL, FILLED, MISSING, OBSERVED, HandMotion, Motion
from ..take.reader import SIDES, Take
from . import animation, conform, tree
from .ownership import SIDE, require_local, role_of

CONFIDENCE, STATUS, SOURCE = "confidence", "status", "source"
PENETRATION, DEEPEST = "penetration_ml", "deepest_mm"
COLOR = "color"
PATHS = tuple(f'["{name}"]' for name in (CONFIDENCE, STATUS, SOURCE, PENETRATION, DEEPEST))
"""Data paths of the properties."""
_COLORED = "im2hands_shows_doubt"

_STATUSES = ((MISSING, "No hand"), (OBSERVED, "Observed"), (FILLED, "Filled in"), (DOUBTFUL, "Judged wrong"))
_NO_SOURCE, _OTHER_SOURCE = 0, 99
# Word of the take (see docs/take.md) -> value and name. The values stay for ever, because curves hold them.
_SOURCES = {
    "": (_NO_SOURCE, "None"),
    "crops": (1, "MediaPipe's network"),
    "reading_network": (2, "Reading network"),
    "two_hand_network": (3, "Two-hand network"),
    "file": (4, "Keypoint file"),
    "mediapipe": (5, "MediaPipe"),
    "palm_seed": (6, "Palm seed"),
    "crop_search": (7, "Crop search"),
    "tracking": (8, "Tracking"),
    "boxes": (9, "Boxes"),
    "network": (10, "Network"),
    "other": (_OTHER_SOURCE, "Other"),
}
_SETTINGS: Mapping[str, dict[str, object]] = {
    CONFIDENCE: {"min": 0.0, "max": 1.0, "description": "Confidence in the hand as found, 0 where none was found"},
    STATUS: {
        "description": "How the clean motion came about",
        "items": [(name, name, "", value) for value, name in _STATUSES],
    },
    SOURCE: {
        "description": "Where the keypoints come from",
        "items": [(name, name, "", value) for value, name in _SOURCES.values()],
    },
    PENETRATION: {"min": 0.0, "description": "Room that both hands claimed when they were found, millilitres"},
    DEEPEST: {"min": 0.0, "description": "How deep the hands were found in each other, millimetres"},
}

Color = tuple[float, float, float, float]
UNKNOWN_COLOR: Color = (1.0, 1.0, 1.0, 1.0)
FILLED_COLOR: Color = (0.45, 0.25, 0.9, 1.0)
_RAMP = ((0.0, (0.85, 0.04, 0.04)), (0.5, (0.95, 0.55, 0.05)), (0.8, (0.05, 0.55, 0.55)), (1.0, (0.05, 0.55, 0.55)))


def color_of(confidence: float, status: int = OBSERVED, deepest_mm: float = 0.0) -> Color:
    """Return the colour of a hand on a frame: teal for a sure one, orange and red for doubt, violet where filled in.

    A hand that was found in the other one is doubtful too: orange at ``DEEP_MM``, red at twice that depth.

    Parameters
    ----------
    confidence : float
        Confidence in the hand, 0 to 1.
    status : int
        Status of the hand in the clean motion.
    deepest_mm : float
        How deep the hands were found in each other, millimetres.

    Returns
    -------
    tuple of float
        Red, green, blue (linear) and alpha.
    """
    if status == FILLED:
        return FILLED_COLOR
    at = 0.0 if status == DOUBTFUL else min(confidence, 1.0 - deepest_mm / (2.0 * DEEP_MM))
    columns = zip(*(color for _, color in _RAMP), strict=True)
    red, green, blue = (float(np.interp(at, [place for place, _ in _RAMP], column)) for column in columns)
    return red, green, blue, 1.0


def owners(collection: bpy.types.Collection) -> dict[str, bpy.types.Object]:
    """Return the object of each hand that has its properties.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.

    Returns
    -------
    dict
        Side -> the rigged mesh, or the parent of the keypoints where there is none.
    """
    place = tree.child(collection, tree.KEYPOINTS)
    roots = {one.get("im2hands_keypoints"): one for one in (place.objects if place is not None else ())}
    found = {**roots, **{one.get(SIDE): one for one in collection.all_objects if role_of(one) == "hand"}}
    return {side: found[side] for side in SIDES if side in found}


def write_properties(collection: bpy.types.Collection, take: Take, motion: Motion | None) -> None:
    """Replace the animated properties of a take's hands.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection, with its hands.
    take : Take
        The take.
    motion : Motion or None
        The motion of the rigged hands.
    """
    there = owners(collection)
    for thing in list(collection.all_objects):
        if role_of(thing) in ("hand", "keypoints") and thing not in there.values():
            _remove(thing, list(_SETTINGS))
    for side, thing in there.items():
        hand = motion.hands.get(side) if motion is not None else None
        known = _known(take, side, motion, hand)
        _remove(thing, [name for name in _SETTINGS if name not in known])
        for name, (frames, values) in known.items():
            write_property(thing, name, frames, values)
    color_meshes(collection, is_colored(collection))


def write_property(thing: bpy.types.Object, name: str, frames: list[int] | np.ndarray, values: np.ndarray) -> None:
    """Replace one animated property of a hand.

    Parameters
    ----------
    thing : bpy.types.Object
        The object, from :func:`owners`.
    name : str
        Name of the property.
    frames : (N,) list or array
        Scene frames, ascending.
    values : (N,) array
        Values: whole numbers for a choice.
    """
    is_choice = "items" in _SETTINGS[name]
    thing[name] = int(values[0]) if is_choice else float(values[0])
    thing.id_properties_ui(name).update(**_SETTINGS[name])
    animation.write_curve(thing, f'["{name}"]', frames, values)
    thing.update_tag()


def read_property(thing: bpy.types.Object, name: str) -> bpy.types.FCurve | None:
    """The curve of an animated property of a hand; None where there is none."""
    return next((one for one in animation.curves(thing) if one.data_path == f'["{name}"]'), None)


def is_colored(collection: bpy.types.Collection) -> bool:
    """Whether the hands of a take are coloured by doubt."""
    return bool(collection.get(_COLORED, False))


def color_meshes(collection: bpy.types.Collection, wanted: bool) -> None:
    """Give the meshes of a take the colours of doubt, as animated object colours; or take them away.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    wanted : bool
        Whether the meshes are coloured.

    Raises
    ------
    InputError
        The collection is linked from another file, or the person has animated the colour of a mesh.
    """
    require_local(collection)
    if wanted and not is_colored(collection):
        for thing in list(collection.all_objects):
            if role_of(thing) == "hand" and _has_curve(thing, COLOR):
                raise InputError(f"The colour of {thing.name} is animated.", "Delete that animation first.")
    if not wanted and not is_colored(collection):
        return
    collection[_COLORED] = wanted
    there = owners(collection)
    for thing in list(collection.all_objects):
        if role_of(thing) == "hand":
            animation.remove_curves(thing, lambda path: path == COLOR)
            thing.color = UNKNOWN_COLOR
        if not wanted:
            if role_of(thing) == "surface":
                thing.color = UNKNOWN_COLOR
            continue
        if role_of(thing) == "hand":
            _color_over_time(thing)
        elif role_of(thing) == "surface" and thing.get(SIDE) in there:
            thing.color = color_at(there[thing[SIDE]], _first_shown(thing))


def color_at(thing: bpy.types.Object, frame: float) -> Color:
    """Return the colour of a hand on a scene frame.

    Parameters
    ----------
    thing : bpy.types.Object
        The object with the properties, from :func:`owners`.
    frame : float
        The scene frame.

    Returns
    -------
    tuple of float
        As :func:`color_of`; white where nothing is known.
    """
    confidence, status, deepest = (read_property(thing, name) for name in (CONFIDENCE, STATUS, DEEPEST))
    if confidence is None:
        return UNKNOWN_COLOR
    return color_of(
        confidence.evaluate(frame),
        OBSERVED if status is None else round(status.evaluate(frame)),
        0.0 if deepest is None else deepest.evaluate(frame),
    )


def penetrated_around(collection: bpy.types.Collection, frame: int) -> tuple[int, int]:
    """Return the first and the last of the frames around one on which the hands were found in each other.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    frame : int
        The frame, as the take counts them; returned twice where they were not.
    """
    thing = next(iter(owners(collection).values()), None)
    curve = read_property(thing, PENETRATION) if thing is not None else None
    if curve is None:
        return frame, frame
    places, values = animation.read_values(curve)
    frames = np.array([conform.to_take(collection, place) for place in places.tolist()])
    here = np.flatnonzero((frames == frame) & (values > 0))
    if not len(here):
        return frame, frame
    first = last = int(here[0])
    while first > 0 and values[first - 1] > 0:
        first -= 1
    while last + 1 < len(values) and values[last + 1] > 0:
        last += 1
    return int(frames[first]), int(frames[last])


def _known(
    take: Take, side: str, motion: Motion | None, hand: HandMotion | None
) -> dict[str, tuple[list[int], np.ndarray]]:
    """What the take knows of one hand: name of a property -> frames and values."""
    found: dict[str, tuple[list[int], np.ndarray]] = {}
    records = list(take.records.values())
    frames = [record.index for record in records]
    if any(side in record.confidence for record in records):
        found[CONFIDENCE] = frames, np.array([record.confidence.get(side, 0.0) for record in records])
    if any(record.sources.get(side) for record in records):
        words = [record.sources.get(side, "") for record in records]
        found[SOURCE] = frames, np.array([_SOURCES.get(word, _SOURCES["other"])[0] for word in words])
    met = [record.contact for record in records]
    if any(met) and any(side in record.confidence for record in records):
        found[PENETRATION] = frames, np.array([0.0 if one is None else one.penetration_ml for one in met])
        found[DEEPEST] = frames, np.array([0.0 if one is None else one.deepest_mm for one in met])
    if motion is not None and hand is not None:
        found[STATUS] = motion.frames.tolist(), hand.status.astype(float)
    return found


def _remove(thing: bpy.types.Object, names: list[str]) -> None:
    paths = {f'["{name}"]' for name in names}
    if any(one.data_path in paths for one in animation.curves(thing)):
        animation.remove_curves(thing, lambda path: path in paths)
    for name in names:
        if name in thing:
            del thing[name]
    thing.update_tag()  # without it, Blender 4.2 evaluates the deleted property and crashes


def _has_curve(thing: bpy.types.Object, path: str) -> bool:
    return any(one.data_path == path for one in animation.curves(thing))


def _color_over_time(thing: bpy.types.Object) -> None:
    """Key the object's colour on each frame on which one of its properties has a key."""
    curves = [one for name in (CONFIDENCE, STATUS, DEEPEST) if (one := read_property(thing, name)) is not None]
    if not curves:
        return
    frames = np.unique(np.concatenate([animation.read_values(one)[0] for one in curves]))
    colors = np.array([color_at(thing, frame) for frame in frames.tolist()])
    for channel in range(4):
        animation.write_curve(thing, COLOR, frames, colors[:, channel], index=channel)


def _first_shown(thing: bpy.types.Object) -> float:
    """The scene frame on which a surface is first shown."""
    for curve in animation.curves(thing):
        frames, hidden = animation.read_values(curve)
        shown = frames[hidden == 0.0]
        if curve.data_path == "hide_viewport" and len(shown):
            return float(shown[0])
    return 0.0
