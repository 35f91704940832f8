"""The audit's figures follow what is done to a picture, and what hides the keypoints of a hand."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from im2hands.lab.datasets.scene import IN_FRONT, encode_labels
from im2hands.lab.synthesis.audit import hand_figures, means, picture_figures
from im2hands.lab.synthesis.rendering.camera_effects import apply_effects
from im2hands.lab.synthesis.rendering.look import CameraEffects, Copy
from scene_pictures import make_scene


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """A picture with edges and soft texture."""
    rng = np.random.default_rng(2)
    grey = np.zeros((224, 224), np.float32)
    for cells in (3, 6, 12, 24, 48, 96):
        grid = rng.standard_normal((cells, cells)).astype(np.float32)
        grey += cv2.resize(grid, (224, 224), interpolation=cv2.INTER_CUBIC) * (30 / cells**0.8)
    grey[:, 120:] += 60
    grey = cv2.GaussianBlur(grey, (0, 0), 0.7)
    return np.repeat(np.clip(grey + 100, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def test_figures_follow_the_effects(picture: np.ndarray) -> None:
    bare = picture_figures(picture)
    shares = 10 ** np.array([value for name, value in bare.items() if name.startswith("band")])
    assert shares.sum() == pytest.approx(1, abs=1e-6)
    blurred = picture_figures(apply_effects(picture, CameraEffects(defocus=2.0)))
    noisy = picture_figures(apply_effects(picture, CameraEffects(read=0.03, seed=3)))
    saved = picture_figures(apply_effects(picture, CameraEffects(copies=(Copy(jpeg=15),))))
    sharpened = picture_figures(apply_effects(picture, CameraEffects(copies=(Copy(sharpen=1.5),))))
    assert blurred["band 1/2"] < bare["band 1/2"] - 0.5
    assert noisy["noise"] > bare["noise"] + 2
    assert saved["blocks"] > bare["blocks"] + 0.2
    assert sharpened["halo"] > bare["halo"] + 0.02


def test_what_hides_keypoints_is_told() -> None:
    scene = make_scene(3, 0)
    labels = scene.label_image()
    open_hands = hand_figures(scene)
    assert len(open_hands) == 2 and all(f["by objects"] == 0 and f["by hands"] == 0 for f in open_hands)
    covered = replace(scene, labels=encode_labels(np.full_like(labels, IN_FRONT)), visible=np.zeros((2, 21), np.uint8))
    for figures in hand_figures(covered):
        assert figures["by objects"] + figures["outside"] == 1 and figures["bare arm"] == 0
    table = means(open_hands)
    assert table["flexion 1 0"][1] <= table["flexion 1 0"][0] <= table["flexion 1 0"][2]
