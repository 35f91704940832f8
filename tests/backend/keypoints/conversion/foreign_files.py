"""Writers of other systems' files, made from a synthetic hand: each gives back the hand up to what its format keeps."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.hands import HALO_TO_FILE, INTERHAND_TO_FILE, MIDDLE_MCP, WRIST, Side
from im2hands.lab.datasets.part_occupancy import posed_hands

CAMERA = Camera(900.0, 900.0, 320.0, 240.0, 640, 480)
CROP_CAMERA = Camera(1300.0, 1300.0, 120.0, 135.0, 256, 256)
PALM = 0.09


def two_hands(seed: int = 4, depth: float = 0.7) -> dict[Side, np.ndarray]:
    """Both hands in the camera frame, file order, metres; palms of length ``PALM``."""
    joints = posed_hands(1, seed, mean=True).keypoints[0].numpy()
    joints = joints * PALM / np.linalg.norm(joints[MIDDLE_MCP] - joints[WRIST])
    turn = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])  # fingers up, palm along z
    right = joints @ turn.T
    return {
        "right": right + np.array([0.06, 0.0, depth]),
        "left": right * (-1, 1, 1) + np.array([-0.06, 0.02, depth + 0.05]),
    }


def inverse(table: tuple[int, ...]) -> list[int]:
    """Table from file order to another order."""
    return np.argsort(table).tolist()


TO_INTERHAND, TO_HALO = inverse(INTERHAND_TO_FILE), inverse(HALO_TO_FILE)


def write(path: Path, content: Any) -> Path:
    """Write by the suffix: json, npz or pkl."""
    if path.suffix == ".json":
        path.write_text(json.dumps(content, default=lambda value: np.asarray(value).tolist()), "utf-8")
    elif path.suffix == ".npz":
        np.savez(path, **content)
    else:
        path.write_bytes(pickle.dumps(content, protocol=3))
    return path


def ply(path: Path, points: np.ndarray) -> Path:
    """A binary ply file of points with colours, and without faces."""
    kind = np.dtype([*((axis, "<f4") for axis in "xyz"), ("red", "u1")])
    rows = np.zeros(len(points), kind)
    for k, axis in enumerate("xyz"):
        rows[axis] = points[:, k]
    head = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(points)}\n"
    head += "".join(f"property float {axis}\n" for axis in "xyz") + "property uchar red\nend_header\n"
    path.write_bytes(head.encode("ascii") + rows.tobytes())
    return path


def intaghand(hands: dict[Side, np.ndarray], camera: Camera) -> dict[str, np.ndarray]:
    """About the middle MCP, mean palm 0.095, weak perspective by the depth of the root."""
    factor = 0.095 / PALM
    content = {}
    for side, joints in hands.items():
        root = joints[MIDDLE_MCP]
        pixels = camera.project(root)
        content[f"joints3d_{side}"] = ((joints - root) * factor)[None]
        content[f"scale_{side}"] = np.array([camera.fx / (256 * root[2] * factor)])
        content[f"trans2d_{side}"] = ((pixels - 128) / 128)[None]
    return content


def digit(hands: dict[Side, np.ndarray], camera: Camera, inverse_affine: np.ndarray) -> dict[str, np.ndarray]:
    """Cells of 64 over a 256-pixel crop; depth about the wrist; left wrist relative to the right one."""
    turn, shift = inverse_affine[:, :2], inverse_affine[:, 2]
    rows = []
    for side in ("right", "left"):
        joints = hands[side]
        crop = (camera.project(joints) - shift) @ np.linalg.inv(turn).T
        depth = (joints[:, 2] - joints[WRIST, 2]) / 0.2
        cells = np.column_stack([crop / 4, (depth + 1) / 2 * 64])
        rows.append(cells[TO_INTERHAND])
    gap = hands["left"][WRIST, 2] - hands["right"][WRIST, 2]
    return {
        "joint_coord": np.concatenate(rows)[None], "rel_root_depth": np.array([[(gap / 0.2 + 1) / 2 * 64]]),
        "hand_type": np.ones((1, 2)), "inv_trans": inverse_affine[None],
        "root_depth": np.array([hands["right"][WRIST, 2] * 1000]),
    }  # fmt: skip


def hamer(hands: dict[Side, np.ndarray], frame: int, *, mirrored: bool) -> list[dict[str, Any]]:
    """A record a hand, full-image translation; left hands mirrored as HaMeR's are."""
    records = []
    for side, joints in hands.items():
        root = joints[WRIST]
        points = joints - root
        if mirrored and side == "left":
            points = points * (-1, 1, 1)
        records.append({
            "img_name": f"shot_{frame:06d}.jpg", "is_right": int(side == "right"), "pred_keypoints_3d": points,
            "pred_cam_t_full": root, "focal_length": CAMERA.fx, "img_size": [CAMERA.width, CAMERA.height],
        })  # fmt: skip
    return records


def nested(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same records as WiLoR-mini returns them: nested, with a first axis of 1, without the picture's size."""
    changed = []
    for record in records:
        inner = {
            "pred_keypoints_3d": record["pred_keypoints_3d"][None], "pred_cam_t_full": record["pred_cam_t_full"][None],
            "scaled_focal_length": record["focal_length"], "hand_pose": np.zeros((1, 15, 3)),
        }  # fmt: skip
        outer = {"img_name": record["img_name"], "is_right": float(record["is_right"]), "hand_bbox": [1, 2, 3, 4]}
        changed.append({**outer, "wilor_preds": inner})
    return changed


def weak(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same records with a weak-perspective camera in a box instead of the translation."""
    changed = []
    for record in records:
        shift = record.pop("pred_cam_t_full")
        box, centre = 180.0, np.array([350.0, 200.0])
        scale = 2 * CAMERA.fx / (shift[2] * box)
        aside = shift[:2] - (centre - (CAMERA.width / 2, CAMERA.height / 2)) * shift[2] / CAMERA.fx
        if not record["is_right"]:
            aside = aside * (-1, 1)
        changed.append({**record, "pred_cam": [scale, *aside], "box_center": centre, "box_size": box})
    return changed


def mhr(hands: dict[Side, np.ndarray], frame: int) -> dict[str, Any]:
    """One person of 70 keypoints about the body's root."""
    root = np.array([0.0, 0.3, 0.9])
    points = np.zeros((70, 3))
    points[21:42], points[42:63] = (hands[side][TO_INTERHAND] - root for side in ("right", "left"))
    return {"frame": frame, "pred_keypoints_3d": points, "pred_cam_t": root, "focal_length": 900.0,
            "img_size": [640, 480]}  # fmt: skip


def mediapipe(hands: dict[Side, np.ndarray], frame: int) -> dict[str, Any]:
    """The fields of the result, landmarks as dictionaries."""
    flat, world, sides = [], [], []
    for side, joints in hands.items():
        pixels = (CAMERA.project(joints) + 0.5) / (CAMERA.width, CAMERA.height)
        flat.append([{"x": x, "y": y, "z": 0.0} for x, y in pixels])
        world.append([dict(zip("xyz", point, strict=True)) for point in (joints - joints.mean(0)).tolist()])
        sides.append([{"category_name": side.capitalize(), "score": 0.9}])
    return {"frame": frame, "hand_landmarks": flat, "hand_world_landmarks": world, "handedness": sides}


def openpose(hands: dict[Side, np.ndarray], *, solid: bool = False) -> dict[str, Any]:
    """One person of a json file."""
    person: dict[str, Any] = {}
    for side, joints in hands.items():
        values = joints if solid else CAMERA.project(joints)
        rows = np.column_stack([values, np.full(21, 0.8)])
        person[f"hand_{side}_keypoints_{'3d' if solid else '2d'}"] = rows.reshape(-1).tolist()
    return {"version": 1.3, "people": [person]}
