"""Samples evaluated rigs on each frame: layers, strength of the smoothing, the person's keys, and parents included."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import bpy
import numpy as np

from ..take import quaternions
from . import animation


@dataclass(frozen=True)
class RigSamples:
    """A rig with B bones, sampled on N frames.

    Parameters
    ----------
    frames : (N,) int array
        Scene frames.
    bones : tuple of B str
        Names of the bones; parents come before their children.
    parents : (B,) int array
        Index of each bone's parent; -1 for a root.
    rest : (B, 4, 4) float64
        Matrices of the bones at rest, in armature space.
    world : (N, B, 4, 4) float64
        Matrices of the posed bones, in world space.
    place : (N, 4, 4) float64
        Matrix of the armature object, in world space.
    keys : dict
        Name of a shape key -> its values (N,).
    shown : (N,) bool array
        Whether the keys of the mesh show it; True without such keys.
    properties : dict
        (bone, name of a custom property) -> its values (N,).
    """

    frames: np.ndarray
    bones: tuple[str, ...]
    parents: np.ndarray
    rest: np.ndarray
    world: np.ndarray
    place: np.ndarray
    keys: dict[str, np.ndarray]
    shown: np.ndarray
    properties: dict[tuple[str, str], np.ndarray]


@contextmanager
def stage(
    *things: bpy.types.Object, like: bpy.types.Scene | None = None, name: str = "Im2Hands Stage"
) -> Iterator[bpy.types.Scene]:
    """Provide a temporary scene with some objects, for evaluation or export.

    Parameters
    ----------
    *things : bpy.types.Object
        The objects.
    like : bpy.types.Scene, optional
        A scene whose frame rate and frame range are copied.
    name : str
        Name of the scene; some file formats contain it.

    Yields
    ------
    bpy.types.Scene
        The scene.
    """
    scene = bpy.data.scenes.new(name)
    try:
        if like is not None:
            scene.render.fps, scene.render.fps_base = like.render.fps, like.render.fps_base
            scene.frame_start, scene.frame_end = like.frame_start, like.frame_end
        for thing in things:
            scene.collection.objects.link(thing)
        yield scene
    finally:
        bpy.data.scenes.remove(scene)


def sample(
    rig: bpy.types.Object,
    mesh: bpy.types.Object | None,
    frames: Sequence[int],
    properties: Collection[tuple[str, str]] = (),
) -> RigSamples:
    """Evaluate a rig, and the shape keys of its mesh, on some frames.

    Parameters
    ----------
    rig : bpy.types.Object
        The armature object.
    mesh : bpy.types.Object or None
        A mesh whose shape keys are sampled too; None for none.
    frames : sequence of int
        Scene frames.
    properties : collection of (str, str)
        Bones and their custom properties that are sampled too; those that do not exist or are no numbers are left out.

    Returns
    -------
    RigSamples
        The samples.
    """
    ordered = [bone for bone in rig.data.bones if bone.parent is None]
    for bone in ordered:  # the list grows during the loop
        ordered.extend(bone.children)
    names = tuple(bone.name for bone in ordered)
    parents = np.array([names.index(bone.parent.name) if bone.parent else -1 for bone in ordered])
    rest = np.array([np.array(bone.matrix_local) for bone in ordered], np.float64)
    world, place = np.empty((len(frames), len(names), 4, 4)), np.empty((len(frames), 4, 4))
    blocks = _animated_blocks(mesh)
    values = {name: np.empty(len(frames)) for name in blocks}
    numbers = {
        (bone, name): np.empty(len(frames))
        for bone, name in properties
        if bone in rig.pose.bones and isinstance(rig.pose.bones[bone].get(name), int | float)
    }
    things = [rig]
    if blocks:  # a copy without animation: the keys of the mesh hide it where there is no hand
        shown = mesh.copy()
        shown.animation_data_clear()
        shown.hide_viewport = False
        things.append(shown)
    hidden, rig.hide_viewport = rig.hide_viewport, False
    try:
        with stage(*things) as scene:
            with bpy.context.temp_override(scene=scene, view_layer=scene.view_layers[0]):
                graph = bpy.context.evaluated_depsgraph_get()
            for number, frame in enumerate(frames):
                scene.frame_set(int(frame))
                seen = rig.evaluated_get(graph)
                place[number] = np.array(seen.matrix_world)
                world[number] = place[number] @ np.array([np.array(seen.pose.bones[name].matrix) for name in names])
                for (bone, name), found in numbers.items():
                    found[number] = float(seen.pose.bones[bone][name])
                if blocks:
                    keys = shown.evaluated_get(graph).data.shape_keys or mesh.data.shape_keys.evaluated_get(graph)
                    for name in blocks:
                        values[name][number] = keys.key_blocks[name].value
    finally:
        rig.hide_viewport = hidden
        if blocks:
            bpy.data.objects.remove(shown)
    shown_at = _shown(mesh, frames)
    return RigSamples(np.asarray(frames), names, parents, rest, world, place, values, shown_at, numbers)


def _shown(mesh: bpy.types.Object | None, frames: Sequence[int]) -> np.ndarray:
    """Whether the mesh is visible in renders according to its keys, for each frame: (N,) bool.

    Only keys count. A mesh that the person switched off as a whole is still exported.
    """
    curves = animation.curves(mesh) if mesh is not None else []
    hidden = next((one for one in curves if one.data_path == "hide_render"), None)
    return np.array([hidden is None or not hidden.evaluate(frame) for frame in frames], bool)


def _animated_blocks(mesh: bpy.types.Object | None) -> list[str]:
    """Names of all shape keys except the basis."""
    keys = mesh.data.shape_keys if mesh is not None else None
    return [block.name for block in keys.key_blocks[1:]] if keys is not None else []


def channels_of(samples: RigSamples, world: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the pose channels that give an armature certain world poses; its object must be at the world's origin.

    Parameters
    ----------
    samples : RigSamples
        The samples of the rig; only the rest pose and the parents are used.
    world : (N, B, 4, 4) array
        Rigid world poses of the bones.

    Returns
    -------
    tuple of (N, B, 3) float64 and (N, B, 4) float64
        Locations in metres, and quaternions with continuous signs.
    """
    rest, basis = samples.rest, np.empty_like(world)
    for number, parent in enumerate(samples.parents):
        base = rest[number]
        if parent >= 0:
            base = world[:, parent] @ (np.linalg.inv(rest[parent]) @ rest[number])
        basis[:, number] = np.linalg.inv(base) @ world[:, number]
    rotations = quaternions.continuous(quaternions.from_matrix(basis[..., :3, :3]))
    return basis[..., :3, 3], rotations
