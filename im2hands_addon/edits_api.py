"""The functions of ``api`` for a person's corrections of a take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import bpy
import numpy as np

from .errors import InputError
from .locations import backend_setting
from .rebuilding import Rebuilding
from .reconstruction import Reconstruction, Result
from .scene import corrections, stick_hands
from .take.reader import KEYPOINT_NAMES, SIDES

_LEAST_BOX = 2.0  # pixels a side; less is a click


def edits(collection: bpy.types.Collection) -> list[dict[str, Any]]:
    """Return the corrections of a take as ``docs/take.md`` describes them, also those that were not sent yet.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.

    Returns
    -------
    list of dict
        The corrections, in their order.
    """
    return corrections.read(collection).edits


def edit_keypoints(
    collection: bpy.types.Collection, scene: bpy.types.Scene | None = None
) -> list[bpy.types.Object]:  # fmt: skip
    """Show the hands of the current frame as stick hands, meshes in edit mode whose vertices a person moves.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    scene : bpy.types.Scene, optional
        The scene; None for the context's.

    Returns
    -------
    list of bpy.types.Object
        The stick hands; vertices are the keypoints in file order.

    Raises
    ------
    InputError
        The take has no hand on this frame, or is linked from another file.
    TakeError
        The take cannot be read.
    """
    return stick_hands.begin(collection, scene or bpy.context.scene)


def apply_keypoints(collection: bpy.types.Collection, *, discard: bool = False) -> list[str]:
    """Take the stick hands away; what was moved becomes corrections.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    discard : bool
        Whether to forget what was moved.

    Returns
    -------
    list of str
        Ids of the corrections.

    Raises
    ------
    InputError
        A keypoint was deleted, or moved behind the camera. The stick hands stay.
    """
    if not discard:
        return stick_hands.apply(collection)
    stick_hands.remove(collection)
    return []


def correct_keypoints(
    collection: bpy.types.Collection, side: str, frame: int, points: Mapping[str, Sequence[float]]
) -> str:
    """Correct keypoints of a hand by their places in the picture.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    side : str
        "left" or "right".
    frame : int
        The frame, as the take counts them.
    points : mapping of str to sequence of float
        By name of the keypoint, such as "index_tip": x and y in the picture on disk, pixels, and if given the shift
        away from the camera, metres.

    Returns
    -------
    str
        Id of the correction.

    Raises
    ------
    InputError
        There is no such frame, side or keypoint.
    """
    unknown = [name for name in points if name not in KEYPOINT_NAMES]
    if unknown or not points:
        raise InputError(f"There is no keypoint {unknown[0]}." if unknown else "No keypoint was given.")
    given = {name: [float(one) for one in place] for name, place in points.items()}
    return _add(collection, "keypoints", side, frame, frame, {"points": given})


def mark_absent(collection: bpy.types.Collection, side: str, first: int, last: int | None = None) -> str:
    """Say that a hand is not there on some frames.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    side : str
        "left" or "right".
    first : int
        First frame, as the take counts them.
    last : int, optional
        Last frame; None for the first alone.

    Returns
    -------
    str
        Id of the correction.

    Raises
    ------
    InputError
        There is no such frame or side.
    """
    return _add(collection, "absent", side, first, last)


def swap_sides(collection: bpy.types.Collection, first: int, last: int | None = None) -> str:
    """Let left and right change places on some frames.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    first : int
        First frame, as the take counts them.
    last : int, optional
        Last frame; None for the first alone.

    Returns
    -------
    str
        Id of the correction.

    Raises
    ------
    InputError
        There is no such frame.
    """
    return _add(collection, "swap", None, first, last)


def pin_hand(collection: bpy.types.Collection, side: str, first: int, last: int | None = None) -> str:
    """Pin a hand: the clean motion goes through it, and the frames beside it follow.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    side : str
        "left" or "right".
    first : int
        First frame, as the take counts them.
    last : int, optional
        Last frame; None for the first alone.

    Returns
    -------
    str
        Id of the correction.

    Raises
    ------
    InputError
        There is no such frame or side.
    """
    return _add(collection, "pin", side, first, last)


def resolve_penetration(collection: bpy.types.Collection, first: int, last: int | None = None) -> str:
    """Say that the hands do not lie in each other on some frames; the next rebuild takes them apart.

    The hands move along the rays of the camera as far as needed, and fingers bend. What was found stays in the take:
    when the correction is removed, the next rebuild brings it back.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    first : int
        First frame, as the take counts them.
    last : int, optional
        Last frame; None for the first alone.

    Returns
    -------
    str
        Id of the correction.

    Raises
    ------
    InputError
        There is no such frame, or no frame of them has two hands.
    TakeError
        The take cannot be read.
    """
    corrections.require_two_hands(collection, first, first if last is None else last)
    return _add(collection, "apart", None, first, last)


def draw_box(collection: bpy.types.Collection, side: str, frame: int, box: Sequence[float]) -> str:
    """Draw a box around a hand that was not found.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    side : str
        "left" or "right".
    frame : int
        The frame, as the take counts them.
    box : sequence of float
        Left, top, right and bottom in the picture that is shown, pixels. Of a take of mirror images that is the
        picture turned back.

    Returns
    -------
    str
        Id of the correction.

    Raises
    ------
    InputError
        There is no such frame or side, or the box is beyond the picture.
    TakeError
        The take cannot be read.
    """
    take, record = corrections.record_of(collection, frame)
    corners = np.array(box, np.float64).reshape(2, 2)
    low = np.maximum(corners.min(axis=0), -0.5)
    high = np.minimum(corners.max(axis=0), (record.camera.width - 0.5, record.camera.height - 0.5))
    if (high - low < _LEAST_BOX).any():
        raise InputError("The box has no area in the picture.", "Drag it from one corner to the other.")
    turned = corrections.on_disk_pixels(take, record, np.array([low, high]))
    edges = [*turned.min(axis=0), *turned.max(axis=0)]
    return _add(collection, "box", side, frame, frame, {"box": [round(float(edge), 2) for edge in edges]})


def remove_edit(collection: bpy.types.Collection, name: str) -> None:
    """Take a correction back. The next rebuild gives the frame what was found before.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    name : str
        Id of the correction.

    Raises
    ------
    InputError
        There is no such correction.
    """
    corrections.remove(collection, name)


def start_rebuild(
    collection: bpy.types.Collection,
    frames: str | None = None,
    *,
    scene: bpy.types.Scene | None = None,
    backend: str = "",
) -> Rebuilding:
    """Start a rebuild of corrected frames and return at once; poll it as a reconstruction.

    Parameters
    ----------
    collection, frames, scene, backend
        As for :func:`rebuild_frames`.

    Returns
    -------
    Rebuilding
        The running rebuild.

    Raises
    ------
    InputError
        The take is linked from another file, or the stick hands cannot be used.
    BackendError
        There is no backend, or it cannot be started.
    """
    return Rebuilding(collection, frames, backend=backend or backend_setting(), scene=scene)


def rebuild_frames(
    collection: bpy.types.Collection,
    frames: str | None = None,
    *,
    scene: bpy.types.Scene | None = None,
    backend: str = "",
    on_poll: Callable[[Reconstruction], None] | None = None,
) -> Result:
    """Send the corrections of a take to the backend, which makes just these frames again, and wait for the end.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    frames : str, optional
        The only frames to make, such as "12,20-24"; None for all that the corrections concern.
    scene : bpy.types.Scene, optional
        The scene; None for the context's.
    backend : str
        The backend's Python or its environment. "" for the one in the preferences or, without one there, to search.
    on_poll : callable, optional
        Called with the rebuild about 50 times a second. It may call ``cancel()``.

    Returns
    -------
    Result
        As of ``api.reconstruct``.

    Raises
    ------
    InputError
        The take is linked from another file.
    BackendError
        There is no backend, it cannot be started, or it ended unexpectedly.
    JobError
        The backend reported an error, such as an edit that does not fit. The corrections stay in the .blend.
    """
    return start_rebuild(collection, frames, scene=scene, backend=backend).run(on_poll)


def _add(
    collection: bpy.types.Collection, kind: str, side: str | None, first: int, last: int | None,
    more: Mapping[str, Any] | None = None,
) -> str:  # fmt: skip
    """Add a correction of the frames from ``first`` to ``last``."""
    if side is not None and side not in SIDES:
        raise InputError(f'There is no side "{side}".', 'Use "left" or "right".')
    last = first if last is None else last
    if last < first:
        raise InputError(f"The frames {first} to {last} run backwards.", "Give the first frame first.")
    corrections.require_frames(collection, first, last)
    at = {"frame": first} if first == last else {"frames": [first, last]}
    hand = {} if side is None else {"side": side}
    return corrections.add(collection, {"kind": kind, **at, **hand, **(more or {})})
