"""The clean mesh of a hand: the same vertices on every frame, with UVs, skin weights and corrective shape keys."""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np

from ..errors import TakeError
from ..take.motion import HandMotion, Template
from . import animation
from .materials import hand_material
from .meshes import SIDE_LETTER
from .ownership import SIDE, mark
from .rig import bone_name

MEAN_KEY = "Corrective mean"
_LEAST_WEIGHT = 1e-6


@dataclass(frozen=True)
class Correctives:
    """Corrective shapes whose weights stay within 0 to 1, as exporters and other programs want them.

    Args:
        mean: (T, 3) metres, always added. shapes: (K, T, 3) metres. low, span: (K,) so that a weight w of the take is
            the key's value (w - low) / span.
    """

    mean: np.ndarray
    shapes: np.ndarray
    low: np.ndarray
    span: np.ndarray

    @classmethod
    def of(cls, motion: HandMotion) -> Correctives:
        """Of the take's shapes and the weights that occur in either layer."""
        weights = np.concatenate([motion.raw.weights, motion.clean.weights]).astype(np.float64)
        weights = weights[np.isfinite(weights).all(axis=1)]
        if not len(weights):
            weights = np.zeros((1, weights.shape[1]))
        low, high = weights.min(axis=0), weights.max(axis=0)
        span = np.where(high - low > 1e-9, high - low, 1.0)
        basis = motion.offset_basis.astype(np.float64)
        return cls(motion.offset_mean + np.tensordot(low, basis, 1), basis * span[:, None, None], low, span)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to add to the rest shape."""
        return not len(self.shapes) and not self.mean.any()


def key_name(number: int) -> str:
    """The shape key of corrective shape ``number``, from 0."""
    return f"Corrective {number + 1:02d}"


def build_hand_mesh(template: Template, side: str, rig: bpy.types.Object, correctives: Correctives) -> bpy.types.Object:
    """The object "Hand.L" at rest, a child of ``rig`` and deformed by it, linked to nothing yet.

    Raises:
        TakeError: the template's faces make no mesh.
    """
    name = f"Hand.{SIDE_LETTER[side]}"
    thing = bpy.data.objects.new(name, _build_mesh(name, template, side))
    thing.data.materials.append(hand_material(side))
    mark(thing, "hand", **{SIDE: side})
    _add_groups(thing, template, side)
    if not correctives.is_empty:
        _add_keys(thing, template.rest[side].vertices, correctives)
    thing.parent = rig
    modifier = thing.modifiers.new("Rig", "ARMATURE")
    modifier.object = rig
    modifier.use_deform_preserve_volume = False  # the take's skinning is linear
    return thing


def _build_mesh(name: str, template: Template, side: str) -> bpy.types.Mesh:
    faces, uv = template.faces_of(side)
    used = faces >= 0
    sizes = used.sum(axis=1)
    corners = faces[used]
    mesh = bpy.data.meshes.new(name)
    mesh.vertices.add(len(template.weights))
    mesh.vertices.foreach_set("co", template.rest[side].vertices.ravel())
    mesh.loops.add(len(corners))
    mesh.loops.foreach_set("vertex_index", corners)
    mesh.polygons.add(len(faces))
    mesh.polygons.foreach_set("loop_start", np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32))
    mesh.update(calc_edges=True)
    if mesh.validate():
        bpy.data.meshes.remove(mesh)
        raise TakeError("The template's faces make no mesh.", "Reconstruct the take again.")
    layer = mesh.uv_layers.new(name="UVMap")
    layer.data.foreach_set("uv", np.ascontiguousarray(uv[used], dtype=np.float32).ravel())
    mesh.shade_smooth()
    return mesh


def _add_groups(thing: bpy.types.Object, template: Template, side: str) -> None:
    """One vertex group per bone. Blender takes many vertices at once only for one weight, so equal ones go together."""
    for number, name in enumerate(template.bone_names):
        group = thing.vertex_groups.new(name=bone_name(name, side))
        column = template.weights[:, number]
        indices = np.flatnonzero(column > _LEAST_WEIGHT)
        values, places = np.unique(column[indices], return_inverse=True)
        order = np.argsort(places, kind="stable")
        ends = np.cumsum(np.bincount(places, minlength=len(values)))
        for value, some in zip(values.tolist(), np.split(indices[order], ends[:-1]), strict=True):
            group.add(some.tolist(), value, "REPLACE")


def _add_keys(thing: bpy.types.Object, rest: np.ndarray, correctives: Correctives) -> None:
    thing.shape_key_add(name="Basis", from_mix=False)
    thing.data.shape_keys.name = thing.name
    for name, offset in [
        (MEAN_KEY, correctives.mean),
        *((key_name(number), shape) for number, shape in enumerate(correctives.shapes)),
    ]:
        block = thing.shape_key_add(name=name, from_mix=False)
        block.data.foreach_set("co", (rest + offset).astype(np.float32).ravel())
        block.slider_min, block.slider_max = 0.0, 1.0
        block.value = 1.0 if name == MEAN_KEY else 0.0


def write_weights(
    action: bpy.types.Action, correctives: Correctives, weights: np.ndarray, keys: animation.Keys
) -> None:
    """Key the corrective shapes in ``action``.

    Args:
        weights: (N, K) of the take, at the frames of ``keys``.
    """
    values = np.clip((weights - correctives.low) / correctives.span, 0.0, 1.0)
    for number in range(values.shape[1]):
        path = f'key_blocks["{key_name(number)}"].value'
        animation.write_values(action, path, keys, values[:, number], group="Correctives")
