"""Both hands of a frame: MediaPipe, hands of the frame before, the two-hand network, boxes, search, steady sides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from im2hands.keypoints.choosing.candidates import find_candidates, suspect_palms
from im2hands.keypoints.choosing.judge import PairJudge
from im2hands.keypoints.choosing.pair import choose_hands, likely_pair
from im2hands.keypoints.choosing.sides import (
    SAME_HAND,
    SideTracker,
    evidence,
    one_persons,
    outline_distance,
    palm_length,
    resolve_sides,
    weigh_shape,
    without_doubles,
)
from im2hands.keypoints.placing.lift import HandLifter
from im2hands.keypoints.proposing.box_file import HandBoxes
from im2hands.keypoints.proposing.boxes import find_boxed
from im2hands.keypoints.proposing.grid import beside, quality, search
from im2hands.keypoints.proposing.palm_seeds import FILL_ALONE, FILL_BESIDE, SEEDED, fill, match, with_sides
from im2hands.keypoints.proposing.palm_seeds import SOURCE as OWN
from im2hands.keypoints.proposing.palms import PalmDetector
from im2hands.keypoints.proposing.search_cache import SearchCache, search_key
from im2hands.keypoints.proposing.two_hand_network import PalmReader, PalmsSeen
from im2hands.keypoints.reading.consensus import Consensus, read_repeatedly
from im2hands.keypoints.reading.network import LandmarkNetwork, crops_around
from im2hands.media.source import Frame

from .hypothesis import HandDetection, KeypointProvider

# MediaPipe's answer is looked at again when its side is less certain than this (log odds), always in photos.
SURE_SIDE = 3.0
# In a clip, keypoints that the second look sees farther away than this (mean, in palms) are taken from there.
MOVED = 0.15
# A hand followed from the frame before must be this good; less than what a search must show (crop_search.ACCEPT).
FOLLOW = 0.4
# Crops in which a hand of known side is read at last, each as it is and mirrored, and how far it may lie from where it
# was read before (mean, palms).
SIDED_LOOKS, SAME_READING = 5, 0.5
# In a clip a search that found nothing new is not repeated for this many frames, then twice as many, up to the last.
FIRST_PAUSE, LONGEST_PAUSE = 4, 32
# A further hand that is seen this surely is another person's, and the person is told of it.
SURE_HAND = 0.6
SURE_READING = 0.85
MEDIAPIPE = "mediapipe"
OTHER_PEOPLE = "More hands are in the picture than one person's; those of one person were taken."


class TwoHandProvider:
    """Finds both hands of every frame as well as the means at hand allow.

    In order: MediaPipe's tasks API; a second look, in a clip only where the side is in doubt; in a clip, hands of the
    frame before that MediaPipe lost are followed with the landmark network. Then the two-hand network, in a clip only
    where hands are missing or a side is in doubt: it weighs in on the sides; the landmark network reads along all the
    palms it sees, and the pair judge says which two of all these readings and of MediaPipe's hands are the person's.
    With fewer than two hands after that, the crop search; and at last the two-hand network's own keypoints of a hand
    that nothing else sees.
    A person's boxes replace the search in the frames they name. Two hands of one side are resolved, and over a clip
    sides stay steady.

    When palms are read along and the search runs in a clip: at once in the first frame and whenever a hand has just
    been lost; after a search that brought no second hand they pause for 4 frames, then 8, 16, 32, 32, ... until two
    hands are seen again.

    Args:
        tasks: MediaPipe's tasks API; None where the two-hand network alone is to find the hands. network: reads crops.
            Both are closed with the provider. palms: the two-hand network; None where its weights are not installed.
        judge: chooses among what is read along the palms; None with ``palms`` None. lifter: tells the found hands'
            shapes in space; None leaves MediaPipe's. detector: MediaPipe's palm
            detector, which tells the judge of more palms.
        Others: as :func:`im2hands.keypoints.make_provider`.
    """

    def __init__(
        self,
        tasks: KeypointProvider | None,
        network: LandmarkNetwork,
        *,
        video: bool,
        palms: PalmReader | None = None,
        judge: PairJudge | None = None,
        lifter: HandLifter | None = None,
        detector: PalmDetector | None = None,
        crop_search: bool = True,
        hand_boxes: HandBoxes | None = None,
        cache_folder: Path | None = None,
        progress: Callable[[int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        self.name = "auto" if tasks is not None else "network"
        self._tasks = tasks
        self._network = network
        self._palms = palms
        self._judge = judge
        self._lifter = lifter
        self._detector = detector
        self._video = video
        self._crop_search = crop_search
        self._boxes = hand_boxes or HandBoxes()
        self._cache = SearchCache(cache_folder)
        self._progress = progress
        self._cancelled = cancelled
        self._tracker = SideTracker()
        self._pause = 0
        self._next_pause = FIRST_PAUSE
        self._last_count = 0

    def detect(self, frame: Frame, previous: Sequence[HandDetection] = ()) -> list[HandDetection]:
        """At most one left and one right hand, left first, lifted where there is a lifter.

        Raises:
            FrameError: MediaPipe refused the picture.
            Cancelled: the caller's ``cancelled`` said so during a search.
        """
        hands = self._found(frame, previous)
        return self._lifter.lift(frame.image, hands) if self._lifter is not None else hands

    def _found(self, frame: Frame, previous: Sequence[HandDetection]) -> list[HandDetection]:
        boxes = self._boxes.get(frame.index, frame.image.shape[1])
        marked = find_boxed(self._network, frame.image, boxes) if boxes else []
        tasks = self._tasks.detect(frame) if self._tasks is not None else []
        hands = without_doubles([self._checked(frame.image, hand) for hand in tasks])
        if self._video and len(hands) < 2:
            hands = self._followed(frame.image, hands, previous)
        if boxes:
            hands = _with_marked(marked, hands)
            self._tracker.follow(hands)
            return hands
        seen = self._palms_seen(frame.image, hands)
        crowd = sum(hand.score > SURE_HAND for hand in hands) > 2
        hands = with_sides(one_persons(_of_one_person(hands, seen)), seen)
        due = (not self._video or len(hands) < 2) and self._search_is_due(len(hands))
        if due:
            hands = self._judged(frame.image, hands, seen)
        if due and len(hands) < 2 and self._tasks is not None and self._crop_search:
            hands = self._searched(frame.image, hands)
        if due:
            self._pause = self._next_pause
            self._next_pause = min(2 * self._next_pause, LONGEST_PAUSE)
        hands = fill(hands, seen, FILL_BESIDE if self._tasks is not None else FILL_ALONE)
        self._last_count = len(hands)
        if len(hands) == 2:
            self._pause, self._next_pause = 0, FIRST_PAUSE
        if self._video:
            found = self._tracker.update(hands, previous)
        else:
            found = resolve_sides(hands, [evidence(hand) for hand in hands])
        crowd |= len(found) < len(hands) or any(hand.presence > SURE_READING for hand in seen.others)
        return _noted(self._read_by_side(frame.image, found), crowd)

    def close(self) -> None:
        """Release MediaPipe and the network."""
        if self._tasks is not None:
            self._tasks.close()
        self._network.close()

    def _checked(self, image: np.ndarray, hand: HandDetection) -> HandDetection:
        """The detection corrected by a second look.

        Photos get its keypoints, the median of 14 readings: on fists and hidden fingers visibly better than MediaPipe's
        one. A clip keeps MediaPipe's, which it smooths over time, unless the second look sees another hand there.
        """
        hand = weigh_shape(hand)
        if self._video and abs(evidence(hand)) >= SURE_SIDE:
            return hand
        look = read_repeatedly(self._network.mediapipe(), image, hand.pixels[None])[0]
        if look.agreement < 0.5:
            return hand
        seen = look.detection(hand.source)
        if not self._video:
            return seen
        moved = np.linalg.norm(look.pixels - hand.pixels, axis=1).mean() / palm_length(look.pixels)
        if moved > MOVED:
            return seen
        return replace(seen, pixels=hand.pixels, shape=hand.shape)

    def _read_by_side(self, image: np.ndarray, hands: list[HandDetection]) -> list[HandDetection]:
        """The hands read once more by the network that is told which side each is of: of hands that lie over each other
        it then reads the one that is meant.

        What MediaPipe's network reads steadily stays: in photographs it reads hands that can be seen better than ours.
        """
        if not self._network.takes_sides:
            return hands
        return [self._read_again(image, hand) for hand in hands]

    def _read_again(self, image: np.ndarray, hand: HandDetection) -> HandDetection:
        look = read_repeatedly(self._network.mediapipe(), image, hand.pixels[None], SIDED_LOOKS)[0]
        if look.steady and hand.source == MEDIAPIPE:
            return hand
        if not look.steady or _apart(look, hand) > SAME_READING:
            side = 1 if hand.side == "right" else -1
            look = read_repeatedly(self._network, image, hand.pixels[None], SIDED_LOOKS, side)[0]
        if look.agreement < 0.5 or _apart(look, hand) > SAME_READING:
            return hand
        source = SEEDED if hand.source == OWN else hand.source
        seen = look.detection(source)
        return replace(hand, pixels=seen.pixels, shape=seen.shape, confidence=seen.confidence, source=source)

    def _palms_seen(self, image: np.ndarray, hands: Sequence[HandDetection]) -> PalmsSeen:
        """What the two-hand network sees, where it is asked."""
        sure = len(hands) == 2 and all(abs(evidence(hand)) >= SURE_SIDE for hand in hands)
        if self._palms is None or (self._video and sure and hands[0].side != hands[1].side):
            return PalmsSeen()
        return self._palms.read(image)

    def _followed(
        self, image: np.ndarray, hands: list[HandDetection], previous: Sequence[HandDetection]
    ) -> list[HandDetection]:
        """The hands and those of the frame before that are still there though MediaPipe lost them."""
        for before in previous:
            if len(hands) == 2 or any(_same_place(before, hand) for hand in hands):
                continue
            pixels = before.pixels[None]
            network = self._network.mediapipe()
            for _ in range(2):
                pixels = network.read(image, crops_around(pixels)).pixels
            look = read_repeatedly(network, image, pixels)[0]
            value = quality(look, np.inf)
            hand = look.detection("tracking")
            for other in hands:
                value *= beside(other, evidence(other), hand, look.right)
            if value >= FOLLOW:
                hands = [*hands, hand]
        return hands

    def _judged(self, image: np.ndarray, hands: list[HandDetection], seen: PalmsSeen) -> list[HandDetection]:
        """One person's two hands among those that are known and all that is read along palms."""
        if self._judge is None or not seen.hands:
            return hands
        suspected = suspect_palms(self._detector, image, seen) if self._detector is not None else None
        if likely_pair(self._judge, self._network, image, hands, seen, suspected):
            return hands
        candidates = find_candidates(self._network, image, seen, hands, suspected)
        return choose_hands(self._judge, candidates, hands, seen, (image.shape[1], image.shape[0]))

    def _search_is_due(self, count: int) -> bool:
        if not self._video or count < self._last_count:
            return True
        self._pause -= 1
        return self._pause < 0

    def _searched(self, image: np.ndarray, hands: list[HandDetection]) -> list[HandDetection]:
        key = search_key(image, hands)
        found = self._cache.get(key)
        if found is None:
            found = search(self._network.mediapipe(), image, hands, progress=self._progress, cancelled=self._cancelled)
            self._cache.put(key, found)
        wrist_offsets = {hand.pixels.tobytes(): hand.wrist_offset for hand in hands}  # which the cache does not keep
        return [replace(hand, wrist_offset=wrist_offsets.get(hand.pixels.tobytes())) for hand in found]


def _of_one_person(hands: list[HandDetection], seen: PalmsSeen) -> list[HandDetection]:
    """The hands without those of other people, where the two-hand network is sure of one person's two hands."""
    if not seen.others or len(seen.hands) < 2 or min(hand.presence for hand in seen.hands) < SURE_READING:
        return hands
    return [hand for hand, reading in zip(hands, match(hands, seen), strict=True) if reading is not None]


def _noted(hands: list[HandDetection], crowded: bool) -> list[HandDetection]:
    return [replace(hand, note=OTHER_PEOPLE if crowded else "") for hand in hands]


def _apart(look: Consensus, hand: HandDetection) -> float:
    """Mean distance of a look's keypoints from a hand's, palms."""
    return float(np.linalg.norm(look.pixels - hand.pixels, axis=1).mean() / palm_length(look.pixels))


def _same_place(a: HandDetection, b: HandDetection) -> bool:
    gap = np.linalg.norm(a.pixels - b.pixels, axis=1).mean() / palm_length(a.pixels)
    return bool(gap < 0.8 or outline_distance(a.pixels, b.pixels) < SAME_HAND)


def _with_marked(marked: Sequence[HandDetection], hands: Sequence[HandDetection]) -> list[HandDetection]:
    """A person's hands, and on a side they left open the best hand that is not one of theirs."""
    sides = {hand.side: hand for hand in marked}
    for hand in sorted(hands, key=lambda h: -h.score):
        if all(outline_distance(hand.pixels, other.pixels) > SAME_HAND for other in marked):
            sides.setdefault(hand.side, hand)
    return [sides[side] for side in sorted(sides)]
