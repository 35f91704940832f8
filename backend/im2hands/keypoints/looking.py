"""Looks at one picture with every reader: the hypotheses of the picture and what the judge needs to know of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import cv2
import numpy as np

from im2hands.core.hands import SIDES
from im2hands.keypoints.choosing.features import features
from im2hands.keypoints.choosing.judge import PairJudge
from im2hands.keypoints.hand_geometry import CHIRALITY_WEIGHT, chirality, palm_length
from im2hands.keypoints.placing.solve import DEFAULT_PALM_M
from im2hands.keypoints.proposing.box_file import HandBoxes
from im2hands.keypoints.proposing.boxes import find_boxed
from im2hands.keypoints.proposing.mediapipe import MediaPipeProvider
from im2hands.keypoints.proposing.palms import PalmDetector, SuspectedPalms, joined
from im2hands.keypoints.proposing.photo import distinct_palms, propose, suspect_around_hands, suspect_palms
from im2hands.keypoints.proposing.two_hand_network import HandReading, PictureReading, TwoHandReader
from im2hands.keypoints.proposing.two_hand_pictures import palm_frame
from im2hands.keypoints.reading.hypotheses import SAME_READING, Proposals, read_hypotheses
from im2hands.keypoints.reading.network import LandmarkNetwork
from im2hands.media.source import Frame

from .hypothesis import OWN, HandDetection, Hypothesis, WristOffset
from .look import THUMBNAIL, Look

# The two-hand network's own readings: how many are kept at most, and from which presence on.
_MOST_OWN, _OWN_PRESENCE = 6, 0.3
# A palm of the detector belongs to a hypothesis within this distance (palm lengths) and turn (radians).
_DETECTED_PLACE, _DETECTED_TURN = 0.6, 0.8
# A hand of MediaPipe's tasks API, or a reading of the two-hand network, is the hypothesis up to this distance (mean,
# palm lengths).
_SAME_TASK, _SAME_PALM = 0.6, 0.75


@dataclass(frozen=True)
class Seen:
    """The hypotheses of a picture, and what the two-hand network says of the whole picture.

    Parameters
    ----------
    hypotheses : list[Hypothesis]
        The hands that may be there.
    picture : PictureReading
        The two-hand network's reading; empty if it was not run.
    """

    hypotheses: list[Hypothesis]
    picture: PictureReading


@dataclass(frozen=True)
class Readers:
    """The networks that look at a picture.

    Parameters
    ----------
    network : LandmarkNetwork
        Reads keypoints in crops.
    judge : PairJudge
        Judges the hypotheses.
    tasks : MediaPipeProvider or None
        MediaPipe's tasks API. None to do without.
    palms : TwoHandReader or None
        The two-hand network. None to do without.
    detector : PalmDetector or None
        MediaPipe's palm detector. None to do without.
    """

    network: LandmarkNetwork
    judge: PairJudge
    tasks: MediaPipeProvider | None = None
    palms: TwoHandReader | None = None
    detector: PalmDetector | None = None

    def remembering(self) -> Readers:
        """Return readers for one picture that read no crop of it twice; see ``LandmarkNetwork.remembering``."""
        return replace(self, network=self.network.remembering())

    def close(self) -> None:
        """Release MediaPipe and the threads."""
        if self.tasks is not None:
            self.tasks.close()
        self.network.close()

    def look(
        self,
        frame: Frame,
        near: np.ndarray | None = None,
        boxes: HandBoxes | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Look:
        """Ask every proposer.

        Parameters
        ----------
        frame : Frame
            The picture.
        near : (K, 21, 2) float64 or None
            Keypoints of hands in neighbouring frames, pixels. None without neighbours.
        boxes : HandBoxes or None
            A person's boxes.
        cancelled : callable or None
            Called between crops. If it returns True, ``Cancelled`` is raised.

        Returns
        -------
        Look
            The hypotheses and the judge's scores.

        Raises
        ------
        FrameError
            If MediaPipe cannot process the picture.
        Cancelled
            If ``cancelled`` returned True.
        """
        image = frame.image
        named = boxes.get(frame.index, image.shape[1]) if boxes is not None else {}
        marked = find_boxed(self.network, image, named) if named else {}
        seen = self.see(frame, np.array(list(marked.values())).reshape(-1, 21, 2), near, cancelled)
        order = list(marked)
        left, right = (order.index(side) if side in order else None for side in SIDES)
        return self._judged(frame, seen.hypotheses, seen.picture, (left, right), True)

    def see(
        self,
        frame: Frame,
        marked: np.ndarray | None = None,
        near: np.ndarray | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Seen:
        """Ask every proposer and read what they propose, without the judge.

        Parameters
        ----------
        frame : Frame
            The picture.
        marked : (M, 21, 2) float64 or None
            Keypoints of hands that a person marked, pixels; the first hypotheses of the result.
        near : (K, 21, 2) float64 or None
            Keypoints of hands in neighbouring frames, pixels.
        cancelled : callable or None
            Called between crops. If it returns True, ``Cancelled`` is raised.

        Returns
        -------
        Seen
            The hypotheses.
        """
        image, nowhere = frame.image, np.zeros((0, 21, 2))
        detections, picture, suspected = self._proposed(frame)
        parts = [
            Proposals.of_hands(nowhere if marked is None else marked, "boxes"),
            Proposals.of_hands(nowhere if near is None else near, "neighbours"),
            propose(detections, picture, suspected),
        ]
        hands = read_hypotheses(self.network.remembering(), image, Proposals.joined(parts), cancelled=cancelled)
        hands = [_with_wrist_offset(hand, picture) for hand in hands] + _own(picture, hands)
        return Seen([_with_detectors(hand, detections, suspected, self.tasks is not None) for hand in hands], picture)

    def _proposed(self, frame: Frame) -> tuple[list[HandDetection], PictureReading, SuspectedPalms | None]:
        """Ask MediaPipe's two detectors and, beside them, the two-hand network."""

        def detected() -> tuple[list[HandDetection], list[SuspectedPalms]]:
            hands = self.tasks.detect(frame) if self.tasks is not None else []
            return hands, suspect_palms(self.detector, frame.image) if self.detector is not None else []

        if self.palms is None:
            (detections, palms), picture = detected(), PictureReading()
        else:
            from im2hands.core.side_by_side import side_by_side

            both: list[Callable[[], Any]] = [detected, partial(self.palms.read, frame.image)]
            (detections, palms), picture = side_by_side(both, self.palms.device)
        if self.detector is None:
            return detections, picture, None
        return detections, picture, joined(*palms, *suspect_around_hands(self.detector, frame.image, picture))

    def follow(self, frame: Frame, near: np.ndarray) -> Look:
        """Read only the places of hands in neighbouring frames: four crops of each.

        Parameters
        ----------
        frame : Frame
            The picture.
        near : (K, 21, 2) float64
            Keypoints of hands in neighbouring frames, pixels.

        Returns
        -------
        Look
            One hypothesis for each place, and the judge's scores.
        """
        places = Proposals.of_hands(near, "neighbours")
        hands = read_hypotheses(self.network, frame.image, places, crops_each=1, as_sides=False)
        return self._judged(frame, hands, PictureReading(), (None, None), False)

    def _judged(
        self,
        frame: Frame,
        hands: Sequence[Hypothesis],
        picture: PictureReading,
        marked: tuple[int | None, int | None],
        whole: bool,
    ) -> Look:
        size = frame.image.shape[1], frame.image.shape[0]
        verdict = self.judge(*features(hands, picture, size))
        thumbnail = cv2.resize(frame.image, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
        return Look(tuple(hands), verdict, marked, size, thumbnail, whole, frame.index)


def _own(picture: PictureReading, hands: Sequence[Hypothesis]) -> list[Hypothesis]:
    """Return the two-hand network's own readings where no crop leads to a hand."""
    made = []
    for reading in distinct_palms(picture):
        gaps = [np.linalg.norm(hand.pixels - reading.pixels, axis=1).mean() / reading.size for hand in hands]
        if reading.presence >= _OWN_PRESENCE and min(gaps, default=np.inf) >= SAME_READING:
            made.append(_as_hypothesis(reading))
    return made[:_MOST_OWN]


def _as_hypothesis(reading: HandReading) -> Hypothesis:
    shape = reading.shape * DEFAULT_PALM_M
    return Hypothesis(
        reading.pixels, shape, reading.spread.clip(0, 1), reading.presence, 0.0, reading.right,
        CHIRALITY_WEIGHT * float(chirality(shape)), 0.0, OWN, own=True,
        wrist_offset=WristOffset(reading.wrist_offset, reading.wrist_offset_spread),
    )  # fmt: skip


def _with_wrist_offset(hand: Hypothesis, picture: PictureReading) -> Hypothesis:
    """Add the offset to the other wrist from the nearest reading of the two-hand network."""
    gaps = [np.linalg.norm(hand.pixels - reading.pixels, axis=1).mean() / reading.size for reading in picture.hands]
    if min(gaps, default=np.inf) >= _SAME_PALM:
        return hand
    reading = picture.hands[int(np.argmin(gaps))]
    return replace(hand, wrist_offset=WristOffset(reading.wrist_offset, reading.wrist_offset_spread))


def _with_detectors(
    hand: Hypothesis, detections: Sequence[HandDetection], suspected: SuspectedPalms | None, asked: bool
) -> Hypothesis:
    """Add the scores of MediaPipe's tasks API and of its palm detector."""
    palm = float(palm_length(hand.pixels))
    near = [d.score for d in detections if np.linalg.norm(d.pixels - hand.pixels, axis=1).mean() < _SAME_TASK * palm]
    task = max(near, default=0.0) if asked else np.nan
    if suspected is None:
        return replace(hand, task=task)
    centre, up = palm_frame(hand.pixels)
    turn = float(np.arctan2(up[0], -up[1]))
    here = np.linalg.norm(suspected.centre - centre, axis=-1) < _DETECTED_PLACE * palm
    here &= np.abs(np.angle(np.exp(1j * (suspected.turn - turn)))) < _DETECTED_TURN
    return replace(hand, detector=float(suspected.score[here].max(initial=0.0)), task=task)
