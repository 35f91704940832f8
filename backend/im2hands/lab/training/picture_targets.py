"""Auxiliary targets and losses of the image encoder: keypoint heat maps, hand masks, dense surface coordinates.

IntagHand's encoder, from which the published networks start, was pre-trained on such targets. The compact encoder
learns them together with the occupancy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from im2hands.core.bundled_arrays import bundled_arrays
from im2hands.core.hands import KEYPOINT_COUNT, SIDES
from im2hands.geometry.hand_model import HAND_FILE
from im2hands.lab.datasets.scene import LEFT, RIGHT, Scene
from im2hands.lab.datasets.scene_points import scene_hands
from im2hands.networks.image_encoder import EncoderHeads
from im2hands.surfaces.hand_crop import CROP_SIZE

SPREAD = 1.0
"""Standard deviation of a heat map's peak, pixels of the map."""


@dataclass(frozen=True)
class PictureTargets:
    """Targets of B pictures, as maps of H x H pixels.

    Parameters
    ----------
    places : (B, 42, 2) float32
        Keypoints of the left and then the right hand, pixels of the map.
    seen : (B, 42) bool
        Which keypoints lie inside the picture.
    masks : (B, 2, H, H) float32
        Share of each pixel that shows the left and the right hand.
    colours : (B, 6, H, H) float32, optional
        Surface coordinates of the left (3) and the right hand (3): the position on the model's rest hand, scaled to
        0 to 1, that the middle of a pixel shows. NaN where it is unknown. None if they are not wanted.
    """

    places: Tensor
    seen: Tensor
    masks: Tensor
    colours: Tensor | None


def picture_targets(scenes: Sequence[Scene], size: int, *, dense: bool) -> PictureTargets:
    """Make the targets of B scenes.

    Parameters
    ----------
    scenes : sequence of Scene
        Scenes with crops of 256 x 256 pixels.
    size : int
        Side of the maps, pixels.
    dense : bool
        Whether to make the surface coordinates.

    Returns
    -------
    PictureTargets
        The targets, on the CPU.
    """
    places, seen, masks, colours = [], [], [], []
    for scene in scenes:
        pixels = _map_pixels(scene.keypoints.reshape(-1, 3), scene, size)
        inside = np.isfinite(pixels).all(1) & (pixels > -0.5).all(1) & (pixels < size - 0.5).all(1)
        places.append(np.where(inside[:, None], pixels, 0.0))
        seen.append(inside)
        labels = scene.label_image()
        both = np.stack([labels == LEFT, labels == RIGHT], axis=-1).astype(np.float32)
        masks.append(cv2.resize(both, (size, size), interpolation=cv2.INTER_AREA).transpose(2, 0, 1))
        if dense:
            colours.append(_colours(scene, masks[-1], size))
    return PictureTargets(
        torch.from_numpy(np.stack(places)).float(),
        torch.from_numpy(np.stack(seen)),
        torch.from_numpy(np.stack(masks)),
        torch.from_numpy(np.stack(colours)) if dense else None,
    )


def _map_pixels(points: np.ndarray, scene: Scene, size: int) -> np.ndarray:
    """Project camera-frame points (N, 3) to pixels (N, 2) of a map that covers the picture."""
    scaled = points.astype(np.float64) @ scene.intrinsics.T.astype(np.float64)
    return (scaled[:, :2] / scaled[:, 2:] + 0.5) * (size / CROP_SIZE) - 0.5


@cache
def _template() -> np.ndarray:
    """Position of each vertex on the model's rest hand, scaled to 0 to 1, (1843, 3) float32."""
    arrays = bundled_arrays(HAND_FILE, "hand model")
    vertices = arrays["v_template"].astype(np.float64)
    vertices = np.concatenate([vertices, vertices[arrays["cap_center_from_verts"]].mean(0, keepdims=True)])
    low, high = vertices.min(0), vertices.max(0)
    return ((vertices - low) / (high - low)).astype(np.float32)


def _colours(scene: Scene, masks: np.ndarray, size: int) -> np.ndarray:
    """Surface coordinates (6, size, size) of the vertex nearest to the camera in each pixel.

    They are NaN outside the ``masks`` (2, size, size) and in pixels without a vertex.
    """
    result = np.full((6, size * size), np.nan, np.float32)
    for side, (vertices, _) in scene_hands(scene).items():
        hand = SIDES.index(side)
        pixels = np.rint(_map_pixels(vertices, scene, size))
        inside = ((pixels >= 0) & (pixels < size)).all(1)
        order = np.argsort(-vertices[:, 2], kind="stable")  # the nearest to the camera is written last
        order = order[inside[order]]
        cells = (pixels[order, 1] * size + pixels[order, 0]).astype(np.int64)
        result[3 * hand : 3 * hand + 3, cells] = _template()[order].T
        result[3 * hand : 3 * hand + 3, masks[hand].reshape(-1) < 0.5] = np.nan
    return result.reshape(6, size, size)


def picture_losses(heads: EncoderHeads, targets: PictureTargets) -> dict[str, Tensor]:
    """Compute the losses of the encoder's heads.

    Parameters
    ----------
    heads : EncoderHeads
        Output of the encoder.
    targets : PictureTargets
        Targets on the same device.

    Returns
    -------
    dict of str to () float
        ``heatmap``, ``mask``, and ``dense`` if there are surface coordinates.
    """
    losses = {
        "heatmap": _heatmap_loss(heads.heatmaps.float(), targets),
        "mask": functional.binary_cross_entropy_with_logits(heads.masks.float(), targets.masks),
    }
    if targets.colours is not None:
        known = torch.isfinite(targets.colours)
        wrong = (torch.sigmoid(heads.dense.float()) - targets.colours.nan_to_num()).abs() * known
        losses["dense"] = wrong.sum() / known.sum().clamp_min(1)
    return losses


def _heatmap_loss(heatmaps: Tensor, targets: PictureTargets) -> Tensor:
    """Cross-entropy of each heat map, as a distribution over its pixels, against a Gaussian peak at the keypoint."""
    assert heatmaps.shape[1] == 2 * KEYPOINT_COUNT
    axis = torch.arange(heatmaps.shape[-1], device=heatmaps.device)
    bells = [torch.softmax(-((axis - p[..., None]) ** 2) / (2 * SPREAD**2), -1) for p in targets.places.unbind(-1)]
    peaks = bells[1][..., :, None] * bells[0][..., None, :]
    entropy = -(peaks.flatten(2) * functional.log_softmax(heatmaps.flatten(2), dim=-1)).sum(-1)
    return (entropy * targets.seen).sum() / targets.seen.sum().clamp_min(1)
