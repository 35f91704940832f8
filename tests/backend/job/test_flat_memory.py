"""A job's memory does not grow with the length of its clip: what a frame needed is freed before the next one."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from fakes import FakeParts, FakeReconstructor, picture, write_picture
from im2hands.animation.template import take_templates
from im2hands.core.camera import Camera
from im2hands.core.hands import Side, TwoHands
from im2hands.geometry.bones import QUERY_SCALE
from im2hands.job import clean_phase
from im2hands.media.source import Frame
from im2hands.surfaces.from_keypoints import HandMesh
from im2hands.surfaces.tracked_hand import HandSurfaces

FRAMES = 8


class Counting(FakeReconstructor):
    """Makes balls, and notes how many of them are in memory at each frame."""

    def __init__(self) -> None:
        super().__init__()
        self._made: list[weakref.ref[np.ndarray]] = []
        self.alive: list[int] = []

    def reconstruct(self, frame: Frame, camera: Camera, hands: TwoHands) -> dict[Side, HandMesh]:
        self.alive.append(sum(ball() is not None for ball in self._made))
        meshes = super().reconstruct(frame, camera, hands)
        self._made += [weakref.ref(mesh.vertices) for mesh in meshes.values()]
        return meshes


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Circles of references are not freed during the test."""
    gc.disable()
    yield
    gc.enable()


def test_a_job_holds_one_frames_surfaces_and_three_frames_templates(
    no_collection: None, tmp_path: Path, run_job: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fits: list[weakref.ref[Any]] = []
    alive: list[int] = []

    def noted(*arrays: np.ndarray, make: Any = take_templates.SurfaceFit) -> Any:
        fit = make(*arrays)
        fits.append(weakref.ref(fit))
        alive.append(sum(one() is not None for one in fits))
        return fit

    monkeypatch.setattr(take_templates, "SurfaceFit", noted)
    monkeypatch.setattr(take_templates, "_SHAPE_SAMPLES", 1)
    for module in (take_templates, clean_phase):  # many cores would hold many frames
        monkeypatch.setattr(module, "granted_cores", lambda: 1)
    for number in range(FRAMES):
        write_picture(tmp_path / "shots" / f"s{number:03}.png", picture(48, 36, number))
    parts = FakeParts(reconstructor=Counting())
    run_job(tmp_path / "shots", parts=parts, clean=True, template_density=0)
    assert len(parts.reconstructor_made.alive) == FRAMES and len(fits) == 2 + 2 * FRAMES
    assert max(parts.reconstructor_made.alive) <= 2
    assert max(alive) <= 2 * (2 + 2)  # a frame for each core, and the frames beside them


def test_a_hands_lattices_are_freed_without_a_search_for_circles(no_collection: None) -> None:
    def ball(places: torch.Tensor) -> torch.Tensor:
        return 1000 * (0.04 - (places * QUERY_SCALE).norm(dim=1))

    corner = torch.full((3,), 0.06)
    surfaces = HandSurfaces(-corner, corner, 0.0017, torch.device("cpu"), ball)
    surfaces.initial_surface()
    refinement = SimpleNamespace(
        told=lambda places: (ball(places)[:, None], torch.zeros(len(places), 1, dtype=torch.int64)),
        logits=lambda places, occupancy, told, between: told[:, 0],
    )
    surfaces.refined_surface(refinement, 0.5)
    held = weakref.ref(surfaces.initial)
    del surfaces
    assert held() is None
