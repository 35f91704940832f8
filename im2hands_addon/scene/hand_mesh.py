"""The clean mesh of a hand: fixed topology, with UVs, skin weights and corrective shape keys."""

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
"""Name of the shape key with the mean correction."""
_LEAST_WEIGHT = 1e-6


@dataclass(frozen=True)
class Correctives:
    """Corrective shapes, scaled so that their weights are within 0 to 1 as exporters and other programs expect.

    A weight w of the take becomes the value (w - low) / span of a shape key.

    Parameters
    ----------
    mean : (T, 3) float64
        Offsets that are always added, metres.
    shapes : (K, T, 3) float64
        Offsets of each shape at the value 1, metres.
    low : (K,) float64
        The weights of the take at the value 0.
    span : (K,) float64
        The ranges of the weights.
    """

    mean: np.ndarray
    shapes: np.ndarray
    low: np.ndarray
    span: np.ndarray

    @classmethod
    def of(cls, motion: HandMotion) -> Correctives:
        """Scale the corrective shapes of a hand by the weights that occur in either layer.

        Parameters
        ----------
        motion : HandMotion
            The hand's motion.

        Returns
        -------
        Correctives
            The scaled shapes.
        """
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
        """Whether nothing is added to the rest shape."""
        return not len(self.shapes) and not self.mean.any()


def key_name(number: int) -> str:
    """The name of the shape key of corrective shape ``number``, which counts from 0."""
    return f"Corrective {number + 1:02d}"


def build_hand_mesh(template: Template, side: str, rig: bpy.types.Object, correctives: Correctives) -> bpy.types.Object:
    """Make the mesh object of a hand, "Hand.L" or "Hand.R", in its rest pose.

    Parameters
    ----------
    template : Template
        The template hand.
    side : str
        "left" or "right".
    rig : bpy.types.Object
        The armature object that is its parent and deforms it.
    correctives : Correctives
        The corrective shapes.

    Returns
    -------
    bpy.types.Object
        The object, in no collection.

    Raises
    ------
    TakeError
        The template's faces are not a valid mesh.
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
    modifier.use_deform_preserve_volume = False  # the take assumes linear blend skinning
    return thing


def require_mesh(template: Template, side: str) -> None:
    """Refuse a template whose faces are not a valid mesh, before anything is replaced.

    Parameters
    ----------
    template : Template
        The template hand.
    side : str
        "left" or "right".

    Raises
    ------
    TakeError
        The faces are not a valid mesh.
    """
    bpy.data.meshes.remove(_build_mesh("Im2Hands Check", template, side))


def _build_mesh(name: str, template: Template, side: str) -> bpy.types.Mesh:
    """The mesh in its rest pose with UVs."""
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
        raise TakeError("The template's faces are not a valid mesh.", "Reconstruct the take again.")
    layer = mesh.uv_layers.new(name="UVMap")
    layer.data.foreach_set("uv", np.ascontiguousarray(uv[used], dtype=np.float32).ravel())
    mesh.shade_smooth()
    return mesh


def _add_groups(thing: bpy.types.Object, template: Template, side: str) -> None:
    """Add one vertex group per bone. Blender can add many vertices in one call only if they have the same weight."""
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
    """Add the shape keys; ``rest`` (T, 3) are the vertices at rest, metres."""
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
    """Write the keys of the corrective shapes into an action.

    Parameters
    ----------
    action : bpy.types.Action
        The action of the shape keys.
    correctives : Correctives
        The corrective shapes.
    weights : (N, K) array
        The take's weights on the frames of ``keys``.
    keys : animation.Keys
        The N keys.
    """
    values = np.clip((weights - correctives.low) / correctives.span, 0.0, 1.0)
    for number in range(values.shape[1]):
        path = f'key_blocks["{key_name(number)}"].value'
        animation.write_values(action, path, keys, values[:, number], group="Correctives")
