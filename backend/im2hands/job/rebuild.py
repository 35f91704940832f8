"""Frames of a finished take, made again with a person's corrections; every other file of the take keeps its bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from im2hands.animation.clean_options import CleanOptions
from im2hands.core.errors import Im2HandsError, InputError
from im2hands.core.options import OPTIONS
from im2hands.core.person_path import person_path
from im2hands.media.camera_choice import CameraChoice
from im2hands.media.frame_range import FrameRange
from im2hands.media.source import Entry, Source
from im2hands.take.edits import Edits, edits_sha256
from im2hands.take.take import Take

from .components import Components
from .edit_checks import check_edits
from .events import Event, Warned
from .options import ReconstructOptions
from .reconstruct import ReconstructJob


class RebuildJob(ReconstructJob):
    """Makes frames of a take again, with its own pictures and settings, and solves its clean motion again.

    Without ``frames`` these are all frames whose hands depend on edits, or did before. A frame that fails keeps what
    it has. The job can be killed at any moment: the next one goes on where it ended.

    Parameters
    ----------
    folder : str or Path
        Folder of the take.
    edits : Edits, optional
        The corrections, in place of those of the take; None for those.
    frames : str, optional
        The only frames to make, such as ``"12,20-24"``.
    events : callable
        Called with each event, on the thread that runs the job.
    cancelled : callable
        Returns whether the person asked to stop.
    parts : Components, optional
        Components of the job; None for the real ones.
    known : str, optional
        The sha256 of the take's ``edits.json`` that ``edits`` continue, "" for none; None for whatever is there.

    Raises
    ------
    InputError
        There is no take, or the frames cannot be understood.
    """

    def __init__(
        self,
        folder: str | Path,
        edits: Edits | None,
        frames: str | None,
        events: Callable[[Event], None],
        cancelled: Callable[[], bool],
        parts: Components | None = None,
        known: str | None = None,
    ) -> None:
        take = Take.open(person_path(folder))
        super().__init__(_options_of(take), events, cancelled, parts)
        self._given, self._named, self._known = edits, FrameRange.parse(frames), known

    @classmethod
    def from_request(
        cls,
        request: Mapping[str, Any],
        events: Callable[[Event], None],
        cancelled: Callable[[], bool],
        parts: Components | None = None,
        stopped: Callable[[], bool] | None = None,
    ) -> RebuildJob:
        """Make the job from the fields of a ``rebuild`` request.

        Parameters
        ----------
        request : mapping
            Fields of the request.
        events, cancelled, parts
            As for the class.
        stopped : callable, optional
            Not used: a rebuild ends at once. The frames that it did not come to stay as they were.

        Returns
        -------
        RebuildJob
            The job.

        Raises
        ------
        InputError
            A field has the wrong type, an edit cannot be used, or there is no take.
        """
        folder, edits, frames = request.get("take"), request.get("edits"), request.get("frames")
        if not isinstance(folder, str) or not folder:
            raise InputError("take must be the path of a take.", 'Send "take": "/path/take".')
        if frames is not None and not isinstance(frames, str):
            raise InputError("frames must be a text.", 'Send "frames": "12,20-24", or leave it out.')
        known = request.get("known")
        if known is not None and not isinstance(known, str):
            raise InputError("known must be a text.", "Send the sha256 of the take's edits.json, or leave it out.")
        given = None if edits is None else Edits.from_dict(edits, "The request")
        return cls(folder, given, frames, events, cancelled, parts, known)

    def _edits(self, source: Source, cameras: CameraChoice) -> Edits:
        take = Take.open(self._folder)
        before = Edits.of_take(self._folder)
        if self._known is not None and self._known != edits_sha256(self._folder):
            raise InputError(
                "The corrections of this take were changed by another program meanwhile.",
                "Import the take again: it then has both, and yours can be sent.",
            )
        edits = before if self._given is None else self._given
        check_edits(edits, source, cameras, take.records, False)
        self._wanted = frozenset(self._chosen(take, before, edits))
        missing = sorted(self._wanted - {entry.index for entry in source.entries})
        if missing:
            raise InputError(
                f"Frame {missing[0]} was not made by the last run of this take, so it cannot be made again alone.",
                "Run im2hands reconstruct with these --frames and with --edits.",
            )
        return edits

    def _chosen(self, take: Take, before: Edits, edits: Edits) -> list[int]:
        """The frames to look at: those that were named, else all that edits hold for, or did when they were made."""
        if not self._named.parts:
            return [
                index for index, record in take.records.items()
                if edits.changes_hands(index) or before.changes_hands(index) or record.extra.get("edited")
            ]  # fmt: skip
        if not take.records:
            raise InputError(f"The take {take.folder} has no frames.")
        return self._named.choose(sorted(take.records), 1, f"the take {take.folder}")

    def _why_copies(self, source: Source) -> str:
        return ""  # the copies that the take has stay

    def _begin_edits(self, take: Take, edits: Edits) -> None:
        """Nothing is written before the hands of the frames are there."""

    def _use_edits(self, take: Take, edits: Edits, unused: Sequence[str]) -> None:
        if unused:
            more = f" {len(unused) - 1} more cannot be used." if len(unused) > 1 else ""
            raise InputError(f"{unused[0]}{more}", "Take the edit back, or draw a box where the hand is.")
        if self._given is not None:
            with take.writing():
                edits.write(take.folder)

    def _write_failed(self, take: Take, source: Source, entry: Entry, error: Im2HandsError) -> None:
        """Keep what the frame has, and tell."""
        self._counts["failed"] += 1
        self._events(Warned(f"Frame {entry.index} stays as it was. {error.message}", error.hint))

    def _cleaning(self, take: Take) -> tuple[CleanOptions, bool]:
        settings = (take.header.get("clean") or {}).get("settings")
        known = CleanOptions().settings()
        if isinstance(settings, Mapping) and set(settings) == set(known):
            return CleanOptions(**settings), True
        return self._options.cleaning, True


def _options_of(take: Take) -> ReconstructOptions:
    """Return the options that a take was made with."""
    settings, source = take.header.get("settings") or {}, take.header.get("source") or {}
    inputs = source.get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(path, str) for path in inputs):
        raise InputError(f"The take {take.folder} does not say what it was made from.", "Reconstruct it again.")
    given = {name: settings[name] for name in OPTIONS if settings.get(name) is not None}
    typed = {name: OPTIONS[name].typed(value) for name, value in given.items()}
    if take.header.get("clean"):
        typed["clean"] = True  # it may have been cleaned by itself
    return ReconstructOptions(tuple(inputs), str(take.folder), **{**typed, "edits": None})
