"""The second phase of a job: refined keypoints and surfaces. Every frame is written as soon as it is finished."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.errors import FrameError, Im2HandsError
from im2hands.core.hands import SIDES, HandKeypoints, RefinedHands, Side, TwoHands
from im2hands.media.source import Entry, Frame, Source
from im2hands.take.arrays import check_arrays
from im2hands.take.record import FrameRecord, FrameStatus, convert_keypoints_2d
from im2hands.take.take import Take

from .background import Background
from .components import Reconstructor, Refiner, provenance_of
from .detection_cache import digest, hands_digest
from .footage_writer import FootageWriter
from .keypoint_phase import FoundHands
from .options import ReconstructOptions

if TYPE_CHECKING:
    from im2hands.surfaces.from_keypoints import HandMesh

Result = TypeVar("Result")


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
    ) -> None:
        self._footage = footage
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
        for entry, frame in self._footage.follow(source.read([item.entry for item in waiting])):
            self._background.check()
            if isinstance(frame, FrameError):
                yield entry, frame
                continue
            try:
                record, arrays = self._make(frame, by_index[entry.index], source)
            except FrameError as error:
                yield entry, error
                continue
            self._take.write_frame(record, arrays)
            yield entry, record

    def _make(
        self, frame: Frame, found: FoundHands, source: Source
    ) -> tuple[FrameRecord, dict[str, np.ndarray] | None]:
        """Refine and reconstruct one frame; return its record, and its arrays by name (None without a hand)."""
        refined = self._refine(frame, found)
        meshes, trouble = self._reconstruct(frame, found.camera, refined.hands)
        hands = {side: hand for side in SIDES if side in meshes and (hand := refined.hands.get(side)) is not None}
        missing = [side for side in SIDES if side not in hands]
        status: FrameStatus = "ok" if not missing else "partial" if hands else "empty"
        message = {"ok": "", "empty": "No hand was found."}.get(status, f"Only the {', '.join(hands)} hand was found.")
        extra: dict[str, Any] = {"time": round(frame.time, 6)}
        if source.kind == "images":
            extra["image"] = str(frame.path)
        if found.camera.to_dict() != self._take.header["camera"]:
            extra["camera"] = found.camera.to_dict()
        if [found.camera.width, found.camera.height] != self._take.header["image_size"]:
            extra["image_size"] = [found.camera.width, found.camera.height]
        facts: dict[str, dict[str, Any]] = {
            side: {"confidence": round(hand.score, 4), "source": hand.source} for side, hand in hands.items()
        }
        for side in refined.refined:
            if side in facts:
                facts[side]["keypoints"] = "refined"
        words = " ".join(filter(None, (trouble or message, refined.message, found.note)))
        record = FrameRecord(frame.index, status, "", facts, words, self.key(found), extra)
        arrays = {
            f"{side}_{name}": array
            for side, hand in hands.items()
            for name, array in _arrays(hand, meshes[side], found.camera.width, self._take.mirrored).items()
        }
        try:
            check_arrays("frame", arrays)
        except ValueError as error:  # keypoints of a file, thousands of kilometres away
            raise FrameError(
                f"{frame.name}: no take can hold these hands: {error}.",
                "Check the keypoints, their unit and the camera.",
            ) from error
        return record, arrays or None

    def _refine(self, frame: Frame, found: FoundHands) -> RefinedHands:
        """Return the hands whose surfaces are to be made, refined if there is a refiner."""
        refiner = self._refiner
        if refiner is None:
            return RefinedHands(found.hands)
        return self._run(frame, lambda: refiner.refine(frame, found.camera, found.hands))

    def _reconstruct(self, frame: Frame, camera: Camera, hands: TwoHands) -> tuple[dict[Side, HandMesh], str]:
        """Return meshes by side, and the error message if one of two hands has no mesh."""
        present = hands.present()
        if not present:
            return {}, ""
        try:
            return self._call(frame, camera, hands), ""
        except FrameError as error:
            if len(present) == 1:
                raise
            trouble = str(error)
        # Reconstruct each hand alone, so that the failure of one does not lose the other.
        meshes: dict[Side, HandMesh] = {}
        for hand in present:
            alone = TwoHands(left=hand) if hand.side == "left" else TwoHands(right=hand)
            try:
                meshes.update(self._call(frame, camera, alone))
            except FrameError as error:
                trouble = str(error)
        if not meshes:
            raise FrameError(trouble)
        return meshes, trouble

    def _call(self, frame: Frame, camera: Camera, hands: TwoHands) -> dict[Side, HandMesh]:
        return self._run(frame, lambda: self._reconstructor.reconstruct(frame, camera, hands))

    def _run(self, frame: Frame, work: Callable[[], Result]) -> Result:
        """Run networks on the background thread. If memory runs out, only this frame fails, not the job."""
        try:
            return self._background.run(work)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
                raise FrameError(
                    f"{frame.name}: there is not enough memory for the surface.",
                    "Make the voxels larger (--voxel-mm) or compute on the processor (--device cpu).",
                ) from error
            raise


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
    }
