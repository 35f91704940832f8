"""The demo clip: complete, hands where its keypoints are, and usable for reconstruction and cleaning."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from im2hands.app.cli import main as cli
from im2hands.core.camera import Camera
from im2hands.core.hands import SIDES
from im2hands.keypoints.file import KeypointFile
from im2hands.lab.bench.motion_figures import error, jitter

FOLDER = Path(__file__).resolve().parents[3] / "demo" / "clip"
CLIP, CAMERA, TRUTH = (FOLDER / f"hands_clip{end}" for end in (".avi", "_camera.json", "_truth.npz"))
FRAMES = 60


@pytest.fixture(scope="module")
def camera() -> Camera:
    import json

    return Camera(**json.loads(CAMERA.read_text("utf-8")))


def test_hands_are_where_the_keypoints_say(camera: Camera) -> None:
    film, truth = cv2.VideoCapture(str(CLIP)), KeypointFile.read(TRUTH)
    assert truth.frames == list(range(1, FRAMES + 1))
    for frame in range(1, FRAMES + 1):
        ok, picture = film.read()
        assert ok
        assert picture.shape == (camera.height, camera.width, 3)
        hands = truth.hands(frame, camera)
        for side in SIDES:
            hand = getattr(hands, side)
            x, y = camera.project(hand.positions).round().astype(int).T
            inside = (x >= 0) & (y >= 0) & (x < camera.width) & (y < camera.height)
            assert inside.mean() > 0.85
            colour = picture[y[inside], x[inside]].astype(int)
            # Skin is more red than blue; the wall is not.
            assert (colour[:, 2] > colour[:, 0]).mean() > 0.9, (frame, side)
    assert not film.read()[0]


def test_it_is_reconstructed_and_cleaned(tmp_path: Path) -> None:
    take = tmp_path / "take"
    options = ["--camera", str(CAMERA), "--frames", "24-38", "--voxel-mm", "6", "--template-density", "0"]
    assert cli.main(["reconstruct", str(CLIP), "-o", str(take), *options, "--json"]) == 0
    with np.load(take / "motion.npz") as motion, np.load(TRUTH) as truth:
        for side in SIDES:
            exact = np.array([truth[f"{frame:06d}_{side}"] for frame in motion["frames"]], np.float64)
            raw, clean = motion[f"{side}_keypoints_raw"], motion[f"{side}_keypoints"]
            raw_error, clean_error = (error(found - found[:, :1], exact - exact[:, :1]) for found in (raw, clean))
            assert raw_error < 25
            assert clean_error < raw_error + 0.5
            assert jitter(clean) < jitter(raw) < 5 * jitter(exact), "the placing of a clip leaves little to smooth"
