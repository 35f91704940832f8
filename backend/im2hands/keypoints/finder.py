"""Finds the left and the right hand of one person in every frame, from all proposers and readers together."""

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
from im2hands.keypoints.proposing.two_hand_network import PictureReading, TwoHandReader
from im2hands.keypoints.reading.consensus import Consensus, read_repeatedly
from im2hands.keypoints.reading.network import LandmarkNetwork, crops_around
from im2hands.media.source import Frame

from .hypothesis import HandDetection, KeypointProvider

# Log odds. Below this a detection's side is doubtful: in a clip the hand is read again. In photos it always is.
SURE_SIDE = 3.0
# Mean distance, palm lengths. In a clip the repeated readings replace MediaPipe's keypoints only beyond this distance.
MOVED = 0.15
# Least quality of a hand followed from the frame before; lower than that of a searched hand (proposing.grid.ACCEPT).
FOLLOW = 0.4
# The last reading of a hand of known side: the number of crops, each read as it is and mirrored, and how far the new
# keypoints may lie from the old ones (mean, palm lengths).
SIDED_CROPS, SAME_READING = 5, 0.5
# Frames of a clip without a search after one that found nothing; doubled each time, up to the second number.
FIRST_PAUSE, LONGEST_PAUSE = 4, 32
# More than two detections above this score are hands of several people, which is noted for the user.
SURE_HAND = 0.6
# The same for readings of the two-hand network: the presence from which on its readings are trusted to be hands.
SURE_READING = 0.85
MEDIAPIPE = "mediapipe"
OTHER_PEOPLE = "More hands are in the picture than one person's; those of one person were taken."


class TwoHandProvider:
    """Finds both hands of every frame.

    The steps for one frame:

    1. MediaPipe's tasks API detects hands. Each is verified by repeated readings; in a clip only if its side is
    doubtful.
    2. In a clip, hands of the frame before that MediaPipe lost are followed with MediaPipe's landmark network.
    3. The two-hand network reads the picture; in a clip only if a hand is missing or a side is doubtful. Its estimate
    is added to the evidence for the sides.
    4. The reading network reads crops along all palms that the two-hand network finds. The pair judge selects one
    person's two hands from these readings and MediaPipe's hands.
    5. If fewer than two hands are found, the crop search looks for the other one.
    6. If a hand is still missing, the two-hand network's own keypoints are used.

    A user's boxes replace steps 3 to 6 in the frames that they name. If two hands have the same side, one side is
    changed. Over a clip the sides are kept steady.

    In a clip, steps 4 and 5 run in the first frame and whenever a hand has just been lost. After a frame in which they
    found no second hand they pause for 4 frames, then 8, 16, 32, 32, ..., until two hands are found again.

    Parameters
    ----------
    tasks : KeypointProvider or None
        MediaPipe's tasks API; closed with the provider. None if only the two-hand network shall find the hands.
    network : LandmarkNetwork
        Reads keypoints in crops; closed with the provider.
    video : bool
        True: frames come in order from one clip. False: every frame is a separate photo.
    palms : TwoHandReader or None
        Runs the two-hand network. None if its weights are not installed.
    judge : PairJudge or None
        The pair judge. None if ``palms`` is None.
    lifter : HandLifter or None
        Adds the lifting network's 3D shapes to the hands. None keeps the shapes of the network that read the keypoints.
    detector : PalmDetector or None
        MediaPipe's palm detector, which proposes further palms and gives the judge a score.
    crop_search : bool
        Whether to run the crop search (step 5).
    hand_boxes : HandBoxes or None
        A user's boxes or points.
    cache_folder : Path or None
        Folder for the results of finished crop searches. None keeps them in memory only.
    progress : callable or None
        Called with the number of crops done and the number of crops in total while a search runs.
    cancelled : callable or None
        Called between crops. If it returns True, ``detect`` raises ``Cancelled``.
    """

    def __init__(
        self,
        tasks: KeypointProvider | None,
        network: LandmarkNetwork,
        *,
        video: bool,
        palms: TwoHandReader | None = None,
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
        """Detect the hands of a frame.

        Parameters
        ----------
        frame : Frame
            The frame.
        previous : Sequence[HandDetection]
            The hands of the frame before it; empty for photos.

        Returns
        -------
        list[HandDetection]
            At most one left and one right hand, left first, with the lifting network's shapes if there is a lifter.

        Raises
        ------
        FrameError
            If MediaPipe cannot process the picture.
        Cancelled
            If ``cancelled`` returned True during a search.
        """
        hands = self._found(frame, previous)
        return self._lifter.lift(frame.image, hands) if self._lifter is not None else hands

    def _found(self, frame: Frame, previous: Sequence[HandDetection]) -> list[HandDetection]:
        """Run the steps listed in the class docstring, without lifting."""
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
        picture_reading = self._palms_seen(frame.image, hands)
        crowd = sum(hand.score > SURE_HAND for hand in hands) > 2
        hands = with_sides(one_persons(_of_one_person(hands, picture_reading)), picture_reading)
        due = (not self._video or len(hands) < 2) and self._search_is_due(len(hands))
        if due:
            hands = self._judged(frame.image, hands, picture_reading)
        if due and len(hands) < 2 and self._tasks is not None and self._crop_search:
            hands = self._searched(frame.image, hands)
        if due:
            self._pause = self._next_pause
            self._next_pause = min(2 * self._next_pause, LONGEST_PAUSE)
        hands = fill(hands, picture_reading, FILL_BESIDE if self._tasks is not None else FILL_ALONE)
        self._last_count = len(hands)
        if len(hands) == 2:
            self._pause, self._next_pause = 0, FIRST_PAUSE
        if self._video:
            found = self._tracker.update(hands, previous)
        else:
            found = resolve_sides(hands, [evidence(hand) for hand in hands])
        crowd |= len(found) < len(hands) or any(hand.presence > SURE_READING for hand in picture_reading.others)
        return _noted(self._read_by_side(frame.image, found), crowd)

    def close(self) -> None:
        """Release MediaPipe and the network."""
        if self._tasks is not None:
            self._tasks.close()
        self._network.close()

    def _checked(self, image: np.ndarray, hand: HandDetection) -> HandDetection:
        """Verify a detection of MediaPipe by repeated readings with its landmark network.

        In a photo the keypoints become the median of 14 readings, which is better than MediaPipe's single reading on
        fists and hidden fingers. In a clip MediaPipe's keypoints stay, because they are smoothed over time, unless the
        repeated readings lie elsewhere.
        """
        hand = weigh_shape(hand)
        if self._video and abs(evidence(hand)) >= SURE_SIDE:
            return hand
        look = read_repeatedly(self._network.mediapipe(), image, hand.pixels[None])[0]
        if look.agreement < 0.5:
            return hand
        reread = look.detection(hand.source)
        if not self._video:
            return reread
        moved = np.linalg.norm(look.pixels - hand.pixels, axis=1).mean() / palm_length(look.pixels)
        if moved > MOVED:
            return reread
        return replace(reread, pixels=hand.pixels, shape=hand.shape)

    def _read_by_side(self, image: np.ndarray, hands: list[HandDetection]) -> list[HandDetection]:
        """Read the hands again with the reading network, which is given the side of each.

        Where two hands overlap, the network then reads the one with that side. A steady reading of MediaPipe's network
        stays: on photographs of clearly visible hands it is better than the reading network.
        """
        if not self._network.takes_sides:
            return hands
        return [self._read_again(image, hand) for hand in hands]

    def _read_again(self, image: np.ndarray, hand: HandDetection) -> HandDetection:
        """Read one hand again; return it unchanged if the new keypoints are unsteady or lie elsewhere."""
        look = read_repeatedly(self._network.mediapipe(), image, hand.pixels[None], SIDED_CROPS)[0]
        if look.steady and hand.source == MEDIAPIPE:
            return hand
        if not look.steady or _apart(look, hand) > SAME_READING:
            side = 1 if hand.side == "right" else -1
            look = read_repeatedly(self._network, image, hand.pixels[None], SIDED_CROPS, side)[0]
        if look.agreement < 0.5 or _apart(look, hand) > SAME_READING:
            return hand
        source = SEEDED if hand.source == OWN else hand.source
        reread = look.detection(source)
        return replace(hand, pixels=reread.pixels, shape=reread.shape, confidence=reread.confidence, source=source)

    def _palms_seen(self, image: np.ndarray, hands: Sequence[HandDetection]) -> PictureReading:
        """Run the two-hand network if needed: in a clip only if a hand is missing or a side is doubtful."""
        sure = len(hands) == 2 and all(abs(evidence(hand)) >= SURE_SIDE for hand in hands)
        if self._palms is None or (self._video and sure and hands[0].side != hands[1].side):
            return PictureReading()
        return self._palms.read(image)

    def _followed(
        self, image: np.ndarray, hands: list[HandDetection], previous: Sequence[HandDetection]
    ) -> list[HandDetection]:
        """Add the hands of the frame before that MediaPipe lost and that can still be read."""
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

    def _judged(
        self, image: np.ndarray, hands: list[HandDetection], picture_reading: PictureReading
    ) -> list[HandDetection]:
        """Select one person's two hands from the known hands and all readings along palms."""
        if self._judge is None or not picture_reading.hands:
            return hands
        suspected = suspect_palms(self._detector, image, picture_reading) if self._detector is not None else None
        if likely_pair(self._judge, self._network, image, hands, picture_reading, suspected):
            return hands
        candidates = find_candidates(self._network, image, picture_reading, hands, suspected)
        return choose_hands(self._judge, candidates, hands, picture_reading, (image.shape[1], image.shape[0]))

    def _search_is_due(self, count: int) -> bool:
        """Return whether to look for the missing hand in this frame; counts the pause down."""
        if not self._video or count < self._last_count:
            return True
        self._pause -= 1
        return self._pause < 0

    def _searched(self, image: np.ndarray, hands: list[HandDetection]) -> list[HandDetection]:
        """Run the crop search, or take its result from the cache."""
        key = search_key(image, hands)
        found = self._cache.get(key)
        if found is None:
            found = search(self._network.mediapipe(), image, hands, progress=self._progress, cancelled=self._cancelled)
            self._cache.put(key, found)
        # The cache does not keep wrist offsets.
        wrist_offsets = {hand.pixels.tobytes(): hand.wrist_offset for hand in hands}
        return [replace(hand, wrist_offset=wrist_offsets.get(hand.pixels.tobytes())) for hand in found]


def _of_one_person(hands: list[HandDetection], picture_reading: PictureReading) -> list[HandDetection]:
    """Drop hands of other people, if the two-hand network reads one person's two hands with high presence."""
    if (
        not picture_reading.others
        or len(picture_reading.hands) < 2
        or min(hand.presence for hand in picture_reading.hands) < SURE_READING
    ):
        return hands
    return [hand for hand, reading in zip(hands, match(hands, picture_reading), strict=True) if reading is not None]


def _noted(hands: list[HandDetection], crowded: bool) -> list[HandDetection]:
    """Add the note about other people to the hands, if the picture shows more than one person's hands."""
    return [replace(hand, note=OTHER_PEOPLE if crowded else "") for hand in hands]


def _apart(look: Consensus, hand: HandDetection) -> float:
    """Return the mean distance between the keypoints of a consensus and of a hand, palm lengths."""
    return float(np.linalg.norm(look.pixels - hand.pixels, axis=1).mean() / palm_length(look.pixels))


def _same_place(a: HandDetection, b: HandDetection) -> bool:
    """Return whether two detections show one hand."""
    gap = np.linalg.norm(a.pixels - b.pixels, axis=1).mean() / palm_length(a.pixels)
    return bool(gap < 0.8 or outline_distance(a.pixels, b.pixels) < SAME_HAND)


def _with_marked(marked: Sequence[HandDetection], hands: Sequence[HandDetection]) -> list[HandDetection]:
    """Return the hands that the user marked and, for a side that was not marked, the best other hand."""
    sides = {hand.side: hand for hand in marked}
    for hand in sorted(hands, key=lambda h: -h.score):
        if all(outline_distance(hand.pixels, other.pixels) > SAME_HAND for other in marked):
            sides.setdefault(hand.side, hand)
    return [sides[side] for side in sorted(sides)]
