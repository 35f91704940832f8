"""A person's corrections, applied to the hands that were found in the frames of a job."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.errors import FrameError, InputError
from im2hands.core.hands import OTHER_SIDE, SIDES, HandKeypoints, Side, TwoHands
from im2hands.keypoints.hypothesis import HandDetection
from im2hands.media.source import Entry, Frame, Source
from im2hands.take.edit import Edit
from im2hands.take.edits import Edits
from im2hands.take.record import convert_keypoints_2d

from .detection_cache import DetectionCache

if TYPE_CHECKING:
    from im2hands.keypoints.placing.correction import Correction
    from im2hands.keypoints.proposing.box_file import HandBoxes

Found = TypeVar("Found", HandDetection, HandKeypoints)
Placed = tuple[TwoHands, frozenset[Side] | None]
"""The hands of a frame, and those whose keypoints were corrected: None if no edit holds for the frame."""


@dataclass
class EditedHands(Generic[Found]):
    """The hands of one frame after the edits that come before their placing.

    Parameters
    ----------
    hands : dict of Side to HandDetection or HandKeypoints
        The hands.
    corrections : dict of Side to Correction
        What is to be corrected after the placing.
    touched : set of Side
        Hands that a person corrected, marked or gave this side.
    unused : list of str
        What could not be done, for a person.
    edited : bool
        Whether an edit holds for the frame.
    other_hands : bool
        Whether an edit chose other hands than those that were found.
    apart : bool
        Whether the hands are to be taken out of each other after the placing.
    """

    hands: dict[Side, Found]
    corrections: dict[Side, Correction] = field(default_factory=dict)
    touched: set[Side] = field(default_factory=set)
    unused: list[str] = field(default_factory=list)
    edited: bool = True
    other_hands: bool = False
    apart: bool = False

    def present(self) -> list[Found]:
        """Return the hands, left first."""
        return [self.hands[side] for side in SIDES if side in self.hands]


def apply_edits(
    edits: Sequence[Edit], found: Sequence[Found], boxed: Mapping[Side, Found], camera: Camera, mirrored: bool
) -> EditedHands[Found]:
    """Apply the edits of a frame in their order.

    Parameters
    ----------
    edits : sequence of Edit
        The edits of the frame.
    found : sequence of HandDetection or HandKeypoints
        Its hands; of several of one side the one with the highest score counts.
    boxed : mapping of Side to HandDetection or HandKeypoints
        Hands that were read in the boxes of the edits.
    camera : Camera
        Camera of the frame.
    mirrored : bool
        Whether the picture on disk, to which the edits belong, is the mirror image of the camera's.

    Returns
    -------
    EditedHands
        The hands.
    """
    from im2hands.keypoints.placing.correction import Correction

    state = EditedHands({hand.side: hand for hand in sorted(found, key=lambda hand: hand.score)})
    for edit in edits:
        side = edit.side
        state.other_hands |= edit.kind not in ("keypoints", "pin", "apart")
        state.apart |= edit.kind == "apart"
        if edit.kind == "swap":
            state.hands = {OTHER_SIDE[one]: replace(hand, side=OTHER_SIDE[one]) for one, hand in state.hands.items()}
            state.corrections = {OTHER_SIDE[one]: correction for one, correction in state.corrections.items()}
            state.touched = set(state.hands)
        elif side is None:
            continue
        elif edit.kind == "absent":
            state.hands.pop(side, None)
            state.corrections.pop(side, None)
            state.touched.discard(side)
        elif edit.kind == "box":
            if side in boxed:
                state.hands[side] = boxed[side]
                state.corrections.pop(side, None)
                state.touched.add(side)
            else:
                state.unused.append(f"{edit.words}: no hand can be read in the box on frame {edit.first}.")
        elif edit.kind == "keypoints" and side not in state.hands:
            state.unused.append(f"{edit.words}: no {side} hand was found in frame {edit.first}.")
        elif edit.kind == "keypoints":
            points = Correction({k: _turned(place, camera, mirrored) for k, place in edit.points.items()})
            state.corrections[side] = points.over(state.corrections.get(side))
            state.touched.add(side)
    return state


def _turned(place: tuple[float, float, float], camera: Camera, mirrored: bool) -> tuple[float, float, float]:
    """Return a place and shift in the picture of the camera."""
    x, y = convert_keypoints_2d(np.array(place[:2]), camera.width, mirrored=mirrored).tolist()
    return x, y, place[2]


def boxes_of(edits: Sequence[Edit], index: int, width: int, mirrored: bool) -> HandBoxes | None:
    """Return the boxes that the edits of a frame draw, for its upright picture; None without any.

    Parameters
    ----------
    edits : sequence of Edit
        The edits of the frame. Of several boxes of one hand the last one counts.
    index : int
        Number of the frame.
    width : int
        Width of its picture, pixels.
    mirrored : bool
        Whether the picture on disk is a mirror image.
    """
    from im2hands.keypoints.proposing.box_file import HandBoxes

    drawn = {edit.side: np.array(edit.box) for edit in edits if edit.kind == "box" and edit.side is not None}
    if not drawn:
        return None
    turned = HandBoxes({index: drawn}, mirrored=mirrored).get(index, width)
    return HandBoxes({index: turned})


class HandEditor:
    """Applies the edits of a job to its frames.

    Parameters
    ----------
    edits : Edits
        The edits.
    mirrored : bool
        Whether the pictures on disk are mirror images.

    Attributes
    ----------
    unused : list of str
        Edits that could not be applied, for a person.
    """

    def __init__(self, edits: Edits, mirrored: bool) -> None:
        self._edits, self._mirrored = edits, mirrored
        self._boxed: dict[int, list[HandDetection]] = {}
        self.unused: list[str] = []

    def read_boxes(
        self, source: Source, entries: Iterable[Entry], cache: DetectionCache, camera: Callable[[Entry], Camera],
        key: Callable[[Entry, object], str], read: Callable[[Frame, HandBoxes], list[HandDetection]],
    ) -> None:  # fmt: skip
        """Read the hands in the boxes that a person drew; cached ones are not read again.

        Parameters
        ----------
        source : Source
            The source.
        entries : iterable of Entry
            The frames.
        cache : DetectionCache
            Keeps the hands.
        camera : callable
            Returns the camera of a frame.
        key : callable
            Returns the hash of everything that the hands of a frame and its boxes depend on.
        read : callable
            Reads the hands of the boxes of a frame.
        """
        waiting: dict[int, tuple[Entry, HandBoxes, str]] = {}
        for entry in entries:
            edits = self._edits.of_frame(entry.index)
            with contextlib.suppress(FrameError):  # told where the frame itself is read
                boxes = boxes_of(edits, entry.index, camera(entry).width, self._mirrored) if edits else None
                if boxes is None:
                    continue
                name = key(entry, {side: box.tolist() for side, box in boxes.get(entry.index).items()})
                kept = cache.read(entry.index, name)
                if kept is None:
                    waiting[entry.index] = entry, boxes, name
                else:
                    self._boxed[entry.index] = kept
        for entry, frame in source.read([entry for entry, _, _ in waiting.values()]) if waiting else ():
            _, boxes, name = waiting[entry.index]
            if isinstance(frame, Frame):
                with contextlib.suppress(FrameError):
                    self._boxed[entry.index] = read(frame, boxes)
                    cache.write(entry.index, name, self._boxed[entry.index])

    def place(
        self, index: int, camera: Camera, hands: Sequence[Found], place: Callable[[Sequence[Found]], TwoHands]
    ) -> Placed:
        """Place the hands of a frame, with what a person corrected.

        Parameters
        ----------
        index : int
            Number of the frame.
        camera : Camera
            Its camera.
        hands : sequence of HandDetection or HandKeypoints
            The hands that were found.
        place : callable
            Places hands.

        Returns
        -------
        Placed
            The hands, and those that were corrected.

        Raises
        ------
        InputError
            No hand has its keypoints where a person put them.
        """
        state = self._before_placing(index, camera, hands)
        return self._after_placing(index, camera, state, place(state.present() if state.edited else hands))

    def place_clip(
        self, frames: Sequence[tuple[int, Camera, Sequence[HandDetection]]], wanted: Set[int] | None,
        place: Callable[[Sequence[Sequence[HandDetection]]], list[TwoHands]],
    ) -> dict[int, Placed | InputError]:  # fmt: skip
        """Place the hands of a clip together, with what a person corrected.

        Where edits choose other hands, they are placed among those of the other frames. Those do not depend on edits,
        so that a frame that is made again fits those that are not.

        Parameters
        ----------
        frames : sequence of (int, Camera, sequence of HandDetection)
            Number, camera and hands of each frame.
        wanted : set of int or None
            The only frames to be corrected and returned; None for all.
        place : callable
            Places the hands of all frames.

        Returns
        -------
        dict of int to Placed or InputError
            By number of the frame, what :meth:`place` returns or raises.
        """
        states = [self._before_placing(*frame) for frame in frames]
        placed = place([hands for *_, hands in frames])
        if any(state.other_hands for state in states):
            edited = place([
                state.present() if state.edited else hands for state, (*_, hands) in zip(states, frames, strict=True)
            ])  # fmt: skip
            placed = [new if state.other_hands else old for old, new, state in zip(placed, edited, states, strict=True)]
        made: dict[int, Placed | InputError] = {}
        for (index, camera, _), state, hands in zip(frames, states, placed, strict=True):
            if wanted is None or index in wanted:
                try:
                    made[index] = self._after_placing(index, camera, state, hands)
                except InputError as error:
                    made[index] = error
        return made

    def _before_placing(self, index: int, camera: Camera, hands: Sequence[Found]) -> EditedHands[Found]:
        """Apply the edits that come before the placing; :meth:`_after_placing` does the rest."""
        if not self._edits.changes_hands(index):
            return replace(apply_edits((), hands, {}, camera, self._mirrored), edited=False)
        boxed: dict[Side, Any] = {hand.side: hand for hand in self._boxed.get(index, ())}
        return apply_edits(self._edits.of_frame(index), hands, boxed, camera, self._mirrored)

    def _after_placing(self, index: int, camera: Camera, state: EditedHands[Found], placed: TwoHands) -> Placed:
        """Correct placed hands. One that a person looked at has full confidence in its side."""
        from im2hands.keypoints.placing.apart import taken_apart
        from im2hands.keypoints.placing.correction import corrected

        self.unused += state.unused
        if not state.edited:
            return placed, None
        hands = {side: hand for side in SIDES if (hand := placed.get(side)) is not None}
        moved = frozenset(side for side in state.corrections if side in hands)
        for side, hand in hands.items():
            if side in moved:
                hand = corrected(hand, state.corrections[side], camera, f"{side} hand of frame {index:06d}")
            hands[side] = replace(hand, score=1.0) if side in state.touched else hand
        both = TwoHands(**hands)
        if not state.apart:
            return both, moved
        return taken_apart(both, camera), frozenset(hands) if len(hands) == len(SIDES) else moved
