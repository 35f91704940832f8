"""How thick the flesh of each bone of a true hand is, beside what the part occupancy network makes of keypoints."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from im2hands.geometry.bone_reach import SEGMENT_BONES, BoneReach, Segments, segment_ends
from im2hands.geometry.bones import BONE_COUNT, QUERY_SCALE, Bones
from im2hands.lab.datasets.part_occupancy import STUMP, signed_distance
from im2hands.networks.part_decoder import PartDecoder
from im2hands.surfaces.occupancy_field import PartField

_POINTS = 40_000  # random points in the hand's box by which volumes are compared
_ROUNDS = 2


def thickness_of(
    decoder: PartDecoder, reach: BoneReach | None, bones: Bones, keypoints: torch.Tensor, vertices: np.ndarray,
    faces: np.ndarray,
) -> torch.Tensor:  # fmt: skip
    """Return the thickness with which a hand's bones have the volumes of the true hand.

    Parameters
    ----------
    decoder : PartDecoder
        The network.
    reach : BoneReach or None
        Its reach.
    bones : Bones
        Bones of one hand.
    keypoints : (1, 21, 3) float64
        Its keypoints, canonical frame, metres.
    vertices : (V, 3) float64
        Its true mesh, canonical frame, metres.
    faces : (F, 3) int64
        Triangles, outward.

    Returns
    -------
    (1, 16) float64
        Factors on the usual thickness.
    """
    rng = np.random.default_rng(0)
    hand = vertices[vertices[:, 0] < STUMP]
    high = hand.max(axis=0)
    high[0] = STUMP
    points = rng.uniform(hand.min(axis=0), high, size=(_POINTS, 3))
    truth = signed_distance(points, vertices, faces)[0] < 0
    places = torch.from_numpy(points)[None]
    nearest = Segments(*segment_ends(keypoints, STUMP)).squared_distance(places)[0].argmin(dim=1).numpy()
    bone = np.array(SEGMENT_BONES)[nearest]
    local = (bones.to_query_space(places)[0] * QUERY_SCALE).float()
    thickness = torch.ones(1, BONE_COUNT, dtype=torch.float64)
    for _ in range(_ROUNDS):
        field = PartField(decoder, replace(bones, thickness=thickness), keypoints, reach)
        found = field.logits(torch.zeros(len(local), dtype=torch.int64), local).numpy() > 0
        true, made = (np.bincount(bone[inside], minlength=BONE_COUNT) for inside in (truth, found))
        ratio = np.maximum(true, 1) / np.maximum(made, 1)
        thickness = thickness * torch.from_numpy(np.sqrt(ratio))
    return thickness
