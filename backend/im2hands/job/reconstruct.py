"""The reconstruction job, from inputs to a finished take. The command line and the server both run it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from im2hands.animation.clean_options import CleanOptions
from im2hands.core.camera import Camera
from im2hands.core.errors import Cancelled, DamagedFramesError, Im2HandsError, SetupError
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
from im2hands.take.take import CACHE_FOLDER, UNFINISHED, Take

from .background import Background
from .components import Components, Reconstructor, Refiner, provenance_of
from .edit_checks import check_edits
from .events import Event, Finished, FrameDone, Summary, Warned
from .footage_writer import FootageWriter
from .found_hands import FoundHands
from .frame_surfaces import FarNetworks
from .keypoint_phase import KeypointPhase
from .options import NO_SURFACES, ReconstructOptions
from .progress import JobProgress, Part, clean_report, plan_reconstruction
from .surface_phase import SurfacePhase
from .take_header import entry_extra, take_header

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
    stopped : callable, optional
        Returns whether the person asked to stop at once. With it, a job that ends early rigs what is done: frames whose
        hands were found but that have no surfaces become drafts. None: every stop is at once.
    """

    def __init__(
        self,
        options: ReconstructOptions,
        events: Callable[[Event], None],
        cancelled: Callable[[], bool],
        parts: Components | None = None,
        stopped: Callable[[], bool] | None = None,
    ) -> None:
        self._options, self._events, self._cancelled = options, events, cancelled
        self._parts = parts or Components()
        self._folder = person_path(options.output).absolute()
        self._background = Background(cancelled, stopped)
        self._keypoints: KeypointPhase | None = None
        self._lock: TakeLock | None = None
        self._take: Take | None = None
        self._wanted: frozenset[int] | None = None  # the only frames to be made; None for all
        self._device = "cpu"
        self._counts: Counter[str] = Counter()
        self._counted: set[int] = set()  # the frames
        self._progress = JobProgress(events)

    @classmethod
    def from_request(
        cls,
        request: Mapping[str, Any],
        events: Callable[[Event], None],
        cancelled: Callable[[], bool],
        parts: Components | None = None,
        stopped: Callable[[], bool] | None = None,
    ) -> ReconstructJob:
        """Make the job from the fields of a ``reconstruct`` request.

        Parameters
        ----------
        request : mapping
            Fields of the request.
        events, cancelled, parts, stopped
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
        return cls(ReconstructOptions.from_request(request), events, cancelled, parts, stopped)

    def run(self) -> Finished:
        """Run the job.

        Returns
        -------
        Finished
            The result. ``cancelled`` is True if the person ended the job early. The method returns within 2 s after
            the person asked to stop at once. A long call may still run on a daemon thread. It ends by itself.

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
                cancelled = self._run()
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

    def _run(self) -> bool:
        """Run the job; return whether the person ended it early."""
        options = self._options
        self._step("open", 0)
        require_memory()
        self._lock = lock = lock_take(self._folder)  # "in use" is said before anything that takes long
        # On the background thread: opening takes long on a slow disk, and the person may want to stop.
        cameras, source, camera = self._background.run(self._open)
        for note in source.notes:
            self._events(Warned(note.message, note.hint))
        edits = self._background.run(lambda: self._edits(source, cameras))  # before anything is written
        reason = self._background.run(lambda: self._why_copies(source))
        wanted = len(source if self._wanted is None else self._wanted)
        plan_reconstruction(self._progress, options, source.is_sequence, len(source), wanted)
        self._step("weights", 0)
        refused: list[SetupError] = []
        device, reconstructor, refiner = self._background.run(lambda: self._load(refused))
        for problem in refused:
            self._events(Warned(problem.message, problem.hint))
        programs = {**self._parts.versions(), **provenance_of(reconstructor, refiner)}
        header = take_header(source, camera, options.settings(), programs, device)
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
                    "Distance and depth depend on it: give the lens (in Blender: Camera; else --fov or --focal-px).",
                )
            )
        footage = FootageWriter(take, source, options.footage, reason, self._background.check)
        self._begin_edits(take, edits)
        if self._wanted is None:
            self._note_unfinished(take, True)
        found, early = self._find_hands(take, source, cameras, footage, edits)
        self._use_edits(take, edits, self._keypoints.unused if self._keypoints is not None else [])
        version = self._parts.versions()["im2hands"]
        far = FarNetworks.like_here(self._parts, options, device) if options.executor == "ray" else None
        batches = self._parts.batches(options, reconstructor) if far is None else None
        phase = SurfacePhase(options, take, reconstructor, refiner, self._background, footage, version, far, batches)
        try:
            if not early:
                self._make_surfaces(take, source, found, phase)
                warned = footage.complete() if self._wanted is None else None
                if warned is not None:
                    self._events(warned)
        except Cancelled:
            if not self._background.go_on():
                raise
            early = True
        if early:
            drafts = replace(options, stage=NO_SURFACES)  # type: ignore[type-var]
            made = self._parts.reconstructor(drafts, device)
            self._make_drafts(
                take, source, found, SurfacePhase(drafts, take, made, None, self._background, footage, version)
            )
        if self._options.clean:
            with self._background.patiently():
                self._clean(take)
        if self._wanted is None and not early:
            self._note_unfinished(take, False)
        self._progress.finish()
        return early

    def _step(self, part: Part, done: int) -> None:
        """Report the begin or the end of a part of one step."""
        self._progress.begin(part, 1)
        self._progress.at(done, (done, 1))

    def _note_unfinished(self, take: Take, unfinished: bool) -> None:
        """Write into the take whether a run of it has not come to its end."""
        if bool(take.header.get(UNFINISHED)) != unfinished:
            take.header.pop(UNFINISHED, None)
            if unfinished:
                take.header[UNFINISHED] = True
            take.save()

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
    ) -> tuple[list[FoundHands], bool]:
        """Return the hands that were found, and whether the person ended the search early."""
        if self._wanted is not None and not self._wanted:
            return [], False

        def failed(entry: Entry, error: Im2HandsError) -> None:
            self._write_failed(take, source, entry, error)

        self._keypoints = KeypointPhase(
            self._options, source, cameras, self._parts, self._background, take.folder / CACHE_FOLDER,
            footage, self._cancelled, self._progress, self._events, failed, edits, self._wanted, self._device,
        )  # fmt: skip
        return self._keypoints.run(), self._keypoints.ended_early

    def _make_surfaces(self, take: Take, source: Source, found: list[FoundHands], phase: SurfacePhase) -> None:
        reused, waiting = phase.sort_out(found)
        for item in reused:
            self._count(take.records[item.entry.index], take, reused=True)
        self._forget_motion(take, bool(waiting))
        done = len(reused)
        self._progress.begin("drafts" if self._options.is_draft else "surfaces", len(found), done)
        self._progress.at(done, (done, len(found)))
        for entry, result in phase.run(source, waiting):
            if isinstance(result, Im2HandsError):
                self._write_failed(take, source, entry, result)
            else:
                self._count(result, take)
            done += 1
            self._progress.at(done, (done, len(found)))

    def _make_drafts(self, take: Take, source: Source, found: list[FoundHands], phase: SurfacePhase) -> None:
        """Give the found hands without surfaces to the frames that neither this job nor an earlier one came to."""
        there = self._counted | {index for index, record in take.records.items() if record.file}
        waiting = [item for item in found if item.entry.index not in there]
        self._forget_motion(take, bool(waiting))
        for entry, result in phase.run(source, waiting):
            if isinstance(result, Im2HandsError):
                self._write_failed(take, source, entry, result)
            else:
                self._count(result, take)

    def _forget_motion(self, take: Take, has_new_frames: bool) -> None:
        """Write that the take has no clean motion, where it will not belong to its frames."""
        is_old = has_new_frames or not self._options.clean
        if self._wanted is None and is_old and take.header.pop("clean", None) is not None:
            take.save()

    def _clean(self, take: Take) -> None:
        from .clean_phase import CleanPhase

        options, keep_shape = self._cleaning(take)
        report, searches = clean_report(self._progress), self._parts.searches(self._device)
        try:
            CleanPhase(take, options, self._background.run, report, keep_shape=keep_shape, searches=searches).run()
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
        self._counted.add(record.index)
        self._events(FrameDone(record.index, record.status, record.file, record.message, str(take.folder)))
