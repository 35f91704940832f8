"""Exports a take: the rigged hands as FBX, glTF, Alembic, USD or BVH; the surfaces as Alembic or USD.

The export contains what Blender shows. Each frame is evaluated, with the strength of the smoothing and the person's
changes. A hand has the size 0 on the frames on which it is missing. Objects have the names of the take
("Hand.L", "Rig.L"), even if other objects in the file use these names. Temporary objects and scenes are deleted
afterwards.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import bpy
import numpy as np

from ..errors import InputError
from . import animation, clean, sampling, surface_sequence, tree
from .context import ensure_window
from .exporters import WRITERS, Format, format_of, write_bvh
from .hand_mesh import MEAN_KEY
from .meshes import SIDE_LETTER
from .ownership import remove_objects

What = Literal["HANDS", "SURFACES"]
# Rotation from Blender's z-up to y-up, which readers of BVH expect.
_Y_UP = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])


def export_take(
    collection: bpy.types.Collection,
    path: str | Path,
    *,
    what: What = "HANDS",
    frames: tuple[int, int] | None = None,
) -> list[Path]:
    """Export a take's hands or its implicit surfaces.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    path : str or Path
        The file; its ending determines the format.
    what : {"HANDS", "SURFACES"}
        "HANDS" for the rigged meshes. BVH holds only the rigs, one file for each hand, with "_L" or "_R" added to the
        name. "SURFACES" for the implicit surfaces, also those that are still on disk; only Alembic and USD can hold
        their changing topology.
    frames : tuple of int, optional
        First and last scene frame, inclusive; None for the scene's range.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    InputError
        There is nothing to export, the format cannot hold it, or the file cannot be written.
    TakeError
        A surface on disk cannot be read.
    """
    target = Path(bpy.path.abspath(str(path))).absolute()
    kind = format_of(target)
    scene = _scene_of(collection)
    first, last = frames or (scene.frame_start, scene.frame_end)
    if last < first:
        raise InputError(f"There are no frames from {first} to {last}.")
    if what == "SURFACES" and not kind.has_surfaces:
        raise InputError(
            f"{kind.name} cannot hold surfaces that change their topology.", "Export them as Alembic or USD."
        )
    with ensure_window(), _written_whole(target) as draft:
        if what == "SURFACES":
            _export_surfaces(collection, scene, draft, kind, first, last)
        else:
            _export_hands(collection, scene, draft, kind, first, last)
        written = sorted(draft.parent.iterdir())
        if not written:
            raise InputError(f"Blender could not write {target}.", "See its console for the reason.")
        names = [one.name for one in written]
    return [target.parent / name for name in names]


def _scene_of(collection: bpy.types.Collection) -> bpy.types.Scene:
    """A scene that contains the collection, the context's scene first."""
    scenes = [bpy.context.scene, *bpy.data.scenes]
    found = next((one for one in scenes if collection in one.collection.children_recursive), None)
    if found is None:
        raise InputError(f"{collection.name} is not in any scene.")
    return found


@contextlib.contextmanager
def _written_whole(target: Path) -> Iterator[Path]:
    """A path in a temporary folder beside the target. At the end all files in it are moved to the target's folder."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".im2hands-", dir=target.parent) as folder:
            yield Path(folder) / target.name
            for one in Path(folder).iterdir():
                if (target.parent / one.name).is_dir():
                    raise InputError(f"{target.parent / one.name} is a folder.", "Choose another name.")
                shutil.move(one, target.parent / one.name)
    except OSError as error:
        raise InputError(f"Cannot write {target}: {error}.", "Choose a folder you may write to.") from error


def _export_hands(
    collection: bpy.types.Collection, scene: bpy.types.Scene, draft: Path, kind: Format, first: int, last: int
) -> None:
    rigs, meshes = clean.require_rigs(collection), clean.meshes(collection)
    frames = range(first, last + 1)
    copies: dict[str, list[bpy.types.Object]] = {}
    try:
        for side, rig in rigs.items():
            # BVH has neither meshes nor a scale that could hide them.
            mesh = None if kind.name == "BVH" else meshes.get(side)
            samples = sampling.sample(rig, mesh, frames)
            turn = _Y_UP if kind.name == "BVH" else np.eye(4)
            copies[side] = [_copy_rig(rig, samples, turn)]
            if mesh is not None:
                copies[side].append(_copy_mesh(mesh, copies[side][0], samples))
        names = {
            one: f"{'Rig' if one.type == 'ARMATURE' else 'Hand'}.{SIDE_LETTER[side]}"
            for side, pair in copies.items()
            for one in pair
        }
        things = list(names)
        with sampling.stage(*things, like=scene, name=collection.name) as stage, _named(names):
            stage.frame_start, stage.frame_end = first, last
            stage.frame_set(first)
            if kind.name == "BVH":
                for side, (rig,) in copies.items():
                    write_bvh(stage, rig, draft.with_name(f"{draft.stem}_{SIDE_LETTER[side]}{draft.suffix}"))
            else:
                WRITERS[kind.name](stage, things, draft)
    finally:
        remove_objects([one for pair in copies.values() for one in pair])


def _copy_rig(rig: bpy.types.Object, samples: sampling.RigSamples, turn: np.ndarray) -> bpy.types.Object:
    """A copy of the rig at the world's origin, without parents and layers; one action holds the poses of all frames.

    A scale of 0 hides the rig with its mesh where the hand is missing, because every format and program knows it.
    """
    copy = rig.copy()
    copy.data = rig.data.copy()
    copy.animation_data_clear()
    copy.parent = None
    # The scale of a scaled take stays on the object, because poses are rigid.
    scale = float(np.cbrt(np.abs(np.linalg.det(samples.world[0, 0, :3, :3]))))
    copy.matrix_basis = np.diag([scale, scale, scale, 1.0]).tolist()
    world = turn @ samples.world
    world[..., :3, :] /= scale
    locations, rotations = sampling.channels_of(samples, world)
    for bone in copy.pose.bones:
        bone.rotation_mode = "QUATERNION"
    action = animation.new_action(copy, f"{rig.name} Export")
    keys = animation.Keys(samples.frames, interpolation="LINEAR")
    for number, name in enumerate(samples.bones):
        path = f'pose.bones["{name}"]'
        if samples.parents[number] < 0 or np.abs(locations[:, number]).max() > 1e-6:
            animation.write_values(action, f"{path}.location", keys, locations[:, number], group=name)
        animation.write_values(action, f"{path}.rotation_quaternion", keys, rotations[:, number], group=name)
    if not samples.shown.all():
        sizes = np.where(samples.shown, scale, 0.0)[:, None].repeat(3, axis=1)
        animation.write_values(action, "scale", animation.Keys(samples.frames), sizes)
    animation.assign(copy, action)
    copy.hide_viewport = copy.hide_render = False
    return copy


def _copy_mesh(mesh: bpy.types.Object, rig: bpy.types.Object, samples: sampling.RigSamples) -> bpy.types.Object:
    """A copy of the mesh under the copied rig; one action holds the values of its shape keys."""
    copy = mesh.copy()
    copy.data = mesh.data.copy()
    copy.animation_data_clear()
    copy.hide_viewport = copy.hide_render = False
    copy.parent = rig
    for modifier in copy.modifiers:
        if modifier.type == "ARMATURE":
            modifier.object = rig
    keys = copy.data.shape_keys
    if keys is not None:
        keys.animation_data_clear()
        action = animation.new_action(keys, f"{mesh.name} Export")
        for name, values in samples.keys.items():
            if name == MEAN_KEY and np.ptp(values) < 1e-6:
                keys.key_blocks[name].value = values[0]
                continue
            path = f'key_blocks["{name}"].value'
            animation.write_values(action, path, animation.Keys(samples.frames, interpolation="LINEAR"), values)
        animation.assign(keys, action)
    return copy


@contextlib.contextmanager
def _named(names: dict[bpy.types.Object, str]) -> Iterator[None]:
    """Rename objects and their data for a while; other data-blocks with these names get them back afterwards."""
    before: list[tuple[bpy.types.ID, str]] = []
    spare = 0
    for thing, name in names.items():
        kinds = [(bpy.data.objects, thing)]
        kinds.append((bpy.data.armatures if thing.type == "ARMATURE" else bpy.data.meshes, thing.data))
        for everything, block in kinds:
            holder = everything.get(name)
            if holder is not None and holder.library is None and holder != block:
                before.append((holder, name))
                holder.name = f"im2hands spare {spare}"
                spare += 1
            block.name = name
    try:
        yield
    finally:
        for thing in names:
            thing.name, thing.data.name = "im2hands export", "im2hands export"
        for holder, name in before:
            holder.name = name


def _export_surfaces(
    collection: bpy.types.Collection, scene: bpy.types.Scene, draft: Path, kind: Format, first: int, last: int
) -> None:
    sequence = surface_sequence.Sequence(collection)
    if not sequence.sides:
        raise InputError(f"{collection.name} has no surfaces.", "Export its hands.")
    things = {side: surface_sequence.stand_in(side) for side in sequence.sides}
    names = {thing: tree.SURFACES[side] for side, thing in things.items()}
    try:
        with sampling.stage(*names, like=scene, name=collection.name) as stage, _named(names):
            stage.frame_start, stage.frame_end = first, last
            with surface_sequence.playing(things, sequence, stage):
                stage.frame_set(first)
                WRITERS[kind.name](stage, list(names), draft)
    finally:
        remove_objects(list(things.values()))
