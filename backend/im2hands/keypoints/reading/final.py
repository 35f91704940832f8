"""The keypoints of a chosen hand, from the readings of both networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from im2hands.core.hands import KEYPOINT_COUNT, Side
from im2hands.keypoints.hand_geometry import palm_length
from im2hands.keypoints.hypothesis import OWN, READ, HandDetection, Hypothesis

from .consensus import Consensus, read_repeatedly
from .network import LandmarkNetwork

# Crops of the last reading, each read as it is and mirrored; how far the new keypoints may lie from the old ones (mean,
# palm lengths); and the agreement below which the old ones are kept.
_CROPS, _SAME, _LEAST_AGREEMENT = 5, 0.5, 0.5
# MediaPipe's reading is taken where its network is as sure as this: presence, and scatter between the crop and the
# mirrored crop (palm lengths). On photographs of clearly visible hands it is better than the reading network.
_SURE_PRESENCE, _SURE_SCATTER = 0.9, 0.12
# Spread of keypoints at which their confidence falls to a third, palm lengths.
_SPREAD = 0.25


def read_finally(
    network: LandmarkNetwork, image: np.ndarray, hands: Mapping[Side, Hypothesis]
) -> dict[Side, HandDetection]:
    """Read the chosen hands of a photo once more, each as a hand of its side.

    Parameters
    ----------
    network : LandmarkNetwork
        The reading network.
    image : (H, W, 3) uint8
        RGB picture.
    hands : mapping of Side to Hypothesis
        The chosen hands.

    Returns
    -------
    dict of Side to HandDetection
        The hands, with keypoints of MediaPipe's network where it is steady, else of the reading network.
    """
    if not hands:
        return {}
    places = np.stack([hand.pixels for hand in hands.values()])
    looks = read_repeatedly(network.mediapipe(), image, places, _CROPS)
    made: dict[Side, HandDetection] = {}
    for look, (side, hand) in zip(looks, hands.items(), strict=True):
        source = network.mediapipe().source
        if not (look.steady and _near(look, hand)):
            source = network.source
            look = read_repeatedly(network, image, hand.pixels[None], _CROPS, 1 if side == "right" else -1)[0]
        if look.agreement < _LEAST_AGREEMENT or not _near(look, hand):
            made[side] = as_read(hand, side, network.source)
        else:
            made[side] = replace(look.detection(source), side=side, wrist_offset=hand.wrist_offset)
    return made


def as_read(hand: Hypothesis, side: Side, source: str) -> HandDetection:
    """Return a chosen hand with the keypoints that were read before.

    Parameters
    ----------
    hand : Hypothesis
        The chosen hand.
    side : Side
        Its side.
    source : str
        Source of readings of the reading network: ``LandmarkNetwork.source``.

    Returns
    -------
    HandDetection
        The hand. Its score is the presence.
    """
    sure = hand.presence * (np.exp(-hand.spread) if hand.own else np.exp(-((hand.spread / _SPREAD) ** 2)))
    confidence = np.clip(np.broadcast_to(sure, KEYPOINT_COUNT), 0, 1)
    pixels, shape, source = hand.pixels, hand.shape, OWN if hand.own else source
    photo = hand.photo
    if photo is not None and photo.presence >= _SURE_PRESENCE and photo.scatter <= _SURE_SCATTER and photo.gap < _SAME:
        pixels, shape, source = photo.pixels, photo.shape, READ
    return HandDetection(side, pixels, shape, confidence, hand.presence, source, hand.wrist_offset)


def _near(look: Consensus, hand: Hypothesis) -> bool:
    """Return whether a new reading shows the same hand."""
    return float(np.linalg.norm(look.pixels - hand.pixels, axis=1).mean() / palm_length(look.pixels)) <= _SAME
