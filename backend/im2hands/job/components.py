"""The parts a job is made of, so that tests can put others in their place; real ones are imported on first use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from im2hands.core.camera import Camera
from im2hands.core.hands import RefinedHands, Side, TwoHands
from im2hands.keypoints.hypothesis import HandDetection, KeypointProvider
from im2hands.media.source import Frame

from .options import ReconstructOptions

if TYPE_CHECKING:
    from im2hands.surfaces.from_keypoints import HandMesh


class Reconstructor(Protocol):
    """Makes the surfaces of one frame; see :mod:`im2hands.surfaces.from_keypoints`."""

    @property
    def provenance(self) -> dict[str, Any]:
        """``weights`` (names and sha256) and ``stage`` ("keypoints", "initial" or "refined"), for the take."""
        ...

    def reconstruct(self, frame: Frame, camera: Camera, hands: TwoHands) -> dict[Side, HandMesh]:
        """A mesh per hand; raises FrameError."""
        ...


class Refiner(Protocol):
    """Corrects the keypoints of a frame; see :mod:`im2hands.surfaces.keypoint_refiner`."""

    @property
    def provenance(self) -> dict[str, Any]:
        """``weights`` (names and sha256), for the take."""
        ...

    def refine(self, frame: Frame, camera: Camera, hands: TwoHands) -> RefinedHands:
        """The hands to go on with, and which of them changed."""
        ...


class Keypoints(Protocol):
    """Keypoints that a person gave; see :class:`im2hands.keypoints.KeypointFile`."""

    @property
    def frames(self) -> Sequence[int]:
        """Indices there are keypoints for."""
        ...

    def hands(self, index: int, camera: Camera) -> TwoHands:
        """The hands of a frame; none where the file has none. Raises InputError."""
        ...


@dataclass(frozen=True)
class ProviderNeeds:
    """What a provider is made from.

    Args:
        options: of the job. video: the frames follow each other, as a clip's do, and come in order.
        cache_folder: for searches, or None.
        progress: called with (done, total) during a long search. cancelled: asked during a long search.
    """

    options: ReconstructOptions
    video: bool
    cache_folder: Path | None
    progress: Callable[[int, int], None]
    cancelled: Callable[[], bool]


def provenance_of(reconstructor: Reconstructor, refiner: Refiner | None) -> dict[str, Any]:
    """The networks of a job, for the take: their weights, the stage, and whether keypoints are refined."""
    found = dict(reconstructor.provenance)
    if refiner is not None:
        found["weights"] = {**found.get("weights", {}), **refiner.provenance.get("weights", {})}
        found["keypoint_refinement"] = True
    return found


class Components:
    """Makers of what a job works with. Every method may raise the errors of what it makes."""

    def device_name(self, options: ReconstructOptions) -> str:
        """The device that will be used, as ``--device`` takes it."""
        from im2hands.core.devices import choose_device

        return str(choose_device(options.device))

    def reconstructor(self, options: ReconstructOptions, device_name: str) -> Reconstructor:
        """The networks, loaded and on their device; PyTorch keeps to the granted cores from then on."""
        import torch

        from im2hands.core.devices import limit_threads
        from im2hands.surfaces.load import load_reconstructor

        limit_threads()
        return load_reconstructor(
            options.weights, device=torch.device(device_name), voxel_m=options.voxel_mm / 1000, stage=options.stage
        )

    def refiner(self, options: ReconstructOptions, device_name: str) -> Refiner | None:
        """The keypoint refinement, if it is wanted and the weights have it."""
        if not options.keypoint_refinement:
            return None
        import torch

        from im2hands.surfaces.keypoint_refiner import load_keypoint_refiner

        return load_keypoint_refiner(options.weights, device=torch.device(device_name))

    def keypoint_file(self, path: Path) -> Keypoints:
        """A person's keypoints, read."""
        from im2hands.keypoints.file import KeypointFile

        return KeypointFile.read(path)

    def provider(self, needs: ProviderNeeds) -> KeypointProvider:
        """What finds hands in pictures, ready."""
        from im2hands.keypoints.proposing.box_file import HandBoxes
        from im2hands.keypoints.sources import make_provider

        boxes = needs.options.hand_boxes
        return make_provider(
            needs.options.keypoints,
            video=needs.video,
            crop_search=needs.options.crop_search,
            hand_boxes=replace(HandBoxes.read(Path(boxes)), mirrored=needs.options.mirrored) if boxes else None,
            cache_folder=needs.cache_folder,
            progress=needs.progress,
            cancelled=needs.cancelled,
        )

    def lift(self, detections: Sequence[HandDetection], camera: Camera, palm_m: float) -> TwoHands:
        """Hands seen in a picture as metric keypoints in the camera frame."""
        from im2hands.keypoints.placing.solve import place_hands

        return place_hands(detections, camera, palm_m)

    def versions(self) -> dict[str, str]:
        """Versions of everything that shapes a result."""
        import platform
        from importlib import metadata

        from im2hands import __version__

        found = {"im2hands": __version__, "python": platform.python_version()}
        for package in (
            "torch",
            "numpy",
            "mediapipe",
            "opencv-contrib-python",
            "opencv-python",
            "opencv-python-headless",
        ):
            try:
                found[package] = metadata.version(package)
            except metadata.PackageNotFoundError:
                continue
        return found
