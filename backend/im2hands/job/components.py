"""The components that a job works with. Tests replace them; heavy modules are imported on first use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from im2hands.core.camera import Camera
from im2hands.core.errors import SetupError
from im2hands.core.hands import RefinedHands, Side, TwoHands
from im2hands.keypoints.hypothesis import HandDetection
from im2hands.media.source import Frame

from .options import ReconstructOptions

if TYPE_CHECKING:
    from im2hands.geometry.searches import Searches
    from im2hands.keypoints.finder import HandFinder
    from im2hands.surfaces.batch.frames import BatchReconstructor
    from im2hands.surfaces.from_keypoints import HandMesh
    from im2hands.surfaces.from_picture import PictureReconstructor


class Reconstructor(Protocol):
    """Makes the surfaces of one frame; see ``surfaces.from_keypoints`` and ``surfaces.from_picture``."""

    @property
    def provenance(self) -> dict[str, Any]:
        """``weights`` (names and sha256) and ``stage`` ("none", "keypoints", "initial" or "refined"), for the take."""
        ...

    def reconstruct(self, frame: Frame | None, camera: Camera, hands: TwoHands) -> dict[Side, HandMesh]:
        """Reconstruct the surface of every given hand.

        Parameters
        ----------
        frame : Frame, optional
            The picture; None for a reconstructor that makes no surfaces.
        camera : Camera
            Camera of the picture.
        hands : TwoHands
            Keypoints in the camera frame.

        Returns
        -------
        dict of Side to HandMesh
            One mesh per hand.

        Raises
        ------
        FrameError
            A surface cannot be made.
        """
        ...


class Refiner(Protocol):
    """Corrects the keypoints of one frame; see ``surfaces.keypoint_refiner``."""

    @property
    def provenance(self) -> dict[str, Any]:
        """``weights`` (names and sha256), for the take."""
        ...

    def refine(self, frame: Frame, camera: Camera, hands: TwoHands) -> RefinedHands:
        """Correct keypoints from the picture.

        Parameters
        ----------
        frame : Frame
            The picture.
        camera : Camera
            Camera of the picture.
        hands : TwoHands
            Keypoints in the camera frame.

        Returns
        -------
        RefinedHands
            The hands with corrected keypoints, and which of them changed.
        """
        ...


class Keypoints(Protocol):
    """Keypoints that a person gives; see ``keypoints.file.KeypointFile``."""

    @property
    def frames(self) -> Sequence[int]:
        """Indices of the frames that have keypoints."""
        ...

    def hands(self, index: int, camera: Camera) -> TwoHands:
        """Return the hands of a frame.

        Parameters
        ----------
        index : int
            Index of the frame.
        camera : Camera
            Camera of the frame's picture.

        Returns
        -------
        TwoHands
            Keypoints in the camera frame; no hands if the file has none for this frame.

        Raises
        ------
        InputError
            The keypoints of this frame cannot be used.
        """
        ...


@dataclass(frozen=True)
class ProviderNeeds:
    """Arguments for making a keypoint provider.

    Parameters
    ----------
    options : ReconstructOptions
        Options of the job.
    cancelled : callable
        Returns whether the person asked to stop. Called during a long search.
    device : str
        The device of the networks.
    """

    options: ReconstructOptions
    cancelled: Callable[[], bool]
    device: str = "cpu"


def provenance_of(reconstructor: Reconstructor, refiner: Refiner | None) -> dict[str, Any]:
    """Describe the networks of a job for the take.

    Parameters
    ----------
    reconstructor : Reconstructor
        Makes the surfaces.
    refiner : Refiner, optional
        Refines the keypoints; None without refinement.

    Returns
    -------
    dict
        ``weights`` (names and sha256), ``stage``, and ``keypoint_refinement`` if there is a refiner.
    """
    found = dict(reconstructor.provenance)
    if refiner is not None:
        found["weights"] = {**found.get("weights", {}), **refiner.provenance.get("weights", {})}
        found["keypoint_refinement"] = True
    return found


class Components:
    """Makes the components of a job. Every method may raise the errors of the component that it makes."""

    def device_name(self, options: ReconstructOptions, refused: Callable[[SetupError], None] | None = None) -> str:
        """Return the device that will be used.

        Parameters
        ----------
        options : ReconstructOptions
            Options of the job.
        refused : callable, optional
            Called with what is wrong if "auto" takes the processor although there is a graphics card. None logs it.

        Returns
        -------
        str
            The device as ``--device`` takes it; never "auto".
        """
        from im2hands.core.devices import choose_device
        from im2hands.core.gpu import compute_exactly

        device = choose_device(options.device, refused)
        if device.type == "cuda":
            compute_exactly()
        return str(device)

    def reconstructor(self, options: ReconstructOptions, device_name: str) -> Reconstructor:
        """Load the surface networks onto their device, and limit PyTorch to the granted cores.

        Parameters
        ----------
        options : ReconstructOptions
            Options of the job.
        device_name : str
            The device.

        Returns
        -------
        Reconstructor
            The reconstructor, ready for use.
        """
        import torch

        from im2hands.core.devices import limit_threads
        from im2hands.surfaces.load import load_reconstructor

        limit_threads()
        return load_reconstructor(
            options.weights, device=torch.device(device_name), voxel_m=options.voxel_mm / 1000, stage=options.stage
        )

    def batches(self, options: ReconstructOptions, reconstructor: Reconstructor) -> BatchReconstructor | None:
        """Make what reconstructs many frames at once, where the device gains by it.

        Parameters
        ----------
        options : ReconstructOptions
            Options of the job.
        reconstructor : Reconstructor
            The reconstructor of single frames.

        Returns
        -------
        BatchReconstructor or None
            None on the processor, and for networks that have no batches.
        """
        if not getattr(reconstructor, "gains_by_batches", False):
            return None
        from im2hands.surfaces.batch.frames import BatchReconstructor

        return BatchReconstructor(cast("PictureReconstructor", reconstructor), batch=options.frames_at_once)

    def searches(self, device_name: str) -> Searches:
        """Make what the fit of the template hands searches with.

        Parameters
        ----------
        device_name : str
            The device.

        Returns
        -------
        Searches
            The searches of the device.
        """
        from im2hands.geometry.searches import searches_on

        return searches_on(device_name)

    def refiner(self, options: ReconstructOptions, device_name: str) -> Refiner | None:
        """Load the keypoint refinement network.

        Parameters
        ----------
        options : ReconstructOptions
            Options of the job.
        device_name : str
            The device.

        Returns
        -------
        Refiner or None
            None if refinement is switched off, no surfaces are made, or the weights do not include the network.
        """
        if not options.keypoint_refinement or options.is_draft:
            return None
        import torch

        from im2hands.surfaces.keypoint_refiner import load_keypoint_refiner

        return load_keypoint_refiner(options.weights, device=torch.device(device_name))

    def keypoint_file(self, path: Path) -> Keypoints:
        """Read a keypoint file.

        Parameters
        ----------
        path : Path
            The file.

        Returns
        -------
        Keypoints
            Keypoints of its frames.
        """
        from im2hands.keypoints.file import KeypointFile

        return KeypointFile.read(path)

    def provider(self, needs: ProviderNeeds) -> HandFinder:
        """Make the keypoint provider.

        Parameters
        ----------
        needs : ProviderNeeds
            Arguments of the provider.

        Returns
        -------
        HandFinder
            The provider, ready for use.
        """
        from im2hands.keypoints.proposing.box_file import HandBoxes
        from im2hands.keypoints.sources import make_provider

        boxes, hands = needs.options.hand_boxes, needs.options.hands
        return make_provider(
            needs.options.keypoints,
            hands=hands,
            hand_boxes=replace(HandBoxes.read(Path(boxes), hands), mirrored=needs.options.mirrored) if boxes else None,
            cancelled=needs.cancelled,
            device=needs.device,
        )

    def lift(self, detections: Sequence[HandDetection], camera: Camera, palm_m: float) -> TwoHands:
        """Convert detected hands to metric keypoints in the camera frame.

        Parameters
        ----------
        detections : sequence of HandDetection
            Hands of one picture.
        camera : Camera
            Camera of the picture.
        palm_m : float
            Length from wrist to middle knuckle, metres.

        Returns
        -------
        TwoHands
            The hands.
        """
        from im2hands.keypoints.placing.solve import place_hands

        return place_hands(detections, camera, palm_m)

    def lift_clip(
        self,
        frames: Sequence[Sequence[HandDetection]],
        cameras: Sequence[Camera],
        times: Sequence[float],
        palm_m: float,
    ) -> list[TwoHands]:
        """Convert the detected hands of a clip to metric keypoints, all frames together.

        Parameters
        ----------
        frames : sequence of sequence of HandDetection
            Hands of each frame.
        cameras : sequence of Camera
            Camera of each frame.
        times : sequence of float
            Time of each frame, seconds.
        palm_m : float
            Length from wrist to middle knuckle, metres.

        Returns
        -------
        list of TwoHands
            The hands of each frame.
        """
        from im2hands.keypoints.placing.clip import place_clip

        return place_clip(frames, cameras, times, palm_m)

    def versions(self) -> dict[str, str]:
        """Return the versions of the packages that influence a result, by name."""
        import platform
        from importlib import metadata

        from im2hands import __version__

        found = {"im2hands": __version__, "python": platform.python_version()}
        for package in (
            "torch",
            "numpy",
            "mediapipe",
            "av",
            "pillow",
            "opencv-contrib-python",
            "opencv-python",
            "opencv-python-headless",
        ):
            try:
                found[package] = metadata.version(package)
            except metadata.PackageNotFoundError:
                continue
        return found
