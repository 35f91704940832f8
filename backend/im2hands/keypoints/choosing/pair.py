"""Selects one person's two hands among the candidates, by the pair judge's probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from im2hands.keypoints.hypothesis import HandDetection
from im2hands.keypoints.proposing.palm_seeds import match, side_evidence, with_wrist_offset
from im2hands.keypoints.proposing.palms import SuspectedPalms
from im2hands.keypoints.proposing.two_hand_network import PictureReading
from im2hands.keypoints.reading.network import LandmarkNetwork
from im2hands.networks.pair_judge import PAIR_FEATURES

from .candidates import Candidate, known_candidates
from .features import features
from .judge import PairJudge, Verdict, is_steady
from .sides import evidence, log_odds, with_side

PAIR, EACH = 0.5, 0.2
"""Least probability of a pair, and least single probability of each of its hands."""

OWN_READING = 0.1
"""Added to ``PAIR`` for each hand that only the two-hand network reads: it is overconfident on photographs."""

KNOWN_PAIR = 0.8
"""Probability of a pair from which on two known hands are kept without collecting candidates."""

SURE_PAIR = 0.65
"""Least probability of a pair in the two cases prone to false positives, ``INSIDE`` and ``CONFIRMED``."""

INSIDE = 0.6
"""Share of the smaller hand's area that lies within the other hand. If MediaPipe detects exactly one steady hand, a
pair with a larger share needs ``SURE_PAIR``: without this rule a fist gets a second hand."""

CONFIRMED = 0.5
"""Presence below which MediaPipe's network does not confirm a hand. A pair needs ``SURE_PAIR`` if one hand is not
confirmed and ``KNOWN_PAIR`` if neither is: our networks, trained on renderings, read photographed coats as hands."""

ALONE = 0.5
"""Least single probability of one hand alone, if no hand is known and no pair is probable enough."""


def likely_pair(
    judge: PairJudge,
    network: LandmarkNetwork,
    image: np.ndarray,
    hands: Sequence[HandDetection],
    picture_reading: PictureReading,
    suspected: SuspectedPalms | None = None,
) -> bool:
    """Return whether two known hands are one person's two hands with enough probability to look for no others.

    Parameters
    ----------
    judge : PairJudge
        The pair judge.
    network : LandmarkNetwork
        Reads the crops.
    image : (H, W, 3) uint8
        RGB picture.
    hands : Sequence[HandDetection]
        The known hands. The answer is False unless there are two.
    picture_reading : PictureReading
        The two-hand network's reading of the picture.
    suspected : SuspectedPalms or None
        Palms of MediaPipe's palm detector.

    Returns
    -------
    bool
        Whether the pair's probability is at least ``KNOWN_PAIR``.
    """
    if len(hands) != 2:
        return False
    candidates = known_candidates(network, image, hands, suspected)
    verdict = judge(*features(candidates, picture_reading, (image.shape[1], image.shape[0])))
    return bool(verdict.two.max(initial=0.0) >= KNOWN_PAIR)


def choose_hands(
    judge: PairJudge,
    candidates: Sequence[Candidate],
    known: Sequence[HandDetection],
    picture_reading: PictureReading,
    size: tuple[int, int],
) -> list[HandDetection]:
    """Select one person's hands among the candidates.

    Parameters
    ----------
    judge : PairJudge
        The pair judge.
    candidates : Sequence[Candidate]
        All hands that may be there.
    known : Sequence[HandDetection]
        Hands found before, which are among the candidates. They are returned unchanged if no pair is probable enough.
    picture_reading : PictureReading
        The two-hand network's reading of the picture.
    size : tuple[int, int]
        Width and height of the picture, pixels.

    Returns
    -------
    list[HandDetection]
        Two hands with opposite sides; or ``known``; or, if ``known`` is empty, at most the best candidate alone.
    """
    single, pairs = features(candidates, picture_reading, size)
    verdict = _without_unconfirmed(judge(single, pairs), candidates)
    # A hand of MediaPipe that repeated readings confirm must be one of the two.
    steady = is_steady(single[:, 1])
    detected = [k for k, candidate in enumerate(candidates) if steady[k] and candidate.mediapipe_detection is not None]
    best = verdict.best(detected[:2])
    if (
        best is None
        or verdict.two[best] < _least(candidates, pairs, best, detected)
        or verdict.single[list(best)].max(axis=1).min() < EACH
    ):
        if known or not len(verdict.single) or verdict.single.max() < ALONE:
            return list(known)
        alone = int(np.argmax(verdict.single.max(axis=1)))
        if candidates[alone].mediapipe_detection is None and candidates[alone].mediapipe_presence < CONFIRMED:
            return []
        return with_wrist_offsets([_detection(candidates[alone], float(verdict.single[alone].max()))], picture_reading)
    hands = [_detection(candidates[k], float(verdict.two[best])) for k in best]
    rights = []
    for k, hand, reading in zip(best, hands, match(hands, picture_reading), strict=True):
        if candidates[k].mediapipe_detection is not None:
            rights.append(evidence(hand))  # contains the two-hand network's estimate already
        else:
            rights.append(candidates[k].look.right + (0.0 if reading is None else side_evidence(reading)))
    # The two hands have opposite sides, so evidence for one hand's side is evidence against the other's.
    apart = rights[0] - rights[1] - float(log_odds(verdict.pair[best]) - log_odds(verdict.pair[best[::-1]]))
    return with_wrist_offsets([with_side(hands[0], apart / 2), with_side(hands[1], -apart / 2)], picture_reading)


def _without_unconfirmed(verdict: Verdict, candidates: Sequence[Candidate]) -> Verdict:
    """Return the verdict without pairs that are too improbable for hands that MediaPipe's network does not confirm."""
    if not len(verdict.single):
        return verdict
    unseen = np.array(
        [candidate.mediapipe_detection is None and candidate.mediapipe_presence < CONFIRMED for candidate in candidates]
    )
    either, both = unseen[:, None] | unseen[None], unseen[:, None] & unseen[None]
    least = np.where(both, KNOWN_PAIR, np.where(either, SURE_PAIR, 0.0))
    return replace(verdict, two=np.where(verdict.two < least, 0.0, verdict.two))


def with_wrist_offsets(hands: Sequence[HandDetection], picture_reading: PictureReading) -> list[HandDetection]:
    """Add the offset to the other wrist to the hands that the two-hand network reads too.

    Parameters
    ----------
    hands : Sequence[HandDetection]
        The hands.
    picture_reading : PictureReading
        The two-hand network's reading of the picture.

    Returns
    -------
    list[HandDetection]
        The hands in order; those without a matching reading unchanged.
    """
    readings = match(hands, picture_reading)
    return [hand if r is None else with_wrist_offset(hand, r) for hand, r in zip(hands, readings, strict=True)]


def _least(candidates: Sequence[Candidate], pairs: np.ndarray, pair: tuple[int, int], detected: Sequence[int]) -> float:
    """Return the least probability of a pair; ``detected`` are MediaPipe's hands that were read steadily."""
    if len(detected) == 1 and pairs[pair][PAIR_FEATURES.index("inside")] > INSIDE:
        return SURE_PAIR
    return PAIR + OWN_READING * sum(candidates[k].reading is not None for k in pair)


def _detection(candidate: Candidate, probability: float) -> HandDetection:
    """Return a candidate as a detection; ``probability`` scales the confidence of a hand read along a palm."""
    hand = candidate.detection()
    return (
        hand if candidate.mediapipe_detection is not None else replace(hand, confidence=hand.confidence * probability)
    )
