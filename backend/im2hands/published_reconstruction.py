"""One frame from keypoints to meshes with the published networks: crop, initial surface, anchors, refined surface."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from .bones import QUERY_SCALE, Bones
from .crop import HandCrop, crop_hands
from .errors import FrameError
from .fields import PartField
from .frames import Frame
from .hands import Camera, HandKeypoints, Side, TwoHands
from .networks.initial_occupancy import ImageFeatures, InitialOccupancy
from .networks.part_decoder import HIDDEN, PartDecoder
from .networks.refined_occupancy import PictureFeatures, RefinedOccupancy, View
from .published_fields import HandLogits, PublishedField, Remembered, even_points, near_surface
from .reconstruction import HandMesh, bones_of, check_voxel, hand_mesh
from .surface import Surface, extract_surfaces
from .weights import weights_folder
from .weights.layouts import HALO_BASELINE, INITIAL_OCCUPANCY, REFINED_OCCUPANCY
from .weights.published import load_network

INITIAL_THRESHOLD = 0.5
"""Occupancy at the surface of the initial stage (specification 9); the refined one's belongs to its network."""

COARSEST = 0.007
"""Metres; the first lattice at most. Fingers are twice as thick; the published lattice begins with 13.75 mm."""

_log = logging.getLogger(__name__)

Network = RefinedOccupancy | InitialOccupancy | PartDecoder


class _Seen(NamedTuple):
    """Hands of a frame and what the networks made of its picture; B hands, left first."""

    sides: list[Side]
    positions: Tensor
    bones: Bones
    networks: Sequence[HandLogits]
    features: PictureFeatures | None
    crop: HandCrop | None


class PublishedReconstructor:
    """Turns a frame and its keypoints into meshes with imported networks; made once, used for many frames.

    The picture is encoded once a frame. Depths are measured from the wrist, so a result does not depend on the order
    of queries. The refined stage needs both hands: a frame with one hand gets the initial surface, and the log says so.

    Args:
        network: the refinement network (its nested initial network makes the initial surface), the initial network, or
            HALO's part decoder, which does not look at the picture. device: where it runs. voxel_m: lattice spacing,
            metres. refine: run the refined stage; only the refinement network has one. provenance: names and sha256 of
            the weights and the stage, for the take.

    Raises:
        InputError: a voxel that is not possible.
    """

    def __init__(
        self, network: Network, *, device: torch.device, voxel_m: float, refine: bool = False,
        provenance: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        check_voxel(voxel_m)
        if isinstance(network, RefinedOccupancy) and not refine:
            network = network.init_occ
        if isinstance(network, PartDecoder):
            network = _without_image(network)
        self.device, self.voxel_m = device, voxel_m
        self.provenance = provenance or {}
        self._network = network.to(device).eval()

    @torch.no_grad()
    def reconstruct(self, frame: Frame | None, camera: Camera, hands: TwoHands) -> dict[Side, HandMesh]:
        """The meshes of the hands that are present.

        Args:
            frame, camera: the picture and its camera; only HALO's part decoder can do without a picture.
            hands: keypoints, camera frame, metres.

        Raises:
            FrameError: no surface can be made of these keypoints, or a hand lies outside the picture.
        """
        present = hands.present()
        if not present:
            return {}
        seen = self._look(frame, camera, hands, present)
        surfaces = self._surfaces(seen, seen.networks, INITIAL_THRESHOLD)
        if isinstance(self._network, RefinedOccupancy):
            if len(present) == 2:
                surfaces = self._refined(self._network, seen, surfaces)
            else:
                name = frame.name if frame else "a frame"
                _log.warning("%s: only the %s hand is there; its surface is not refined", name, seen.sides[0])
        return {side: hand_mesh(surfaces[k], seen.bones, k) for k, side in enumerate(seen.sides)}

    def _look(self, frame: Frame | None, camera: Camera, hands: TwoHands, present: Sequence[HandKeypoints]) -> _Seen:
        """Bones, crop and picture features: everything that comes before the first query."""
        sides, positions, bones = bones_of(present)
        network = self._network
        if isinstance(network, PartDecoder):
            halo = [_halo_logits(network, _one(bones, k), positions[k : k + 1]) for k in range(len(sides))]
            return _Seen(sides, positions, bones, halo, None, None)
        if frame is None:
            raise FrameError("These networks need the picture.", "Give the pictures that the keypoints belong to.")
        crop = crop_hands(frame, camera, hands)
        image = torch.from_numpy(crop.network_input())[None].to(self.device)
        features: PictureFeatures | None = None
        if isinstance(network, RefinedOccupancy):
            features = network.encode(image)
            own, initial = network.init_occ, features.initial
        else:
            own, initial = network, network.encode(image)
        matrix = torch.from_numpy(crop.camera.matrix)[None]
        networks = [_initial_logits(own, initial, side, _one(bones, k), matrix) for k, side in enumerate(sides)]
        if features is not None:  # both stages ask for the initial occupancy
            networks = [Remembered(asked, self.voxel_m / QUERY_SCALE) for asked in networks]
        return _Seen(sides, positions, bones, networks, features, crop)

    def _surfaces(self, seen: _Seen, networks: Sequence[HandLogits], threshold: float) -> list[Surface]:
        field = PublishedField(seen.bones, seen.positions, networks, threshold)
        return extract_surfaces(field, self.voxel_m, self.device, coarsest=COARSEST, band=0.0)

    def _refined(self, network: RefinedOccupancy, seen: _Seen, surfaces: Sequence[Surface]) -> list[Surface]:
        """The refined surfaces of two hands from their initial ones."""
        assert seen.features is not None and seen.crop is not None
        camera = seen.crop.camera
        view = View(*(torch.from_numpy(v).float()[None] for v in (camera.rotation, camera.translation, camera.matrix)))
        bones = {side: _one(seen.bones, k) for k, side in enumerate(seen.sides)}
        anchors = {}
        for k, side in enumerate(seen.sides):
            mesh = hand_mesh(surfaces[k], seen.bones, k)
            anchors[side] = torch.from_numpy(even_points(mesh.vertices, mesh.faces)).float()[None]
        both = network.hands(seen.features, bones, view, anchors)

        def refined(side: Side, initial: HandLogits, surface: Surface) -> HandLogits:
            return near_surface(surface, initial, lambda p, occupancy: both.logits(side, p[None], occupancy[None])[0])

        networks = [refined(*hand) for hand in zip(seen.sides, seen.networks, surfaces, strict=True)]
        return self._surfaces(seen, networks, network.sizes.threshold)


def load_published_reconstructor(
    weights: str | Path, *, device: torch.device, voxel_m: float, stage: str | None = None
) -> PublishedReconstructor | None:
    """A reconstructor from imported weights; None if the folder holds none that can do the stage.

    Args:
        weights: "bundled" or a folder. device: where to run. voxel_m: lattice spacing, metres. stage: "initial",
            "refined", or None for the best there is. The initial stage takes ``initial_occupancy``, else the one within
            ``refined_occupancy``, else ``halo_baseline``.

    Raises:
        WeightsError: no such folder, damaged weights. InputError: a voxel that is not possible.
    """
    folder = weights_folder(weights)
    order = [INITIAL_OCCUPANCY, REFINED_OCCUPANCY, HALO_BASELINE]
    if stage != "initial":
        order = [REFINED_OCCUPANCY] if stage == "refined" else [REFINED_OCCUPANCY, INITIAL_OCCUPANCY, HALO_BASELINE]
    name = next((name for name in order if (folder / f"{name}.safetensors").exists()), None)
    if name is None:
        return None
    check_voxel(voxel_m)
    network = cast(Network, load_network(name, folder))  # verified: the card has the file's sha256
    card = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    digests = {name: card["sha256"]}
    if "encoder_sha256" in card:  # compact networks share an encoder
        digests["image_encoder"] = card["encoder_sha256"]
    refine = name == REFINED_OCCUPANCY and stage != "initial"
    provenance = {"weights": digests, "stage": "refined" if refine else "initial"}
    return PublishedReconstructor(network, device=device, voxel_m=voxel_m, refine=refine, provenance=provenance)


def _one(bones: Bones, hand: int) -> Bones:
    """One hand of a batch, as a batch of one."""
    return bones[hand : hand + 1]


def _initial_logits(
    network: InitialOccupancy, features: ImageFeatures, side: Side, bones: Bones, intrinsics: Tensor
) -> HandLogits:
    hand = network.hand(side, features, bones, intrinsics=intrinsics)
    return lambda points: hand.part_logits(points[None]).amax(-1)[0]


def _halo_logits(decoder: PartDecoder, bones: Bones, positions: Tensor) -> HandLogits:
    field = PartField(decoder, bones, positions, None, chunk=4096)
    return lambda points: field.logits(points.new_zeros(len(points), dtype=torch.int64), points * QUERY_SCALE)


def _without_image(decoder: PartDecoder) -> PartDecoder:
    """The same decoder for image features of zero."""
    state = decoder.published_state_dict()
    return PartDecoder.from_published(
        {name: value[:, :HIDDEN] if name.endswith("_2.weight") else value for name, value in state.items()}
    )
