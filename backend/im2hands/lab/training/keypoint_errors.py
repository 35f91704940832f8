"""Keypoints as a detector gives them: the errors that keypoint refinement is trained to undo, drawn at random.

A picture tells well where a keypoint is seen and badly how far away it is, so errors go along the viewing ray; fingers
err as wholes, because a detector knows how fingers bend; and a finger that is hidden may be anywhere it could be.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from im2hands.core.hands import WRIST
from im2hands.geometry.bones import rodrigues
from im2hands.lab.datasets.part_occupancy import jitter_keypoints

_FINGERS, _LEVELS = 5, 4
_JOINTS = tuple(tuple(1 + _LEVELS * finger + level for finger in range(_FINGERS)) for level in range(_LEVELS))
_INDEX_MCP, _LITTLE_MCP = 5, 17
_SEEN_LESS = 0.4
"""How much likelier a finger is wrong altogether when all of it is hidden."""

_MOST = 0.9
"""Radians; no joint is bent further than this from where it is."""


@dataclass(frozen=True)
class KeypointErrors:
    """Sizes of the errors; all are standard deviations unless another thing is said.

    Args:
        noise: metres a coordinate, at most (see :func:`~im2hands.lab.datasets.part_occupancy.jitter_keypoints`).
        definition: strength of other joint definitions, likewise. tilt: radians that a hand turns about axes across the
            viewing ray. place: metres that a hand is off along the ray. depth: metres that a fingertip is off along the
            ray; knuckles move less. bend: radians, of each joint; the joints of a finger err alike. hidden: probability
            that a finger is wrong altogether, at least. lost: radians, bends of such a finger.
    """

    noise: float = 0.003
    definition: float = 1.0
    tilt: float = 0.08
    place: float = 0.015
    depth: float = 0.006
    bend: float = 0.12
    hidden: float = 0.06
    lost: float = 0.6


def simulate_errors(
    keypoints: Tensor, generator: torch.Generator, errors: KeypointErrors, visible: Tensor | None = None
) -> Tensor:
    """Keypoints with a detector's errors.

    Args:
        keypoints: (B, 21, 3) float64 of B hands, camera frame, file order, metres. generator: of the processor.
        visible: (B, 21), 1 where a keypoint is seen; None: all are.

    Returns:
        (B, 21, 3) float64. The same generator state gives the same errors.
    """
    count = len(keypoints)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64).clamp(-2.5, 2.5)

    moved = _bent(keypoints, *_bends(keypoints, generator, errors, visible))
    ray = _unit(moved.mean(1, keepdim=True))
    # Fingers towards the camera or away from it: together, and each by itself.
    away = errors.depth * (0.6 * normal(count, 1) + 0.8 * normal(count, _FINGERS))
    for level, rows in enumerate(_JOINTS):
        moved[:, list(rows)] += (away * (level + 1) / _LEVELS)[..., None] * ray
    across = torch.linalg.cross(ray[:, 0], normal(count, 3))
    turn = rodrigues(errors.tilt * normal(count), _unit(across))
    middle = moved.mean(1, keepdim=True)
    moved = (moved - middle) @ turn.mT + middle + errors.place * normal(count, 1, 1) * ray
    return jitter_keypoints(moved, generator, errors.noise, errors.definition)


def _bends(
    keypoints: Tensor, generator: torch.Generator, errors: KeypointErrors, visible: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Radians that each finger's three joints bend too far, (B, 5, 3), and that it is spread too far, (B, 5)."""
    count = len(keypoints)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64).clamp(-2.5, 2.5)

    chance = torch.full((count, _FINGERS), errors.hidden, dtype=torch.float64)
    if visible is not None:
        seen = visible[:, 1:].to(chance).unflatten(1, (_FINGERS, _LEVELS)).mean(-1)
        chance = chance + _SEEN_LESS * (1 - seen) * (errors.hidden > 0)
    lost = torch.rand(count, _FINGERS, generator=generator, dtype=torch.float64) < chance
    size = torch.where(lost, errors.lost, errors.bend)
    alike = normal(count, 1, 1) * 0.5 + normal(count, _FINGERS, 1) * 0.7
    bend = size[..., None] * (alike + normal(count, _FINGERS, 3) * 0.5)
    return bend.clamp(-_MOST, _MOST), (0.4 * size * normal(count, _FINGERS)).clamp(-_MOST, _MOST)


def _bent(keypoints: Tensor, bend: Tensor, spread: Tensor) -> Tensor:
    """Hands (B, 21, 3) whose fingers are bent and spread further; bones keep their lengths."""
    moved = keypoints.clone()
    wrist = keypoints[:, WRIST]
    palm = _unit(torch.linalg.cross(keypoints[:, _INDEX_MCP] - wrist, keypoints[:, _LITTLE_MCP] - wrist))
    palm = palm[:, None].expand(-1, _FINGERS, -1)
    # The axis that a finger's joints bend about: across its metacarpal, in the plane of the palm.
    axis = _unit(torch.linalg.cross(keypoints[:, list(_JOINTS[0])] - wrist[:, None], palm))
    for level in range(_LEVELS - 1):
        turn = rodrigues(bend[..., level], axis)
        if level == 0:
            turn = rodrigues(spread, palm) @ turn
        base = moved[:, list(_JOINTS[level])]
        for later in _JOINTS[level + 1 :]:
            rows = list(later)
            moved[:, rows] = base + (turn @ (moved[:, rows] - base)[..., None])[..., 0]
    return moved


def _unit(vectors: Tensor) -> Tensor:
    return vectors / torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
