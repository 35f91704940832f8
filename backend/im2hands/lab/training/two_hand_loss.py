"""Loss of the two-hand network, and the batches it is computed on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from im2hands.lab.datasets.scene import IN_FRONT, LEFT, RIGHT
from im2hands.networks.two_hand_network import TRAINED_PIXELS, HandReadings, PalmMaps, Palms, TwoHandNetwork

from .two_hand_samples import HandTargets, heat_target, own_hand

POINTS = 3
"""Points in each picture at which palms are read; the last one is drawn from the whole picture."""

# Standard deviations of the errors of points (palm lengths) and of palms: centre (palm lengths), logarithm of the size,
# turn (radians).
_POINT_JITTER, _CENTRE_JITTER, _SIZE_JITTER, _TURN_JITTER = 0.25, 0.15, 0.15, 0.3
WEIGHTS = {
    "heat": 1.0, "mask": 0.5, "palm": 0.5, "up": 0.5, "size": 1.0, "side": 0.7, "other": 0.5,
    "keypoints": 1.0, "depth": 0.5, "hand_side": 1.0, "hand": 0.3, "hand_size": 0.5, "wrist_offset": 0.15,
}  # fmt: skip


@dataclass(frozen=True)
class TwoHandBatch:
    """B training samples with K points each.

    The axis of two hands after K is the role: 0 is the hand at the point, 1 is the person's other hand. Values of
    absent hands are 0 (``size``: 1). Pixels are those of the network's picture.

    Parameters
    ----------
    images : (B, 160, 160, 3) uint8
        Pictures, RGB.
    heat : (B, 40, 40) float32
        Target heat map of the palm centres.
    labels : (B, 40, 40) uint8
        Label image; see ``datasets.scene``.
    points : (B, K, 2) float32
        Points at which palms are read, pixels.
    there : (B, K, 2) bool
        Which hands are present.
    right : (B, K, 2) float32
        1 for a right hand, 0 for a left hand.
    pixels : (B, K, 2, 21, 2) float32
        Keypoints, pixels.
    depth : (B, K, 2, 21) float32
        Depth of the keypoints from the wrist, palm lengths.
    size : (B, K, 2) float32
        Palm length at the palm's depth, pixels.
    centre : (B, K, 2, 2) float32
        Palm centre, pixels.
    up : (B, K, 2, 2) float32
        Vector from the wrist to the knuckles in the picture, palm lengths.
    wrist_offset : (B, K, 2, 3) float32
        Vector from the hand's wrist to the other hand's wrist, palm lengths.
    near : (B, K, 2, 5) float32
        Centre, size and direction of the palm along which the hand is read: the true palm with errors. A random palm
        where there is no hand.
    """

    images: Tensor
    heat: Tensor
    labels: Tensor
    points: Tensor
    there: Tensor
    right: Tensor
    pixels: Tensor
    depth: Tensor
    size: Tensor
    centre: Tensor
    up: Tensor
    wrist_offset: Tensor
    near: Tensor

    def to(self, device: torch.device) -> TwoHandBatch:
        """Copy the batch to a device."""
        return TwoHandBatch(**{name: value.to(device) for name, value in vars(self).items()})


def make_batch(samples: Sequence[tuple[np.ndarray, np.ndarray, HandTargets]], rng: np.random.Generator) -> TwoHandBatch:
    """Make a batch: choose the points of each sample, and palms with errors.

    Parameters
    ----------
    samples : sequence of (ndarray, ndarray, HandTargets)
        Samples of ``two_hand_samples.make_sample``.
    rng : numpy.random.Generator
        Draws the points and the errors.

    Returns
    -------
    TwoHandBatch
        The batch, on the CPU.
    """
    rows: dict[str, list[np.ndarray]] = {name: [] for name in TwoHandBatch.__annotations__}
    for image, labels, made in samples:
        for name, value in _points(made, rng).items():
            rows[name].append(value)
        rows["images"].append(image)
        rows["labels"].append(labels)
        rows["heat"].append(heat_target(made))
    tensors = {name: torch.from_numpy(np.stack(values)) for name, values in rows.items()}
    return TwoHandBatch(
        **{name: value.float() if value.dtype == torch.float64 else value for name, value in tensors.items()}
    )


def _points(made: HandTargets, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Points, palms and targets of one sample, by the names of :class:`TwoHandBatch` without the axis B."""
    present = np.flatnonzero(made.present)
    meant = np.full(POINTS, -1)
    points = rng.uniform(0, TRAINED_PIXELS, (POINTS, 2))
    for k in range(POINTS - 1 if len(present) else 0):
        hand = present[k % len(present)]
        spot = made.centre[hand] + rng.normal(0, _POINT_JITTER, 2) * made.size[hand]
        if (spot > -4).all() and (spot < TRAINED_PIXELS + 3).all():
            meant[k], points[k] = hand, spot
    own = own_hand(made, points, meant)
    hands = np.stack([own, 1 - own], axis=-1)  # (K, 2) by role; meaningless where there is no hand, see ``there``
    there = (own >= 0)[:, None] & made.present[np.clip(hands, 0, 1)]
    hands = np.where(there, hands, 0)
    out: dict[str, np.ndarray] = {"points": points, "there": there, "right": hands.astype(np.float64)}
    for name in ("pixels", "depth", "size", "centre", "up", "wrist_offset"):
        value = getattr(made, name)[hands]
        mask = there.reshape(there.shape + (1,) * (value.ndim - 2))
        out[name] = np.where(mask & np.isfinite(value), value, 0.0)
    shape = there.shape
    angle = np.where(there, np.arctan2(out["up"][..., 1], out["up"][..., 0]), rng.uniform(-np.pi, np.pi, shape))
    angle = angle + rng.normal(0, _TURN_JITTER, shape)
    size = np.where(there, out["size"], np.exp(rng.uniform(np.log(6), np.log(45), shape)))
    near = size * np.exp(rng.normal(0, _SIZE_JITTER, shape))
    centre = np.where(there[..., None], out["centre"], points[:, None])
    centre = centre + rng.normal(0, _CENTRE_JITTER, (*shape, 2)) * size[..., None]
    out["near"] = np.concatenate([centre, near[..., None], np.cos(angle)[..., None], np.sin(angle)[..., None]], axis=-1)
    out["size"] = np.maximum(out["size"], 1.0)
    return out


def run_network(model: TwoHandNetwork, batch: TwoHandBatch) -> tuple[PalmMaps, Palms, HandReadings]:
    """Run the network on a batch.

    Parameters
    ----------
    model : TwoHandNetwork
        The network.
    batch : TwoHandBatch
        The batch, on the network's device.

    Returns
    -------
    PalmMaps
        The maps of the pictures.
    Palms
        The palms at the K points.
    HandReadings
        The hands along the palms ``near``, with an axis of 2 K hands: role 0 and 1 of each point.
    """
    images = batch.images.permute(0, 3, 1, 2).float().contiguous(memory_format=torch.channels_last)
    maps = model(images)
    palms = model.palms(maps, batch.points)
    near = batch.near.flatten(1, 2)
    embedding = palms.embedding.repeat_interleave(2, dim=1)
    role = torch.tensor([0, 1], device=near.device).repeat(batch.points.shape[1]).expand(len(near), -1)
    return maps, palms, model.hands(maps, near[..., :2], near[..., 2], near[..., 3:], embedding, role)


def two_hand_losses(maps: PalmMaps, palms: Palms, hands: HandReadings, batch: TwoHandBatch) -> dict[str, Tensor]:
    """Compute the parts of the loss.

    Parameters
    ----------
    maps : PalmMaps
        Output of :func:`run_network`.
    palms : Palms
        Output of :func:`run_network`.
    hands : HandReadings
        Output of :func:`run_network`.
    batch : TwoHandBatch
        The targets.

    Returns
    -------
    dict of str to () float
        The parts by the names of :data:`WEIGHTS`, multiplied by their weights.
    """
    there, own = batch.there.float(), batch.there[..., 0].float()
    both = batch.there.all(-1).float()
    size = batch.size
    parts = {"heat": _heat_loss(maps.heat.float(), batch.heat)}
    left_right = torch.stack([batch.labels == LEFT, batch.labels == RIGHT], 1).float()
    known = (batch.labels != IN_FRONT).float()[:, None]
    masks = functional.binary_cross_entropy_with_logits(maps.masks.float(), left_right, reduction="none")
    parts["mask"] = (masks * known).mean()
    miss = (palms.centre - batch.centre).abs().mean(-1) / size
    parts["palm"] = _mean(miss / palms.spread + palms.spread.log(), there)
    parts["up"] = _mean((palms.up - batch.up).abs().mean(-1), there)
    parts["size"] = _mean((palms.size.log() - size.log()).abs(), there)
    parts["side"] = _mean(_cross_entropy(palms.right, batch.right[..., 0]), own)
    parts["other"] = _mean(_cross_entropy(palms.other, both), own)
    there, size = there.flatten(1, 2), size.flatten(1, 2)
    miss = (hands.pixels - batch.pixels.flatten(1, 2)).abs().mean(-1) / size[..., None]
    parts["keypoints"] = _mean((miss / hands.spread + hands.spread.log()).mean(-1), there)
    miss = (hands.depth - batch.depth.flatten(1, 2)).abs()
    parts["depth"] = _mean((miss / hands.depth_spread + hands.depth_spread.log()).mean(-1), there)
    parts["hand_side"] = _mean(_cross_entropy(hands.right, batch.right.flatten(1, 2)), there)
    parts["hand"] = _cross_entropy(hands.hand, there).mean()
    parts["hand_size"] = _mean((hands.size.log() - size.log()).abs(), there)
    miss = (hands.wrist_offset - batch.wrist_offset.flatten(1, 2)).abs()
    pair = both[..., None].expand(-1, -1, 2).flatten(1, 2)
    parts["wrist_offset"] = _mean((miss / hands.wrist_offset_spread + hands.wrist_offset_spread.log()).mean(-1), pair)
    return {name: WEIGHTS[name] * value for name, value in parts.items()}


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, target, reduction="none")


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp(min=1.0)


def _heat_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of the heat map, divided by the sum of the target (about the number of cells on palm centres).

    Cells are weighted by the squared error of their probability, so easy background counts little.
    """
    missed = (torch.sigmoid(logits).detach() - target).abs()
    loss = _cross_entropy(logits, target) * missed.square()
    return loss.sum() / target.sum().clamp(min=5.0)
