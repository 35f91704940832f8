"""What a take's rigs do on each frame, with all that moves them: layers, strength, a person's keys and parents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import bpy
import numpy as np

from ..take import quaternions


@dataclass(frozen=True)
class RigSamples:
    """A rig over N frames.

    Args:
        frames: (N,) scene frames. bones: B names, parents before children. parents: (B,) their parents' numbers or -1.
        rest: (B, 4, 4) each bone at rest, armature space. world: (N, B, 4, 4) each bone's pose in the world.
        place: (N, 4, 4) the armature object in the world. keys: by name of a shape key its (N,) values.
    """

    frames: np.ndarray
    bones: tuple[str, ...]
    parents: np.ndarray
    rest: np.ndarray
    world: np.ndarray
    place: np.ndarray
    keys: dict[str, np.ndarray]


@contextmanager
def stage(
    *things: bpy.types.Object, like: bpy.types.Scene | None = None, name: str = "Im2Hands Stage"
) -> Iterator[bpy.types.Scene]:
    """A scene with these objects alone, for evaluation or export; nobody sees it, and it goes away again.

    Args:
        like: whose frame rate and frame range it has. name: some files carry it.
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


def sample(rig: bpy.types.Object, mesh: bpy.types.Object | None, frames: Sequence[int]) -> RigSamples:
    """Evaluate ``rig``, and the shape keys of ``mesh``, on each of ``frames``."""
    ordered = [bone for bone in rig.data.bones if bone.parent is None]
    for bone in ordered:  # grows while it is walked
        ordered.extend(bone.children)
    names = tuple(bone.name for bone in ordered)
    parents = np.array([names.index(bone.parent.name) if bone.parent else -1 for bone in ordered])
    rest = np.array([np.array(bone.matrix_local) for bone in ordered], np.float64)
    world, place = np.empty((len(frames), len(names), 4, 4)), np.empty((len(frames), 4, 4))
    blocks = _animated_blocks(mesh)
    values = {name: np.empty(len(frames)) for name in blocks}
    things = [rig]
    if blocks:  # a copy without the mesh's own keys, which hide it where there is no hand
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
                if blocks:
                    keys = shown.evaluated_get(graph).data.shape_keys or mesh.data.shape_keys.evaluated_get(graph)
                    for name in blocks:
                        values[name][number] = keys.key_blocks[name].value
    finally:
        rig.hide_viewport = hidden
        if blocks:
            bpy.data.objects.remove(shown)
    return RigSamples(np.asarray(frames), names, parents, rest, world, place, values)


def _animated_blocks(mesh: bpy.types.Object | None) -> list[str]:
    keys = mesh.data.shape_keys if mesh is not None else None
    return [block.name for block in keys.key_blocks[1:]] if keys is not None else []


def channels_of(samples: RigSamples, world: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pose channels that put the bones of an armature at the world's origin where ``world`` says.

    Args:
        world: (N, B, 4, 4) rigid poses.

    Returns:
        (N, B, 3) locations in metres and (N, B, 4) quaternions without jumps of sign, as pose bones have them.
    """
    rest, basis = samples.rest, np.empty_like(world)
    for number, parent in enumerate(samples.parents):
        base = rest[number]
        if parent >= 0:
            base = world[:, parent] @ (np.linalg.inv(rest[parent]) @ rest[number])
        basis[:, number] = np.linalg.inv(base) @ world[:, number]
    rotations = quaternions.continuous(quaternions.from_matrix(basis[..., :3, :3]))
    return basis[..., :3, 3], rotations
