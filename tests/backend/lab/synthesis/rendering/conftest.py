"""Fixtures for the tests of rendering: procedural assets, a renderer, and a hand that fills the picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from im2hands.core.camera import Camera
from im2hands.geometry.hand_model import HandModel
from im2hands.lab.synthesis.poses import mean_shape
from im2hands.lab.synthesis.rendering import Assets, Look, Renderer
from im2hands.lab.synthesis.rendering.look import Background, CameraEffects, Light, Lighting, Skin


@pytest.fixture(scope="session")
def assets() -> Assets:
    return Assets.load()


@pytest.fixture(scope="session")
def renderer(assets: Assets) -> Renderer:
    return Renderer(assets)


@pytest.fixture(scope="session")
def right_hand() -> np.ndarray:
    """Vertices (1843, 3) of the mean right hand, its back to the camera, half a metre away."""
    model = HandModel()
    vertices, heads = model.rest(mean_shape(1))
    posed, keypoints = model.pose(vertices, heads, torch.eye(3, dtype=torch.float64).repeat(1, 22, 1, 1))
    points, k = posed[0].numpy(), keypoints[0].numpy()
    up = k[9] - k[0]
    across = k[17] - k[5]
    up, across = up / np.linalg.norm(up), across - up * (across @ up) / (up @ up)
    across /= np.linalg.norm(across)
    axes = np.stack([across, -up, np.cross(across, -up)])
    return (points - k[9]) @ axes.T + (0, 0, 0.5)


@pytest.fixture
def camera() -> Camera:
    return Camera(300.0, 310.0, 90.0, 110.0, 192, 224)


@pytest.fixture
def plain() -> Look:
    """A simple look: one light from the camera's side, no accessories, a dark background, no effects."""
    return Look(
        skin=Skin(0, (0.5, 0.3, 0.22)),
        lighting=Lighting((Light((0.0, -0.3, -1.0), (1.0, 1.0, 1.0)),), 0, ((1, 0, 0), (0, -1, 0), (0, 0, -1)), 0.5),
        background=Background("made_up", 1, 0.0, 0.05, 1.0, ((1, 0, 0.5), (0, 1, 0.5)), None, 1.0, 0.0),
        camera=CameraEffects(),
    )
