"""Places a take in the time of a scene: at a start frame, and at its true times in the scene's frame rate; and back.

A take counts the frames of its source, and its keys are on the scene frames of the same numbers. *Starting* moves every
key by the same number of frames. In a scene of another frame rate the motion is too fast or too slow. *Conforming*
moves every key to the scene frame of its time, which need not be a whole number. The footage shows on each scene frame
the picture of that time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import bpy
import numpy as np

from ..errors import InputError
from ..take.reader import Take
from . import animation, footage_cards, markers, tree
from .ownership import ROLE, require_local

_TIMES = "im2hands_times"
_STATE = "im2hands_conformed"
_DECIMALS = 4  # of a scene frame
_STEADY_S = 1e-3  # a clip whose times deviate less from its frame rate has a constant one
# Relative difference of two frame rates that are called equal. 23.976 and 24000/1001 are, 23.976 and 24 are not.
_SAME_RATE = 1e-5

Map = Callable[[np.ndarray], np.ndarray]


def frame_rate(scene: bpy.types.Scene) -> float:
    """The frame rate of a scene, frames per second."""
    return scene.render.fps / scene.render.fps_base


def is_same_rate(one: float, other: float) -> bool:
    """Whether two frame rates are equal but for rounding."""
    return math.isclose(one, other, rel_tol=_SAME_RATE)


def write_times(collection: bpy.types.Collection, take: Take) -> None:
    """Keep the times of a take's frames on its collection, so that conforming does not need the take's folder.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    take : Take
        The take.
    """
    # A clip starts at scene frame 1. Pictures have numbers of their own, so the first one stays on its number.
    origin = 1 if take.kind == "video" or not take.records else min(take.records)
    frames, times = [origin, origin + 1], [0.0, 1.0 / take.fps]
    told = [(index, record.time) for index, record in take.records.items() if record.time is not None]
    if take.kind == "video" and len(told) > 1 and take.settings.get("fps") is None:
        indices, seconds = (np.array(column, float) for column in zip(*told, strict=True))
        is_steady = np.abs(seconds - (indices - origin) / take.fps).max() <= _STEADY_S
        if not is_steady and (np.diff(seconds) > 0).all():
            frames, times = indices.tolist(), seconds.tolist()
    kept = {"origin": origin, "first": min(take.records, default=origin), "frames": frames, "times": times}
    collection[_TIMES] = json.dumps({**kept, "last": max(take.records, default=origin) + take.step - 1})


def is_placed(collection: bpy.types.Collection) -> bool:
    """Whether the take's keys are anywhere but on the scene frames with the numbers of its own frames."""
    return _STATE in collection


def is_conformed(collection: bpy.types.Collection) -> bool:
    """Whether the take's keys are at their times in the frame rate of a scene."""
    return is_placed(collection) and _state(collection)["fps"] is not None


def is_conformed_to(collection: bpy.types.Collection, scene: bpy.types.Scene) -> bool:
    """Whether the take's keys are at their times in the frame rate that this scene has now."""
    return is_conformed(collection) and is_same_rate(_state(collection)["fps"], frame_rate(scene))


def first_frame(collection: bpy.types.Collection) -> int:
    """The first frame of a take; 1 for a take of an older add-on."""
    told = json.loads(collection.get(_TIMES, "{}"))
    return int(told.get("first", told.get("origin", 1)))


def scene_range(collection: bpy.types.Collection) -> tuple[int, int]:
    """The first and the last scene frame on which something of a take is."""
    last = json.loads(collection.get(_TIMES, "{}")).get("last", first_frame(collection))
    return math.floor(to_scene(collection, first_frame(collection))), math.ceil(to_scene(collection, last))


def start_frame(collection: bpy.types.Collection) -> int:
    """The scene frame on which the first frame of a take is."""
    return round(to_scene(collection, first_frame(collection)))


def to_scene(collection: bpy.types.Collection, frame: float) -> float:
    """Return the scene frame of a take's frame; the same number unless the take is placed."""
    return float(maps(collection)[0](np.array([frame], float))[0])


def to_take(collection: bpy.types.Collection, frame: float) -> int:
    """Return the frame of a take that is visible on a scene frame; the same number unless the take is placed."""
    found = float(maps(collection)[1](np.array([frame], float))[0])
    return math.floor(round(found, _DECIMALS))


def conform(collection: bpy.types.Collection, scene: bpy.types.Scene) -> None:
    """Move the take's keys to their true times in the frame rate of a scene; its start frame stays.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    scene : bpy.types.Scene
        The scene.

    Raises
    ------
    InputError
        The collection is linked from another file, or was imported by an older add-on.
    """
    _replace(collection, scene, frame_rate(scene), _chosen_start(collection))


def start_at(collection: bpy.types.Collection, scene: bpy.types.Scene, start: int) -> None:
    """Move the take's keys so that its first frame is on a scene frame; a conformed take stays conformed.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    scene : bpy.types.Scene
        The scene with the take's markers.
    start : int
        The scene frame.

    Raises
    ------
    InputError
        The collection is linked from another file, or was imported by an older add-on.
    """
    rate = _state(collection)["fps"] if is_placed(collection) else None
    _replace(collection, scene, rate, start)


def restore_rate(collection: bpy.types.Collection, scene: bpy.types.Scene) -> None:
    """Move the keys of a conformed take to whole frames at its own frame rate; its start frame stays.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    scene : bpy.types.Scene
        The scene with the take's markers.

    Raises
    ------
    InputError
        The collection is linked from another file.
    """
    require_local(collection)
    if is_conformed(collection):
        _replace(collection, scene, None, _chosen_start(collection))


def plan(collection: bpy.types.Collection, scene: bpy.types.Scene | None, start: int | None) -> None:
    """Note where the keys of a take are to be, before they are written. :func:`conform_again` then moves them.

    Parameters
    ----------
    collection : bpy.types.Collection
        The collection of a take whose keys are on its own frames, after :func:`write_times`.
    scene : bpy.types.Scene or None
        The scene to whose frame rate the take is conformed; None for the rate of the take.
    start : int or None
        Scene frame of the first frame; None for that of its number or time.
    """
    rate = None if scene is None else frame_rate(scene)
    collection[_STATE] = json.dumps(_placement(collection, rate, start))


def _chosen_start(collection: bpy.types.Collection) -> int | None:
    return _state(collection).get("start") if is_placed(collection) else None


def _replace(collection: bpy.types.Collection, scene: bpy.types.Scene, rate: float | None, start: int | None) -> None:
    require_local(collection)
    if _TIMES not in collection:
        raise InputError(f"{collection.name} was imported by an older add-on.", "Import it again first.")
    release(collection, scene)
    if rate is None and start in (None, first_frame(collection)):
        return
    _place(collection, scene, rate, start)


def conform_again(collection: bpy.types.Collection, scene: bpy.types.Scene) -> None:
    """Place a take whose keys were just written anew, if it was placed before.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    scene : bpy.types.Scene
        The scene with the take's markers.
    """
    if is_placed(collection):
        state = _state(collection)
        del collection[_STATE]
        _place(collection, scene, state["fps"], state.get("start"))


def release(collection: bpy.types.Collection, scene: bpy.types.Scene) -> None:
    """Move the keys of a placed take back to the scene frames with the numbers of its own frames.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    scene : bpy.types.Scene
        The scene with the take's markers.

    Raises
    ------
    InputError
        The collection is linked from another file.
    """
    require_local(collection)
    if not is_placed(collection):
        return
    _move_keys(collection, maps(collection)[1])
    spans = _state(collection).get("spans", {})
    for name, owner, path, user in _image_users(collection):
        if name in spans:
            _remove_curve(owner, f"{path}.frame_offset")
            user.frame_start, user.frame_duration, user.frame_offset = spans[name]
    del collection[_STATE]
    markers.place_markers(scene, collection, lambda frame: frame)
    scene.frame_set(scene.frame_current)


@contextmanager
def released(collection: bpy.types.Collection, scene: bpy.types.Scene) -> Iterator[None]:
    """Move the keys of a placed take to its own frames for a while, so that some of them can be written anew.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    scene : bpy.types.Scene
        The scene with the take's markers.

    Raises
    ------
    InputError
        The collection is linked from another file.
    """
    state = _state(collection) if is_placed(collection) else None
    release(collection, scene)
    try:
        yield
    finally:
        if state is not None:
            _place(collection, scene, state["fps"], state.get("start"))


def _placement(collection: bpy.types.Collection, rate: float | None, start: int | None) -> dict:
    """The frames of the take and the scene frames that they come to, with what was chosen.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    rate : float or None
        Frame rate of the scene; None to move all frames alike.
    start : int or None
        Scene frame of the first frame; None for that of its time, counted from the first frame of the source.
    """
    told = json.loads(collection[_TIMES])
    frames, first = told["frames"], first_frame(collection)
    if rate is None:
        places = [frame + (first if start is None else start) - first for frame in frames]
    else:
        exact = told["origin"] + np.array(told["times"], float) * rate
        shift = 0.0 if start is None else start - float(_piecewise(frames, exact.tolist())(np.array([first], float))[0])
        places = np.round(exact + shift, _DECIMALS).tolist()
    return {"fps": rate, "start": start, "take": frames, "scene": places}


def _place(collection: bpy.types.Collection, scene: bpy.types.Scene, rate: float | None, start: int | None) -> None:
    spans = {
        name: (user.frame_start, user.frame_duration, user.frame_offset)
        for name, _, _, user in _image_users(collection)
    }
    collection[_STATE] = json.dumps({**_placement(collection, rate, start), "spans": spans})
    forward, backward = maps(collection)
    _move_keys(collection, forward)
    for _, owner, path, user in _image_users(collection):
        _retime(owner, path, user, forward, backward)
    markers.place_markers(scene, collection, lambda frame: round(to_scene(collection, frame)))
    scene.frame_set(scene.frame_current)


def _state(collection: bpy.types.Collection) -> dict:
    return json.loads(collection[_STATE])


def maps(collection: bpy.types.Collection) -> tuple[Map, Map]:
    """The maps from the take's frames (N,) to the scene's and back; the same numbers unless the take is placed."""
    if not is_placed(collection):
        return np.array, np.array
    state = _state(collection)
    return _piecewise(state["take"], state["scene"]), _piecewise(state["scene"], state["take"])


def _piecewise(xs: list[float], ys: list[float]) -> Map:
    """A map through some points that continues beyond the first and the last with their slopes."""
    x, y = np.array(xs, float), np.array(ys, float)
    slopes = np.diff(y) / np.diff(x)

    def value(at: np.ndarray) -> np.ndarray:
        piece = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(slopes) - 1)
        return np.round(y[piece] + (at - x[piece]) * slopes[piece], _DECIMALS)

    return value


def _move_keys(collection: bpy.types.Collection, change: Map) -> None:
    """Move the keys of a take, those of the person in its actions included. The person's own NLA tracks stay."""
    owners = [owner for owner in _owners(collection) if owner.animation_data is not None]
    actions: set[bpy.types.Action] = set()
    for owner in owners:
        actions |= {one for one in animation.actions_of(owner) if ROLE in one or one == owner.animation_data.action}
    for action in actions:
        for curve in animation.all_curves(action):
            animation.move_keys(curve, change)
    for owner in owners:
        for strip in (strip for track in owner.animation_data.nla_tracks for strip in track.strips):
            if strip.action is not None and ROLE in strip.action:
                animation.fit_strip(strip)


def _owners(collection: bpy.types.Collection) -> Iterator[bpy.types.ID]:
    """The take's data-blocks that may be animated."""
    for thing in collection.all_objects:
        if ROLE not in thing:
            continue
        yield thing
        if thing.type != "EMPTY" and thing.data is not None:
            yield thing.data
            if getattr(thing.data, "shape_keys", None) is not None:
                yield thing.data.shape_keys


def _image_users(
    collection: bpy.types.Collection,
) -> Iterator[tuple[str, bpy.types.ID, str, bpy.types.ImageUser]]:
    """For each clip or sequence that the take shows: a name, its owner, the path of its user there, and the user."""
    camera = tree.find_object(collection, "camera")
    if camera is not None:
        for number, background in enumerate(camera.data.background_images):
            if background.image is not None and background.image.source in ("MOVIE", "SEQUENCE"):
                path = f"background_images[{number}].image_user"
                yield f"background {number}", camera.data, path, background.image_user
    for card in footage_cards.find_cards(collection):
        if card.data is not None and card.data.source in ("MOVIE", "SEQUENCE"):
            yield card.name, card, "image_user", card.image_user


def _retime(owner: bpy.types.ID, path: str, user: bpy.types.ImageUser, forward: Map, backward: Map) -> None:
    """Key the offset of an image user, so that each scene frame shows the picture of its time.

    Blender shows the picture (scene frame - frame_start + 1, kept within 1 to frame_duration) + frame_offset.
    """
    first, count, offset = user.frame_start, user.frame_duration, user.frame_offset
    ends = forward(np.array([first, first + count], float))
    frames = np.arange(math.floor(ends[0]), math.ceil(ends[1]) + 1)
    shown = np.floor(backward(frames.astype(float))) - first + 1
    pictures = np.clip(shown, 1, count) + offset
    user.frame_start, user.frame_duration = int(frames[0]), len(frames)
    offsets = pictures - np.arange(1, len(frames) + 1)
    changed = np.flatnonzero(np.diff(offsets, prepend=offsets[0] - 1))
    animation.write_curve(owner, f"{path}.frame_offset", frames[changed], offsets[changed])


def _remove_curve(owner: bpy.types.ID, path: str) -> None:
    animation.remove_curves(owner, lambda one: one == path)
