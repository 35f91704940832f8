"""Hands seen in a picture, with their shape in space and the depth between them as the lifting network tells them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from im2hands.core.hands import MIDDLE_MCP, WRIST
from im2hands.keypoints.hypothesis import HandDetection, LiftedHand

from .lifting_features import HandFeatures, between, lifting_features

if TYPE_CHECKING:
    from torch import Tensor

    from im2hands.networks.lifting_network import LiftingInput, LiftingNetwork
    from im2hands.networks.reading_network import ReadingNetwork
    from im2hands.networks.two_hand_network import TwoHandNetwork


class HandLifter:
    """Lifts the hands of a picture; not thread-safe.

    Args:
        network: the lifting network. palms, reader: the two-hand network and the reading network, whose views of the
            hands it is told. All ready to be run.
    """

    def __init__(self, network: LiftingNetwork, palms: TwoHandNetwork, reader: ReadingNetwork) -> None:
        self._network, self._palms, self._reader = network, palms, reader

    def lift(self, image: np.ndarray, hands: Sequence[HandDetection]) -> list[HandDetection]:
        """The hands of one person, at most two, each with ``lifted``; one that has no extent is left as it is.

        Args:
            image: (H, W, 3) uint8 RGB. hands: seen there.
        """
        import torch

        good = [k for k, hand in enumerate(hands) if _has_extent(hand)]
        if not good:
            return list(hands)
        told = lifting_features(self._palms, self._reader, image, [hands[k] for k in good])
        with torch.inference_mode():
            given = lifting_input(told, [1, 0] if len(told) == 2 else [-1] * len(told))
            device = next(self._network.parameters()).device
            made = self._network(type(given)(*(value.to(device) for value in given)))
        arrays = {name: value.float().cpu().numpy().astype(np.float64) for name, value in made._asdict().items()}
        result = list(hands)
        for row, k in enumerate(good):
            result[k] = replace(hands[k], lifted=_lifted(arrays, row, told[row], len(told) == 2))
        return result


def lifting_input(told: Sequence[HandFeatures], partners: Sequence[int]) -> LiftingInput:
    """What hands are told of, as the network takes it; ``partners``: row of each one's other hand, -1 without one."""
    import torch

    from im2hands.networks.lifting_network import LiftingInput

    def stacked(name: str, rows: Sequence[int]) -> Tensor:
        return torch.from_numpy(np.stack([getattr(told[row], name) for row in rows]))

    own = range(len(told))
    other = [partner if partner >= 0 else row for row, partner in enumerate(partners)]
    ways = [between(hand, told[k] if k >= 0 else None) for hand, k in zip(told, partners, strict=True)]
    names = ("points", "hand", "vector", "seen", "close")
    parts = [stacked(name, rows) for rows in (own, other) for name in names]
    pair = torch.tensor([float(partner >= 0) for partner in partners])
    return LiftingInput._make([*parts, torch.from_numpy(np.stack(ways)).float(), pair])


def _has_extent(hand: HandDetection) -> bool:
    pixels, shape = np.asarray(hand.pixels), np.asarray(hand.shape)
    if not (np.isfinite(pixels).all() and np.isfinite(shape).all()):
        return False
    return bool(np.ptp(pixels, axis=0).max() >= 1 and np.linalg.norm(shape[MIDDLE_MCP] - shape[WRIST]) >= 1e-6)


def _lifted(arrays: dict[str, np.ndarray], row: int, told: HandFeatures, pair: bool) -> LiftedHand:
    flip = np.array([-1.0 if told.mirrored else 1.0, 1.0, 1.0])
    places = arrays["places"][row] * flip[:2]
    return LiftedHand(
        arrays["shape"][row] * flip,
        arrays["spread"][row],
        told.centre + told.unit * places,
        arrays["place_spread"][row] * told.unit,
        float(arrays["depth"][row]) if pair else None,
        float(arrays["depth_spread"][row]) if pair else None,
    )
