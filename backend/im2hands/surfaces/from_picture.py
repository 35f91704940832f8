"""Surface reconstruction of one frame with the published networks: crop, initial surface, anchors, refined surface."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from im2hands.core.camera import Camera
from im2hands.core.errors import FrameError
from im2hands.core.hands import HandKeypoints, Side, TwoHands
from im2hands.core.side_by_side import side_by_side
from im2hands.geometry.bones import QUERY_SCALE, Bones
from im2hands.geometry.even_points import even_points
from im2hands.media.source import Frame
from im2hands.networks.folded_parts import HIDDEN
from im2hands.networks.initial_hand import InitialHand
from im2hands.networks.initial_occupancy import InitialOccupancy
from im2hands.networks.part_decoder import PartDecoder
from im2hands.networks.refined_occupancy import RefinedOccupancy
from im2hands.networks.two_hand_picture import PictureFeatures, View
from im2hands.weights.folder import weights_folder
from im2hands.weights.layouts import HALO_BASELINE, INITIAL_OCCUPANCY, REFINED_OCCUPANCY
from im2hands.weights.published import load_network

from .dense_lattice import Surface, extract_surfaces
from .from_keypoints import HandMesh, Reconstructor, bones_of, check_voxel, hand_mesh
from .hand_crop import HandCrop, crop_hands
from .occupancy_field import PartField
from .picture_field import HandLogits, NetworkField
from .precision import Precision, pair_precision
from .refined_side import RefinedSide
from .stage_costs import StageCosts
from .tracked_hand import HandSurfaces, Parts

INITIAL_THRESHOLD = 0.5
"""Occupancy at the surface of the initial stage, as in the published method; the refined stage's is stored in its
network."""

_log = logging.getLogger(__name__)

Network = RefinedOccupancy | InitialOccupancy | PartDecoder


class _Seen(NamedTuple):
    """B hands of a frame (left first) and what the networks computed from its picture."""

    sides: list[Side]
    positions: Tensor
    bones: Bones
    networks: Sequence[HandLogits]
    parts: Sequence[Parts | None]
    features: PictureFeatures | None
    crop: HandCrop | None


class PictureReconstructor:
    """Reconstructs meshes from a picture and its keypoints with the published networks; serves many frames.

    The picture is encoded once per frame. Depths are measured from the wrist, so a result does not depend on the order
    of the queries. The refined stage needs both hands: a frame with one hand gets the initial surface, and this is
    logged.

    Parameters
    ----------
    network : RefinedOccupancy or InitialOccupancy or PartDecoder
        The refinement network (its nested initial network makes the initial surface), the initial network, or HALO's
        part decoder, which does not use the picture.
    device : torch.device
        Where the network runs.
    voxel_m : float
        Lattice spacing, metres.
    refine : bool
        Run the refined stage; only the refinement network has one.
    provenance : dict, optional
        Names and sha256 of the weights, and the stage, recorded in the take.
    precision : {"fast", "exact"}
        "exact" computes everything in the weights' own type and evaluates every part network everywhere. "fast"
        computes the attention between points, and on a processor the published image encoder, in bfloat16 where the
        device supports it in hardware, does not evaluate part networks that cannot be the maximum, and asks the anchors
        of the refined stage at points at most 3.5 mm apart.
    dense : bool
        Evaluate the whole lattice, for comparison.
    costs : StageCosts, optional
        Collects the cost of the stages.
    fallback : Reconstructor, optional
        Reconstructs frames whose hands lie outside the picture from the keypoints alone. None makes such a frame an
        error.

    Attributes
    ----------
    concurrent : bool
        Process both hands at the same time where the device is a CPU.

    Raises
    ------
    InputError
        The lattice spacing is outside the limits.
    """

    def __init__(
        self, network: Network, *, device: torch.device, voxel_m: float, refine: bool = False,
        provenance: dict[str, Any] | None = None, precision: Precision = "fast", dense: bool = False,
        costs: StageCosts | None = None, fallback: Reconstructor | None = None,
    ) -> None:  # fmt: skip
        check_voxel(voxel_m)
        if isinstance(network, RefinedOccupancy) and not refine:
            network = network.init_occ
        if isinstance(network, PartDecoder):
            network = _without_image(network)
        self.device, self.voxel_m = device, voxel_m
        self.provenance = provenance or {}
        self.costs = costs or StageCosts()
        self.concurrent = True
        self._fallback = fallback
        self._network = network.to(device).eval()
        self._exact, self._dense = precision == "exact", dense
        self._pairs = pair_precision(precision, device)

    @property
    def network(self) -> Network:
        """The network, on its device."""
        return self._network

    @property
    def gains_by_batches(self) -> bool:
        """Whether ``surfaces.batch`` makes the surfaces of several frames sooner: the refined stage on a device."""
        return self.device.type != "cpu" and isinstance(self._network, RefinedOccupancy) and not self._dense

    @property
    def pairs(self) -> torch.dtype | None:
        """The type used for the attention between points; None is the weights' own type."""
        return self._pairs

    @torch.no_grad()
    def reconstruct(self, frame: Frame | None, camera: Camera, hands: TwoHands) -> dict[Side, HandMesh]:
        """Reconstruct the hands that are present in a frame.

        Parameters
        ----------
        frame : Frame, optional
            The picture; only HALO's part decoder works without one.
        camera : Camera
            The camera of the picture.
        hands : TwoHands
            Keypoints, camera frame, metres.

        Returns
        -------
        dict of Side to HandMesh
            The meshes of the hands that are present.

        Raises
        ------
        FrameError
            No surface can be made from these keypoints, or a hand lies outside the picture.
        """
        present = hands.present()
        if not present:
            return {}
        name = frame.name if frame else "a frame"
        try:
            with self.costs.stage("picture"):
                seen = self._look(frame, camera, hands, present)
        except FrameError as error:
            if self._fallback is None:
                raise
            meshes = self._fallback.reconstruct(frame, camera, hands)
            _log.warning("%s: made from the keypoints alone: %s", name, error.message)
            return meshes
        refine = isinstance(self._network, RefinedOccupancy) and len(present) == 2
        field = NetworkField(seen.bones, seen.positions, seen.networks, INITIAL_THRESHOLD)
        tracked = [
            HandSurfaces(
                *field.bounds(k), self.voxel_m, self.device, network, None if self._exact else parts, exact=self._exact
            )
            for k, (network, parts) in enumerate(zip(seen.networks, seen.parts, strict=True))
        ]
        with self.costs.stage("initial surface") as cost:
            if self._dense and not refine:
                surfaces = extract_surfaces(field, self.voxel_m, self.device, dense=True)
            else:
                surfaces = self._each([partial(hand.initial_surface, for_anchors=refine) for hand in tracked])
            cost.queries += sum(surface.queries for surface in surfaces)
        if refine:
            surfaces = self._refined(cast(RefinedOccupancy, self._network), seen, surfaces, tracked)
        elif isinstance(self._network, RefinedOccupancy):
            _log.info("%s: only the %s hand is there; its surface is not refined", name, seen.sides[0])
        return {side: hand_mesh(surfaces[k], seen.bones, k) for k, side in enumerate(seen.sides)}

    def bones_of(self, hands: Sequence[HandKeypoints]) -> tuple[list[Side], Tensor, Bones]:
        """Compute the bones of hands as ``from_keypoints.bones_of``, with the thickness of the hands if it counts.

        Only networks with a shape encoder read it. The hands of others stay as these networks make them.
        """
        sides, positions, bones = bones_of(hands)
        network = self._network.init_occ if isinstance(self._network, RefinedOccupancy) else self._network
        shape = network.shape_encoder is not None if isinstance(network, PartDecoder) else network.sizes.shape
        if not shape:
            bones = replace(bones, thickness=None)
        return sides, positions, bones

    def _look(self, frame: Frame | None, camera: Camera, hands: TwoHands, present: Sequence[HandKeypoints]) -> _Seen:
        """Compute everything that precedes the first query: bones, crop and picture features."""
        sides, positions, bones = self.bones_of(present)
        network = self._network
        if isinstance(network, PartDecoder):
            halo = [_halo_logits(network, _one(bones, k), positions[k : k + 1]) for k in range(len(sides))]
            return _Seen(sides, positions, bones, halo, [None] * len(halo), None, None)
        if frame is None:
            raise FrameError("These networks need the picture.", "Give the pictures that the keypoints belong to.")
        crop = crop_hands(frame, camera, hands)
        image = torch.from_numpy(crop.network_input())[None].to(self.device)
        rounded = self._pairs if self.device.type == "cpu" else None
        features: PictureFeatures | None = None
        if isinstance(network, RefinedOccupancy):
            features = network.encode(image, precision=rounded)
            own, initial = network.init_occ, features.initial
        else:
            own, initial = network, network.encode(image, precision=rounded)
        matrix = torch.from_numpy(crop.camera.matrix)[None]
        shown = [own.hand(side, initial, _one(bones, k), intrinsics=matrix) for k, side in enumerate(sides)]
        # A network with a bone reach evaluates few bones anyway.
        parts = [None if own.sizes.reach else hand for hand in shown]
        return _Seen(sides, positions, bones, [_initial_logits(hand) for hand in shown], parts, features, crop)

    def _refined(
        self, network: RefinedOccupancy, seen: _Seen, surfaces: Sequence[Surface], tracked: Sequence[HandSurfaces]
    ) -> list[Surface]:
        """The refined surfaces of two hands, from their initial surfaces."""
        assert seen.features is not None and seen.crop is not None
        camera = seen.crop.camera
        view = View(*(torch.from_numpy(v).float()[None] for v in (camera.rotation, camera.translation, camera.matrix)))
        bones = {side: _one(seen.bones, k) for k, side in enumerate(seen.sides)}
        anchors = {}
        with self.costs.stage("anchors"):
            for k, side in enumerate(seen.sides):
                mesh = hand_mesh(surfaces[k], seen.bones, k)
                anchors[side] = torch.from_numpy(
                    even_points(mesh.vertices, mesh.faces, network.sizes.anchor_count)
                ).float()[None]
        with self.costs.stage("anchor encoder"):
            both = network.hands(seen.features, bones, view, anchors, self._pairs)

        threshold = network.sizes.threshold
        surface = math.log(threshold / (1 - threshold))

        refined = {side: RefinedSide(both, side, surface, self._pairs) for side in seen.sides}
        with self.costs.stage("refined surface") as cost:
            if self._dense:
                networks = [
                    _on(refined[side].logits, asked) for side, asked in zip(seen.sides, seen.networks, strict=True)
                ]
                field = NetworkField(seen.bones, seen.positions, networks, threshold)
                results = extract_surfaces(field, self.voxel_m, self.device, dense=True)
            else:
                results = self._each(
                    [
                        partial(hand.refined_surface, refined[side], threshold)
                        for side, hand in zip(seen.sides, tracked, strict=True)
                    ]
                )
            cost.queries += sum(surface.queries for surface in results)
        return results

    def _each(self, work: Sequence[Callable[[], Surface]]) -> list[Surface]:
        return side_by_side(work, self.device) if self.concurrent else [call() for call in work]


def load_picture_reconstructor(
    weights: str | Path, *, device: torch.device, voxel_m: float, stage: str | None = None,
    fallback: Reconstructor | None = None,
) -> PictureReconstructor | None:  # fmt: skip
    """Load a reconstructor that uses the picture.

    Parameters
    ----------
    weights : str or Path
        "bundled" or a folder.
    device : torch.device
        Where the network runs.
    voxel_m : float
        Lattice spacing, metres.
    stage : {"keypoints", "initial", "refined"}, optional
        The stage. "initial" uses ``initial_occupancy``, else the network within ``refined_occupancy``, else
        ``halo_baseline``; "keypoints" uses ``halo_baseline`` only. None is the best stage that the weights allow.
    fallback : Reconstructor, optional
        See ``PictureReconstructor``. With a fallback, ``halo_baseline`` is not used.

    Returns
    -------
    PictureReconstructor or None
        None if the folder has no network for the stage.

    Raises
    ------
    WeightsError
        The folder is missing or the weights are damaged.
    InputError
        The lattice spacing is outside the limits.
    """
    folder = weights_folder(weights)
    name = stage_network(folder, stage, with_halo=fallback is None)
    if name is None:
        return None
    check_voxel(voxel_m)
    network = cast(Network, load_network(name, folder))  # checks the file against the sha256 of its card
    card = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    digests = {name: card["sha256"]}
    if "encoder_sha256" in card:  # compact networks share an encoder
        digests["image_encoder"] = card["encoder_sha256"]
    refine = name == REFINED_OCCUPANCY and stage != "initial"
    made = "keypoints" if name == HALO_BASELINE else "refined" if refine else "initial"
    provenance = {"weights": digests, "stage": made}
    return PictureReconstructor(
        network, device=device, voxel_m=voxel_m, refine=refine, provenance=provenance, fallback=fallback
    )


def stage_network(folder: Path, stage: str | None, *, with_halo: bool = True) -> str | None:
    """The name of the network that a stage uses, in the order that ``load_picture_reconstructor`` documents.

    Parameters
    ----------
    folder : Path
        A weights folder.
    stage : {"keypoints", "initial", "refined"}, optional
        The stage; None is the best.
    with_halo : bool
        Whether ``halo_baseline`` may be used.

    Returns
    -------
    str or None
        None if the folder has no network for the stage.
    """
    order = [INITIAL_OCCUPANCY, REFINED_OCCUPANCY, HALO_BASELINE]
    if stage == "keypoints":
        order = [HALO_BASELINE]
    elif stage != "initial":
        order = [REFINED_OCCUPANCY] if stage == "refined" else [REFINED_OCCUPANCY, INITIAL_OCCUPANCY, HALO_BASELINE]
    if not with_halo:
        order = [name for name in order if name != HALO_BASELINE]
    return next((name for name in order if (folder / f"{name}.safetensors").exists()), None)


def _one(bones: Bones, hand: int) -> Bones:
    """One hand of a batch, as a batch of one."""
    return bones[hand : hand + 1]


def _initial_logits(hand: InitialHand) -> HandLogits:
    return lambda points: hand.part_logits(points[None]).amax(-1)[0]


def _on(refined: Callable[[Tensor, Tensor], Tensor], initial: HandLogits) -> HandLogits:
    return lambda points: refined(points, torch.sigmoid(initial(points)))


def _halo_logits(decoder: PartDecoder, bones: Bones, positions: Tensor) -> HandLogits:
    field = PartField(decoder, bones, positions, None, chunk=4096)
    return lambda points: field.logits(points.new_zeros(len(points), dtype=torch.int64), points * QUERY_SCALE)


def _without_image(decoder: PartDecoder) -> PartDecoder:
    """The same decoder with the weights of its image features removed."""
    state = decoder.published_state_dict()
    return PartDecoder.from_published(
        {name: value[:, :HIDDEN] if name.endswith("_2.weight") else value for name, value in state.items()}
    )
