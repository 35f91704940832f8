"""Hands that claim the same room: what it changes that their surfaces meet in between, and Resolve Penetration.

python benchmarks/contact.py SET --source exact --method refined --scenes 110
python benchmarks/contact.py SET --method halo --scenes 60 --shift-mm 20

The first measures the surfaces of the scenes as the networks give them, and after they were parted. The second moves
the right hand along its ray, as a wrong depth does, and takes the hands apart again as the correction "apart" does.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from im2hands.core.devices import choose_device
from im2hands.core.hands import SIDES, TwoHands
from im2hands.geometry.contact import parted
from im2hands.keypoints.placing.apart import taken_apart
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.lab.evaluation.held_out import true_scenes, two_hand_scenes
from im2hands.lab.evaluation.measures import Mesh
from im2hands.lab.evaluation.methods import METHODS, load_method
from im2hands.lab.evaluation.table.rows import RowKey
from im2hands.lab.evaluation.table.scene import (
    Attempt,
    ExactKeypoints,
    FoundKeypoints,
    Surfaces,
    found_meshes,
    measure,
)

_OVERLAPPING_ML = 0.01


def main() -> None:
    """Print the means over all scenes with two surfaces, and over those whose hands overlap."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="SET", help="scenes of im2hands synthesize --kind whole")
    parser.add_argument("--source", default="exact", choices=("exact", "auto", "network", "mediapipe"))
    parser.add_argument("--method", default="refined", choices=tuple(METHODS))
    parser.add_argument("--scenes", type=int, default=100, help="scenes that show two hands large enough")
    parser.add_argument("--voxel-mm", type=float, default=1.7)
    parser.add_argument("--shift-mm", type=float, help="move the right hand away from the camera, and take them apart")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # seconds are those of one core
    surfaces = load_method(
        arguments.method, "bundled", device=choose_device("cpu"), voxel_m=arguments.voxel_mm / 1000
    )  # fmt: skip
    if surfaces is None:
        sys.exit(f"The bundled weights have no {arguments.method}.")
    if arguments.shift_mm is None:
        names = "penetration ml before, after; told ml, mm; IoU before, after; Chamfer mm before, after; seconds of the"
        _print(f"{names} surfaces, of parting", list(_meeting(arguments, surfaces)))
    else:
        names = "penetration ml before, after; deepest mm before, after; largest move mm, pixels; seconds"
        _print(names, list(_apart(arguments, surfaces)))


def _meeting(arguments: argparse.Namespace, surfaces: Surfaces) -> Iterator[list[float]]:
    source = ExactKeypoints() if arguments.source == "exact" else FoundKeypoints(arguments.source, "auto", None)
    key = RowKey(arguments.source, False, arguments.method)
    for scene in true_scenes(arguments.data, two_hand_scenes(SceneSet(arguments.data))[: arguments.scenes]):
        hands = source.hands(scene)
        started = time.process_time()
        meshes, _ = found_meshes(scene, arguments.method, surfaces, hands)
        made = time.process_time()
        if len(meshes) < len(SIDES):
            continue
        vertices, contact = parted({side: (mesh.vertices, mesh.faces) for side, mesh in meshes.items()})
        spent = [made - started, time.process_time() - made]
        met = {side: Mesh(vertices[side], mesh.faces) for side, mesh in meshes.items()}
        before, after = (measure(scene, Attempt(key, hands, one, 0.0)) for one in (meshes, met))
        row = [before.penetration_ml, after.penetration_ml, contact.penetration_ml, contact.deepest_mm]
        for name in ("iou", "chamfer_mm"):
            row += [float(np.mean(getattr(one, name))) for one in (before, after)]
        yield row + spent


def _apart(arguments: argparse.Namespace, surfaces: Surfaces) -> Iterator[list[float]]:
    for scene in true_scenes(arguments.data, two_hand_scenes(SceneSet(arguments.data))[: arguments.scenes]):
        true = ExactKeypoints().hands(scene)
        if true.left is None or true.right is None:
            continue
        points = true.right.positions
        farther = replace(true.right, positions=points * (1 + arguments.shift_mm / 1000 / points[:, 2].mean()))
        hands = TwoHands(left=true.left, right=farther)
        started = time.process_time()
        apart = taken_apart(hands, scene.camera)
        spent = time.process_time() - started
        contacts = []
        for one in (hands, apart):
            meshes, _ = found_meshes(scene, arguments.method, surfaces, one)
            contacts.append(parted({side: (mesh.vertices, mesh.faces) for side, mesh in meshes.items()})[1])
        moves = [new.positions - old.positions for old, new in zip(hands.present(), apart.present(), strict=True)]
        pixels = [
            scene.camera.project(new.positions) - scene.camera.project(old.positions)
            for old, new in zip(hands.present(), apart.present(), strict=True)
        ]
        yield [
            *(one.penetration_ml for one in contacts), *(one.deepest_mm for one in contacts),
            1000 * float(np.linalg.norm(moves, axis=-1).max()), float(np.linalg.norm(pixels, axis=-1).max()), spent,
        ]  # fmt: skip


def _print(names: str, rows: list[list[float]]) -> None:
    values = np.array(rows)
    overlapping = values[values[:, 0] > _OVERLAPPING_ML]
    sys.stdout.write(f"{names}\n")
    for text, some in (("all", values), ("overlapping", overlapping)):
        for word, mean in (("mean", np.mean), ("median", np.median)):
            numbers = "  ".join(f"{one:.4g}" for one in mean(some, axis=0)) if len(some) else "none"
            sys.stdout.write(f"{text}, {len(some)} scenes, {word}: {numbers}\n")


if __name__ == "__main__":
    main()
