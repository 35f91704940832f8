"""The first phase of a job: the hands of every frame, detected in pictures or read from a keypoint file."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from im2hands.core.camera import Camera
from im2hands.core.errors import Cancelled, FrameError, Im2HandsError, InputError, TakeError
from im2hands.core.gpu import memory_error
from im2hands.core.hands import HandKeypoints, TwoHands
from im2hands.keypoints.hypothesis import HandDetection
from im2hands.media.camera_choice import CameraChoice
from im2hands.media.source import Entry, Frame, Source
from im2hands.take.edits import Edits
from im2hands.weights import keypoint_networks
from im2hands.weights.folder import IMAGE_ENCODER
from im2hands.weights.model_file import bundled_card

from .background import Background
from .clip_looks import ClipLooks
from .components import Components, ProviderNeeds
from .detection_cache import DetectionCache, digest, fingerprint
from .events import HandsFound
from .footage_writer import FootageWriter
from .found_hands import FoundHands
from .hand_editor import Found, HandEditor, Placed
from .keypoint_report import KeypointReport
from .options import ReconstructOptions
from .picture_hashes import PictureHashes
from .progress import JobProgress

if TYPE_CHECKING:
    from im2hands.keypoints.finder import HandFinder
    from im2hands.keypoints.proposing.box_file import HandBoxes

_BOXED_FOLDER = "boxed"
Given = TypeVar("Given")


def _side_by_side(hands: Sequence[HandKeypoints]) -> TwoHands:
    """Return hands that are placed already as the hands of a frame."""
    return TwoHands(**{hand.side: hand for hand in hands})


class KeypointPhase:
    """Finds the hands of every frame of a source. Detections are cached in the take.

    Parameters
    ----------
    options : ReconstructOptions
        Options of the job.
    source : Source
        The opened source.
    cameras : CameraChoice
        Choice of each picture's camera.
    parts : Components
        Components of the job.
    background : Background
        Thread on which the provider is created and used.
    cache : Path
        Cache folder of the take.
    footage : FootageWriter
        Copies the decoded pictures where Blender needs copies.
    cancelled : callable
        Returns whether the person asked to stop; the provider calls it.
    progress : JobProgress
        Progress of the job.
    shown : callable
        Called with the hands of each frame as soon as they are found, and again when they are placed.
    failed : callable
        Called with a frame that cannot be used, and with the error.
    edits : Edits
        A person's corrections.
    wanted : set of int, optional
        The only frames whose hands are returned; None for all. The others are searched only where the hands of these
        follow from them and are not cached.
    device : str
        The device of the networks.
    """

    def __init__(
        self,
        options: ReconstructOptions,
        source: Source,
        cameras: CameraChoice,
        parts: Components,
        background: Background,
        cache: Path,
        footage: FootageWriter,
        cancelled: Callable[[], bool],
        progress: JobProgress,
        shown: Callable[[HandsFound], None],
        failed: Callable[[Entry, Im2HandsError], None],
        edits: Edits,
        wanted: Set[int] | None = None,
        device: str = "cpu",
    ) -> None:
        self._device = device
        self._options, self._source, self._cameras, self._parts = options, source, cameras, parts
        self._background, self._cancelled, self._failed = background, cancelled, failed
        self._folder, self._footage = cache, footage
        self._cache = DetectionCache(cache)
        self._wanted = wanted
        self._editor = HandEditor(edits, source.mirrored)
        self._provider: HandFinder | None = None
        self._follows = source.is_sequence
        self._hashes = PictureHashes(source, background.check)
        self._clip_key = self._settings = ""
        passes = 2 if self._follows else 1
        self._report = KeypointReport(
            progress, shown, options.palm_mm / 1000, len(self._chosen()), passes, source.clip is None
        )
        self.ended_early = False
        """Whether the person asked to stop; then the hands are those of the frames that were looked at."""

    def run(self) -> list[FoundHands]:
        """Find the hands.

        Returns
        -------
        list of FoundHands
            Hands of every usable frame, in order.

        Raises
        ------
        Cancelled
            The person asked to stop at once, or before any frame was looked at.
        Im2HandsError
            The provider, the keypoint file or the clip cannot be used at all.
        """
        if self._source.clip is not None:
            self._background.run(lambda: self._hashes.of_file(self._source.entries[0]))
        self._report.begin("look", len(self._source) if self._follows else len(self._chosen()))
        if self._options.keypoint_file is not None:
            return self._from_file(self._options.keypoint_file)
        boxes = self._options.hand_boxes
        self._settings = digest(
            self._options.keypoints,
            self._options.hands,
            self._options.mirrored,
            *(bundled_card(name).get("sha256") for name in (*(n.name for n in keypoint_networks.ALL), IMAGE_ENCODER)),
            self._parts.versions(),
            fingerprint(Path(boxes)) if boxes and Path(boxes).is_file() else None,
        )
        if self._follows:
            self._clip_key = self._hashes.of_sequence(self._settings)
        boxes_cache = DetectionCache(self._folder / _BOXED_FOLDER)
        self._editor.read_boxes(
            self._source, self._source.entries if self._follows else self._chosen(), boxes_cache, self._camera,
            lambda entry, boxes: digest(self._hashes.of_picture(entry), self._settings, boxes), self._read_boxed,
        )  # fmt: skip
        cached = self._cached_clip() if self._follows else None
        if cached is not None:
            return cached
        return self._detect_clip() if self._follows else self._detect_photos()

    @property
    def unused(self) -> list[str]:
        """Edits that could not be applied, for a person."""
        return self._editor.unused

    def close(self) -> None:
        """Release the provider. Must be called on the background thread."""
        if self._provider is not None:
            self._provider.close()

    def _from_file(self, path: Path) -> list[FoundHands]:
        if self._source.mirrored:
            raise InputError(
                "Keypoints from a file cannot be flipped with a mirrored picture.",
                "Leave --mirrored out: the file gives the side of each hand.",
            )
        keypoints = self._background.run(lambda: self._parts.keypoint_file(path))
        indices = [entry.index for entry in self._source.entries]
        if not set(indices) & set(keypoints.frames):
            named = ", ".join(str(index) for index in list(keypoints.frames)[:3])
            raise InputError(
                f"{path.name} has keypoints of frames {named}..., none of which is among the chosen "
                f"({indices[0]} to {indices[-1]}).",
                "Number the frames in the keypoint file as the pictures are numbered.",
            )

        def hands(entry: Entry, camera: Camera) -> FoundHands:
            return self._edited(entry, camera, keypoints.hands(entry.index, camera).present(), _side_by_side)

        return self._each(self._chosen(), hands)

    def _chosen(self) -> list[Entry]:
        """The frames whose hands are wanted."""
        return [one for one in self._source.entries if self._wanted is None or one.index in self._wanted]

    def _each(self, entries: Sequence[Entry], make: Callable[[Entry, Camera], FoundHands]) -> list[FoundHands]:
        """Call ``make`` for every frame whose picture has a camera; report frames that fail and leave them out."""
        found = []
        for entry in entries:
            self._background.check()
            try:
                found.append(make(entry, self._camera(entry)))
            except (FrameError, InputError) as error:
                self._failed(entry, error)
            self._report.step(2 if self._follows else 1)
        return found

    @contextlib.contextmanager
    def _as_far_as_possible(self) -> Iterator[None]:
        """End this block when the person asks to stop, and go on after it with what there is."""
        try:
            yield
        except Cancelled:
            if not self._background.go_on():
                raise
            self.ended_early = True

    def _cached_clip(self) -> list[FoundHands] | None:
        """Return the cached hands of a clip or sequence: all frames or None, as hands depend on earlier frames."""
        frames = self._cache.finished_clip(self._clip_key)
        if frames is None:
            return None
        known = set(frames)
        entries = [entry for entry in self._source.entries if entry.index in known]
        kept = {entry.index: self._cache.read(entry.index, self._clip_key) for entry in entries}
        if any(hands is None for hands in kept.values()):
            return None
        count = len(self._source)
        self._report.begin("look", count, count, 2 * count)
        return self._lifted_clip([(entry, kept[entry.index] or []) for entry in entries])

    def _detect_photos(self) -> list[FoundHands]:
        """Detect the hands in unrelated photos. Photos whose hands are cached are not read."""
        found: dict[int, FoundHands] = {}
        waiting: list[Entry] = []
        for entry in self._chosen():
            self._background.check()
            kept = self._kept_photo(entry)
            if kept is None:
                waiting.append(entry)
            else:
                found[entry.index] = kept
        if found:
            self._report.begin("look", len(found) + len(waiting), len(found), len(found))
        if waiting:
            provider = self._make_provider()

            def detect(entry: Entry, frame: Frame) -> None:
                detections = self._background.run(lambda: provider.detect(frame))
                self._cache.write(entry.index, self._key(entry), detections)
                found[entry.index] = self._lifted(entry, self._camera(entry), detections)

            with self._as_far_as_possible():
                self._each_frame(waiting, detect)
        return [found[index] for index in sorted(found)]

    def _detect_clip(self) -> list[FoundHands]:
        """Find the hands of a clip: look at all frames, choose the hands of all together, then lift them."""
        provider = self._make_provider()
        seen = ClipLooks(self._source, self._cache, self._clip_key, self._background, self._report, self._camera)
        with self._as_far_as_possible():
            seen.fill(provider, self._each_frame)
        entries, looks = seen.entries, seen.looks
        if not looks and self.ended_early:
            raise Cancelled("Stopped.")
        chosen, prior = provider.choose(looks), provider.prior(looks)
        rows = {entry.index: row for row, entry in enumerate(entries)}
        finished: list[tuple[Entry, list[HandDetection]]] = []

        def begin(read: tuple[Entry, Frame | FrameError]) -> list[HandDetection]:
            entry, frame = read
            if isinstance(frame, FrameError):
                raise frame
            row = rows[entry.index]
            return provider.finish(frame, looks[row], chosen[row], prior)

        def finish(entry: Entry, made: Future[list[HandDetection]]) -> None:
            detections = self._background.run(made.result)
            if not self.ended_early:  # else the hands are chosen anew when all frames were looked at
                self._cache.write(entry.index, self._clip_key, detections)
            finished.append((entry, detections))

        self._report.begin("finish", len(entries))
        with self._background.patiently(), provider.workers() as workers:
            begun = workers.ahead(begin, self._source.read(entries))
            self._each_given(((entry, made) for (entry, _), made in begun), finish, last=True)
        if not self.ended_early and len(finished) == len(self._source.entries):
            self._cache.finish_clip(self._clip_key, [entry.index for entry, _ in finished])
        return self._lifted_clip(finished)

    def _each_frame(self, entries: Sequence[Entry], use: Callable[[Entry, Frame], None]) -> None:
        """Decode frames and call ``use`` with the usable ones; see ``_each_given``."""
        self._each_given(self._footage.follow(self._source.read(entries)), use)

    def _each_given(
        self,
        frames: Iterable[tuple[Entry, Given | FrameError]],
        use: Callable[[Entry, Given], None],
        last: bool = False,
    ) -> None:
        """Call ``use`` with what there is of each frame; report frames that fail, and every frame that is done.

        ``last``: a clip's frames come by for the second time.
        """
        for entry, given in frames:
            self._background.check()
            passed = 1
            try:
                if isinstance(given, FrameError):
                    raise given
                self._camera(entry)
                use(entry, given)
            except TakeError:
                raise
            except (FrameError, InputError) as error:
                self._failed(entry, error)
                passed += self._follows and not last  # it does not come by again
            except (MemoryError, RuntimeError) as error:
                self._failed(entry, memory_error(error, entry.name))
                passed += self._follows and not last
            self._report.step(passed)

    def _kept_photo(self, entry: Entry) -> FoundHands | None:
        try:
            detections = self._cache.read(entry.index, self._key(entry))
            return None if detections is None else self._lifted(entry, self._camera(entry), detections)
        except (FrameError, InputError):
            return None  # the error is reported when the picture is read

    def _make_provider(self) -> HandFinder:
        needs = ProviderNeeds(self._options, self._cancelled, self._device)

        def make() -> HandFinder:
            if self._provider is None:
                self._provider = self._parts.provider(needs)
            return self._provider

        return self._background.run(make)

    def _read_boxed(self, frame: Frame, boxes: HandBoxes) -> list[HandDetection]:
        provider = self._make_provider()
        return self._background.run(lambda: provider.detect_boxed(frame, boxes))

    def _lifted(self, entry: Entry, camera: Camera, detections: Sequence[HandDetection]) -> FoundHands:
        def lift(hands: Sequence[HandDetection]) -> TwoHands:
            return self._parts.lift(hands, camera, self._options.palm_mm / 1000)

        return self._edited(entry, camera, detections, lift)

    def _edited(
        self, entry: Entry, camera: Camera, hands: Sequence[Found], place: Callable[[Sequence[Found]], TwoHands]
    ) -> FoundHands:
        """Place the hands of a frame, with what a person corrected."""
        return self._found(entry, camera, hands, self._editor.place(entry.index, camera, hands, place))

    def _lifted_clip(self, frames: Sequence[tuple[Entry, Sequence[HandDetection]]]) -> list[FoundHands]:
        """Place the hands of all frames of a clip together; frames that fail are reported and left out."""
        usable: list[tuple[Entry, Camera, Sequence[HandDetection]]] = []
        for entry, detections in frames:
            try:
                usable.append((entry, self._camera(entry), detections))
            except (FrameError, InputError) as error:
                self._failed(entry, error)

        def place(hands: Sequence[Sequence[HandDetection]]) -> list[TwoHands]:
            cameras, times = [camera for _, camera, _ in usable], [entry.time for entry, *_ in usable]
            palm_m = self._options.palm_mm / 1000
            self._report.begin("place", len(usable))
            with self._background.patiently():
                return self._background.run(lambda: self._parts.lift_clip(hands, cameras, times, palm_m))

        numbered = [(entry.index, camera, detections) for entry, camera, detections in usable]
        placed = self._editor.place_clip(numbered, self._wanted, place)
        found = []
        for entry, camera, detections in usable:
            made = placed.get(entry.index)
            if isinstance(made, InputError):
                self._failed(entry, made)
            elif made is not None:
                found.append(self._found(entry, camera, detections, made))
        return found

    def _found(
        self, entry: Entry, camera: Camera, hands: Sequence[HandDetection] | Sequence[HandKeypoints], placed: Placed
    ) -> FoundHands:
        note = next((hand.note for hand in hands if isinstance(hand, HandDetection) and hand.note), "")
        made, corrected = placed
        self._report.placed(entry, {hand.side: hand.positions for hand in made.present()})
        return FoundHands(entry, camera, made, self._hashes.of_picture(entry), note, corrected)

    def _camera(self, entry: Entry) -> Camera:
        return self._cameras.for_picture(self._source.probe(entry))

    def _key(self, entry: Entry) -> str:
        """Hash everything that the hands of an unrelated photo depend on."""
        return digest(self._hashes.of_file(entry), self._settings)
