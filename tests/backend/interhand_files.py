"""A tiny set in InterHand2.6M's form, with pictures of the bundled hand: 2 captures, 3 cameras, 3 frames each."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from im2hands.core.hands import INTERHAND_TO_FILE, SIDES, Side
from im2hands.lab.datasets.interhand.mano import load_mano
from im2hands.lab.datasets.interhand.posed import PosedHand, pose_hands, read_fit
from mano_files import write_mano

CAMERAS = {"400262": (334, 512), "400287": (512, 334), "410001": (334, 512)}
"""Width and height of the pictures of each camera; the last one is grey."""

FRAMES = {("0", "20625"): "both", ("0", "20628"): "right", ("0", "20631"): "dark in 400287",
          ("1", "100"): "no joints", ("1", "103"): "no left fit", ("1", "106"): "both"}  # fmt: skip
KEPT = 11
"""Pictures that can be kept: all three views of three frames, and two of the frame with a dark picture."""

SEQUENCE = "ROM01_No_Interaction_2_Hand"
FOCAL = 900.0
NOISE_MM = 3.0
PLAUSIBLE = 33
"""A joint of the left hand in the frame with a right hand only that is invalid, but holds a plausible place."""


@dataclass(frozen=True)
class MiniSet:
    """Where the set lies, and the truth behind it.

    Parameters
    ----------
    root : Path
        Folder of the set.
    mano : Path
        Folder of the MANO files.
    posed : dict of (str, str) to dict of Side to PosedHand
        The hands of each frame, world frame, metres.
    """

    root: Path
    mano: Path
    posed: dict[tuple[str, str], dict[Side, PosedHand]]


Change = Callable[[dict[str, Any]], None]


def write_interhand(
    folder: Path, split: str = "test", *, mano: Path | None = None, release: str = "",
    change: Change = lambda files: None, noise_mm: float = NOISE_MM,
) -> MiniSet:  # fmt: skip
    """Write the set.

    Parameters
    ----------
    folder : Path
        Gets the folders ``interhand`` and ``mano``.
    split : str
        The split.
    mano : Path, optional
        Folder of the MANO files; None makes one.
    release : str
        Level below ``annotations``, as older releases have it.
    change : callable
        Changes the content of the four files ("data", "camera", "joint_3d", "MANO_NeuralAnnot") before they are
        written.
    noise_mm : float
        Standard deviation of the annotated joints about those of MANO, millimetres.

    Returns
    -------
    MiniSet
        The set.
    """
    mano = mano or write_mano(folder / "mano")
    root = folder / "interhand"
    rng = np.random.default_rng(19)
    files: dict[str, Any] = {"data": {"images": [], "annotations": []}, "camera": {}, "joint_3d": {},
                             "MANO_NeuralAnnot": {}}  # fmt: skip
    posed: dict[tuple[str, str], dict[Side, PosedHand]] = {}
    for capture in ("0", "1"):
        files["camera"][capture] = _cameras(capture)
    for (capture, frame), kind in FRAMES.items():
        fits: dict[str, Any] = {side: _parameters(rng, side) for side in SIDES}
        hands = pose_hands(load_mano(mano), {side: read_fit(fits[side]) for side in SIDES})
        posed[capture, frame] = hands
        world = np.concatenate([_interhand(hands[side].keypoints) for side in ("right", "left")]) * 1000
        world = world + rng.standard_normal(world.shape) * noise_mm
        valid = np.ones(42, int)
        hand_type = "interacting"
        if kind == "right":
            hand_type, keep = "right", world[PLAUSIBLE].copy()
            world[21:], valid[21:] = 1.0, 0
            world[PLAUSIBLE] = keep
            fits["left"] = None
        if kind == "no left fit":
            fits["left"] = None
        if kind != "no joints":
            files["joint_3d"].setdefault(capture, {})[frame] = {
                "world_coord": world.tolist(), "joint_valid": [[bool(v)] for v in valid], "hand_type": hand_type,
                "hand_type_valid": True,
            }  # fmt: skip
        files["MANO_NeuralAnnot"].setdefault(capture, {})[frame] = fits
        for camera, size in CAMERAS.items():
            number = len(files["data"]["images"])
            name = f"Capture{capture}/{SEQUENCE}/cam{camera}/image{frame}.jpg"
            files["data"]["images"].append({
                "id": 1000 + number, "file_name": name, "width": size[0], "height": size[1], "capture": int(capture),
                "subject": 3, "seq_name": SEQUENCE, "camera": camera, "frame_idx": int(frame),
            })  # fmt: skip
            pixels = _project(world, files["camera"][capture], camera)[valid > 0]
            low, high = pixels.min(0), pixels.max(0)
            middle, half = (low + high) / 2, (high - low) / 2 * 1.2
            files["data"]["annotations"].append({
                "id": 1000 + number, "image_id": 1000 + number, "bbox": [*(middle - half), *(2 * half)],
                "joint_valid": [[int(v)] for v in valid], "hand_type": hand_type, "hand_type_valid": 1,
            })  # fmt: skip
            shown: tuple[Side, ...] = ("right",) if kind == "right" else SIDES
            picture = _paint({side: hands[side] for side in shown}, load_mano(mano), files["camera"][capture], camera)
            if camera.startswith("41"):
                picture = np.repeat(picture.mean(2, keepdims=True).astype(np.uint8), 3, axis=2)
            if kind.endswith(camera):
                picture = picture // 30
            path = root / "images" / split / name
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), picture)
    change(files)
    place = root / "annotations" / (release or split)
    place.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (place / f"InterHand2.6M_{split}_{name}.json").write_text(json.dumps(content), "utf-8")
    return MiniSet(root, mano, posed)


def _interhand(keypoints: np.ndarray) -> np.ndarray:
    """Keypoints (21, 3) from file order to InterHand's order."""
    result = np.empty_like(keypoints)
    result[list(INTERHAND_TO_FILE)] = keypoints
    return result


def _parameters(rng: np.random.Generator, side: Side) -> dict[str, list[float]]:
    """MANO parameters of a hand that stands upright, its palm near the plane between both hands."""
    sign = 1.0 if side == "left" else -1.0
    pose = rng.standard_normal(48) * 0.12
    pose[:3] = rng.standard_normal(3) * 0.3
    return {
        "pose": pose.tolist(), "shape": (rng.standard_normal(10) * 0.7).tolist(),
        "trans": (np.array([0.05 * sign, 0.1, 0.2]) + rng.standard_normal(3) * 0.01).tolist(),
    }  # fmt: skip


def _cameras(capture: str) -> dict[str, Any]:
    """Cameras about 1 m from the hands, with their centres in millimetres."""
    result: dict[str, Any] = {"campos": {}, "camrot": {}, "focal": {}, "princpt": {}}
    aim = np.array([0.0, 0.1, 0.2])
    for number, (camera, (width, height)) in enumerate(CAMERAS.items()):
        angle = 0.5 * (number - 1) + 0.2 * int(capture)
        centre = aim + np.array([np.sin(angle), 0.1 * number, -np.cos(angle)])
        forward = (aim - centre) / np.linalg.norm(aim - centre)
        right = np.cross([0.0, 1.0, 0.0], forward)
        right /= np.linalg.norm(right)
        turn = np.stack([right, np.cross(forward, right), forward])
        result["campos"][camera] = (centre * 1000).tolist()
        result["camrot"][camera] = turn.tolist()
        result["focal"][camera] = [FOCAL, FOCAL + 2]
        result["princpt"][camera] = [width / 2 + 3, height / 2 - 2]
    return result


def _project(world_mm: np.ndarray, cameras: dict[str, Any], camera: str) -> np.ndarray:
    seen = (world_mm - np.array(cameras["campos"][camera])) @ np.array(cameras["camrot"][camera]).T
    return seen[:, :2] / seen[:, 2:] * cameras["focal"][camera] + cameras["princpt"][camera]


def _paint(hands: dict[Side, PosedHand], mano: Any, cameras: dict[str, Any], camera: str) -> np.ndarray:
    """A picture (H, W, 3) BGR of the hands before grey, the nearest face last."""
    width, height = CAMERAS[camera]
    picture = np.full((height, width, 3), 70, np.uint8)
    faces, colours = [], []
    for side, hand in hands.items():
        world = hand.vertices * 1000
        pixels = _project(world, cameras, camera)
        depth = (world - np.array(cameras["campos"][camera])) @ np.array(cameras["camrot"][camera])[2]
        triangles = mano[side].faces
        faces += [(depth[f].mean(), np.rint(pixels[f] * 16).astype(np.int32)) for f in triangles]
        a, b, c = (world[triangles[:, k]] for k in range(3))
        normal = np.cross(b - a, c - a)
        light = 0.55 + 0.45 * np.abs(normal[:, 2] / np.linalg.norm(normal, axis=1).clip(1e-9))
        colours += list(light[:, None] * np.array([140.0, 170.0, 214.0]))
    for k in np.argsort([-depth for depth, _ in faces]):
        cv2.fillConvexPoly(picture, faces[k][1], colours[k].tolist(), shift=4)
    return picture
