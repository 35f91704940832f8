"""Reads crops until they agree: turns proposed crops into hypotheses, each hand once or in few variants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from im2hands.core.hands import KEYPOINT_COUNT
from im2hands.keypoints.choosing.cluster import clusters
from im2hands.keypoints.hand_geometry import palm_length
from im2hands.keypoints.hypothesis import NOT_READ, UNREAD, Hypothesis, PhotoReading, SidedReading

from .consensus import Consensus, read_repeatedly
from .crops import crops_around
from .network import LandmarkNetwork
from .readings import Part, Readings

# Least presence of a reading to be kept.
_KEEP_PRESENCE = 0.2
# Readings whose keypoints lie this close (mean, palm lengths) are one hypothesis.
SAME_READING = 0.25
MOST_HYPOTHESES = 12
# How fast a group of readings becomes likelier with its share of all readings: at 1 / 20 of them it has two thirds.
_SUPPORT = 20.0
# Crops in which a hypothesis is read by the reading network and by MediaPipe's, each as it is and mirrored.
_CROPS_EACH, _PHOTO_CROPS = 3, 1


@dataclass(frozen=True)
class Proposals:
    """Places where hands may be.

    Parameters
    ----------
    crops : (N, 4) float64
        Crops as in ``LandmarkNetwork.read``.
    sources : tuple[str, ...]
        The proposer of each crop.
    known : (K, 21, 2) float64
        Keypoints of hands that are hypotheses without a first reading, pixels.
    known_sources : tuple[str, ...]
        The proposer of each of ``known``.
    """

    crops: np.ndarray
    sources: tuple[str, ...]
    known: np.ndarray
    known_sources: tuple[str, ...]

    @classmethod
    def joined(cls, parts: Sequence[Proposals]) -> Proposals:
        """Put the proposals of several proposers together.

        Parameters
        ----------
        parts : Sequence[Proposals]
            The proposals.

        Returns
        -------
        Proposals
            All of them, in order.
        """
        crops = [part.crops.reshape(-1, 4) for part in parts]
        known = [part.known.reshape(-1, KEYPOINT_COUNT, 2) for part in parts]
        return cls(
            np.concatenate([*crops, np.zeros((0, 4))]),
            tuple(source for part in parts for source in part.sources),
            np.concatenate([*known, np.zeros((0, KEYPOINT_COUNT, 2))]),
            tuple(source for part in parts for source in part.known_sources),
        )

    @classmethod
    def of_crops(cls, crops: np.ndarray, source: str) -> Proposals:
        """Return crops of one proposer.

        Parameters
        ----------
        crops : (N, 4) float64
            The crops.
        source : str
            The proposer.

        Returns
        -------
        Proposals
            The proposals.
        """
        return cls(crops, (source,) * len(crops), np.zeros((0, KEYPOINT_COUNT, 2)), ())

    @classmethod
    def of_hands(cls, pixels: np.ndarray, source: str) -> Proposals:
        """Return hands of one proposer that need no first reading.

        Parameters
        ----------
        pixels : (K, 21, 2) float64
            Keypoints, pixels.
        source : str
            The proposer.

        Returns
        -------
        Proposals
            The proposals.
        """
        return cls(np.zeros((0, 4)), (), pixels, (source,) * len(pixels))


def read_hypotheses(
    network: LandmarkNetwork,
    image: np.ndarray,
    proposals: Proposals,
    *,
    most: int = MOST_HYPOTHESES,
    crops_each: int = _CROPS_EACH,
    as_sides: bool = True,
    cancelled: Callable[[], bool] | None = None,
) -> list[Hypothesis]:
    """Read the proposed crops and return the hands that they lead to.

    Every crop is read, and once more around the keypoints found in it. Readings with the same keypoints are one
    hypothesis, which is read in varied crops, as a hand of either side, and by MediaPipe's network.

    Parameters
    ----------
    network : LandmarkNetwork
        The reading network.
    image : (H, W, 3) uint8
        RGB picture.
    proposals : Proposals
        Where hands may be.
    most : int
        Most hypotheses beside the known ones.
    crops_each : int
        Crops in which each hypothesis is read; each is read twice.
    as_sides : bool
        Whether hypotheses are also read as a hand of either side.
    cancelled : callable or None
        Called between batches of crops. If it returns True, ``Cancelled`` is raised.

    Returns
    -------
    list[Hypothesis]
        The known hands, then the others, likelier ones first. One hand may appear with different keypoints.
    """
    pixels, support, sources = list(proposals.known), [1.0] * len(proposals.known), list(proposals.known_sources)
    if len(proposals.crops):
        first = network.read(image, proposals.crops, cancelled=cancelled)
        kept = first.presence > _KEEP_PRESENCE
        named = np.array(proposals.sources, dtype=object)[kept]
        first = first.take(kept)
        again = network.read(image, crops_around(first.pixels), cancelled=cancelled) if len(first) else first
        kept = again.presence > _KEEP_PRESENCE
        named = np.concatenate([named, named[kept]])
        for middle, share, source in _middles(first, again.take(kept), named):
            gaps = [np.linalg.norm(middle - p, axis=1).mean() / palm_length(p) for p in pixels]
            if all(gap >= SAME_READING for gap in gaps):
                pixels.append(middle)
                support.append(share)
                sources.append(source)
    count = min(most + len(proposals.known), len(pixels))
    if not count:
        return []
    found = np.array(pixels[:count])
    return _verified(network, image, found, support[:count], sources[:count], crops_each, as_sides, cancelled)


def _middles(first: Readings, again: Readings, named: np.ndarray) -> list[tuple[np.ndarray, float, str]]:
    """Return the median keypoints of each group of readings, its share of all, and its first proposer."""
    pixels = np.concatenate([first.pixels, again.pixels])
    presence = np.concatenate([first.presence, again.presence])
    made = []
    for members in clusters(pixels, presence, SAME_READING):
        share = len(members) / len(pixels)
        likely = float(presence[members].mean()) * (1 - np.exp(-_SUPPORT * share))
        made.append((likely, np.median(pixels[members], axis=0), share, str(named[members[0]])))
    return [(middle, share, source) for _, middle, share, source in sorted(made, key=lambda group: -group[0])]


def _verified(
    network: LandmarkNetwork,
    image: np.ndarray,
    pixels: np.ndarray,
    support: Sequence[float],
    sources: Sequence[str],
    crops_each: int,
    as_sides: bool,
    cancelled: Callable[[], bool] | None,
) -> list[Hypothesis]:
    """Read hands (N, 21, 2) in varied crops, by MediaPipe's network, and perhaps as hands of either side."""
    looks = read_repeatedly(network, image, pixels, crops_each, cancelled=cancelled)
    centres = np.array([look.pixels for look in looks])
    photos = read_repeatedly(network.mediapipe(), image, centres, _PHOTO_CROPS, cancelled=cancelled)
    sided = _sided(network, image, centres, cancelled) if as_sides else [(NOT_READ, NOT_READ)] * len(centres)
    rows = zip(looks, photos, sided, support, sources, strict=True)
    return [
        Hypothesis(
            look.pixels, look.shape, np.hypot(look.spread, look.predicted_error), look.presence, look.agreement,
            look.network_right, look.right - look.network_right, share, source, both, _photo(look, photo),
        )
        for look, photo, both, share, source in rows
    ]  # fmt: skip


def _photo(look: Consensus, photo: Consensus) -> PhotoReading:
    """Compare the reading of MediaPipe's network with ours."""
    gap = float(np.linalg.norm(photo.pixels - look.pixels, axis=1).mean() / palm_length(look.pixels))
    scatter = 2 * float(photo.spread.mean())
    return PhotoReading(photo.presence, photo.network_right, gap, scatter, photo.pixels, photo.shape)


def _sided(
    network: LandmarkNetwork, image: np.ndarray, pixels: np.ndarray, cancelled: Callable[[], bool] | None
) -> list[tuple[SidedReading, SidedReading]]:
    """Read hands (N, 21, 2) as left and as right hands."""
    if not network.takes_sides:
        return [(UNREAD, UNREAD)] * len(pixels)
    crops, palms = crops_around(pixels), palm_length(pixels)
    sided = []
    for read in network.read_parts(image, [Part(crops, side) for side in (-1, 1)], cancelled=cancelled):
        gaps = np.linalg.norm(read.pixels - pixels, axis=-1).mean(axis=1) / palms
        numbers = zip(read.presence, gaps, read.spread.mean(axis=1), strict=True)
        sided.append([SidedReading(*(float(number) for number in row)) for row in numbers])
    return list(zip(*sided, strict=True))
