"""Surfaces between whose points the anchors' answers are interpolated, against those that ask everywhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from fakes import picture
from im2hands.core.camera import Camera
from im2hands.lab.bench import weights as bench_weights
from im2hands.lab.bench.scenes import scenes
from im2hands.lab.bench.surface_agreement import agreement
from im2hands.media.source import Frame
from im2hands.surfaces import tracked_hand
from im2hands.surfaces.dense_lattice import Surface
from im2hands.surfaces.from_picture import PictureReconstructor
from im2hands.surfaces.tracked_hand import HandSurfaces

VOXEL = 0.44 / 256
HALF = 0.012
"""Half the width of the piece, metres."""
IOU, HAUSDORFF = 0.9993, 5e-5
"""Stricter than the targets for whole hands, 0.999 and 0.2 mm, of which rounding takes its share too.

Without answers that are asked again near the surface, the IoU is 0.99928; with them it is 0.99946.
"""


def test_a_fingertip_of_published_size_meets_the_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    found: list[list[Surface]] = []
    refined = PictureReconstructor._refined

    def pieces(surfaces: Sequence[Surface], tracked: Sequence[HandSurfaces], *, exact: bool) -> list[HandSurfaces]:
        made = []
        for surface, hand in zip(surfaces, tracked, strict=True):
            points = torch.from_numpy(np.asarray(surface.vertices))
            tip = points[(points - points.mean(0)).norm(dim=1).argmax()]
            asked = hand._asked
            made.append(HandSurfaces(tip - HALF, tip + HALF, VOXEL, cpu, asked._network, asked._parts, exact=exact))
        return made

    def both_ways(self, network, seen, surfaces, tracked):
        found.append(refined(self, network, seen, surfaces, pieces(surfaces, tracked, exact=False)))
        found.append(refined(self, network, seen, surfaces, pieces(surfaces, tracked, exact=True)))
        return found[0]

    monkeypatch.setattr(PictureReconstructor, "_refined", both_ways)
    monkeypatch.setattr(tracked_hand, "DIRECT", 0)  # the piece has so few points that none would be interpolated
    network = bench_weights.refined(bias=0.8, attention=1.0)
    work = PictureReconstructor(network, device=cpu, voxel_m=VOXEL, refine=True)
    work.reconstruct(Frame(1, 0.0, picture(320, 240), ""), Camera.from_fov(50, 320, 240), scenes()["touching"])
    for fast, exact in zip(*found, strict=True):
        like = agreement(fast.vertices, fast.faces, exact.vertices, exact.faces)
        assert not np.array_equal(fast.vertices, exact.vertices)
        assert like.iou >= IOU and like.hausdorff <= HAUSDORFF, like
