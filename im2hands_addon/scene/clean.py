"""The clean hands of a take: for each hand a rig, a mesh, and the raw and the clean motion as two layers.

The clean motion is the assigned action of the rig, so its keys are visible in the Dope Sheet, or an NLA strip below a
person's keys (see :mod:`.layers`). The raw motion is an NLA strip below it. The influence of the clean motion is the
strength of the smoothing. It can be changed at any time, also in a Blender without the add-on.
"""

from __future__ import annotations

from collections.abc import Collection

import bpy
import numpy as np

from ..errors import InputError
from ..take import quaternions
from ..take.motion import DOUBTFUL, FILLED, MISSING, OBSERVED, STATUS_NAMES, HandMotion, Layer, Motion, Template
from ..take.reader import SIDES
from . import additions, animation, conform, edits, key_changes, layers, tree
from .hand_mesh import Correctives, build_hand_mesh, require_mesh, write_weights
from .ownership import ROLE, SIDE, remove_objects, require_local, role_of
from .rig import build_rig, channels, short_bones, write_channels

# Status of a hand on a frame -> type of its keys, which sets their colour in the Dope Sheet.
_KIND = {OBSERVED: "KEYFRAME", FILLED: "BREAKDOWN", DOUBTFUL: "EXTREME"}
_RAW_KIND = {OBSERVED: "KEYFRAME", FILLED: "JITTER", DOUBTFUL: "JITTER"}


def hand_parts(collection: bpy.types.Collection, side: str = "") -> list[bpy.types.Object]:
    """Return the rigs and the clean meshes of a take.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    side : str
        "left" or "right"; "" for both.

    Returns
    -------
    list of bpy.types.Object
        The objects.
    """
    return [one for one in collection.all_objects if role_of(one) in ("rig", "hand") and side in ("", one.get(SIDE))]


def rigs(collection: bpy.types.Collection) -> dict[str, bpy.types.Object]:
    """Return the rigs of a take by side, "left" first."""
    found = {one.get(SIDE): one for one in hand_parts(collection) if role_of(one) == "rig"}
    return {side: found[side] for side in SIDES if side in found}


def meshes(collection: bpy.types.Collection) -> dict[str, bpy.types.Object]:
    """Return the clean meshes of a take by side, "left" first."""
    found = {one.get(SIDE): one for one in hand_parts(collection) if role_of(one) == "hand"}
    return {side: found[side] for side in SIDES if side in found}


def require_rigs(collection: bpy.types.Collection, sides: Collection[str] = SIDES) -> dict[str, bpy.types.Object]:
    """Return the rigs of a take, where there must be one.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    sides : collection of str
        The hands that are wanted.

    Returns
    -------
    dict
        Side -> rig, for at least one of the sides.

    Raises
    ------
    InputError
        The take has no rigged hand of these sides.
    """
    there = rigs(collection)
    found = {side: rig for side, rig in there.items() if side in sides}
    if not found:
        what = f"rigged {' or '.join(sides)} hand" if there else "rigged hands"
        raise InputError(f"{collection.name} has no {what}.", "Import a take with clean motion.")
    return found


def rigged_takes(scene: bpy.types.Scene) -> list[bpy.types.Collection]:
    """The collections of those takes in ``scene`` that have rigged hands."""
    return [one for one in tree.take_collections(scene) if rigs(one)]


def write_hands(
    collection: bpy.types.Collection, template: Template | None, motion: Motion | None, step: int = 1
) -> list[str]:
    """Replace the clean hands of a take. The strength of the smoothing is kept.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    template : Template or None
        The template hand; None without a motion.
    motion : Motion or None
        The motion; None to remove the clean hands.
    step : int
        Distance between consecutive frames of the take. A hand stays visible until the next frame.

    Returns
    -------
    list of str
        Messages about what had to be corrected.

    Raises
    ------
    TakeError
        The template's faces are not a valid mesh.
    """
    for side in SIDES if template is not None else ():
        if _is_in(motion, side):
            require_mesh(template, side)
    strength, active = smoothing(collection), _active_part(collection)
    changed = _read_edits(collection, motion)
    edits.move_layers([one for both in changed.values() for one in both], conform.maps(collection)[1])
    added = {side: additions.read(collection, *_pair(collection, side)) for side in SIDES}
    remove_objects(hand_parts(collection))
    problems = []
    for side in SIDES:
        hand = motion.hands.get(side) if motion is not None else None
        if hand is None or not hand.is_present.any():
            tree.remove_child(collection, tree.HANDS[side])
            continue
        short = short_bones(template, side)
        if short:
            problems.append(f"Bones of the {side} hand without a length were given one: {', '.join(short)}.")
        _build(collection, template, motion.frames, hand, side, step)
    set_smoothing(collection, strength)
    problems += _write_edits(collection, changed)
    for side, one in added.items():
        rig, mesh = _pair(collection, side)
        additions.write(one, rig, mesh)
        problems += one.told(side, rig is not None)
    _activate(collection, active)
    return problems


def _active_part(collection: bpy.types.Collection) -> tuple[str, str] | None:
    """Role and side of the rig or the mesh that is the active object; None for another object."""
    active = bpy.context.view_layer.objects.active if bpy.context.view_layer is not None else None
    if active is None or active not in hand_parts(collection):
        return None
    return role_of(active), active.get(SIDE, "")


def _activate(collection: bpy.types.Collection, part: tuple[str, str] | None) -> None:
    """Make a new part of a hand the active object, in place of the one that was deleted."""
    if part is None:
        return
    layer = bpy.context.view_layer
    layer.update()  # it learns only now of the new objects
    for thing in hand_parts(collection, part[1]):
        if role_of(thing) == part[0] and thing.name in layer.objects:
            layer.objects.active = thing
            thing.select_set(True)


def _is_in(motion: Motion | None, side: str) -> bool:
    return motion is not None and side in motion.hands and bool(motion.hands[side].is_present.any())


def _pair(collection: bpy.types.Collection, side: str) -> tuple[bpy.types.Object | None, bpy.types.Object | None]:
    """The rig and the mesh of a hand; None for what there is not."""
    return rigs(collection).get(side), meshes(collection).get(side)


def _animated(collection: bpy.types.Collection, side: str) -> list[bpy.types.ID | None]:
    """The rig of a hand and the shape keys of its mesh; None for what there is not."""
    rig, mesh = _pair(collection, side)
    return [rig, mesh.data.shape_keys if mesh is not None else None]


def _read_edits(collection: bpy.types.Collection, motion: Motion | None) -> dict[str, list[edits.Edits]]:
    """What the person keyed on each hand: on its rig and on its shape keys."""
    found: dict[str, list[edits.Edits]] = {}
    for side in SIDES:
        found[side] = []
        for owner in _animated(collection, side):
            keyed = edits.read_edits(collection, owner) if owner is not None else edits.Edits()
            if owner is not None and not _is_in(motion, side):
                edits.keep_whole(owner, keyed)
            found[side].append(keyed)
    return found


def _write_edits(collection: bpy.types.Collection, changed: dict[str, list[edits.Edits]]) -> list[str]:
    """Carry what the person keyed into the new hands; returns messages about it."""
    told = []
    for side, both in changed.items():
        owners = _animated(collection, side)
        layered, _ = (edits.write_edits(collection, owner, keyed) for owner, keyed in zip(owners, both, strict=True))
        told += edits.words(side, both, layered, owners[0] is not None)
    return told


def _build(
    collection: bpy.types.Collection, template: Template, frames: np.ndarray, hand: HandMotion, side: str, step: int
) -> None:
    """Make the rig and the mesh of one hand, with both layers of motion."""
    place = tree.ensure_child(collection, tree.HANDS[side])
    rig = build_rig(template, side)
    rig.parent = tree.find_object(collection, "origin")
    place.objects.link(rig)
    correctives = Correctives.of(hand)
    mesh = build_hand_mesh(template, side, rig, correctives)
    place.objects.link(mesh)
    clean_at, raw_at = hand.is_present, hand.is_present & _is_known(hand.raw)
    clean = channels(rig, template, side, hand.clean)
    layers = [("Clean", hand.clean, clean, clean_at, _KIND)]
    if raw_at.any():
        layers.append(("Raw", hand.raw, _beside(channels(rig, template, side, hand.raw), clean), raw_at, _RAW_KIND))
    keyed = mesh.data.shape_keys if len(correctives.shapes) else None
    for name, layer, found, at, kinds in layers:
        keys = animation.Keys(frames[at], [kinds[status] for status in hand.status[at].tolist()], "LINEAR")
        action = animation.new_action(rig, f"{collection.name} {name} {rig.name}")
        write_channels(action, found, keys, at)
        _add_layer(rig, action, name)
        if keyed is not None:
            action = animation.new_action(keyed, f"{collection.name} {name} {mesh.name}")
            write_weights(action, correctives, layer.weights[at], keys)
            _add_layer(keyed, action, name)
    _hide_gaps(mesh, frames, hand.is_present, step)


def _add_layer(datablock: bpy.types.ID, action: bpy.types.Action, name: str) -> None:
    """Assign the action "Clean", or add the action "Raw" as a strip below it."""
    action[ROLE] = name.lower()
    key_changes.remember(action)
    if name == "Clean":
        animation.assign(datablock, action)
    else:
        animation.put_below(datablock, action, name)


def _is_known(layer: Layer) -> np.ndarray:
    """Whether the layer has finite values, for each frame: (N,) bool."""
    parts = [layer.rotations, layer.root, layer.root_rotation, layer.weights]
    return np.all([np.isfinite(one.reshape(len(one), -1)).all(axis=1) for one in parts], axis=0)


def _beside(raw: dict[str, np.ndarray], clean: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The raw channels, with the sign of each quaternion near the clean one, so that blending takes the short way."""
    return {
        path: quaternions.nearest(values, clean[path]) if values.shape[1] == 4 else values
        for path, values in raw.items()
    }


def _hide_gaps(mesh: bpy.types.Object, frames: np.ndarray, present: np.ndarray, step: int) -> None:
    """Key the visibility of the mesh: hidden where the hand is missing. No keys when it never is."""
    there = frames[present]
    latest = there[np.maximum(np.searchsorted(there, frames, side="right") - 1, 0)]
    present = (latest <= frames) & (frames < latest + step)
    if present.all():
        return
    changes = np.flatnonzero(np.diff(present, prepend=~present[:1]))
    for path in ("hide_viewport", "hide_render"):
        animation.write_curve(mesh, path, frames[changes], ~present[changes])


def smoothing(collection: bpy.types.Collection) -> float:
    """The strength of the smoothing, 0 (raw motion) to 1 (clean motion); 1 without clean hands."""
    rig = next(iter(rigs(collection).values()), None)
    return layers.strength_of(rig) if rig is not None else 1.0


def set_smoothing(collection: bpy.types.Collection, strength: float) -> None:
    """Blend between the raw and the clean motion of both hands, shapes included.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    strength : float
        0 for the raw motion, 1 for the clean motion.

    Raises
    ------
    InputError
        The collection is linked from another file.
    """
    require_local(collection)
    for rig in rigs(collection).values():
        layers.set_strength(rig, strength)
    for mesh in meshes(collection).values():
        if mesh.data.shape_keys is not None:
            layers.set_strength(mesh.data.shape_keys, strength)


def doubts(motion: Motion) -> dict[int, str]:
    """Return the frames that the person should check.

    Parameters
    ----------
    motion : Motion
        The take's motion.

    Returns
    -------
    dict
        Frame -> reason in a few words; "" for a frame without a problem.
    """
    found = {}
    for number, frame in enumerate(motion.frames.tolist()):
        by_status: dict[int, list[str]] = {}
        for side in SIDES:
            hand = motion.hands.get(side)
            status = MISSING if hand is None else int(hand.status[number])
            by_status.setdefault(status, []).append(side)
        words = []
        if len(by_status.get(MISSING, ())) == len(SIDES):
            words.append("no hands")
        elif MISSING in by_status:
            words.append(f"no {by_status[MISSING][0]} hand")
        words += [
            f"{STATUS_NAMES[one]} {' and '.join(by_status[one])}" for one in (FILLED, DOUBTFUL) if one in by_status
        ]
        found[frame] = ", ".join(words)
    return found
