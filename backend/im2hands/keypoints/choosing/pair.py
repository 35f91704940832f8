"""One person's two hands among all that may be hands, as the pair judge sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from im2hands.keypoints.hypothesis import HandDetection
from im2hands.keypoints.proposing.palm_seeds import match, side_evidence, with_way
from im2hands.keypoints.proposing.palms import SuspectedPalms
from im2hands.keypoints.proposing.two_hand_network import PalmsSeen
from im2hands.keypoints.reading.network import LandmarkNetwork
from im2hands.networks.pair_judge import PAIR_FEATURES

from .candidates import Candidate, look_at
from .features import features
from .judge import PairJudge, Verdict, is_steady
from .sides import evidence, log_odds, with_side

PAIR, EACH = 0.5, 0.2
"""Two hands count from this probability on, if each of them by itself is a hand with at least the second one."""

OWN_READING = 0.1
"""By so much more for each of the two that the two-hand network alone reads: photographs make it too sure of itself."""

KNOWN_PAIR = 0.8
"""Two known hands that are as likely as this are not put to the test."""

SURE_PAIR = 0.65
"""Two hands that in a photograph need not be two count from this probability on; see :data:`INSIDE`, :data:`SEEN`."""

INSIDE = 0.6
"""What lies so much within a hand that MediaPipe and a second look see, and they do not see, is a second hand only from
:data:`SURE_PAIR` on: else fists have two."""

SEEN = 0.5
"""Two hands one of which MediaPipe's network does not see with this presence count from :data:`SURE_PAIR` on, from
:data:`KNOWN_PAIR` on where it sees neither: ours was taught on renderings, and sees hands in photographed coats."""

ALONE = 0.5
"""A hand that nothing but its reading along a palm speaks for counts alone from this probability on."""


def likely_pair(
    judge: PairJudge,
    network: LandmarkNetwork,
    image: np.ndarray,
    hands: Sequence[HandDetection],
    seen: PalmsSeen,
    suspected: SuspectedPalms | None = None,
) -> bool:
    """Whether two known hands are one person's two hands so probably that no other ones need to be looked for.

    Args:
        network: reads crops. image: (H, W, 3) uint8 RGB. seen: what the two-hand network says of it. suspected: what
            MediaPipe's palm detector half suspects.
    """
    if len(hands) != 2:
        return False
    candidates = look_at(network, image, hands, suspected)
    verdict = judge(*features(candidates, seen, (image.shape[1], image.shape[0])))
    return bool(verdict.two.max(initial=0.0) >= KNOWN_PAIR)


def choose_hands(
    judge: PairJudge,
    candidates: Sequence[Candidate],
    known: Sequence[HandDetection],
    seen: PalmsSeen,
    size: tuple[int, int],
) -> list[HandDetection]:
    """The person's hands.

    Args:
        candidates: all that may be hands. known: hands found before, which are among the candidates, and stay where no
            two candidates are probable. seen: what the two-hand network says. size: width and height of the picture.

    Returns:
        Two hands with opposite sides, or ``known``, or where that is empty at most the best candidate alone.
    """
    single, pairs = features(candidates, seen, size)
    verdict = _seen_twice(judge(single, pairs), candidates)
    # A hand of MediaPipe's that a second look sees, too, is one of the person's two.
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
        if candidates[alone].mediapipe_detection is None and candidates[alone].mediapipe_presence < SEEN:
            return []
        return with_seen([_detection(candidates[alone], float(verdict.single[alone].max()))], seen)
    hands = [_detection(candidates[k], float(verdict.two[best])) for k in best]
    rights = []
    for k, hand, reading in zip(best, hands, match(hands, seen), strict=True):
        if candidates[k].mediapipe_detection is not None:
            rights.append(evidence(hand))  # which the two-hand network has had its say in
        else:
            rights.append(candidates[k].look.right + (0.0 if reading is None else side_evidence(reading)))
    # Both are one person's: what is known of one hand's side says the contrary of the other's.
    apart = rights[0] - rights[1] - float(log_odds(verdict.pair[best]) - log_odds(verdict.pair[best[::-1]]))
    return with_seen([with_side(hands[0], apart / 2), with_side(hands[1], -apart / 2)], seen)


def _seen_twice(verdict: Verdict, candidates: Sequence[Candidate]) -> Verdict:
    """The verdict without pairs that are not likely enough for hands that MediaPipe's network does not see; see
    :data:`SEEN`."""
    if not len(verdict.single):
        return verdict
    unseen = np.array(
        [candidate.mediapipe_detection is None and candidate.mediapipe_presence < SEEN for candidate in candidates]
    )
    either, both = unseen[:, None] | unseen[None], unseen[:, None] & unseen[None]
    least = np.where(both, KNOWN_PAIR, np.where(either, SURE_PAIR, 0.0))
    return replace(verdict, two=np.where(verdict.two < least, 0.0, verdict.two))


def with_seen(hands: Sequence[HandDetection], seen: PalmsSeen) -> list[HandDetection]:
    """The hands with the way to the other wrist, where the two-hand network sees them too."""
    readings = match(hands, seen)
    return [hand if r is None else with_way(hand, r) for hand, r in zip(hands, readings, strict=True)]


def _least(candidates: Sequence[Candidate], pairs: np.ndarray, pair: tuple[int, int], detected: Sequence[int]) -> float:
    """The probability from which on a pair counts; ``detected`` are the hands that MediaPipe and a second look see."""
    if len(detected) == 1 and pairs[pair][PAIR_FEATURES.index("inside")] > INSIDE:
        return SURE_PAIR
    return PAIR + OWN_READING * sum(candidates[k].reading is not None for k in pair)


def _detection(candidate: Candidate, probability: float) -> HandDetection:
    """The candidate as a detection; what was read along a palm is no surer than the judge is of it."""
    hand = candidate.detection()
    return (
        hand if candidate.mediapipe_detection is not None else replace(hand, confidence=hand.confidence * probability)
    )
