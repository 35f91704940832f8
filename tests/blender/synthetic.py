"""Synthetic takes made with numpy: hands built of capsules around keypoints, and pictures."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np

SIDES = ("left", "right")
# For each finger: the lengths of its segments from the wrist on, metres, and its direction in the plane of the palm,
# radians.
_FINGERS = (
    ((0.040, 0.038, 0.030, 0.026), 0.75),
    ((0.085, 0.042, 0.025, 0.022), 0.18),
    ((0.088, 0.046, 0.030, 0.023), 0.0),
    ((0.083, 0.043, 0.028, 0.023), -0.16),
    ((0.078, 0.032, 0.020, 0.021), -0.33),
)


def keypoints(side: str, wrist: tuple[float, float, float], curl: float = 0.2) -> np.ndarray:
    """Keypoints of an upright hand with its palm to the camera.

    Parameters
    ----------
    side : str
        "left" or "right".
    wrist : tuple of float
        Position of the wrist, camera frame, metres.
    curl : float
        Bend of each finger joint towards the camera, radians.

    Returns
    -------
    (21, 3) float32
        Keypoints in file order, camera frame, metres.
    """
    outward = (
        1.0 if side == "left" else -1.0
    )  # the person faces the camera: the thumb of the left hand points to the left of the picture
    points = [np.zeros(3)]
    for lengths, angle in _FINGERS:
        place, bend = np.zeros(3), 0.0
        for length in lengths:
            direction = np.array(
                [-outward * np.sin(angle) * np.cos(bend), -np.cos(angle) * np.cos(bend), -np.sin(bend)]
            )
            place = place + length * direction
            points.append(place)
            bend += curl
    return (np.array(points) + wrist).astype(np.float32)


def capsule_mesh(points: np.ndarray, radius: float = 0.008) -> tuple[np.ndarray, np.ndarray]:
    """A closed tube along each bone: vertices (V, 3) float32 and triangles (F, 3) int32 that face outward."""
    parents = (0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19)
    vertices, faces, sides = [], [], 10
    around = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    for child, parent in enumerate(parents, start=1):
        a, b = points[parent].astype(float), points[child].astype(float)
        axis = (b - a) / np.linalg.norm(b - a)
        u = np.cross(axis, [0.3, 0.2, 0.9])
        u /= np.linalg.norm(u)
        v = np.cross(axis, u)
        ring = radius * (np.cos(around)[:, None] * u + np.sin(around)[:, None] * v)
        start = len(vertices)
        vertices += [*(a + ring), *(b + ring), a - radius * axis, b + radius * axis]
        tip_a, tip_b = start + 2 * sides, start + 2 * sides + 1
        for k in range(sides):
            low, low2 = start + k, start + (k + 1) % sides
            high, high2 = low + sides, low2 + sides
            faces += [(low, low2, high2), (low, high2, high), (tip_a, low2, low), (tip_b, high, high2)]
    return np.array(vertices, np.float32), np.array(faces, np.int32)


def camera(width: int, height: int, focal: float | None = None, **changes: float) -> dict:
    """A camera as in ``take.json``, centred and with square pixels unless changed."""
    focal = focal or 1.2 * max(width, height)
    centred = {"fx": focal, "fy": focal, "cx": (width - 1) / 2, "cy": (height - 1) / 2}
    return {**centred, "width": width, "height": height, "origin": "user", **changes}


def project(points: np.ndarray, cam: dict) -> np.ndarray:
    """Project camera-frame points (N, 3) to pixels (N, 2); pixel centres have whole coordinates."""
    points = np.asarray(points, float)
    return points[:, :2] / points[:, 2:] * (cam["fx"], cam["fy"]) + (cam["cx"], cam["cy"])


def hand_arrays(side: str, cam: dict, *, shift: float = 0.0, curl: float = 0.2) -> dict[str, np.ndarray]:
    """The arrays of one hand as in ``frames/NNNNNN.npz``; ``shift`` moves it to the right, metres."""
    x = 0.09 if side == "left" else -0.09
    points = keypoints(side, (x + shift, 0.08, 0.55), curl)
    vertices, faces = capsule_mesh(points)
    return {
        f"{side}_vertices": vertices,
        f"{side}_faces": faces,
        f"{side}_keypoints": points,
        f"{side}_keypoints_2d": project(points, cam).astype(np.float32),
        f"{side}_confidence": np.full(21, 0.9, np.float32),
        f"{side}_bone_lengths": np.full(16, 0.03, np.float32),
    }


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write (H, W, 3) uint8 as a PNG file."""
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in np.ascontiguousarray(pixels))

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


def write_avi(path: Path, pictures: list[np.ndarray], fps: int = 25) -> None:
    """Write pictures (H, W, 3) uint8, widths a multiple of 4, as an uncompressed AVI file."""
    height, width = pictures[0].shape[:2]

    def chunk(name: bytes, body: bytes) -> bytes:
        return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)

    def listed(name: bytes, *parts: bytes) -> bytes:
        return chunk(b"LIST", name + b"".join(parts))

    size, count = width * height * 3, len(pictures)
    main = struct.pack("<14I", 10**6 // fps, size * fps, 0, 0x10, count, 0, 1, size, width, height, 0, 0, 0, 0)
    stream = b"vidsDIB " + struct.pack("<IHHIIIIIIII4H", 0, 0, 0, 0, 1, fps, 0, count, size, 0, 0, 0, 0, width, height)
    layout = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, size, 0, 0, 0, 0)
    header = listed(b"hdrl", chunk(b"avih", main), listed(b"strl", chunk(b"strh", stream), chunk(b"strf", layout)))
    frames = [chunk(b"00db", np.ascontiguousarray(one[::-1, :, ::-1]).tobytes()) for one in pictures]
    path.write_bytes(chunk(b"RIFF", b"AVI " + header + listed(b"movi", *frames)))


def picture(width: int, height: int, seed: int = 0) -> np.ndarray:
    """A picture (H, W, 3) uint8: a smooth gradient, different for each seed."""
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([x / width, y / height, np.full(x.shape, (seed % 7) / 7)], axis=-1)
    return (40 + 170 * base).astype(np.uint8)


def numbered_picture(width: int, height: int, number: int) -> np.ndarray:
    """A picture (H, W, 3) uint8 that shows its number: ten bits as bars at the top, on a gradient without symmetry."""
    pixels = picture(width, height)
    for bit in range(10):
        left, right = bit * width // 10, (bit + 1) * width // 10
        pixels[: height // 3, left:right] = 230 if number >> bit & 1 else 20
    return pixels


def write_jpeg(path: Path, pixels: np.ndarray) -> Path:
    """Write (H, W, 3) uint8 as a JPEG file, with Blender; return its path."""
    import bpy

    height, width = pixels.shape[:2]
    values = np.ones((height, width, 4), np.float32)
    values[..., :3] = pixels[::-1] / np.float32(255)
    image = bpy.data.images.new("jpeg", width, height)
    image.pixels.foreach_set(values.ravel())
    path.parent.mkdir(parents=True, exist_ok=True)
    image.filepath_raw, image.file_format = str(path), "JPEG"
    image.save(quality=95)
    bpy.data.images.remove(image)
    return path


def add_copies(folder: Path, pictures: dict[int, np.ndarray], pattern: str = "footage/%06d.jpg") -> None:
    """Add copies of pictures, (H, W, 3) uint8 by frame, to a take."""
    data = json.loads((folder / "take.json").read_text("utf-8"))
    data["footage"] = {"pattern": pattern, "reason": "test", "bytes": 0}
    (folder / "take.json").write_text(json.dumps(data), "utf-8")
    for frame, pixels in pictures.items():
        write_jpeg(folder / (pattern % frame), pixels)


def write_take(
    folder: Path,
    frames: dict[int, tuple[str, ...]],
    *,
    size: tuple[int, int] = (160, 120),
    cam: dict | None = None,
    step: int = 1,
    fps: float = 25.0,
    kind: str = "images",
    files: list[str] | None = None,
    images: dict[int, str] | None = None,
    cameras: dict[int, dict] | None = None,
    confidence: dict[int, float] | None = None,
    failed: tuple[int, ...] = (),
    extra_arrays: bool = False,
    version: int = 1,
    keep: bool = False,
    mirrored: bool = False,
    changes: dict | None = None,
) -> Path:
    """Write a take; each frame differs from the one before.

    Parameters
    ----------
    folder : Path
        The take's folder.
    frames : dict
        Frame -> sides of its hands.
    size : tuple of int
        Width and height of the pictures, pixels.
    cam : dict, optional
        The camera; None for :func:`camera` of this size.
    step, fps, kind, version
        Fields of ``take.json``.
    files : list of str, optional
        The source's files; None for the pictures.
    images : dict, optional
        Frame -> path of its picture.
    cameras : dict, optional
        Frame -> camera, for frames whose camera differs from ``cam``.
    confidence : dict, optional
        Frame -> confidence in its hands; 0.9 for the others.
    failed : tuple of int
        Frames with the status "failed", which have no file.
    extra_arrays : bool
        Whether to add unknown arrays to the frames' files.
    keep : bool
        Whether to keep existing frame files unchanged.
    mirrored : bool
        Whether the settings say that the pictures are mirror images; ``S_keypoints_2d`` stay those of ``cam``.
    changes : dict, optional
        Fields of ``take.json`` in place of these.

    Returns
    -------
    Path
        The take's folder.
    """
    cam = cam or camera(*size)
    records = []
    (folder / "frames").mkdir(parents=True, exist_ok=True)
    for index, sides in frames.items():
        own = (cameras or {}).get(index, cam)
        status = "failed" if index in failed else {2: "ok", 1: "partial", 0: "empty"}[len(sides)]
        hands = {side: {"confidence": (confidence or {}).get(index, 0.9), "source": "test"} for side in sides}
        file = "" if status in ("failed", "empty") else f"frames/{index:06d}.npz"
        record = {"index": index, "file": file, "status": status, "hands": hands, "message": "", "key": "k"}
        if images and index in images:
            record["image"] = images[index]
        if own is not cam:
            record |= {"camera": own, "image_size": [own["width"], own["height"]]}
        if file:
            arrays = {}
            for side in sides:
                arrays |= hand_arrays(side, own, shift=0.002 * (index % 10), curl=0.1 + 0.02 * (index % 7))
            if extra_arrays:
                arrays |= {"left_template_vertices": np.zeros((7, 3), np.float32), "notes": np.zeros(2)}
            if not (keep and (folder / file).is_file()):
                np.savez(folder / file, **arrays)
        records.append(record)
    take = {
        "format": "im2hands-take",
        "version": version,
        "source": {
            "kind": kind,
            "inputs": [],
            "files": files or list((images or {}).values()),
            "first": 1,
            "step": step,
        },
        "fps": fps,
        "image_size": [cam["width"], cam["height"]],
        "camera": cam,
        "frames": records,
        "settings": {"voxel_mm": 1.7, "mirrored": mirrored},
        "provenance": {"im2hands": "test"},
        **(changes or {}),
    }
    temporary = folder / ".take.json.tmp"
    temporary.write_text(json.dumps(take, ensure_ascii=False), encoding="utf-8", errors="backslashreplace")
    temporary.replace(folder / "take.json")
    return folder
