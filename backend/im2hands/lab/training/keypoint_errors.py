"""Random keypoint errors like those of a detector; keypoint refinement is trained to correct them.

A picture shows where a keypoint lies in the image but hardly how far away it is, so most errors go along the viewing
ray. The joints of a finger err together, because a detector predicts fingers that bend naturally. A hidden finger may
be in any possible pose.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from im2hands.core.hands import WRIST
from im2hands.geometry.rotations import rodrigues
from im2hands.lab.datasets.inexact_hands import jitter_keypoints

_FINGERS, _LEVELS = 5, 4
_JOINTS = tuple(tuple(1 + _LEVELS * finger + level for finger in range(_FINGERS)) for level in range(_LEVELS))
_INDEX_MCP, _LITTLE_MCP = 5, 17
_SEEN_LESS = 0.4
"""Added to the probability that a finger is completely wrong when all of its keypoints are hidden."""

_MOST = 0.9
"""Largest bend of a joint away from its true angle, radians."""


@dataclass(frozen=True)
class KeypointErrors:
    """Sizes of the errors.

    Parameters
    ----------
    noise : float
        Largest standard deviation of a coordinate's noise, metres; see ``datasets.inexact_hands.jitter_keypoints``.
    definition : float
        Strength of the jitter of joint definitions; see ``datasets.inexact_hands.jitter_keypoints``.
    tilt : float
        Standard deviation of a rotation of the hand about an axis across the viewing ray, radians.
    place : float
        Standard deviation of a shift of the whole hand along the viewing ray, metres.
    depth : float
        Standard deviation of a fingertip's shift along the viewing ray, metres. Joints nearer to the palm move less.
    bend : float
        Standard deviation of the bend of each joint, radians; the joints of a finger bend alike.
    hidden : float
        Probability that a visible finger is completely wrong; hidden fingers have a higher one. 0 turns this error off.
    lost : float
        Standard deviation of the bends of a completely wrong finger, radians.
    across : float
        Standard deviation of a shift of the whole hand across the viewing ray, in each direction, metres.
    """

    noise: float = 0.003
    definition: float = 1.0
    tilt: float = 0.08
    place: float = 0.015
    depth: float = 0.006
    bend: float = 0.12
    hidden: float = 0.06
    lost: float = 0.6
    across: float = 0.0


def simulate_errors(
    keypoints: Tensor, generator: torch.Generator, errors: KeypointErrors, visible: Tensor | None = None
) -> Tensor:
    """Add errors like those of a detector to keypoints.

    Parameters
    ----------
    keypoints : (B, 21, 3) float64
        True keypoints of B hands, camera frame, file order, metres.
    generator : torch.Generator
        CPU generator. The same state gives the same errors.
    errors : KeypointErrors
        Sizes of the errors.
    visible : (B, 21) float, optional
        1 where a keypoint is visible, 0 where it is hidden. None means that all are visible.

    Returns
    -------
    (B, 21, 3) float64
        Keypoints with errors, same frame, order and unit.
    """
    count = len(keypoints)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64).clamp(-2.5, 2.5)

    moved = _bent(keypoints, *_bends(keypoints, generator, errors, visible))
    ray = _unit(moved.mean(1, keepdim=True))
    # Fingers move towards the camera or away from it: partly all together, partly each by itself.
    away = errors.depth * (0.6 * normal(count, 1) + 0.8 * normal(count, _FINGERS))
    for level, rows in enumerate(_JOINTS):
        moved[:, list(rows)] += (away * (level + 1) / _LEVELS)[..., None] * ray
    across = torch.linalg.cross(ray[:, 0], normal(count, 3))
    turn = rodrigues(errors.tilt * normal(count), _unit(across))
    middle = moved.mean(1, keepdim=True)
    moved = (moved - middle) @ turn.mT + middle + errors.place * normal(count, 1, 1) * ray
    if errors.across:
        shift = errors.across * normal(count, 1, 3)
        moved = moved + shift - (shift * ray).sum(-1, keepdim=True) * ray
    return jitter_keypoints(moved, generator, errors.noise, errors.definition)


def _bends(
    keypoints: Tensor, generator: torch.Generator, errors: KeypointErrors, visible: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Errors in the bend of each finger's three joints (B, 5, 3) and in its spread (B, 5), radians."""
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
    """Hands (B, 21, 3) with fingers bent and spread by more angles; bones keep their lengths."""
    moved = keypoints.clone()
    wrist = keypoints[:, WRIST]
    palm = _unit(torch.linalg.cross(keypoints[:, _INDEX_MCP] - wrist, keypoints[:, _LITTLE_MCP] - wrist))
    palm = palm[:, None].expand(-1, _FINGERS, -1)
    # The joints of a finger bend about an axis across its metacarpal, in the plane of the palm.
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
