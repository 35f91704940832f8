"""A hand looked at again in a dozen slightly different crops: is it there, which side is it, does it stay in place."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from im2hands.core.hands import KEYPOINT_COUNT
from im2hands.keypoints.choosing.sides import CHIRALITY_WEIGHT, chirality, log_odds, palm_length, with_side
from im2hands.keypoints.hypothesis import HandDetection

from .network import LandmarkNetwork, crops_around

# Turns (radians), sizes and shifts (in crop sizes) of the crops; each is read as it is and in the mirrored picture.
_LOOKS = np.array(
    [
        (0.00, 1.00, 0.00, 0.00),
        (0.25, 0.90, 0.04, 0.00),
        (-0.25, 1.15, 0.00, 0.05),
        (0.15, 1.25, -0.05, 0.00),
        (-0.15, 0.85, 0.00, -0.04),
        (0.35, 1.05, 0.03, 0.04),
        (-0.35, 1.00, -0.04, -0.03),
    ]
)
# A look agrees when its keypoints lie this close (mean, in palms) to the median of all looks.
_AGREEMENT = 0.25
# What MediaPipe's network reads so surely, and in one place in so many crops, is read rightly.
_STEADY_PRESENCE, _STEADY_AGREEMENT = 0.9, 0.95


@dataclass(frozen=True)
class Consensus:
    """What the looks at one hand say together.

    Args:
        presence: mean presence, [0, 1].
        agreement: share of the looks that see the keypoints in the same place, [0, 1].
        right: log odds of a right hand, from the network (picture and mirror image) and from the shape.
        network_right: the same from the network alone.
        pixels: (21, 2) median of the looks, pixels. shape: (21, 3) median of the looks, metres.
        spread: (21,) mean distance of the agreeing looks from the median, in palms.
        told: (21,) how far off the network itself thinks a coordinate is, in palms.
    """

    presence: float
    agreement: float
    right: float
    network_right: float
    pixels: np.ndarray
    shape: np.ndarray
    spread: np.ndarray
    told: np.ndarray = field(default_factory=lambda: np.zeros(KEYPOINT_COUNT))

    @property
    def steady(self) -> bool:
        """Whether the hand is seen surely, and in the same place in every look."""
        return self.presence >= _STEADY_PRESENCE and self.agreement >= _STEADY_AGREEMENT

    def detection(self, source: str) -> HandDetection:
        """As a detection; keypoints that are seen badly, or in different places, count less."""
        spread = np.hypot(self.spread, self.told)
        sure = self.presence * self.agreement * np.exp(-((spread / _AGREEMENT) ** 2))
        hand = HandDetection("right", self.pixels, self.shape, np.clip(sure, 0, 1), 1.0, source)
        return with_side(hand, self.right)


def read_repeatedly(
    network: LandmarkNetwork, image: np.ndarray, pixels: np.ndarray, crops_each: int = len(_LOOKS), side: int = 0
) -> list[Consensus]:
    """Look again at hands seen at these keypoints.

    Args:
        network: reads the crops. image: (H, W, 3) uint8 RGB. pixels: (N, 21, 2).
        crops_each: of a hand, at most 7; each is read twice, as it is and mirrored.
        side: 1 to look for right hands only, -1 for left ones, 0 for any.

    Returns:
        One verdict a hand, in order.
    """
    base = crops_around(pixels)
    looks = _LOOKS[:crops_each]
    crops = np.repeat(base[:, None], len(looks), axis=1)
    crops[..., :2] += looks[:, 2:] * crops[..., 2:3]
    crops[..., 2] *= looks[:, 1]
    crops[..., 3] += looks[:, 0]
    straight = network.read(image, crops.reshape(-1, 4), side=side)
    last = image.shape[1] - 1
    mirrored_crops = crops.reshape(-1, 4) * (-1, 1, 1, -1) + (last, 0, 0, 0)
    mirrored = network.read(image[:, ::-1], mirrored_crops, side=-side)
    grid = (len(base), len(looks))
    back = mirrored.pixels * (-1, 1) + (last, 0)
    seen = np.concatenate([part.reshape(*grid, KEYPOINT_COUNT, 2) for part in (straight.pixels, back)], axis=1)
    shapes = np.concatenate(
        [part.reshape(*grid, KEYPOINT_COUNT, 3) for part in (straight.shape, mirrored.shape * (-1, 1, 1))], axis=1
    )
    presence = np.concatenate([straight.presence.reshape(grid), mirrored.presence.reshape(grid)], axis=1)
    right = np.concatenate([straight.right.reshape(grid), 1 - mirrored.right.reshape(grid)], axis=1)
    told = np.concatenate([part.spread.reshape(*grid, KEYPOINT_COUNT) for part in (straight, mirrored)], axis=1)
    return [_verdict(*parts) for parts in zip(presence, right, seen, shapes, told, strict=True)]


def _verdict(
    presence: np.ndarray, right: np.ndarray, seen: np.ndarray, shapes: np.ndarray, told: np.ndarray
) -> Consensus:
    median = np.median(seen, axis=0)
    gaps = np.linalg.norm(seen - median, axis=-1) / palm_length(median)
    agree = (gaps.mean(axis=1) < _AGREEMENT) & (presence > 0.5)
    chosen = agree if agree.any() else np.ones(len(agree), dtype=bool)
    pixels, shape = np.median(seen[chosen], axis=0), np.median(shapes[chosen], axis=0)
    network_right = float(log_odds(right[chosen].mean()))
    total = network_right + CHIRALITY_WEIGHT * float(chirality(shape))
    spread = np.linalg.norm(seen[chosen] - pixels, axis=-1).mean(axis=0) / palm_length(pixels)
    return Consensus(
        float(presence.mean()), float(agree.mean()), total, network_right, pixels, shape, spread,
        told[chosen].mean(axis=0),
    )  # fmt: skip
