"""Adds to detected hands their 3D shape, the depth between the wrists, the points on their skin, and their mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from im2hands.core.devices import granted_cores
from im2hands.core.hands import MIDDLE_MCP, WRIST
from im2hands.keypoints.hypothesis import HandDetection, LiftedHand
from im2hands.keypoints.reading.mask import read_mask
from im2hands.keypoints.reading.skin import read_skin

from .lifting_features import HandFeatures, between, lifting_features

if TYPE_CHECKING:
    from torch import Tensor

    from im2hands.keypoints.reading.network import LandmarkNetwork
    from im2hands.networks.compact_encoder import CompactEncoder
    from im2hands.networks.lifting_network import LiftingInput, LiftingNetwork
    from im2hands.networks.two_hand_network import TwoHandNetwork


class HandLifter:
    """Lifts the hands of a picture. Several threads may do so at a time.

    Parameters
    ----------
    network : LiftingNetwork
        The lifting network, on its device, in evaluation mode.
    palms : TwoHandNetwork
        The two-hand network, whose features are inputs of the lifting network.
    reader : LandmarkNetwork
        The reading network, whose features are inputs of the lifting network.
    encoder : CompactEncoder or None
        The image encoder, which tells hands from what is none. None leaves the masks out.
    """

    def __init__(
        self,
        network: LiftingNetwork,
        palms: TwoHandNetwork,
        reader: LandmarkNetwork,
        encoder: CompactEncoder | None = None,
    ) -> None:
        self._network, self._palms, self._reader, self._encoder = network, palms, reader, encoder

    @property
    def threads(self) -> int:
        """Threads that may lift hands at a time: PyTorch's, at most the granted cores; one where a card lifts them."""
        import torch

        on_processor = next(self._network.parameters()).device.type == "cpu"
        return min(torch.get_num_threads(), granted_cores()) if on_processor else 1

    def lift(self, image: np.ndarray, hands: Sequence[HandDetection]) -> list[HandDetection]:
        """Lift the hands of one person.

        Parameters
        ----------
        image : (H, W, 3) uint8
            RGB picture.
        hands : Sequence[HandDetection]
            At most two hands of the picture.

        Returns
        -------
        list[HandDetection]
            The hands in order, each with ``lifted`` and ``mask``, and with ``skin`` if the reading network was taught
            it. A hand without extent is returned unchanged. One of which the network tells no numbers has no
            ``lifted``.
        """
        import torch

        good = [k for k, hand in enumerate(hands) if _has_extent(hand)]
        if not good:
            return list(hands)
        features = lifting_features(self._palms, self._reader, image, [hands[k] for k in good])
        with torch.inference_mode():
            given = lifting_input(features, [1, 0] if len(features) == 2 else [-1] * len(features))
            device = next(self._network.parameters()).device
            made = self._network(type(given)(*(value.to(device) for value in given)))
        arrays = {name: value.float().cpu().numpy().astype(np.float64) for name, value in made._asdict().items()}
        result = list(hands)
        seen, read, crops = (np.stack([getattr(f, name) for f in features]) for name in ("close", "read", "crop"))
        skins = read_skin(self._reader, seen, read, crops, [hand.mirrored for hand in features])
        shapes = [_lifted(arrays, row, hand, len(features) == 2) for row, hand in enumerate(features)]
        mask = None
        if self._encoder is not None:
            unit = float(np.mean([hand.unit for hand in features]))
            places = [one.pixels if one.sound else hands[k].pixels for one, k in zip(shapes, good, strict=True)]
            mask = read_mask(self._encoder, image, np.concatenate(places), unit)
        for row, k in enumerate(good):
            skin = skins[row] if skins else None
            lifted = shapes[row] if shapes[row].sound else None
            result[k] = replace(hands[k], lifted=lifted, skin=skin, mask=mask)
        return result


def lifting_input(features: Sequence[HandFeatures], partners: Sequence[int]) -> LiftingInput:
    """Stack the features of N hands into the input of the lifting network.

    Parameters
    ----------
    features : Sequence[HandFeatures]
        The features of each hand.
    partners : Sequence[int]
        For each hand the index of the same person's other hand; -1 without one.

    Returns
    -------
    LiftingInput
        The input, on the CPU.
    """
    import torch

    from im2hands.networks.lifting_network import LiftingInput

    def stacked(name: str, rows: Sequence[int]) -> Tensor:
        return torch.from_numpy(np.stack([getattr(features[row], name) for row in rows]))

    own = range(len(features))
    other = [partner if partner >= 0 else row for row, partner in enumerate(partners)]
    offsets = [between(hand, features[k] if k >= 0 else None) for hand, k in zip(features, partners, strict=True)]
    names = ("points", "hand", "vector", "seen", "close")
    parts = [stacked(name, rows) for rows in (own, other) for name in names]
    pair = torch.tensor([float(partner >= 0) for partner in partners])
    return LiftingInput._make([*parts, torch.from_numpy(np.stack(offsets)).float(), pair])


def _has_extent(hand: HandDetection) -> bool:
    """Return whether the keypoints are finite and span at least a pixel, and the shape has a palm length."""
    pixels, shape = np.asarray(hand.pixels), np.asarray(hand.shape)
    if not (np.isfinite(pixels).all() and np.isfinite(shape).all()):
        return False
    return bool(np.ptp(pixels, axis=0).max() >= 1 and np.linalg.norm(shape[MIDDLE_MCP] - shape[WRIST]) >= 1e-6)


def _lifted(arrays: dict[str, np.ndarray], row: int, features: HandFeatures, pair: bool) -> LiftedHand:
    """Convert one row of the network's outputs, which are of a right hand, to a ``LiftedHand``."""
    flip = np.array([-1.0 if features.mirrored else 1.0, 1.0, 1.0])
    places = arrays["places"][row] * flip[:2]
    return LiftedHand(
        arrays["shape"][row] * flip,
        arrays["spread"][row],
        features.centre + features.unit * places,
        arrays["place_spread"][row] * features.unit,
        float(arrays["depth"][row]) if pair else None,
        float(arrays["depth_spread"][row]) if pair else None,
    )
