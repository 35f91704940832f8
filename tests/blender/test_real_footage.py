"""Sources that Blender shows otherwise, through the real backend: each frame shows the picture of its hands."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import bpy
import numpy as np
import pytest
import synthetic
from test_shown_pictures import alike, background_on, card_on, overlay_on

CASES = Path(__file__).parents[1] / "media_cases"

# Writes the pictures in which a job looks for hands.
_DECODE = """
import sys, numpy as np
from im2hands.media.source import open_source
source = open_source(sys.argv[2:], mirrored=sys.argv[1] == "mirrored")
np.savez("pictures.npz", **{str(entry.index): frame.image for entry, frame in source if hasattr(frame, "image")})
"""


def decoded(backend: str, folder: Path, source: Path, mirrored: bool) -> dict[int, np.ndarray]:
    """The pictures that the backend sees, by frame."""
    arguments = ["mirrored" if mirrored else "plain", str(source)]
    subprocess.run([backend, "-c", _DECODE, *arguments], cwd=folder, check=True, timeout=120)
    with np.load(folder / "pictures.npz") as pictures:
        return {int(name): pictures[name] for name in pictures.files}


def reconstruct(backend: str, folder: Path, source: Path, frames: list[int], mirrored: bool) -> Path:
    """Reconstruct a source with hands from a file, because footage does not depend on them."""
    places = {"left": (0.09, 0.08, 0.55), "right": (-0.09, 0.08, 0.55)}
    hands = {side: synthetic.keypoints(side, place).tolist() for side, place in places.items()}
    keypoints = {"order": "file", "unit": "m", "space": "camera", "frames": {str(frame): hands for frame in frames}}
    (folder / "keypoints.json").write_text(json.dumps(keypoints), "utf-8")
    found = ["--mirrored"] if mirrored else ["--keypoints", str(folder / "keypoints.json")]
    command = [backend, "-m", "im2hands", "reconstruct", str(source), "-o", str(folder / "take"), *found]
    command += ["--stage", "keypoints", "--voxel-mm", "8", "--no-clean", "--device", "cpu", "--fov", "60"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode in (0, 1), ended.stderr  # 1: a damaged frame failed, the others are there
    return folder / "take"


def mixed_series(folder: Path) -> Path:
    """Three JPEG photos of a burst; the phone was turned for the second one."""
    for number, size in ((1, (160, 120)), (2, (120, 160)), (3, (160, 120))):
        path = synthetic.write_jpeg(folder / "burst" / f"burst_{number}.jpg", synthetic.numbered_picture(*size, number))
        exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([6 if number == 2 else 1]) + b"\0" * 7
        stored = path.read_bytes()
        path.write_bytes(stored[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + stored[2:])
    return folder / "burst"


def source_of(name: str, folder: Path) -> Path:
    if name == "burst":
        return mixed_series(folder)
    return Path(shutil.copy(CASES / name, folder / name))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("exif6.png", "upright"),
        ("exif6.webp", "upright"),
        ("exif6.tif", "upright"),
        ("exif3.png", "upright"),
        ("burst", "different orientations"),
        ("single.heic", "HEIF"),
        ("hands.gif", "plays no .gif"),
        ("anim.webp", "plays no .webp"),
        ("rot90.mp4", "turned"),
        ("rot180.mp4", "turned"),
        ("rot270.mp4", "turned"),
        ("rotsq90.mp4", "turned"),
        ("vfr.mp4", "varies"),
        ("vfr.webm", "varies"),
        ("damaged.avi", "damaged"),
        ("sar43.mp4", "not square"),
        ("avchd.mts", "interlaced"),
        ("trimmed.mp4", ""),
        ("recorder.webm", "does not say how long"),
        ("base8.mp4", ""),
        ("base8.mp4 mirrored", "mirror image"),
    ],
)
def test_each_frame_shows_the_picture_of_its_hands(
    addon, real_backend: str, tmp_path: Path, name: str, reason: str
) -> None:
    name, _, mirrored = name.partition(" ")
    source = source_of(name, tmp_path)
    pictures = decoded(real_backend, tmp_path, source, bool(mirrored))
    folder = reconstruct(real_backend, tmp_path, source, sorted(pictures), bool(mirrored))
    footage = json.loads((folder / "take.json").read_text("utf-8")).get("footage") or {"reason": ""}
    assert reason in footage["reason"] and bool(reason) == bool(footage["reason"])
    collection, problems = addon("api").import_take(folder)
    assert not problems
    addon("api").show_footage(collection)
    frames = sorted(pictures)
    for frame in {frames[0], frames[len(frames) // 2], frames[-1]}:
        assert alike(background_on(frame, tmp_path), pictures[frame]), f"background on {frame}"
        assert alike(card_on(collection, frame, tmp_path), pictures[frame]), f"footage in space on {frame}"
    scene = bpy.context.scene
    if len({pictures[frame].shape for frame in frames}) == 1:
        assert (scene.render.resolution_y, scene.render.resolution_x) == pictures[frames[0]].shape[:2]
        assert alike(overlay_on(addon, frames[-1], tmp_path), pictures[frames[-1]]), "overlay"
