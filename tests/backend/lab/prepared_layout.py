"""Writers of tiny files in the layout that ``im2hands evaluate shapes`` reads, made from the bundled synthetic hand.

They write the format by themselves, from its description, so that the reader is not tested against itself.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import trimesh

from im2hands.core.hands import FILE_TO_HALO
from im2hands.geometry.bones import bones_from_keypoints
from im2hands.geometry.mesh_file import write_off
from im2hands.lab.datasets.part_occupancy import inside, posed_hands
from im2hands.lab.evaluation.measures import Mesh

SCALE = 0.4
SIDES = ("left", "right")
ROOTS = {"left": np.array([-0.2, 0.02, 0.5]), "right": np.array([0.2, -0.01, 0.52])}
"""Wrists in the world, metres."""


def canonical_hand(seed: int = 5) -> tuple[Mesh, np.ndarray]:
    """A right hand in its canonical frame and its keypoints, cut at the wrist and closed, metres."""
    hands = posed_hands(1, seed, mean=True)
    vertices, joints = hands.vertices[0].numpy(), hands.keypoints[0].numpy()
    whole = trimesh.Trimesh(vertices, hands.faces, process=False)
    kept = whole.faces[(whole.vertices[whole.faces][..., 0] < 0.004).all(1)]
    return Mesh(vertices, kept), joints


def opened(mesh: Mesh) -> Mesh:
    """The largest piece of a mesh, without unused vertices."""
    made = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    pieces = made.split(only_watertight=False)
    largest = max(pieces, key=lambda piece: len(piece.faces))
    return Mesh(np.asarray(largest.vertices), np.asarray(largest.faces, np.int64))


def write_hand(
    folder: Path, name: str, mesh: Mesh, joints: np.ndarray, *, mesh_file: bool = True, points: int = 100_000,
    cloud: int = 100_000, seed: int = 0, exact: bool = False,
) -> None:  # fmt: skip
    """Write all files of one hand of the split ``folder``.

    ``mesh`` and ``joints`` (21, 3) are in the canonical frame of a right hand. ``exact`` stores float32.
    """
    side = name.rpartition("_")[2]
    rng = np.random.default_rng(seed)
    turn = np.eye(4)
    turn[:3, :3] = trimesh.transformations.euler_matrix(0.4, -0.7, 1.1)[:3, :3]
    root = ROOTS[side] * ([-1, 1, 1] if side == "left" else [1, 1, 1])
    _save(folder / "meta" / f"{name}.npz", hand_joints=joints[list(FILE_TO_HALO)].astype(np.float32),
          root_rot_mat=turn.astype(np.float32), root_xyz=root.astype(np.float32))  # fmt: skip
    scaled = mesh.vertices / SCALE
    body = trimesh.Trimesh(scaled, mesh.faces, process=False)
    kind = np.float32 if exact else np.float16
    uniform = rng.uniform(-0.55, 0.55, (points, 3))
    near = body.sample(points // 2, seed=seed) + rng.normal(0, 0.01, (points // 2, 3))
    for sub, chosen in (("points", np.concatenate([uniform[: points - points // 2], near])), ("points_iou", uniform)):
        bits = inside(chosen, np.ascontiguousarray(scaled), mesh.faces)
        _save(folder / sub / f"{name}.npz", points=chosen.astype(kind), occupancies=np.packbits(bits),
              loc=np.zeros(3), scale=np.float64(1))  # fmt: skip
    surface, faces = trimesh.sample.sample_surface(body, cloud, seed=seed + 1)
    _save(folder / "pointcloud" / f"{name}.npz", points=surface.astype(kind),
          normals=body.face_normals[faces].astype(kind))  # fmt: skip
    if mesh_file:
        (folder / "mesh").mkdir(parents=True, exist_ok=True)
        write_off(folder / "mesh" / f"{name}.off", mesh.vertices, mesh.faces)
    names = sorted(path.stem for path in (folder / "meta").glob("*.npz"))
    (folder / "datalist.txt").write_text("\n".join(names) + "\n", "utf-8")


def _save(path: Path, **arrays: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)


def bones_frame(joints: np.ndarray) -> np.ndarray:
    """M of keypoints (21, 3) of a right hand."""
    return bones_from_keypoints(torch.from_numpy(joints)[None], ["right"]).rotation[0].numpy()
