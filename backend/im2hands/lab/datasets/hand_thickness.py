"""How thick the flesh of a hand is, measured on its mesh."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from im2hands.core.hands import MIDDLE_MCP, WRIST
from im2hands.geometry.bones import BONE_COUNT, BONE_ENDS

# The part of the palm that is measured: from this share of the way from the wrist to the middle MCP, to that one.
_PALM_PART = (0.25, 0.9)


def measure_thickness(vertices: Tensor, keypoints: Tensor, faces: np.ndarray, parts: np.ndarray) -> Tensor:
    """Measure the thicknesses of hands with straight fingers.

    The thickness of a phalanx is the mean distance of its surface from the line between its joints. Those of the palm
    are the mean distances of its surface from its middle: from palm to back, and across. All are means over the area,
    so that the mesh's resolution does not matter.

    Parameters
    ----------
    vertices : (B, V, 3) float
        Vertices of B right hands, canonical frame (``geometry.bones``), metres.
    keypoints : (B, 21, 3) float
        Keypoints in file order, same frame, metres.
    faces : (F, 3) int
        Triangles.
    parts : (V,) int
        The bone (0 to 15) that moves each vertex.

    Returns
    -------
    (B, 17) float
        Thicknesses of the 16 bones, the palm's from palm to back, and of the palm across, metres.
    """
    palm = torch.linalg.vector_norm(keypoints[:, MIDDLE_MCP] - keypoints[:, WRIST], dim=-1)
    corners = vertices[:, torch.as_tensor(np.asarray(faces, np.int64))]
    centre = corners.mean(2)
    sides = corners[:, :, 1:] - corners[:, :, :1]
    area = torch.linalg.vector_norm(torch.linalg.cross(sides[:, :, 0], sides[:, :, 1]), dim=-1)
    owner = np.asarray(parts)[np.asarray(faces)]
    whole = np.where((owner == owner[:, :1]).all(axis=1), owner[:, 0], -1)  # faces between two bones belong to none
    along = -centre[..., 0] / palm[:, None]
    weight = area * (torch.as_tensor(whole == 0) & (along > _PALM_PART[0]) & (along < _PALM_PART[1]))
    found = []
    for axis in (1, 2):
        middle = (weight * centre[..., axis]).sum(1, keepdim=True) / weight.sum(1, keepdim=True)
        found.append((weight * (centre[..., axis] - middle).abs()).sum(1) / weight.sum(1))
    for bone in range(1, BONE_COUNT):
        rows = torch.as_tensor(np.flatnonzero(whole == bone))
        start, end = (keypoints[:, k] for k in BONE_ENDS[bone])
        line = torch.nn.functional.normalize(end - start, dim=-1)
        offset = centre[:, rows] - start[:, None]
        across = offset - (offset * line[:, None]).sum(-1, keepdim=True) * line[:, None]
        distance = (area[:, rows] * torch.linalg.vector_norm(across, dim=-1)).sum(1)
        found.append(distance / area[:, rows].sum(1))
    return torch.stack([found[0], *found[2:], found[1]], dim=1)
