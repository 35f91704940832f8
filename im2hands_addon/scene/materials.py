"""The materials of the left and the right hand: skin-like when rendered; blue and orange in Solid views.

Blue and orange stand out from skin in the footage and from each other, also for people who see no red or green.
"""

from __future__ import annotations

import bpy

from .blender_versions import ensure_node_tree
from .ownership import mark

_COLORS = {"left": (0.58, 0.20, 0.15, 1.0), "right": (0.68, 0.38, 0.14, 1.0)}  # linear: rose and honey
_DISPLAY_COLORS = {"left": (0.05, 0.22, 0.60, 1.0), "right": (0.75, 0.25, 0.03, 1.0)}
_NAMES = {"left": "Im2Hands Left", "right": "Im2Hands Right"}


def hand_material(side: str) -> bpy.types.Material:
    """Return the material of a hand. An existing material is returned unchanged, so the person's edits are kept.

    Parameters
    ----------
    side : str
        "left" or "right".

    Returns
    -------
    bpy.types.Material
        The material.
    """
    name = _NAMES[side]
    material = bpy.data.materials.get(name)
    if material is not None and material.library is None:
        return material
    material = bpy.data.materials.new(name)
    mark(material, "material")
    material.diffuse_color = _DISPLAY_COLORS[side]
    material.roughness = 0.5
    shader = next(node for node in ensure_node_tree(material).nodes if node.type == "BSDF_PRINCIPLED")
    shader.inputs["Base Color"].default_value = _COLORS[side]
    shader.inputs["Roughness"].default_value = 0.5
    shader.inputs["Specular IOR Level"].default_value = 0.35
    return material
