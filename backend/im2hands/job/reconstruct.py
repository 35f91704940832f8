"""The reconstruction job, from inputs to a finished take. The command line and the server both run it."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from im2hands.animation.clean_options import CleanOptions
from im2hands.core.camera import Camera
from im2hands.core.errors import Cancelled, DamagedFramesError, Im2HandsError, InputError, SetupError
from im2hands.core.gpu import device_failure
from im2hands.core.memory import require_memory
from im2hands.core.person_path import person_path
from im2hands.keypoints.proposing.box_file import HandBoxes
from im2hands.media.camera_choice import ASSUMED_FOV_DEGREES, CameraChoice
from im2hands.media.footage import why_copies
from im2hands.media.source import Entry, Source, open_source
from im2hands.take.begin import begin_take, is_of_other_pictures, lock_take
from im2hands.take.edits import Edits, set_edits_aside
from im2hands.take.lock import TakeLock
from im2hands.take.record import FrameRecord
from im2hands.take.take import CACHE_FOLDER, Take

from .background import Background
from .components import Components, Reconstructor, Refiner, provenance_of
from .edit_checks import check_edits
from .eta import EtaEstimator
from .events import Event, Finished, FrameDone, Phase, Progress, Summary, Warned
from .footage_writer import FootageWriter
from .found_hands import FoundHands
from .frame_surfaces import FarNetworks
from .keypoint_phase import KeypointPhase
from .options import ReconstructOptions
from .surface_phase import SurfacePhase

__all__ = ["ReconstructJob", "ReconstructOptions"]


class ReconstructJob:
    """One reconstruction: opens the source, finds the hands of all frames, makes their surfaces, cleans the take.

    Every frame is on disk before its event is sent. Finished frames stay, however the job ends. A job with ``resume``
    continues from there and gives the same bytes as an uninterrupted one.

    Parameters
    ----------
    options : ReconstructOptions
        Options of the job.
    events : callable
        Called with each event, on the thread that runs the job.
    cancelled : callable
        Returns whether the person asked to stop. Called several times a second, from any thread.
    parts : Components, optional
        Components of the job; None for the real ones.
    """

    def __init__(
        self,
        options: ReconstructOptions,
        events: Callable[[Event], None],
        cancelled: Callable[[], bool],
        parts: Components | None = None,
    ) -> None:
        self._options, self._events, self._cancelled = options, events, cancelled
        self._parts = parts or Components()
        self._folder = person_path(options.output).absolute()
        self._background = Background(cancelled)
        self._keypoints: KeypointPhase | None = None
        self._lock: TakeLock | None = None
        self._take: Take | None = None
        self._wanted: frozenset[int] | None = None  # the only frames to be made; None for all
        self._device = "cpu"
        self._counts: Counter[str] = Counter()
        self._eta = EtaEstimator()

    @classmethod
    def from_request(
        cls,
        request: Mapping[str, Any],
        events: Callable[[Event], None],
        cancelled: Callable[[], bool],
        parts: Components | None = None,
    ) -> ReconstructJob:
        """Make the job from the fields of a ``reconstruct`` request.

        Parameters
        ----------
        request : mapping
            Fields of the request.
        events, cancelled, parts
            As for the class.

        Returns
        -------
        ReconstructJob
            The job.

        Raises
        ------
        InputError
            A field has the wrong type or its value is not possible.
        """
        return cls(ReconstructOptions.from_request(request), events, cancelled, parts)

    def run(self) -> Finished:
        """Run the job.

        Returns
        -------
        Finished
            The result. ``cancelled`` is True if the person stopped the job; the method then returns within 2 s. A long
            call may still run on a daemon thread. It ends by itself.

        Raises
        ------
        InputError
            Inputs, options or the output folder cannot be used, or another job uses the take.
        SetupError
            Weights or the device are missing, or the device stopped.
        """
        started = time.monotonic()
        try:
            try:
                self._run()
                cancelled = False
            except Cancelled:
                cancelled = True
            except RuntimeError as error:
                problem = device_failure(error, self._device)
                if problem is None:
                    raise
                raise problem from error
            finally:
                self._background.close(self._keypoints.close if self._keypoints else None)
            if self._take is not None:
                self._take.finish()
        finally:
            if self._take is not None:
                self._take.close()
            elif self._lock is not None:
                self._lock.release()
        counts = {status: self._counts[status] for status in ("ok", "partial", "empty", "failed", "reused")}
        total = sum(counts.values()) - counts["reused"]
        summary = Summary(total=total, seconds=round(time.monotonic() - started, 3), **counts)
        return Finished(str(self._folder), cancelled, summary)

    def _run(self) -> None:
        options = self._options
        self._progress("open", 0, 1)
        require_memory()
        self._lock = lock = lock_take(self._folder)  # "in use" is said before anything that takes long
        # On the background thread: opening takes long on a slow disk, and the person may want to stop.
        cameras, source, camera = self._background.run(self._open)
        for note in source.notes:
            self._events(Warned(note.message, note.hint))
        edits = self._background.run(lambda: self._edits(source, cameras))  # before anything is written
        reason = self._background.run(lambda: self._why_copies(source))
        self._progress("open", 1, 1)
        self._progress("weights", 0, 1)
        refused: list[SetupError] = []
        device, reconstructor, refiner = self._background.run(lambda: self._load(refused))
        for problem in refused:
            self._events(Warned(problem.message, problem.hint))
        self._progress("weights", 1, 1)
        header = self._header(source, camera, device, provenance_of(reconstructor, refiner))
        self._device = device
        take = begin_take(lock, source, header, resume=options.resume, overwrite=options.overwrite)
        self._take = take
        kinds = take.header["provenance"].get("devices", ())
        if kinds:
            self._events(
                Warned(
                    f"This take has frames that were made on other devices ({', '.join(kinds)}): "
                    "equal ones differ a little.",
                    f"Begin it anew (--overwrite) to make all of them on {device}, or choose the other device.",
                )
            )
        if camera.origin == "assumed" and self._wanted is None:
            self._events(
                Warned(
                    f"The focal length is not known; a field of view of {ASSUMED_FOV_DEGREES:g} degrees is assumed.",
                    "Distance and depth depend on it: give the field of view (--fov) or the focal length (--focal-px).",
                )
            )
        footage = FootageWriter(take, source, options.footage, reason, self._background.check)
        self._begin_edits(take, edits)
        found = self._find_hands(take, source, cameras, footage, edits)
        self._use_edits(take, edits, self._keypoints.unused if self._keypoints is not None else [])
        version = self._parts.versions()["im2hands"]
        far = FarNetworks.like_here(self._parts, options, device) if options.executor == "ray" else None
        batches = self._parts.batches(options, reconstructor) if far is None else None
        phase = SurfacePhase(options, take, reconstructor, refiner, self._background, footage, version, far, batches)
        self._make_surfaces(take, source, found, phase)
        warned = footage.complete() if self._wanted is None else None
        if warned is not None:
            self._events(warned)
        if self._options.clean:
            self._clean(take)

    def _edits(self, source: Source, cameras: CameraChoice) -> Edits:
        """Read and check a person's corrections: those of the option ``edits``, else those that the take has."""
        options = self._options
        if options.edits is not None:
            edits = Edits.read(person_path(options.edits))
        elif options.overwrite and is_of_other_pictures(self._folder, source):
            set_edits_aside(self._folder)
            return Edits()
        else:
            edits = Edits.of_take(self._folder)
        check_edits(edits, source, cameras, [entry.index for entry in source.entries], options.frames is not None)
        return edits

    def _why_copies(self, source: Source) -> str:
        return "" if self._options.footage == "never" else why_copies(source)

    def _begin_edits(self, take: Take, edits: Edits) -> None:
        """Keep the corrections in the take, so that later runs apply them too."""
        if self._options.edits is not None:
            with take.writing():
                edits.write(take.folder)

    def _use_edits(self, take: Take, edits: Edits, unused: Sequence[str]) -> None:
        """Tell what of the corrections could not be applied to the hands that were found."""
        if unused:
            more = f" {len(unused) - 1} more could not be used." if len(unused) > 1 else ""
            self._events(Warned(f"{unused[0]}{more}", "The frame has the hands that were found."))

    def _open(self) -> tuple[CameraChoice, Source, Camera]:
        options = self._options
        if options.hand_boxes and options.keypoint_file is None:  # what is wrong with them is told before networks load
            HandBoxes.read(Path(options.hand_boxes), options.hands)
        cameras = CameraChoice.from_options(options.camera, options.focal_px, options.fov, options.mirrored)
        source = open_source(
            options.inputs, options.frames, options.step, options.fps, options.mirrored, options.sequence
        )
        return cameras, source, cameras.for_picture(source.first_picture())

    def _load(self, refused: list[SetupError]) -> tuple[str, Reconstructor, Refiner | None]:
        device = self._parts.device_name(self._options, refused.append)
        reconstructor = self._parts.reconstructor(self._options, device)
        return device, reconstructor, self._parts.refiner(self._options, device)

    def _find_hands(
        self, take: Take, source: Source, cameras: CameraChoice, footage: FootageWriter, edits: Edits
    ) -> list[FoundHands]:
        if self._wanted is not None and not self._wanted:
            return []
        self._eta = EtaEstimator()
        total = len(source if self._wanted is None else self._wanted)

        def report(done: int, frame_seconds: float | None) -> None:
            left = self._eta.seconds_left(done, total)
            self._progress("keypoints", done, total, frame_seconds if left is None else max(left, frame_seconds or 0.0))

        def failed(entry: Entry, error: Im2HandsError) -> None:
            self._write_failed(take, source, entry, error)

        self._keypoints = KeypointPhase(
            self._options, source, cameras, self._parts, self._background, take.folder / CACHE_FOLDER,
            footage, self._cancelled, report, failed, edits, self._wanted, self._device,
        )  # fmt: skip
        return self._keypoints.run()

    def _make_surfaces(self, take: Take, source: Source, found: list[FoundHands], phase: SurfacePhase) -> None:
        reused, waiting = phase.sort_out(found)
        for item in reused:
            self._count(take.records[item.entry.index], take, reused=True)
        if self._wanted is None and (waiting or not self._options.clean) and take.header.pop("clean", None) is not None:
            take.save()  # the clean motion will not belong to the new frames
        done = len(reused)
        self._eta = EtaEstimator(done)
        self._progress("surfaces", done, len(found), self._eta.seconds_left(done, len(found)))
        for entry, result in phase.run(source, waiting):
            if isinstance(result, Im2HandsError):
                self._write_failed(take, source, entry, result)
            else:
                self._count(result, take)
            done += 1
            self._progress("surfaces", done, len(found), self._eta.seconds_left(done, len(found)))

    def _clean(self, take: Take) -> None:
        from .clean_phase import CleanPhase

        self._eta = EtaEstimator()
        options, keep_shape = self._cleaning(take)

        def report(done: int, total: int) -> None:
            self._progress("clean", done, total, self._eta.seconds_left(done, total))

        try:
            CleanPhase(take, options, self._background.run, report, keep_shape=keep_shape).run()
        except DamagedFramesError as error:  # of earlier runs: the frames of this one were just written
            self._events(Warned(error.message, error.hint))

    def _cleaning(self, take: Take) -> tuple[CleanOptions, bool]:
        """Return the options of the clean phase, and whether the take keeps the shape of its hands."""
        return self._options.cleaning, False

    def _write_failed(self, take: Take, source: Source, entry: Entry, error: Im2HandsError) -> None:
        record = FrameRecord(entry.index, "failed", message=str(error), extra=entry_extra(source, entry))
        take.write_frame(record, None)
        self._count(record, take)

    def _count(self, record: FrameRecord, take: Take, reused: bool = False) -> None:
        self._counts[record.status] += 1
        self._counts["reused"] += reused
        self._events(FrameDone(record.index, record.status, record.file, record.message, str(take.folder)))

    def _progress(self, phase: Phase, done: int, total: int, left: float | None = None) -> None:
        self._events(Progress(phase, done, total, None if left is None else round(left, 1)))

    def _header(self, source: Source, camera: Camera, device: str, networks: dict[str, Any]) -> dict[str, Any]:
        return {
            "source": {
                "kind": source.kind,
                "inputs": [str(path) for path in source.inputs],
                "files": list(dict.fromkeys(str(entry.path) for entry in source.entries)),
                "first": source.entries[0].index,
                "step": source.step,
                "sequence": source.kind == "video" or source.numbered,
                **(source.clip.facts() if source.clip else {}),
            },
            "fps": source.fps,
            "image_size": [camera.width, camera.height],
            "camera": camera.to_dict(),
            "settings": self._options.settings(),
            "provenance": {
                **self._parts.versions(), **networks, "device": device, "date": _date(),
            },
        }  # fmt: skip


def entry_extra(source: Source, entry: Entry) -> dict[str, Any]:
    """Return the optional fields of a frame's record that are known before it is decoded.

    Parameters
    ----------
    source : Source
        The source.
    entry : Entry
        The frame.

    Returns
    -------
    dict
        ``time`` in seconds, and for pictures ``image``, the path.
    """
    extra: dict[str, Any] = {"time": round(entry.time, 6)}
    if source.kind == "images":
        extra["image"] = str(entry.path)
    return extra


def _date() -> str:
    """Return the current time, or the time in SOURCE_DATE_EPOCH, as reproducible builds set it.

    Raises
    ------
    InputError
        SOURCE_DATE_EPOCH is not a number of seconds that a date can have.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    try:
        moment = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise InputError(
            f"The environment variable SOURCE_DATE_EPOCH is {epoch[:40]!r}, which is no date.",
            "Give seconds since 1970, or leave it unset.",
        ) from error
    return moment.isoformat(timespec="seconds")
