"""Finds one person's left and right hand in photos and in clips. ``docs/models.md`` explains the road."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from im2hands.core.errors import FrameError
from im2hands.core.hands import SIDES, Side
from im2hands.core.workers import Workers
from im2hands.keypoints.choosing.assignment import Answers, Assignment, answers
from im2hands.keypoints.choosing.expected import expected_hands
from im2hands.keypoints.choosing.path import Step, best_path
from im2hands.keypoints.choosing.prior import EVEN, OF_HANDS, Prior, learned_prior
from im2hands.keypoints.hand_geometry import outline_distance, palm_length
from im2hands.keypoints.placing.lift import HandLifter
from im2hands.keypoints.proposing.box_file import HandBoxes
from im2hands.keypoints.reading.final import as_read, read_finally
from im2hands.keypoints.reading.network import LandmarkNetwork
from im2hands.media.source import Frame

from .hypothesis import HandDetection
from .look import Look
from .looking import Readers
from .other_people import OTHER_PEOPLE, shows_other_people
from .pauses import frames_between, is_changed, is_cut, look_is_due

_log = logging.getLogger(__name__)

# A hand is followed from frame to frame while it is read like this: presence, agreement, and distance from the frame
# before (mean, palm lengths); two hands also lie this far apart (outlines, palm lengths).
_FOLLOWED_PRESENCE, _FOLLOWED_AGREEMENT, _FOLLOWED_MOVE, _TWO_HANDS = 0.8, 0.99, 0.6, 0.25
# A hand that a frame lacks is sought where it is in frames up to this many before and after; not less than the longest
# pause, in which a hand may have come unseen. A hand that is away for longer is missing.
_REACH = 32
# Hypotheses within this distance (mean, palm lengths) of the chosen one are the same hand.
_SAME_HAND = 0.5
# Probability from which on a chosen hand counts where other people's hands are sought; two people share it.
_BELIEVED = 0.25


class HandFinder:
    """Finds the hands of one person.

    A photo: every proposer names crops, the readers turn them into hypotheses, the judge scores hypotheses and pairs,
    the prior is added, and the most probable answer wins (``detect``).

    A clip: first all frames are looked at in order (``look``); where hands are followed only their places are read.
    Then the best path through all frames is chosen (``choose``), frames that lack a hand are looked at again at the
    places of their neighbours (``gaps``, ``look_again``), and the path is chosen again. At last the chosen hands are
    lifted (``finish``). ``detect_clip`` does all of it.

    Not thread-safe, except for ``finish``.

    Parameters
    ----------
    readers : Readers
        The networks that look at a picture; closed with the finder.
    hands : str
        What a person knows: "auto", "both", "left" or "right".
    lifter : HandLifter or None
        Adds the lifting network's 3D shapes to the hands. None keeps the shapes of the network that read the keypoints.
    boxes : HandBoxes or None
        A person's boxes or points.
    name : str
        Name of the keypoint source.
    cancelled : callable or None
        Called between crops. If it returns True, ``Cancelled`` is raised.
    """

    def __init__(
        self,
        readers: Readers,
        *,
        hands: str = "auto",
        lifter: HandLifter | None = None,
        boxes: HandBoxes | None = None,
        name: str = "auto",
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        self.name = name
        self._readers, self._lifter, self._boxes, self._cancelled = readers, lifter, boxes, cancelled
        self._hands = hands

    def detect(self, frame: Frame) -> list[HandDetection]:
        """Find the hands of a single photo.

        Parameters
        ----------
        frame : Frame
            The photo.

        Returns
        -------
        list[HandDetection]
            At most one left and one right hand, left first.

        Raises
        ------
        FrameError
            If MediaPipe cannot process the picture.
        Cancelled
            If ``cancelled`` returned True.
        """
        readers = self._readers.remembering()
        look = readers.look(frame, None, self._boxes, self._cancelled)
        chosen = answers(look.verdict, self._prior(), look.marked).best(look.apart())
        return self._finished(frame, look, chosen, EVEN, readers.network)

    def detect_boxed(self, frame: Frame, boxes: HandBoxes) -> list[HandDetection]:
        """Read the hands of a frame that a person drew boxes around, by themselves.

        Parameters
        ----------
        frame : Frame
            The frame.
        boxes : HandBoxes
            The boxes.

        Returns
        -------
        list[HandDetection]
            The hands of the boxes; a box in which no hand can be read has none.

        Raises
        ------
        FrameError
            If MediaPipe cannot process the picture.
        Cancelled
            If ``cancelled`` returned True.
        """
        readers = self._readers.remembering()
        look = readers.look(frame, None, boxes, self._cancelled)
        chosen = answers(look.verdict, EVEN, look.marked).best(look.apart())
        rows = [row if marked is not None else None for row, marked in zip(chosen.rows(), look.marked, strict=True)]
        return self._finished(frame, look, Assignment(*rows), EVEN, readers.network)

    def detect_clip(self, frames: Sequence[Frame]) -> list[list[HandDetection]]:
        """Find the hands of a clip whose frames are in memory.

        Parameters
        ----------
        frames : Sequence[Frame]
            The frames, in order.

        Returns
        -------
        list[list[HandDetection]]
            The hands of each frame, left first. A frame that the readers fail on has none, and the log says so.
        """
        looks: list[Look] = []
        rows: list[int] = []  # of the frames that were looked at
        found: list[list[HandDetection]] = [[] for _ in frames]
        for row, frame in enumerate(frames):
            with _left_out():
                looks.append(self.look(frame, looks))
                rows.append(row)
        for k, near in self.gaps(looks, self.choose(looks)).items():
            with _left_out():  # then the first look stays
                looks[k] = self.look_again(frames[rows[k]], looks[k], near)
        chosen, prior = self.choose(looks), self.prior(looks)
        with self.workers() as workers:
            given = zip(rows, looks, chosen, strict=True)
            for (row, *_), made in workers.ahead(lambda each: self.finish(frames[each[0]], *each[1:], prior), given):
                found[row] = made.result()
        return found

    def look(self, frame: Frame, before: Sequence[Look]) -> Look:
        """Look at the next frame of a clip.

        Parameters
        ----------
        frame : Frame
            The frame.
        before : Sequence[Look]
            The looks at the frames before it, in order.

        Returns
        -------
        Look
            The hypotheses of the frame. Every proposer is asked unless the hands of the frame before are followed, or
            there are none and the picture stays as it is.

        Raises
        ------
        FrameError
            If MediaPipe cannot process the picture.
        Cancelled
            If ``cancelled`` returned True.
        """
        if self._boxes is not None and self._boxes.get(frame.index, frame.image.shape[1]):
            return self._readers.look(frame, None, self._boxes, self._cancelled)
        near = _places(before[-1], self._prior()) if before else np.zeros((0, 21, 2))
        if not look_is_due(before, frame.index, self._count, 1 if self._hands in SIDES else 2):
            look = self._readers.follow(frame, near)
            is_known = _is_followed(look, near) if len(near) else not is_changed(before, look)
            if is_known and not is_cut(before[-1], look):
                return look
        return self._readers.look(frame, near, None, self._cancelled)

    def likeliest(self, look: Look) -> dict[Side, np.ndarray]:
        """Return the hands of a frame as they seem before those of all frames are chosen.

        Parameters
        ----------
        look : Look
            The look at the frame.

        Returns
        -------
        dict of Side to (21, 2) float64
            Keypoints, pixels.
        """
        chosen = answers(look.verdict, self._prior(), look.marked).best(look.apart()).rows()
        return {side: look.hypotheses[row].pixels for side, row in zip(SIDES, chosen, strict=True) if row is not None}

    def _prior(self) -> Prior:
        return OF_HANDS[self._hands]

    def _count(self, look: Look) -> int:
        return len(_places(look, self._prior()))

    def choose(self, looks: Sequence[Look]) -> list[Assignment]:
        """Choose the hands of all frames of a clip together.

        Parameters
        ----------
        looks : Sequence[Look]
            The looks at all frames, in order.

        Returns
        -------
        list[Assignment]
            The hands of each frame.
        """
        prior = self._prior() if self._hands != "auto" else self.prior(looks)
        befores = [*looks[:1], *looks[:-1]]
        steps = [
            Step(
                answers(look.verdict, prior, look.marked),
                look.pixels(),
                is_cut(before, look),
                frames_between(before, look),
            )
            for before, look in zip(befores, looks, strict=True)
        ]
        return best_path(steps)

    def prior(self, looks: Sequence[Look]) -> Prior:
        """Learn from a take how many hands its pictures show, whatever a person said.

        Parameters
        ----------
        looks : Sequence[Look]
            The looks at all frames.

        Returns
        -------
        Prior
            The prior, by which probabilities are reported.
        """
        return learned_prior([look.verdict for look in looks])

    def gaps(self, looks: Sequence[Look], chosen: Sequence[Assignment]) -> dict[int, np.ndarray]:
        """Return the frames that lack a hand which a frame beside them has.

        Parameters
        ----------
        looks : Sequence[Look]
            The looks at all frames, in order.
        chosen : Sequence[Assignment]
            The hands of each frame.

        Returns
        -------
        dict[int, (K, 21, 2) float64]
            By number in ``looks``: the keypoints of the missing hand in the nearest frames before and after that have
            it, in the same shot and not many frames away; pixels.
        """
        made: dict[int, list[np.ndarray]] = {}
        wanted = [SIDES.index(self._hands)] if self._hands in SIDES else [0, 1]
        for side in wanted:
            for order in (range(len(looks)), range(len(looks) - 1, -1, -1)):
                last: tuple[Look, int] | None = None
                previous: int | None = None
                for k in order:
                    if previous is not None and is_cut(looks[previous], looks[k]):
                        last = None
                    row = chosen[k].rows()[side]
                    if row is not None:
                        last = looks[k], row
                    elif last is not None and frames_between(last[0], looks[k]) <= _REACH:
                        made.setdefault(k, []).append(last[0].hypotheses[last[1]].pixels)
                    previous = k
        return {k: np.array(pixels) for k, pixels in sorted(made.items())}

    def look_again(self, frame: Frame, look: Look, near: np.ndarray) -> Look:
        """Look at a frame again, with all proposers and at the places of hands in other frames.

        Parameters
        ----------
        frame : Frame
            The frame.
        look : Look
            The first look.
        near : (K, 21, 2) float64
            Keypoints of hands in other frames, pixels.

        Returns
        -------
        Look
            A look with all proposers.
        """
        known = [hand.pixels for hand in look.hypotheses if hand.source == "neighbours"]
        places = np.concatenate([near, np.array(known).reshape(-1, 21, 2)])
        return self._readers.look(frame, places, self._boxes, self._cancelled)

    def workers(self) -> Workers:
        """Return threads for ``finish``, which does not depend on other frames; one where a card lifts hands."""
        return Workers(1, with_torch=False) if self._lifter is None else Workers(self._lifter.threads)

    def finish(self, frame: Frame, look: Look, chosen: Assignment, prior: Prior) -> list[HandDetection]:
        """Return the chosen hands of a frame of a clip. Several threads may call this at a time.

        Parameters
        ----------
        frame : Frame
            The frame.
        look : Look
            The look at it.
        chosen : Assignment
            Its hands.
        prior : Prior
            The prior of the clip, by which probabilities are reported.

        Returns
        -------
        list[HandDetection]
            At most one left and one right hand, left first.
        """
        return self._finished(frame, look, chosen, prior)

    def _finished(
        self, frame: Frame, look: Look, chosen: Assignment, prior: Prior, reader: LandmarkNetwork | None = None
    ) -> list[HandDetection]:
        """Return the chosen hands. ``reader`` reads those of a photo once more; a clip has none."""
        honest = answers(look.verdict, prior)
        rows = {side: row for side, row in zip(SIDES, chosen.rows(), strict=True) if row is not None}
        likely = {side: look.hypotheses[row] for side, row in rows.items()}
        read: dict[Side, HandDetection] = {}
        if reader is not None:  # a clip's path goes through single hypotheses
            marked = answers(look.verdict, prior, look.marked)
            expected = zip(SIDES, expected_hands(look.hypotheses, marked, chosen, look.apart()), strict=True)
            likely = {side: hand for side, hand in expected if hand is not None}
            # One more reading of a mean of several hypotheses would be as doubtful as they are.
            single = {side: hand for side, hand in likely.items() if hand is look.hypotheses[rows[side]]}
            read = read_finally(reader, frame.image, single)
        hands: list[HandDetection] = []
        believed: list[tuple[Side, int]] = []
        for side, row in rows.items():
            hand = read.get(side) or as_read(likely[side], side, self._readers.network.source)
            score = _probability(honest, look, SIDES.index(side), row)
            hands.append(replace(hand, score=score))
            if score >= _BELIEVED:
                believed.append((side, row))
        note = OTHER_PEOPLE if shows_other_people(look, believed) else ""
        hands = [replace(hand, note=note) for hand in hands]
        return self._lifter.lift(frame.image, hands) if self._lifter is not None else hands

    def close(self) -> None:
        """Release MediaPipe and the networks."""
        self._readers.close()


@contextmanager
def _left_out() -> Iterator[None]:
    """Go on after a frame that the readers fail on; the log says why."""
    try:
        yield
    except FrameError as error:
        _log.warning("%s", error)


def _places(look: Look, prior: Prior) -> np.ndarray:
    """Return the keypoints (K, 21, 2) of the likeliest hands of a look."""
    rows = [row for row in answers(look.verdict, prior, look.marked).best(look.apart()).rows() if row is not None]
    return look.pixels()[rows]


def _is_followed(look: Look, near: np.ndarray) -> bool:
    """Return whether all hands ``near`` were read again, each in its place."""
    for hand, place in zip(look.hypotheses, near, strict=True):
        moved = np.linalg.norm(hand.pixels - place, axis=1).mean() / palm_length(place)
        sure = hand.presence >= _FOLLOWED_PRESENCE and hand.agreement >= _FOLLOWED_AGREEMENT
        if not sure or moved > _FOLLOWED_MOVE:
            return False
    return len(near) < 2 or outline_distance(look.hypotheses[0].pixels, look.hypotheses[1].pixels) > _TWO_HANDS


def _probability(honest: Answers, look: Look, side: int, row: int) -> float:
    """Return the probability that a hand of this side is at the place of a hypothesis."""
    place = look.hypotheses[row].pixels
    gaps = np.linalg.norm(look.pixels() - place, axis=-1).mean(axis=-1) / palm_length(place)
    return honest.probability(side, gaps < _SAME_HAND)
