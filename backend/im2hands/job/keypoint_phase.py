"""The first phase of a job: the hands of every frame, detected in pictures or read from a keypoint file."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from im2hands.core.camera import Camera
from im2hands.core.errors import FrameError, Im2HandsError, InputError, TakeError
from im2hands.core.hands import TwoHands
from im2hands.keypoints.hypothesis import HandDetection, KeypointProvider
from im2hands.media.camera_choice import CameraChoice
from im2hands.media.source import Entry, Frame, Source
from im2hands.weights import keypoint_networks
from im2hands.weights.model_file import bundled_card

from .background import Background
from .components import Components, ProviderNeeds
from .detection_cache import DetectionCache, digest, fingerprint
from .footage_writer import FootageWriter
from .options import ReconstructOptions

# Shortest time between two reports of a provider's progress.
_SEARCH_REPORT_SECONDS = 0.3


@dataclass(frozen=True)
class FoundHands:
    """The hands of one frame, as the keypoint phase found them.

    Parameters
    ----------
    entry : Entry
        The frame.
    camera : Camera
        Camera of its picture.
    hands : TwoHands
        Keypoints in the frame of that camera.
    picture : str
        Hash of the picture, or of the clip and the frame's index.
    note : str
        How the hands were chosen, for a person; may be empty.
    """

    entry: Entry
    camera: Camera
    hands: TwoHands
    picture: str
    note: str = ""


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
    report : callable
        Called with the number of finished frames, and with the remaining seconds of the current frame (None if not
        known).
    failed : callable
        Called with a frame that cannot be used, and with the error.
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
        report: Callable[[int, float | None], None],
        failed: Callable[[Entry, Im2HandsError], None],
    ) -> None:
        self._options, self._source, self._cameras, self._parts = options, source, cameras, parts
        self._background, self._cancelled, self._report, self._failed = background, cancelled, report, failed
        self._folder, self._footage = cache, footage
        self._cache = DetectionCache(cache)
        self._provider: KeypointProvider | None = None
        self._search: tuple[int, int] = (0, 0)
        self._follows = source.is_sequence
        self._hashes: dict[Path, str] = {}
        self._clip_hash = self._clip_key = ""
        self._settings = ""
        self._done = 0
        self._frame_started = self._reported = 0.0

    def run(self) -> list[FoundHands]:
        """Find the hands.

        Returns
        -------
        list of FoundHands
            Hands of every usable frame, in order.

        Raises
        ------
        Cancelled
            The person asked to stop, between two frames or during one.
        Im2HandsError
            The provider, the keypoint file or the clip cannot be used at all.
        """
        if self._source.clip is not None:
            self._clip_hash = self._background.run(lambda: self._hash(self._source.entries[0].path))
        self._report(0, None)
        if self._options.keypoint_file is not None:
            return self._from_file(self._options.keypoint_file)
        boxes = self._options.hand_boxes
        self._settings = digest(
            self._options.keypoints,
            self._options.crop_search,
            self._options.mirrored,
            *(bundled_card(network.name).get("sha256") for network in keypoint_networks.ALL),
            self._parts.versions(),
            fingerprint(Path(boxes)) if boxes and Path(boxes).is_file() else None,
        )
        if self._follows:
            self._clip_key = self._key_of_clip()
        cached = self._cached_clip() if self._follows else None
        return cached if cached is not None else self._detect_all()

    def close(self) -> None:
        """Release the provider. Must be called on the background thread."""
        if self._provider is not None:
            self._provider.close()

    def tick(self) -> None:
        """Report the progress of a long search. Called while the background thread is busy."""
        done, total = self._search
        if done and time.monotonic() - self._reported > _SEARCH_REPORT_SECONDS:
            self._reported = time.monotonic()
            self._report(self._done, (self._reported - self._frame_started) / done * max(total - done, 0))

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
            return FoundHands(entry, camera, keypoints.hands(entry.index, camera), self._picture(entry))

        return self._each(self._source.entries, hands)

    def _each(self, entries: Sequence[Entry], make: Callable[[Entry, Camera], FoundHands]) -> list[FoundHands]:
        """Call ``make`` for every frame whose picture has a camera; report frames that fail and leave them out."""
        found = []
        for entry in entries:
            self._background.check()
            try:
                found.append(make(entry, self._camera(entry)))
            except (FrameError, InputError) as error:
                self._failed(entry, error)
            self._done += 1
            self._report(self._done, None)
        return found

    def _cached_clip(self) -> list[FoundHands] | None:
        """Return the cached hands of a clip or sequence: all frames or None, as hands depend on earlier frames."""
        frames = self._cache.finished_clip(self._clip_key)
        if frames is None:
            return None
        entries = [entry for entry in self._source.entries if entry.index in set(frames)]
        kept = {entry.index: self._cache.read(entry.index, self._clip_key) for entry in entries}
        if any(hands is None for hands in kept.values()):
            return None
        return self._each(entries, lambda entry, camera: self._lifted(entry, camera, kept[entry.index] or []))

    def _detect_all(self) -> list[FoundHands]:
        """Detect the hands in the pictures. Unrelated photos whose hands are cached are not read."""
        found: dict[int, FoundHands] = {}
        waiting: list[Entry] = []
        for entry in self._source.entries:
            self._background.check()
            kept = self._kept_photo(entry)
            if kept is None:
                waiting.append(entry)
            else:
                found[entry.index] = kept
        if found:
            self._done = len(found)
            self._report(self._done, None)
        seen: list[int] = []
        complete = True
        previous: Sequence[HandDetection] = ()
        if not waiting:
            return [found[index] for index in sorted(found)]
        provider = self._make_provider()
        for entry, frame in self._footage.follow(self._source.read(waiting)):
            self._background.check()
            try:
                if isinstance(frame, FrameError):
                    raise frame
                camera = self._camera(entry)
                detections = self._detect(provider, frame, previous)
                self._cache.write(entry.index, self._key(entry), detections)
                seen.append(entry.index)
                previous = detections if self._follows else ()
                found[entry.index] = self._lifted(entry, camera, detections)
            except TakeError:
                raise
            except (FrameError, InputError) as error:
                complete, previous = False, ()
                self._failed(entry, error)
            self._done += 1
            self._report(self._done, None)
        if self._follows and complete:
            self._cache.finish_clip(self._clip_key, seen)
        return [found[index] for index in sorted(found)]

    def _kept_photo(self, entry: Entry) -> FoundHands | None:
        if self._follows:
            return None
        try:
            detections = self._cache.read(entry.index, self._key(entry))
            return None if detections is None else self._lifted(entry, self._camera(entry), detections)
        except (FrameError, InputError):
            return None  # the error is reported when the picture is read

    def _make_provider(self) -> KeypointProvider:
        needs = ProviderNeeds(self._options, self._follows, self._folder, self._note_search, self._cancelled)

        def make() -> KeypointProvider:
            self._provider = self._parts.provider(needs)
            return self._provider

        return self._background.run(make)

    def _detect(
        self, provider: KeypointProvider, frame: Frame, previous: Sequence[HandDetection]
    ) -> list[HandDetection]:
        self._frame_started = self._reported = time.monotonic()
        try:
            return self._background.run(lambda: provider.detect(frame, previous))
        finally:
            self._search = (0, 0)

    def _note_search(self, done: int, total: int) -> None:
        self._search = (done, total)

    def _lifted(self, entry: Entry, camera: Camera, detections: Sequence[HandDetection]) -> FoundHands:
        hands = self._parts.lift(detections, camera, self._options.palm_mm / 1000)
        note = next((hand.note for hand in detections if hand.note), "")
        return FoundHands(entry, camera, hands, self._picture(entry), note)

    def _camera(self, entry: Entry) -> Camera:
        return self._cameras.for_picture(self._source.probe(entry))

    def _picture(self, entry: Entry) -> str:
        found = digest(self._clip_hash, entry.index) if self._clip_hash else self._hash(entry.path)
        return digest(found, "mirrored") if self._source.mirrored else found

    def _key(self, entry: Entry) -> str:
        return self._clip_key if self._follows else digest(self._hash(entry.path), self._settings)

    def _key_of_clip(self) -> str:
        """Hash everything that the hands of a clip or numbered sequence depend on."""
        chosen = [entry.index for entry in self._source.entries]
        contents = self._clip_hash or [self._content(entry) for entry in self._source.entries]
        return digest(contents, chosen, self._source.fps, self._settings)

    def _content(self, entry: Entry) -> str | None:
        """Hash one picture of a sequence; None if it cannot be read, which is reported when its frame is read."""
        self._background.check()
        try:
            return self._hash(entry.path)
        except FrameError:
            return None

    def _hash(self, path: Path) -> str:
        """Hash the content of a file once per job. Raises FrameError if it cannot be read."""
        if path not in self._hashes:
            self._hashes[path] = fingerprint(path)
        return self._hashes[path]
