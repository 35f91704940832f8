"""Computes the inputs of the lifting network: a hand's keypoints, and features of two other networks at its place.

Every hand is described as a right hand: a left hand's keypoints are mirrored, and the two-hand network and the reading
network get the mirrored picture. Lengths are in the hand's own unit, the root mean square distance of its keypoints
from their mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from im2hands.core.hands import KEYPOINT_COUNT, MIDDLE_MCP, WRIST
from im2hands.keypoints.hypothesis import READING, HandDetection
from im2hands.keypoints.proposing.two_hand_pictures import apply, palm_frame, square_part, warp
from im2hands.keypoints.reading.crops import contiguous, crops_around, pyramid, warp_crop
from im2hands.keypoints.reading.network import LandmarkNetwork

from .joint_definitions import OFFSETS, from_own_definition, to_own_definition

if TYPE_CHECKING:
    from im2hands.networks.two_hand_network import PalmMaps, TwoHandNetwork

PIXELS = 160
"""Side of the two-hand network's input, pixels."""

# The input covers the square around the hands, enlarged by this factor.
_MARGIN = 1.45
_SMALLEST_PX = 1e-3


@dataclass(frozen=True)
class HandFeatures:
    """Features of one hand, described as a right hand.

    Parameters
    ----------
    points : (21, POINT_FEATURES) float32
        Features of each keypoint, see ``networks.lifting_network``.
    hand : (HAND_FEATURES,) float32
        Features of the hand, see ``networks.lifting_network``.
    vector : (256,) float32
        The two-hand network's features along the palm.
    seen : (21, 192) float32
        The two-hand network's feature maps, sampled at the keypoints.
    close : (1152,) float32
        The reading network's features of the crop along the hand.
    read : (21, 2) float64
        Keypoints in the reading network's definitions, pixels of the picture, not mirrored.
    crop : (4,) float64
        That crop, as in ``LandmarkNetwork.read``.
    centre : (2,) float64
        Mean of the keypoints, pixels of the picture.
    unit : float
        The hand's unit, pixels of the picture.
    mirrored : bool
        Whether the hand is a left hand.
    shape : (21, 3) float64
        Keypoints relative to the wrist, palm lengths, axes of the picture, not mirrored.
    pixels : (21, 2) float64
        Keypoints, pixels of the picture, not mirrored.
    """

    points: np.ndarray
    hand: np.ndarray
    vector: np.ndarray
    seen: np.ndarray
    close: np.ndarray
    read: np.ndarray
    crop: np.ndarray
    centre: np.ndarray
    unit: float
    mirrored: bool
    shape: np.ndarray
    pixels: np.ndarray


def lifting_features(
    model: TwoHandNetwork, reader: LandmarkNetwork, image: np.ndarray, hands: Sequence[HandDetection]
) -> list[HandFeatures]:
    """Compute the features of the hands of a picture.

    Parameters
    ----------
    model : TwoHandNetwork
        The two-hand network.
    reader : LandmarkNetwork
        The reading network.
    image : (H, W, 3) uint8
        RGB picture.
    hands : Sequence[HandDetection]
        The hands. Their shapes and pixels must have an extent.

    Returns
    -------
    list[HandFeatures]
        The features of each hand, in order.
    """
    import torch

    from im2hands.core.side_by_side import side_by_side

    if not hands:
        return []
    own = [_own(hand) for hand in hands]
    everything = np.concatenate([pixels for pixels, _ in own])
    low, high = everything.min(axis=0), everything.max(axis=0)
    sizes = [_palm_pixels(pixels, shape) for pixels, shape in own]
    extent = _MARGIN * max(float((high - low).max()), 2.0 * max(sizes), 8.0)
    affine = square_part((low + high) / 2, extent, PIXELS)
    zoom = float(affine[0, 0])
    picture = warp(image, affine, PIXELS)
    mirrored = [hand.side == "left" for hand in hands]
    views = list(dict.fromkeys(mirrored))
    rows = [views.index(view) for view in mirrored]
    places = np.stack([apply(affine, pixels) for pixels, _ in own])
    places[mirrored] = places[mirrored] * (-1, 1) + (PIXELS - 1, 0)
    device = next(model.parameters()).device
    pictures = np.stack([picture[:, ::-1] if view else picture for view in views])

    def seen() -> PalmMaps:
        with torch.inference_mode():
            images = torch.from_numpy(np.ascontiguousarray(pictures)).to(device).permute(0, 3, 1, 2).float()
            made: PalmMaps = model(images.contiguous(memory_format=torch.channels_last))
            return made

    both: list[Callable[[], Any]] = [partial(_crop_features, reader, image, hands), seen]
    crops, maps = side_by_side(both, device)
    with torch.inference_mode():
        if rows != list(range(len(views))):  # one row of maps for each hand
            maps = type(maps)(maps.heat[rows], maps.masks[rows], tuple(m[rows] for m in maps.pyramid), maps.deep[rows])
        outputs = _two_hand_outputs(model, maps, places, zoom * np.array(sizes))
    return [
        _features(own[k], hand.confidence, sizes[k] * zoom, zoom, mirrored[k], places[k],
                  {name: value[k] for name, value in outputs.items()}, crops[k])
        for k, hand in enumerate(hands)
    ]  # fmt: skip


def between(own: HandFeatures, other: HandFeatures | None) -> np.ndarray:
    """Return the offset from a hand to the other one in the picture.

    Parameters
    ----------
    own : HandFeatures
        The hand.
    other : HandFeatures or None
        The person's other hand.

    Returns
    -------
    (3,) float64
        x and y in the hand's unit, mirrored if it is a left hand; then the natural logarithm of the ratio of the units.
        Zeros without another hand.
    """
    if other is None:
        return np.zeros(3)
    way = (other.centre - own.centre) / own.unit
    return np.array([-way[0] if own.mirrored else way[0], way[1], np.log(other.unit / own.unit)])


def turn_to_ray(ray: np.ndarray) -> np.ndarray:
    """Return the rotation that turns the optical axis onto a ray.

    It takes a shape as viewed along the ray to the camera frame.

    Parameters
    ----------
    ray : (3,) float64
        The ray, any length.

    Returns
    -------
    (3, 3) float64
        The rotation.
    """
    axis = np.cross((0.0, 0.0, 1.0), ray)
    length = float(np.linalg.norm(axis))
    angle = np.arctan2(length, ray[2])
    return np.asarray(cv2.Rodrigues(axis / max(length, 1e-12) * angle)[0])


def _own(hand: HandDetection) -> tuple[np.ndarray, np.ndarray]:
    """Return a hand's pixels and shape as the lifting network was taught them.

    All readings are converted like those of the reading network: the lifting network was taught so, and corrects what
    remains of MediaPipe's definition itself.
    """
    pixels, shape = np.asarray(hand.pixels, np.float64), np.asarray(hand.shape, np.float64)
    return to_own_definition(pixels, shape, hand.side, _taken_for(hand))


def _taken_for(hand: HandDetection) -> str:
    """Return the source whose definitions a hand's keypoints are taken to follow."""
    return READING if hand.source in OFFSETS else hand.source


def _crop_features(
    reader: LandmarkNetwork, image: np.ndarray, hands: Sequence[HandDetection]
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return ``close``, ``read`` and ``crop`` of :class:`HandFeatures` for K hands."""
    crops = crops_around(np.stack([_as_reading(hand, _taken_for(hand)) for hand in hands]))
    # Of the skin's head nothing corrects what remains of another network's definition, unlike the lifting network.
    reads = [_as_reading(hand, hand.source) for hand in hands]
    levels = pyramid(contiguous(image), float(crops[:, 2].max()))
    pictures = [warp_crop(levels, crop) for crop in crops]
    pictures = [
        picture[:, ::-1] if hand.side == "left" else picture for hand, picture in zip(hands, pictures, strict=True)
    ]
    return list(zip(reader.features(np.stack(pictures)), reads, crops, strict=True))


def _as_reading(hand: HandDetection, source: str) -> np.ndarray:
    """Return a hand's keypoints (21, 2) in the reading network's definitions, taking them for those of ``source``."""
    pixels, shape = np.asarray(hand.pixels, np.float64), np.asarray(hand.shape, np.float64)
    if source == READING:
        return pixels
    return from_own_definition(*to_own_definition(pixels, shape, hand.side, source), hand.side, READING)[0]


def _palm_pixels(pixels: np.ndarray, shape: np.ndarray) -> float:
    """Return the pixels of a palm length at the hand's depth, from the extents in the picture and in the shape."""
    palm = float(np.linalg.norm(shape[MIDDLE_MCP] - shape[WRIST]))
    flat = shape[:, :2] - shape[:, :2].mean(axis=0)
    seen = pixels - pixels.mean(axis=0)
    return max(palm * float(np.linalg.norm(seen)) / max(float(np.linalg.norm(flat)), 1e-9), _SMALLEST_PX)


def _two_hand_outputs(
    model: TwoHandNetwork, maps: object, places: np.ndarray, sizes: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the two-hand network's outputs and features for N hands at keypoints (N, 21, 2), each of its own input."""
    import torch

    from im2hands.networks.two_hand_network import HEAT_STRIDE, PalmMaps, sample

    assert isinstance(maps, PalmMaps)
    device = maps.heat.device
    centre, up = (torch.from_numpy(part)[:, None].float().to(device) for part in palm_frame(places))
    size = torch.from_numpy(sizes)[:, None].float().to(device)
    palms = model.palms(maps, centre)
    role = torch.zeros(centre.shape[:2], dtype=torch.int64, device=device)
    vector = model.palm_features(maps, centre, size, up, palms.embedding, role)
    readings = model.told(vector, centre, size, up)
    spots = torch.from_numpy(places).float().to(device)
    side = HEAT_STRIDE * maps.heat.shape[-1]
    seen = torch.cat([sample(level, spots, side) for level in maps.pyramid], dim=-1)
    seen = seen.view(*centre.shape[:2], KEYPOINT_COUNT, -1)
    values = {**readings._asdict(), "vector": vector, "seen": seen}
    return {name: value[:, 0].float().cpu().numpy() for name, value in values.items()}


def _features(
    own: tuple[np.ndarray, np.ndarray], confidence: np.ndarray, size: float, zoom: float, mirrored: bool,
    places: np.ndarray, outputs: dict[str, np.ndarray], crop: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> HandFeatures:  # fmt: skip
    """Assemble the features of one hand.

    ``places`` are its keypoints (21, 2) in the two-hand network's input, ``crop`` is what ``_crop_features`` returned.
    """
    pixels, shape = own
    palm = max(float(np.linalg.norm(shape[MIDDLE_MCP] - shape[WRIST])), 1e-9)
    shape = (shape - shape[WRIST]) / palm
    centre = places.mean(axis=0)
    unit = max(float(np.sqrt(((places - centre) ** 2).sum(axis=1).mean())), _SMALLEST_PX)
    flip = np.array([-1.0 if mirrored else 1.0, 1.0, 1.0])
    points = np.concatenate(
        [
            (places - centre) / unit, shape * flip, np.asarray(confidence)[:, None],
            (outputs["pixels"] - places) / unit, outputs["depth"][:, None], np.log(outputs["spread"])[:, None],
            np.log(outputs["depth_spread"])[:, None],
        ],
        axis=1,
    )  # fmt: skip
    hand = np.concatenate(
        [
            outputs["wrist_offset"], np.log(outputs["wrist_offset_spread"]),
            np.clip([outputs["right"], outputs["hand"]], -6, 6),
            [np.log(max(float(outputs["size"]), _SMALLEST_PX) / size)],
        ]
    )  # fmt: skip
    return HandFeatures(
        points.astype(np.float32), hand.astype(np.float32), outputs["vector"].astype(np.float32),
        outputs["seen"].astype(np.float32), *crop, pixels.mean(axis=0), unit / zoom, mirrored, shape, pixels,
    )  # fmt: skip
