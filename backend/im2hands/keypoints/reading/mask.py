"""Sees what around the hands of a picture is hand and what is not: a by-product of the image encoder's training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from im2hands.keypoints.hypothesis import HandMask
from im2hands.surfaces.hand_crop import CROP_SIZE, crop_affine, normalised

from .crops import pyramid

if TYPE_CHECKING:
    from im2hands.networks.compact_encoder import CompactEncoder

_FLESH = 0.13  # margin around the keypoints; in units of ``read_mask``, about `surfaces.hand_crop.FLESH_M`


def read_mask(encoder: CompactEncoder, image: np.ndarray, pixels: np.ndarray, unit: float) -> HandMask:
    """Look at the square around all hands of a picture.

    Parameters
    ----------
    encoder : CompactEncoder
        The image encoder, in evaluation mode.
    image : (H, W, 3) uint8
        RGB picture.
    pixels : (N, 2) float64
        Keypoints of all hands, pixels.
    unit : float
        Root mean square distance of a hand's keypoints from their mean, pixels.

    Returns
    -------
    HandMask
        The mask.
    """
    import torch

    affine = crop_affine(pixels.min(axis=0) - _FLESH * unit, pixels.max(axis=0) + _FLESH * unit)
    levels = pyramid(image, CROP_SIZE / affine[0, 0])
    level = levels[min(max(int(np.log2(max(1 / affine[0, 0], 1.0))), 0), len(levels) - 1)]
    shrink = np.array([image.shape[1] / level.shape[1], image.shape[0] / level.shape[0]])
    matrix = np.column_stack([affine[:, :2] * shrink, affine[:, :2] @ ((shrink - 1) / 2) + affine[:, 2]])
    picture = cv2.warpAffine(level, matrix, (CROP_SIZE, CROP_SIZE), flags=cv2.INTER_LINEAR)
    device = next(encoder.parameters()).device
    with torch.inference_mode():
        masks = encoder.masks(torch.from_numpy(normalised(picture))[None].to(device))[0]
        # Where the sides are in doubt each mask has a part of the hand.
        chance = torch.sigmoid(masks.float()).sum(dim=0).clamp(max=1.0).cpu().numpy()
    step = CROP_SIZE / len(chance)
    to_map = np.column_stack([affine[:, :2] / step, (affine[:, 2] - (step - 1) / 2) / step])
    return HandMask(chance.astype(np.float16), to_map)
