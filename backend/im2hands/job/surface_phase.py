"""The second phase of a job: refined keypoints and surfaces. Every frame is written as soon as it is finished."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from im2hands.core.errors import FrameError, Im2HandsError
from im2hands.core.farm import on_cluster
from im2hands.core.hands import SIDES, HandKeypoints, RefinedHands
from im2hands.media.source import Entry, Frame, Source
from im2hands.take.arrays import check_arrays
from im2hands.take.contact import CONTACT, contact_arrays, contact_entry
from im2hands.take.record import FrameRecord, FrameStatus, convert_keypoints_2d
from im2hands.take.take import Take

from .background import Background
from .components import Reconstructor, Refiner, provenance_of
from .detection_cache import digest, hands_digest
from .footage_writer import FootageWriter
from .found_hands import FoundHands
from .frame_surfaces import FarNetworks, FrameJob, FrameSurfaces, make_surfaces, make_surfaces_far, refine_hands
from .options import ReconstructOptions
from .take_header import entry_extra

if TYPE_CHECKING:
    from im2hands.surfaces.batch.frames import BatchReconstructor
    from im2hands.surfaces.from_keypoints import HandMesh

Decoded = Iterator[tuple[Entry, Frame | FrameError | None]]
Computed = Iterator[tuple[Entry, FrameSurfaces | FrameError]]

_LOST_HINT = "Look whether its machine has enough memory; the same command makes only this frame again."


class SurfacePhase:
    """Makes and writes the surfaces of frames whose hands were found.

    Parameters
    ----------
    options : ReconstructOptions
        Options of the job.
    take : Take
        The take to write to.
    reconstructor : Reconstructor
        Makes the surfaces, on the background thread.
    refiner : Refiner, optional
        Refines keypoints, on the background thread. Without it, keypoints stay unchanged.
    background : Background
        The background thread.
    footage : FootageWriter
        Copies the decoded pictures where Blender needs copies.
    version : str
        Version of this package.
    far : FarNetworks, optional
        What the machines of a Ray cluster load, if they make the surfaces; None for this machine.
    batches : BatchReconstructor, optional
        Makes the surfaces of many frames at once, with the networks of ``reconstructor``; None for one by one.
    """

    def __init__(
        self,
        options: ReconstructOptions,
        take: Take,
        reconstructor: Reconstructor,
        refiner: Refiner | None,
        background: Background,
        footage: FootageWriter,
        version: str,
        far: FarNetworks | None = None,
        batches: BatchReconstructor | None = None,
    ) -> None:
        self._options, self._footage, self._far, self._batches = options, footage, far, batches
        self._take, self._reconstructor, self._refiner, self._background = take, reconstructor, refiner, background
        self._settings = digest(version, provenance_of(reconstructor, refiner), options.stage, options.voxel_mm)

    def key(self, found: FoundHands) -> str:
        """Hash everything that the result of a frame depends on.

        Parameters
        ----------
        found : FoundHands
            Hands of the frame.

        Returns
        -------
        str
            32 hexadecimal digits.
        """
        return digest(self._settings, found.picture, hands_digest(found.hands, found.camera))

    def sort_out(self, found: Sequence[FoundHands]) -> tuple[list[FoundHands], list[FoundHands]]:
        """Separate frames that the take already has from frames that are to be made.

        Parameters
        ----------
        found : sequence of FoundHands
            Hands of all frames.

        Returns
        -------
        reused : list of FoundHands
            Frames that the take has, computed from the same data and settings.
        waiting : list of FoundHands
            The other frames.
        """
        reused: list[FoundHands] = []
        waiting: list[FoundHands] = []
        for item in found:
            (reused if self._take.is_complete(item.entry.index, self.key(item)) else waiting).append(item)
        return reused, waiting

    def run(self, source: Source, waiting: Sequence[FoundHands]) -> Iterator[tuple[Entry, FrameRecord | Im2HandsError]]:
        """Make the surfaces frame by frame.

        Parameters
        ----------
        source : Source
            The source of the pictures.
        waiting : sequence of FoundHands
            The frames to make.

        Yields
        ------
        Entry
            The frame.
        FrameRecord or Im2HandsError
            Its record, already on disk, or the reason why it failed. A failed frame is not written.

        Raises
        ------
        Cancelled
            The person asked to stop.
        TakeError
            The take cannot be written.
        """
        by_index = {item.entry.index: item for item in waiting}
        for entry, made in self._compute(source, waiting, by_index):
            if not isinstance(made, FrameError):
                try:
                    record, arrays = self._recorded(entry, by_index[entry.index], made, source)
                except FrameError as error:
                    made = error
            if isinstance(made, FrameError):
                yield entry, made
                continue
            self._take.write_frame(record, arrays)
            yield entry, record

    def _compute(self, source: Source, waiting: Sequence[FoundHands], by_index: Mapping[int, FoundHands]) -> Computed:
        """Make the surfaces where they are to be made, from pictures only where a picture is needed."""
        if self._options.is_draft:
            return self._compute_here(((item.entry, None) for item in waiting), by_index)
        decoded: Decoded = self._footage.follow(source.read([item.entry for item in waiting]))
        if self._far is not None:
            return self._compute_far(self._far, decoded, by_index)
        if self._batches is not None:
            return self._compute_in_batches(self._batches, decoded, by_index)
        return self._compute_here(decoded, by_index)

    def _compute_here(self, decoded: Decoded, by_index: Mapping[int, FoundHands]) -> Computed:
        """Make the surfaces on the background thread."""
        for entry, frame in decoded:
            self._background.check()
            if isinstance(frame, FrameError):
                yield entry, frame
                continue
            yield entry, self._background.run(partial(self._made, _frame_job(frame, by_index[entry.index])))

    def _made(self, job: FrameJob) -> FrameSurfaces | FrameError:
        try:
            return make_surfaces(self._reconstructor, self._refiner, job)
        except FrameError as error:
            return error

    def _compute_in_batches(
        self, batches: BatchReconstructor, decoded: Decoded, by_index: Mapping[int, FoundHands]
    ) -> Computed:
        """Make the surfaces on the background thread, many frames at once."""
        started: deque[tuple[Entry, FrameJob | FrameError]] = deque()
        waiting: list[FrameJob] = []
        refined: deque[RefinedHands] = deque()

        def advanced() -> Iterator[tuple[Entry, FrameSurfaces | FrameError]]:
            results = iter(self._background.run(partial(self._advance, batches, tuple(waiting), refined)))
            waiting.clear()
            while started:
                entry, job = started[0]
                if isinstance(job, FrameError):
                    yield entry, job
                elif (made := next(results, None)) is not None:
                    # What fails together is tried alone, where one hand may do.
                    again = isinstance(made, FrameError)
                    yield entry, self._background.run(partial(self._made, job)) if again else made
                else:
                    return
                started.popleft()

        with batches:
            for entry, frame in decoded:
                self._background.check()
                if isinstance(frame, FrameError):
                    started.append((entry, frame))
                    continue
                waiting.append(_frame_job(frame, by_index[entry.index]))
                started.append((entry, waiting[-1]))
                if len(waiting) >= batches.size:
                    yield from advanced()
            while started:
                yield from advanced()

    def _advance(
        self, batches: BatchReconstructor, jobs: Sequence[FrameJob], refined: deque[RefinedHands]
    ) -> list[FrameSurfaces | FrameError]:
        """Begin frames; return those that are finished now. ``refined`` holds the hands of those in between."""
        hands = [refine_hands(self._refiner, job) for job in jobs]
        refined.extend(hands)
        given = [(job.frame, job.camera, own.hands) for job, own in zip(jobs, hands, strict=True)]
        finished: list[FrameSurfaces | FrameError] = []
        for made in batches.advance(given):
            own = refined.popleft()
            finished.append(made if isinstance(made, FrameError) else FrameSurfaces.of(own, made))
        return finished

    def _compute_far(self, far: FarNetworks, decoded: Decoded, by_index: Mapping[int, FoundHands]) -> Computed:
        """Make the surfaces on a Ray cluster. Pictures go there and surfaces come back through Ray."""
        started: deque[tuple[Entry, FrameError | None]] = deque()

        def jobs() -> Iterator[FrameJob]:
            for entry, frame in decoded:
                started.append((entry, frame if isinstance(frame, FrameError) else None))
                if not isinstance(frame, FrameError):
                    yield _frame_job(frame, by_index[entry.index])

        def failed_before() -> Computed:
            while started and started[0][1] is not None:
                entry, error = started.popleft()
                assert error is not None
                yield entry, error

        results = on_cluster(
            partial(make_surfaces_far, far), jobs(), "Run the same command again: finished frames stay.",
            threads=far.threads, gpu=far.device.startswith("cuda"),
            lost=lambda reason: FrameError(f"The frame could not be computed on the cluster. {reason}", _LOST_HINT),
            check=self._background.check,
        )  # fmt: skip
        for made in results:
            yield from failed_before()
            yield started.popleft()[0], made
        yield from failed_before()

    def _recorded(
        self, entry: Entry, found: FoundHands, made: FrameSurfaces, source: Source
    ) -> tuple[FrameRecord, dict[str, np.ndarray] | None]:
        """Return the record of a frame, and its arrays by name (None without a hand)."""
        refined, meshes = made.refined, made.meshes
        hands = {side: hand for side in SIDES if side in meshes and (hand := refined.hands.get(side)) is not None}
        missing = [side for side in SIDES if side not in hands]
        status: FrameStatus = "ok" if not missing else "partial" if hands else "empty"
        message = {"ok": "", "empty": "No hand was found."}.get(status, f"Only the {', '.join(hands)} hand was found.")
        extra = entry_extra(source, entry)
        if found.camera.to_dict() != self._take.header["camera"]:
            extra["camera"] = found.camera.to_dict()
        if [found.camera.width, found.camera.height] != self._take.header["image_size"]:
            extra["image_size"] = [found.camera.width, found.camera.height]
        if found.corrected is not None:
            extra["edited"] = True
        if hands and not any(len(meshes[side].faces) for side in hands):
            extra["surfaces"] = False
        contact = made.contact if len(hands) == len(SIDES) else None
        if contact is not None:
            extra[CONTACT] = contact_entry(
                contact,
                {side: meshes[side].vertices for side in hands},
                {side: hand.positions for side, hand in hands.items()},
            )
        facts: dict[str, dict[str, Any]] = {
            side: {"confidence": round(hand.score, 4), "source": hand.source} for side, hand in hands.items()
        }
        for side in refined.refined:
            if side in facts:
                facts[side]["keypoints"] = "refined"
        words = " ".join(filter(None, (made.trouble or message, refined.message, found.note)))
        record = FrameRecord(entry.index, status, "", facts, words, self.key(found), extra)
        arrays = {
            f"{side}_{name}": array
            for side, hand in hands.items()
            for name, array in _arrays(hand, meshes[side], found.camera.width, self._take.mirrored).items()
        }
        if contact is not None:
            arrays |= contact_arrays(contact)
        try:
            check_arrays("frame", arrays)
        except ValueError as error:  # keypoints of a file, thousands of kilometres away
            raise FrameError(
                f"{entry.name}: no take can hold these hands: {error}.",
                "Check the keypoints, their unit and the camera.",
            ) from error
        return record, arrays or None


def _frame_job(frame: Frame | None, found: FoundHands) -> FrameJob:
    return FrameJob(frame, found.camera, found.hands, found.corrected or frozenset())


def _arrays(hand: HandKeypoints, mesh: HandMesh, width: int, mirrored: bool) -> dict[str, np.ndarray]:
    """Return the arrays of one hand as the take stores them, by name without the side.

    Its pixels belong to the picture in which the hand was found. If ``mirrored``, the picture on disk is the mirror
    image of that picture; ``width`` is the width of both, pixels.
    """
    return {
        "vertices": np.asarray(mesh.vertices, np.float32),
        "faces": np.asarray(mesh.faces, np.int32),
        "keypoints": np.asarray(hand.positions, np.float32),
        "keypoints_2d": convert_keypoints_2d(np.asarray(hand.pixels, np.float32), width, mirrored=mirrored),
        "confidence": np.asarray(hand.confidence, np.float32),
        "bone_lengths": np.asarray(mesh.bone_lengths, np.float32),
        "thickness": np.asarray(hand.thickness, np.float32),
    }
