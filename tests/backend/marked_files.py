"""Tiny sets in the form of RGB2Hands and of EgoHands, with pictures of the bundled hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.hands import SIDES, Side
from im2hands.lab.datasets.interhand.mano import load_mano
from im2hands.lab.datasets.interhand.posed import pose_hands, read_fit
from im2hands.lab.datasets.rgb2hands import KEYPOINTS
from im2hands.lab.evaluation.measures import Mesh
from im2hands.lab.evaluation.overlay import draw_meshes

OFFSET_MM = np.array([-23.0, -0.05, -0.3])
"""Origin of the colour camera in the depth camera's frame."""

_GREY = 90


@dataclass(frozen=True)
class Shown:
    """Both hands before a camera, camera frame, metres."""

    meshes: dict[Side, Mesh]
    keypoints: dict[Side, np.ndarray]
    image: np.ndarray


def show_hands(mano: Path, seed: int, camera: Camera, depth: float = 0.45) -> Shown:
    """Pose both hands upright before a camera and draw them, RGB."""
    rng = np.random.default_rng(seed)
    model = load_mano(mano)
    fits = {}
    for side in SIDES:
        pose = rng.standard_normal(48) * 0.1
        pose[:3] = rng.standard_normal(3) * 0.15
        fits[side] = read_fit({"pose": pose, "shape": np.zeros(10), "trans": np.zeros(3)})
    posed = pose_hands(model, fits)
    meshes: dict[Side, Mesh] = {}
    keypoints: dict[Side, np.ndarray] = {}
    for side in SIDES:
        # Fingers up in the picture (y points down), the right hand on the left of the picture: palms to the camera.
        turn = _upright(posed[side].keypoints, side)
        middle = turn @ posed[side].keypoints[9]
        shift = np.array([-0.09 if side == "right" else 0.09, 0.0, depth]) - middle
        meshes[side] = Mesh(posed[side].vertices @ turn.T + shift, model[side].faces)
        keypoints[side] = posed[side].keypoints @ turn.T + shift
    blank = np.full((camera.height, camera.width, 3), _GREY, np.uint8)
    return Shown(meshes, keypoints, draw_meshes(blank, meshes, camera, 1.0))


def _upright(keypoints: np.ndarray, side: Side) -> np.ndarray:
    """A rotation that points the fingers up and the index finger to the side where the thumb of a shown palm is."""
    up = keypoints[9] - keypoints[0]
    up /= np.linalg.norm(up)
    across = keypoints[5] - keypoints[17]
    across -= (across @ up) * up
    across /= np.linalg.norm(across)
    x = across if side == "right" else -across
    return np.stack([x, -up, np.cross(x, -up)])


def write_rgb2hands(folder: Path, mano: Path, *, level: str = "data") -> dict[tuple[str, str], Shown]:
    """Write two sequences of two photos each, some points not marked; return what the photos show."""
    base = folder / "RGB2HANDS_Benchmark"
    base.mkdir(parents=True)
    camera = Camera(619.0, 618.5, 326.0, 226.0, 640, 480)
    (base / "color_intrinsics.txt").write_text("619.0 618.5 326.0 226.0\r\n", "ascii", newline="")
    (base / "depth_intrinsics.txt").write_text("475.0 475.0 310.0 245.0\n", "ascii")
    (base / "extrinsics.txt").write_text(" ".join(map(str, OFFSET_MM)), "ascii")
    shown = {}
    for number, sequence in enumerate(("seq01_crossed", "seq04_scratch")):
        place = base / level / sequence
        for name in ("color", "depth", "annotation/annot2D_color", "annotation/annot3D_depth"):
            (place / name).mkdir(parents=True)
        for frame in ("000100", "000105"):
            seen = show_hands(mano, 2 * number + int(frame) % 2, camera)
            shown[sequence, frame] = seen
            cv2.imwrite(str(place / "color" / f"{frame}_color.png"), seen.image[..., ::-1])
            depth = np.full((480, 640), 1200, np.uint16)
            cv2.imwrite(str(place / "depth" / f"{frame}_depth.png"), depth)
            points = np.concatenate([seen.keypoints[side][list(KEYPOINTS)] for side in ("right", "left")]) * 1000
            flags = np.zeros((28, 1))
            flat = np.column_stack([camera.project(points / 1000), points[:, 2], flags])
            deep = np.column_stack([points + OFFSET_MM, flags])
            for rows in (flat, deep):
                rows[[0, 15], :3] = 0.0  # nobody marked these
            for kind, rows, end in (("annot2D_color", flat, "color2.5D"), ("annot3D_depth", deep, "color3D")):
                text = "".join(" ".join(f"{v:.18e}" for v in row) + "\r\n" for row in rows)
                (place / "annotation" / kind / f"{frame}_{end}.txt").write_bytes(text.encode("ascii"))
    return shown


def write_egohands(folder: Path, mano: Path, photos: int = 3) -> dict[tuple[str, str], Shown]:
    """Write two videos; the second has no ``polygons.mat``, only its entry in ``metadata.mat``."""
    from scipy.io import savemat

    base = folder / "egohands_data"
    camera = Camera.from_fov(60.0, 1280, 720)
    shown: dict[tuple[str, str], Shown] = {}
    videos = []
    for number, video in enumerate(("CARDS_COURTYARD_B_T", "CHESS_OFFICE_H_S")):
        place = base / "_LABELLED_SAMPLES" / video
        place.mkdir(parents=True)
        rows = []
        for k in range(photos):
            name = f"frame_{11 * k + 3:04d}"
            seen = show_hands(mano, 10 * number + k, camera)
            shown[video, name] = seen
            cv2.imwrite(str(place / f"{name}.jpg"), seen.image[..., ::-1])
            outlines = {f"my{side}": silhouette(seen.meshes[side], camera) + 1.0 for side in SIDES}
            if k == 2:
                outlines["myleft"] = np.zeros((0, 0))
            rows.append({"frame_num": 11 * k + 3, **outlines, "yourleft": np.zeros((0, 0)),
                         "yourright": np.array([[5.0, 5], [50, 5], [50, 60]])})  # fmt: skip
        if number == 0:
            savemat(place / "polygons.mat", {"polygons": _structs(rows, rows[0].keys() - {"frame_num"})})
        videos.append({"video_id": video, "partner_video_id": "", "labelled_frames": _structs(rows, rows[0].keys())})
    savemat(base / "metadata.mat", {"video": _structs(videos, videos[0].keys())})
    return shown


def _structs(rows: list[dict[str, Any]], names: Any) -> np.ndarray:
    """A struct array (1, N) of MATLAB."""
    fields = [name for name in rows[0] if name in names]
    table = np.zeros((1, len(rows)), dtype=[(name, object) for name in fields])
    for k, row in enumerate(rows):
        for name in fields:
            table[0, k][name] = row[name]
    return table


def silhouette(mesh: Mesh, camera: Camera) -> np.ndarray:
    """The outer outline of a mesh in a picture, (N, 2) pixels."""
    mask = np.zeros((camera.height, camera.width), np.uint8)
    for corners in np.rint(camera.project(mesh.vertices)[mesh.faces] * 16).astype(np.int32):
        cv2.fillPoly(mask, [corners], 1, cv2.LINE_8, 4)
    found = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    return max(found, key=cv2.contourArea)[:, 0].astype(np.float64)
