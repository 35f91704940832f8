"""What the pair judge is told of hands that may be in a picture: each as a left and as a right hand, and each two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from ..hands import KEYPOINT_COUNT, SIDES
from .lifting_features import HAND_FEATURES, POINT_FEATURES, HandFeatures, lifting_features
from .pair_candidates import Candidate
from .pair_features import PAIR_FEATURES, SIGNED_FEATURES, SINGLE_FEATURES, features
from .palm_reader import PalmsSeen

if TYPE_CHECKING:
    from ..networks.palm_network import PalmNetwork

VECTOR, SEEN = 256, 192
_SIGNED = [SINGLE_FEATURES.index(name) for name in SIGNED_FEATURES]
_LARGEST_WAY = 8.0


@dataclass(frozen=True)
class CandidateViews:
    """What is told of N candidates. The second index is the side that each is taken for: 0 left, 1 right.

    Args:
        single: (N, 2, len(SINGLE_FEATURES)). points: (N, 2, 21, POINT_FEATURES). hand: (N, 2, HAND_FEATURES).
            vector: (N, 2, 256). seen: (N, 2, 21, 192); see :class:`.lifting_features.HandFeatures`. pairs:
            (N, N, len(PAIR_FEATURES)). ways: (N, 2, N, 3) from a candidate to another: in the picture, in its own
            units, and the logarithm of the other's unit. All float32, as of right hands: left ones are mirrored.
    """

    single: np.ndarray
    points: np.ndarray
    hand: np.ndarray
    vector: np.ndarray
    seen: np.ndarray
    pairs: np.ndarray
    ways: np.ndarray

    def __len__(self) -> int:
        return len(self.single)


def candidate_views(
    model: PalmNetwork, image: np.ndarray, candidates: Sequence[Candidate], seen: PalmsSeen
) -> CandidateViews:
    """What is told of candidates.

    Args:
        model: the two-hand network. image: (H, W, 3) uint8 RGB. seen: what that network says of it.
    """
    count = len(candidates)
    if not count:
        return nothing()
    single, pairs = features(candidates, seen, (image.shape[1], image.shape[0]))
    hands = [candidate.detection() for candidate in candidates]
    told = lifting_features(model, image, [replace(hand, side=side) for side in SIDES for hand in hands])

    def both(name: str) -> np.ndarray:
        values = np.stack([getattr(one, name) for one in told])
        return values.reshape(2, count, *values.shape[1:]).swapaxes(0, 1)

    mirrored = single.copy()
    mirrored[:, _SIGNED] *= -1
    return CandidateViews(
        np.stack([mirrored, single], axis=1).astype(np.float32),
        both("points"), both("hand"), both("vector"), both("seen"), pairs.astype(np.float32), _ways(told[:count]),
    )  # fmt: skip


def nothing() -> CandidateViews:
    """What is told of no candidates."""
    shapes = {
        "single": (0, 2, len(SINGLE_FEATURES)), "points": (0, 2, KEYPOINT_COUNT, POINT_FEATURES),
        "hand": (0, 2, HAND_FEATURES), "vector": (0, 2, VECTOR), "seen": (0, 2, KEYPOINT_COUNT, SEEN),
        "pairs": (0, 0, len(PAIR_FEATURES)), "ways": (0, 2, 0, 3),
    }  # fmt: skip
    return CandidateViews(**{f.name: np.zeros(shapes[f.name], np.float32) for f in fields(CandidateViews)})


def _ways(told: Sequence[HandFeatures]) -> np.ndarray:
    centre, unit = np.stack([one.centre for one in told]), np.array([one.unit for one in told])
    way = (centre[None] - centre[:, None]) / unit[:, None, None]
    size = np.log(unit[None] / unit[:, None])
    right = np.concatenate([way, size[..., None]], axis=-1)
    made = np.stack([right * (-1, 1, 1), right], axis=1)
    return np.clip(made, -_LARGEST_WAY, _LARGEST_WAY).astype(np.float32)
