"""``im2hands synthesize --renderer cycles``: this Blender draws the same scene as the rasteriser."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

# Runs in the backend's Python: renders two hands with rings, an object and a wall by both renderers, and saves both
# pictures.
SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path
import numpy as np
import torch
from im2hands.core.camera import Camera
from im2hands.lab.synthesis.cycles import CyclesRenderer
from im2hands.geometry.hand_model import HandModel
from im2hands.lab.synthesis.poses import mean_shape
from im2hands.lab.synthesis.rendering import Assets, Renderer
from im2hands.lab.synthesis.rendering.look import *

model = HandModel()
vertices, heads = model.rest(mean_shape(1))
posed, keypoints = model.pose(vertices, heads, torch.eye(3, dtype=torch.float64).repeat(1, 22, 1, 1))
points, k = posed[0].numpy(), keypoints[0].numpy()
up = (k[9] - k[0]) / np.linalg.norm(k[9] - k[0])
across = k[17] - k[5]
across = across - up * (across @ up)
across /= np.linalg.norm(across)
right = (points - k[9]) @ np.stack([across, -up, np.cross(across, -up)]).T + (-0.03, 0.02, 0.5)
left = right * (-1, 1, 1) + (0.01, 0.02, 0.03)
cloth = Cloth((0.1, 0.4, 0.2), 2, 0.5, 20.0)
look = Look(
    Skin(0, (0.5, 0.3, 0.22)), Lighting((Light((0.3, -0.5, -1.0), (1.0, 1.0, 1.0)),), 0,
    ((1, 0, 0), (0, -1, 0), (0, 0, -1)), 0.5),
    Background("made_up", 1, 0.0, 0.5, 1.0, ((1, 0, 0.5), (0, 1, 0.5)), ((0.0, -0.2, -0.98), 0.1), 2.0, 0.1),
    CameraEffects(), rings=(Ring(0, 2, (0.9, 0.7, 0.3), 0.008, None),),
    things=(Thing("ball", "held", 1, (0.09, 0.09, 0.09), (0, 0, 0), (0, 0, 0), 0.5, cloth, 0.2, False),),
)
camera = Camera(150.0, 160.0, 50.0, 62.0, 112, 104)
assets = Assets.load()
pictures = {}
cycles = CyclesRenderer(assets, Path(sys.argv[1]), 2)
for name, renderer in (("raster", Renderer(assets)), ("cycles", cycles)):
    drawn = renderer.render([("right", right), ("left", left)], camera, look)
    pictures |= {f"{name}_image": drawn.image, f"{name}_labels": drawn.labels, f"{name}_depth": drawn.depth}
again = cycles.render([("right", right), ("left", left)], camera, look)
pictures["same"] = np.array([np.array_equal(again.image, pictures["cycles_image"])])
cycles.close()
np.savez(sys.argv[2], **pictures)
"""


def test_cycles_draws_the_rasterisers_scene(real_backend: str, tmp_path: Path) -> None:
    command = [real_backend, "-c", SCRIPT, sys.executable, str(tmp_path / "pictures.npz")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "pictures.npz") as data:
        pictures = dict(data)
    raster, cycles = pictures["raster_labels"], pictures["cycles_labels"]
    for label in (1, 2, 3):
        assert (raster == label).sum() > 100
        assert ((raster == label) & (cycles == label)).sum() / ((raster == label) | (cycles == label)).sum() > 0.97
    hands = (raster == cycles) & (raster > 0)
    assert np.quantile(np.abs(pictures["raster_depth"] - pictures["cycles_depth"])[hands], 0.95) < 0.002
    # The light differs, but brightness and colours are equal, and dark and light areas are in the same places.
    for part in (hands & (raster < 3), raster == 3, raster == 0):
        one, two = (pictures[f"{name}_image"][part].mean(axis=0) for name in ("raster", "cycles"))
        assert np.abs(one - two).max() < 35 and one @ two > 0.98 * np.linalg.norm(one) * np.linalg.norm(two)
    grey = [pictures[f"{name}_image"][hands].mean(axis=1) for name in ("raster", "cycles")]
    assert np.corrcoef(*grey)[0, 1] > 0.6
    assert pictures["same"].all()  # the same scene gives the same picture
