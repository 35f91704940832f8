"""The description of a scene for Cycles, the processing of its light, and the errors of a missing Blender.

Blender itself renders pictures in ``tests/blender/test_cycles.py``.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from im2hands.app.cli.main import main
from im2hands.core.camera import Camera
from im2hands.core.errors import SetupError
from im2hands.lab.synthesis.cycles.backdrop import far_light, respond
from im2hands.lab.synthesis.cycles.description import describe, outward, panorama
from im2hands.lab.synthesis.cycles.process import BlenderProcess
from im2hands.lab.synthesis.rendering import Assets, Look, Renderer
from im2hands.lab.synthesis.rendering.accessories import posed_hands
from im2hands.lab.synthesis.rendering.look import Background, CameraEffects, Cloth, Ring, Sleeve, Thing, Watch
from im2hands.lab.synthesis.rendering.random_surroundings import random_people

CLOTH = Cloth((0.3, 0.1, 0.1), 1, 0.5, 10.0)
TURNED = ((0.0, 0.0, 1.0), (0.6, 0.8, 0.0), (-0.8, 0.6, 0.0))  # rows of the rotation from camera to environment frame


@pytest.mark.parametrize("kind", ["made_up", "environment"])
def test_the_background_is_the_rasterisers(renderer: Renderer, camera: Camera, plain: Look, kind: str) -> None:
    effects = CameraEffects(1.2, (1.1, 1.0, 0.9), 0.3, 0.4, 1.1, 0.8, 0.2)
    background = Background(kind, 5, 1.0, 0.7, 0.9, ((0.8, 0.3, 0.4), (-0.3, 0.8, 0.7)), None, 1.0, 0.0)  # type: ignore[arg-type]
    lighting = replace(plain.lighting, axes=TURNED, environment=3)
    look = replace(plain, camera=effects, background=background, lighting=lighting)
    drawn = renderer.draw([], camera, look)
    assert (drawn.labels == 0).all()
    own = respond(far_light(camera, look, renderer.assets), effects)
    difference = np.abs(own.astype(int) - drawn.image)
    assert drawn.image.std() > 8  # the picture is not plain
    assert difference.mean() < 1.5 and np.quantile(difference, 0.98) <= 12


def test_light_comes_from_where_the_rasterisers_does(assets: Assets, plain: Look) -> None:
    lighting = replace(plain.lighting, axes=TURNED, ambient=2.0, environment=4)
    made = panorama(lighting, assets)
    environment = assets.environment(4)
    row, column = np.unravel_index(int(made.sum(axis=-1).argmax()), made.shape[:2])
    # From Blender's manual: the middle of a panorama is +x, its left quarter is +y, its first row is +z.
    around = (0.5 - (column + 0.5) / made.shape[1]) * 2 * np.pi
    up = (0.5 - (row + 0.5) / made.shape[0]) * np.pi
    seen = np.array([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)])
    brightest = environment.reflection.sum(axis=-1)
    there = np.array(TURNED) @ seen
    u = int((np.arctan2(there[0], there[2]) / (2 * np.pi) + 0.5) * brightest.shape[1])
    v = int(np.arccos(there[1]) / np.pi * brightest.shape[0])
    assert brightest[v, u] > 0.9 * brightest.max()
    assert made.max() == pytest.approx(2 * environment.reflection.max(), rel=0.05)


def test_everything_of_a_look_is_described(assets: Assets, right_hand: np.ndarray, camera: Camera, plain: Look) -> None:
    look = replace(
        plain,
        sleeve=Sleeve(CLOTH, 0.5, 0.01, 0.002, 1),
        rings=(Ring(0, 2, (0.9, 0.7, 0.3), 0.004, None),),
        watch=Watch(1, 0.9, (0.2, 0.2, 0.2), True, 0.01, 0.03, (0.0, 0.0, 0.0)),
        things=(Thing("box", "held", 0, (0.05, 0.05, 0.05), (0, 0, 0), (0, 0, 0), 0.5, CLOTH, 0.4, False),),
        people=random_people(np.random.default_rng(3), 0, None, -1.0),
        background=replace(plain.background, plane=((0.0, -0.6, -0.8), 0.1)),
    )
    hands = posed_hands([("right", right_hand), ("left", right_hand * (-1, 1, 1) + (0, 0, 0.1))], look)
    scene = describe(hands, camera, look, assets, 2)
    assert scene["hand_labels"].tolist() == [2, 1]
    assert np.allclose(scene["hand_vertices"][0, :, 0], -scene["hand_vertices"][1, :, 0], atol=1e-6)
    assert set(scene["solid_labels"]) == {0, 2, 3}  # people behind, the right hand's ring, all others
    corners, normal = scene["plane_corners"].astype(float), scene["plane_normal"]
    assert np.allclose(corners @ normal, corners[0] @ normal, atol=1e-4) and normal[2] < 0
    assert np.cross(corners[1] - corners[0], corners[2] - corners[0]) @ normal > 0
    for name in ("skin_colour", "skin_surface", "panorama", "solid_surface", "plane_picture"):
        assert np.isfinite(scene[name].astype(float)).all() and scene[name].min() >= 0, name
    # The mean albedo of the skin is the look's tone.
    tone = scene["skin_colour"].astype(float)[assets.atlas.covered].mean(axis=0)
    assert np.allclose(tone, look.skin.tone, rtol=0.15)
    rows, faces = scene["solid_vertices"], scene["solid_faces"]
    edges = rows[faces][:, 1:, :3] - rows[faces][:, :1, :3]
    facing = (np.cross(edges[:, 0], edges[:, 1]) * rows[faces][:, :, 3:6].sum(axis=1)).sum(axis=1)
    assert (facing >= 0).all()
    clear = facing > 0
    assert clear.mean() > 0.9 and np.array_equal(outward(rows, faces[:, ::-1])[clear], faces[clear])


def test_a_blender_that_is_missing_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "set"
    arguments = ["synthesize", "--output", str(folder), "--scenes", "1", "--renderer", "cycles", "--blender"]
    assert main([*arguments, str(tmp_path / "blender")]) == 3
    printed = capsys.readouterr().err
    assert "There is no program" in printed and "bpy" in printed and "Traceback" not in printed
    assert not folder.exists()


def test_programs_that_are_no_blender_are_told(tmp_path: Path) -> None:
    """A Python without bpy, a program with another output, and one that ends while it renders."""
    with pytest.raises(SetupError, match="No module named 'bpy'"):
        BlenderProcess(Path(sys.executable))
    with pytest.raises(SetupError, match="neither Blender nor Python"):
        BlenderProcess(_program(tmp_path / "other", "echo something else"))
    lines = [
        'if [ "$1" = --version ]; then echo Blender 4.5.0; exit; fi',
        "echo noise",
        """echo 'IM2HANDS {"ready": "4.5.0"}'""",
        "read line",
        "echo no memory >&2",
    ]
    process = BlenderProcess(_program(tmp_path / "ends", "\n".join(lines)))
    assert process.version == "4.5.0"
    folder = process.folder
    with pytest.raises(SetupError, match="ended while it rendered: no memory"):
        process.render(tmp_path / "scene.npz")
    process.close()
    assert not folder.exists()


def _program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path
