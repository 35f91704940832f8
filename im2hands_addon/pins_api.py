"""The functions of ``api`` for fingertips that are pinned."""

from __future__ import annotations

import bpy

from .errors import InputError
from .scene import finger_pins


def pin_fingertip(
    collection: bpy.types.Collection, side: str, finger: str, first: int, last: int | None = None, *,
    target: bpy.types.Object | None = None, blend: int = 3, scene: bpy.types.Scene | None = None,
) -> bpy.types.Object:  # fmt: skip
    """Pin a fingertip to the place of the other hand, or of an object, that is nearest to it on the current frame.

    The keys of the hand stay as they are: an inverse kinematics constraint moves the finger.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection, with clean hands.
    side : str
        "left" or "right".
    finger : str
        "thumb", "index", "middle", "ring" or "little".
    first : int
        First frame, as the take counts them.
    last : int, optional
        Last frame; None for the first alone.
    target : bpy.types.Object, optional
        What is touched; None for the other hand.
    blend : int
        Frames before and after over which the finger goes to the place and back.
    scene : bpy.types.Scene, optional
        The scene; None for the context's.

    Returns
    -------
    bpy.types.Object
        The pin: an empty on the place, which can be moved.

    Raises
    ------
    InputError
        There is no such hand or finger, or nothing to pin it to.
    """
    last = first if last is None else last
    return finger_pins.add(collection, scene or bpy.context.scene, side, finger, first, last, target, blend)


def unpin_fingertip(collection: bpy.types.Collection, name: str) -> None:
    """Take a pin away; the finger moves as before.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    name : str
        Name of the pin.

    Raises
    ------
    InputError
        There is no such pin.
    """
    pin = next((one for one in finger_pins.pins(collection) if one.name == name), None)
    if pin is None:
        raise InputError(f"{collection.name} has no pin {name}.")
    finger_pins.remove(collection, pin)
