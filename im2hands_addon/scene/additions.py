"""Carries what a person added to a hand's rig and mesh, other than motion, into those of the next import.

An import makes both anew. The person's materials, modifiers, constraints, drivers, keys of the mesh and places of the
objects are read before, and given to the new ones afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import bpy

from . import animation, conform, curve_copies, doubt
from .ownership import ROLE

_PLACE = ("location", "rotation_mode", "rotation_quaternion", "rotation_euler", "scale")
_NOT_COPIED = ("rna_type", "name", "type")
_OURS = ("hide_viewport", "hide_render", *doubt.PATHS)  # the curves that the add-on itself writes on a mesh

Values = dict[str, object]


@dataclass
class Stack:
    """Modifiers or constraints: for each its name, type and settings."""

    things: list[tuple[str, str, Values]] = field(default_factory=list)

    @classmethod
    def of(cls, stack: object) -> Stack:
        """Read modifiers or constraints, without those that belong to the hand itself."""
        return cls([(one.name, one.type, _settings(one)) for one in stack if not _is_ours(one)])

    def paste(self, make: Callable[[str, str], object]) -> None:
        """Make them again; ``make`` is called with name and type."""
        for name, kind, values in self.things:
            new = make(name, kind)
            new.name = name
            for setting, value in values.items():
                if isinstance(value, _Named):
                    value = bpy.data.objects.get(value.name)
                with suppress(AttributeError, TypeError, ValueError):  # some settings depend on others
                    setattr(new, setting, value)


@dataclass(frozen=True)
class _Named:
    """An object by its name: a hand of the take itself is made anew under the same name."""

    name: str


@dataclass
class Additions:
    """What a person added to one hand: for the rig and the mesh each its place, its modifiers and its constraints."""

    places: list[Values] = field(default_factory=list)
    stacks: list[Stack] = field(default_factory=list)
    bones: dict[str, Stack] = field(default_factory=dict)
    curves: list[curve_copies.CurveCopy] = field(default_factory=list)
    materials: dict[int, bpy.types.Material] = field(default_factory=dict)
    drivers: bpy.types.Object | None = None

    def told(self, side: str, is_there: bool) -> list[str]:
        """Tell what was carried over, or lost with the hand; nothing for a hand to which nothing was added."""
        stacks = (*self.stacks, *self.bones.values())
        names = [name for stack in stacks for name, _, _ in stack.things]
        names += [one.name for one in self.materials.values()] + sorted({one.path for one in self.curves})
        names += ["drivers"] if self.drivers is not None else []
        if not names:
            return []
        if not is_there:
            return [f"The take has no {side} hand any more. What you added to it went with it: {', '.join(names)}."]
        return [f"What you added to the {side} hand was kept: {', '.join(names)}."]


def read(collection: bpy.types.Collection, rig: bpy.types.Object | None, mesh: bpy.types.Object | None) -> Additions:
    """Read what a person added to a hand, before it is deleted.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    rig, mesh : bpy.types.Object or None
        The hand's rig and mesh.

    Returns
    -------
    Additions
        What was added. :func:`write` must be called with it.
    """
    found = Additions()
    if rig is None or mesh is None:
        return found
    for thing in (rig, mesh):
        found.places.append({name: _plain(getattr(thing, name)) for name in _PLACE})
        found.stacks += [Stack.of(thing.modifiers), Stack.of(thing.constraints)]
    found.places[0]["hide_viewport"] = rig.hide_viewport
    found.bones = {bone.name: Stack.of(bone.constraints) for bone in rig.pose.bones if len(bone.constraints)}
    found.materials = {k: one for k, one in enumerate(mesh.data.materials) if one is not None and ROLE not in one}
    _, to_take = conform.maps(collection)
    ours = (*_OURS, doubt.COLOR) if doubt.is_colored(collection) else _OURS
    curves = [one for one in animation.curves(mesh) if one.data_path not in ours]
    found.curves = [curve_copies.copy_curve(one, to_take) for one in curves]
    if rig.animation_data is not None and len(rig.animation_data.drivers):
        found.drivers = bpy.data.objects.new("Im2Hands Drivers", None)
        _copy_drivers(rig, found.drivers)
    return found


def write(found: Additions, rig: bpy.types.Object | None, mesh: bpy.types.Object | None) -> None:
    """Give what a person added to the new rig and the new mesh of a hand; nothing happens without them.

    Parameters
    ----------
    found : Additions
        From :func:`read`.
    rig, mesh : bpy.types.Object or None
        The new rig and mesh.
    """
    if found.places and rig is not None and mesh is not None:
        for thing, place, stacks in zip((rig, mesh), found.places, (found.stacks[:2], found.stacks[2:]), strict=True):
            for name, value in place.items():
                setattr(thing, name, value)
            stacks[0].paste(thing.modifiers.new)
            stacks[1].paste(_maker(thing.constraints))
        for name, stack in found.bones.items():
            if name in rig.pose.bones:
                stack.paste(_maker(rig.pose.bones[name].constraints))
        for slot, material in found.materials.items():
            while len(mesh.data.materials) <= slot:
                mesh.data.materials.append(None)
            mesh.data.materials[slot] = material
        action = animation.own_action(mesh)[0] if found.curves else None
        for curve in found.curves:
            curve_copies.paste_curve(action, curve)
        if found.drivers is not None:
            _copy_drivers(found.drivers, rig)
    if found.drivers is not None:
        bpy.data.objects.remove(found.drivers)


def _maker(constraints: object) -> Callable[[str, str], object]:
    return lambda _name, kind: constraints.new(kind)


def _copy_drivers(source: bpy.types.Object, target: bpy.types.Object) -> None:
    animated = target.animation_data or target.animation_data_create()
    for one in source.animation_data.drivers:
        animated.drivers.from_existing(src_driver=one)


def _is_ours(thing: object) -> bool:
    """Whether it is the modifier with which the add-on binds a mesh to its rig."""
    return thing.type == "ARMATURE" and getattr(thing, "object", None) is not None and ROLE in thing.object


def _settings(thing: object) -> Values:
    found: Values = {}
    for one in thing.bl_rna.properties:
        if one.is_readonly or one.identifier in _NOT_COPIED or one.type == "COLLECTION":
            continue
        value = getattr(thing, one.identifier)
        found[one.identifier] = _Named(value.name) if isinstance(value, bpy.types.Object) else _plain(value)
    return found


def _plain(value: object) -> object:
    """A value that outlives its owner."""
    try:
        return value if isinstance(value, str | bytes | set | bpy.types.bpy_struct) else tuple(value)
    except TypeError:  # a single value
        return value
