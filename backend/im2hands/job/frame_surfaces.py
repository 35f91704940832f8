"""The surfaces of one frame: keypoints refined, hands reconstructed. This part of a job can run on another machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.errors import FrameError
from im2hands.core.gpu import memory_error
from im2hands.core.hands import SIDES, RefinedHands, Side, TwoHands
from im2hands.core.person_path import person_path
from im2hands.geometry.contact import Contact, parted
from im2hands.media.source import Frame

from .components import Components, Reconstructor, Refiner
from .options import ReconstructOptions

if TYPE_CHECKING:
    from im2hands.surfaces.from_keypoints import HandMesh

BUNDLED_NAME = "bundled"
"""The weights that every machine has with the program."""


@dataclass(frozen=True)
class FrameSurfaces:
    """What was made of one frame.

    Parameters
    ----------
    refined : RefinedHands
        The hands whose surfaces were made.
    meshes : dict of Side to HandMesh
        Their surfaces.
    trouble : str
        The error message if one of two hands has no mesh.
    contact : Contact or None
        How two surfaces met before they were parted; None without two surfaces.
    """

    refined: RefinedHands
    meshes: dict[Side, HandMesh]
    trouble: str = ""
    contact: Contact | None = None

    @classmethod
    def of(cls, refined: RefinedHands, meshes: Mapping[Side, HandMesh], trouble: str = "") -> FrameSurfaces:
        """Let surfaces that claim the same room meet in between.

        Parameters
        ----------
        refined : RefinedHands
            The hands whose surfaces were made.
        meshes : mapping of Side to HandMesh
            Their surfaces, as the networks made them.
        trouble : str
            The error message if one of two hands has no mesh.

        Returns
        -------
        FrameSurfaces
            The surfaces, and how they met.
        """
        if len(meshes) < len(SIDES) or not all(len(mesh.faces) for mesh in meshes.values()):
            return cls(refined, dict(meshes), trouble)
        vertices, contact = parted({side: (mesh.vertices, mesh.faces) for side, mesh in meshes.items()})
        if contact.penetration_ml:
            meshes = {side: replace(mesh, vertices=vertices[side].astype(np.float32)) for side, mesh in meshes.items()}
        return cls(refined, dict(meshes), trouble, contact)


@dataclass(frozen=True)
class FrameJob:
    """A frame whose surfaces are to be made.

    Parameters
    ----------
    frame : Frame, optional
        The picture; None where no surface is made.
    camera : Camera
        Its camera.
    hands : TwoHands
        Keypoints in the camera frame.
    corrected : set of Side
        Hands whose keypoints a person corrected: no network moves them.
    """

    frame: Frame | None
    camera: Camera
    hands: TwoHands
    corrected: frozenset[Side] = frozenset()


@dataclass(frozen=True)
class FarNetworks:
    """What a worker on another machine loads.

    Parameters
    ----------
    parts : type of Components
        Makes the networks.
    options : ReconstructOptions
        Options of the job.
    device : str
        The device.
    threads : int
        Threads that PyTorch uses on the processor; the rounding of results depends on it.
    """

    parts: type[Components]
    options: ReconstructOptions
    device: str
    threads: int

    @classmethod
    def like_here(cls, parts: Components, options: ReconstructOptions, device: str) -> FarNetworks:
        """Describe networks that give the same results elsewhere as those that were loaded in this process."""
        import torch

        weights = options.weights
        if weights != BUNDLED_NAME:
            weights = str(person_path(weights).absolute())
        # Ray shows a worker the cards that it lends to it, from number 0.
        own = "cuda" if device.startswith("cuda") else device
        shared = replace(options, weights=weights)  # type: ignore[type-var]
        return cls(type(parts), shared, own, torch.get_num_threads())


def make_surfaces(reconstructor: Reconstructor, refiner: Refiner | None, job: FrameJob) -> FrameSurfaces:
    """Refine and reconstruct the hands of one frame.

    Parameters
    ----------
    reconstructor : Reconstructor
        Makes the surfaces.
    refiner : Refiner, optional
        Refines keypoints. Without it, keypoints stay unchanged.
    job : FrameJob
        The frame.

    Returns
    -------
    FrameSurfaces

    Raises
    ------
    FrameError
        No surface can be made, or memory ran out: only this frame fails, not the whole job.
    """
    frame, camera = job.frame, job.camera
    try:
        refined = refine_hands(refiner, job)
        present = refined.hands.present()
        if not present:
            return FrameSurfaces(refined, {})
        try:
            return FrameSurfaces.of(refined, reconstructor.reconstruct(frame, camera, refined.hands))
        except FrameError as error:
            if len(present) == 1:
                raise
            trouble = str(error)
        # Reconstruct each hand alone, so that the failure of one does not lose the other.
        meshes: dict[Side, HandMesh] = {}
        for hand in present:
            alone = TwoHands(left=hand) if hand.side == "left" else TwoHands(right=hand)
            try:
                meshes.update(reconstructor.reconstruct(frame, camera, alone))
            except FrameError as error:
                trouble = str(error)
        if not meshes:
            raise FrameError(trouble)
        return FrameSurfaces.of(refined, meshes, trouble)
    except (MemoryError, RuntimeError) as error:
        raise memory_error(error, "The hands" if frame is None else frame.name) from error


def refine_hands(refiner: Refiner | None, job: FrameJob) -> RefinedHands:
    """Refine the keypoints of a frame, but not those that a person corrected.

    Parameters
    ----------
    refiner : Refiner, optional
        Refines keypoints. Without it, or without a picture, keypoints stay unchanged.
    job : FrameJob
        The frame.

    Returns
    -------
    RefinedHands
        The hands.
    """
    if refiner is None or job.frame is None:
        return RefinedHands(job.hands)
    made = refiner.refine(job.frame, job.camera, job.hands)
    if not job.corrected:
        return made
    hands = {side: (job.hands if side in job.corrected else made.hands).get(side) for side in SIDES}
    return replace(
        made, hands=TwoHands(**hands), refined=tuple(side for side in made.refined if side not in job.corrected)
    )


def make_surfaces_far(networks: FarNetworks, job: FrameJob) -> FrameSurfaces | FrameError:
    """Make the surfaces of one frame on a worker, which keeps the networks for the next frame.

    Parameters
    ----------
    networks : FarNetworks
        What the worker loads.
    job : FrameJob
        The frame.

    Returns
    -------
    FrameSurfaces or FrameError
        The surfaces, or why the frame failed.

    Raises
    ------
    SetupError
        Weights or the device are missing on this machine.
    """
    import torch

    reconstructor, refiner = _loaded(networks)
    # Loading limits the threads to this machine's cores, but rounding depends on their number.
    torch.set_num_threads(networks.threads)
    try:
        return make_surfaces(reconstructor, refiner, job)
    except FrameError as error:
        return error


@lru_cache(maxsize=1)
def _loaded(networks: FarNetworks) -> tuple[Reconstructor, Refiner | None]:
    parts = networks.parts()
    return (
        parts.reconstructor(networks.options, networks.device), parts.refiner(networks.options, networks.device),
    )  # fmt: skip
