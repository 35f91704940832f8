"""Runs the two-hand network on a picture: palms, keypoints, sides and the offset between the wrists of both hands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from im2hands.core.hands import Side

from .two_hand_pictures import apply, inverse, letterbox, palm_frame, square_part, warp

if TYPE_CHECKING:
    import torch

    from im2hands.networks.two_hand_network import TwoHandNetwork

# Side of the network's input, pixels: for a whole picture, for a whole picture whose longer side exceeds LARGE, and for
# the square around the hands. Measured on rendered photos with small hands: with 384 instead of 256 pixels candidates
# of both hands are found in 60 % instead of 50 %. Pictures with sides up to LARGE gain nothing.
WHOLE_PIXELS, LARGE_PIXELS, LARGE, CLOSE_PIXELS = 256, 384, 400, 160
# Peaks of the heat map that are read: least height, and largest number.
_LOWEST_PEAK, _PEAKS = 0.12, 6
# Least probability of the person's other hand for it to be read from a peak.
_OTHER = 0.25
# How often the keypoints are read: each round uses the palm of the keypoints before.
_ROUNDS = 2
# Two readings are of one hand if their keypoints lie this close (mean, palm lengths).
_SAME = 0.6
# The second pass reads the square around the hands, enlarged by the margin, if that square is smaller than this share
# of the picture.
_CLOSER = 0.75
_MARGIN = 1.45


@dataclass(frozen=True)
class HandReading:
    """One hand as the two-hand network reads it.

    Parameters
    ----------
    pixels : (21, 2) float64
        Keypoints, pixels of the picture.
    shape : (21, 3) float64
        Keypoints relative to the wrist, palm lengths, axes of the camera frame.
    spread : (21,) float64
        Expected error of the keypoints in the picture, palm lengths.
    size : float
        Pixels of a palm length at the hand's depth.
    presence : float
        Probability that the hand is there, in [0, 1].
    right : float
        Log odds of a right hand.
    wrist_offset : (3,) float64
        Vector from this wrist to the other hand's wrist, palm lengths, axes of the camera frame.
    wrist_offset_spread : (3,) float64
        Expected error of ``wrist_offset``, palm lengths.
    hidden : bool
        Whether the hand was read only from the place of the person's other hand.
    """

    pixels: np.ndarray
    shape: np.ndarray
    spread: np.ndarray
    size: float
    presence: float
    right: float
    wrist_offset: np.ndarray
    wrist_offset_spread: np.ndarray
    hidden: bool = False

    @property
    def side(self) -> Side:
        """The more probable side."""
        return "right" if self.right > 0 else "left"


@dataclass(frozen=True)
class HandMap:
    """Map of the places that belong to a hand or a forearm of either side.

    Parameters
    ----------
    values : (N, N) float64
        Probabilities.
    affine : (2, 3) float64
        Transform from pixels of the picture to places of ``values``.
    """

    values: np.ndarray
    affine: np.ndarray

    def at(self, pixels: np.ndarray) -> np.ndarray:
        """Look up probabilities.

        Parameters
        ----------
        pixels : (..., 2) float64
            Pixels of the picture.

        Returns
        -------
        (...) float64
            The probabilities; 0 outside the map.
        """
        where = np.rint(apply(self.affine, pixels)).astype(int)
        inside = ((where >= 0) & (where < len(self.values))).all(axis=-1)
        where = where.clip(0, len(self.values) - 1)
        return np.where(inside, self.values[where[..., 1], where[..., 0]], 0.0)


@dataclass(frozen=True)
class PictureReading:
    """All that the two-hand network reads in a picture.

    Parameters
    ----------
    hands : tuple[HandReading, ...]
        At most a left and a right hand of one person, the one with the higher weight first.
    others : tuple[HandReading, ...]
        Further hands, which belong to other people or are false positives of low presence.
    pairs : tuple[tuple[HandReading, ...], ...]
        The readings at each peak of the heat map before they are merged: the hand there and, if any, the person's other
        hand.
    hand_map : HandMap or None
        Where hands are. None if the network was not run.
    """

    hands: tuple[HandReading, ...] = ()
    others: tuple[HandReading, ...] = ()
    pairs: tuple[tuple[HandReading, ...], ...] = ()
    hand_map: HandMap | None = None


@dataclass
class _Group:
    """Readings of one hand, each with its weight."""

    members: list[tuple[float, HandReading]]

    @property
    def weight(self) -> float:
        """The largest weight of the members."""
        return max(weight for weight, _ in self.members)

    def pixels(self) -> np.ndarray:
        """Return the weighted mean of the members' keypoints (21, 2)."""
        weights = np.array([weight for weight, _ in self.members])
        return np.average([hand.pixels for _, hand in self.members], axis=0, weights=weights)

    def merged(self, right: float) -> HandReading:
        """Return the mean of the members, weighted by weight and spread, with the given log odds of a right hand."""
        weights = np.array([w / float(np.mean(hand.spread)) ** 2 for w, hand in self.members])
        hands = [hand for _, hand in self.members]

        def mean(name: str) -> np.ndarray:
            return np.average([getattr(hand, name) for hand in hands], axis=0, weights=weights)

        return HandReading(
            mean("pixels"), mean("shape"), mean("spread"), float(mean("size")), self.weight, right,
            mean("wrist_offset"), mean("wrist_offset_spread"), all(hand.hidden for hand in hands),
        )  # fmt: skip


class TwoHandReader:
    """Runs the two-hand network on pictures; not thread-safe.

    Parameters
    ----------
    model : TwoHandNetwork
        The network, on its device, in evaluation mode.
    """

    def __init__(self, model: TwoHandNetwork) -> None:
        self._model = model

    @property
    def device(self) -> torch.device:
        """The network's device."""
        return next(self._model.parameters()).device

    def read(self, image: np.ndarray) -> PictureReading:
        """Read the hands of a picture: first the whole picture, then the part around the hands at a larger scale.

        Parameters
        ----------
        image : (H, W, 3) uint8
            RGB picture. With a side below 8 pixels it has no hands.

        Returns
        -------
        PictureReading
            The readings, pixels of the picture.
        """
        height, width = image.shape[:2]
        if min(height, width) < 8:
            return PictureReading()
        whole = LARGE_PIXELS if max(height, width) > LARGE else WHOLE_PIXELS
        first = self.look(image, letterbox((width, height), whole), whole)
        if not first.hands:
            return first
        points = np.concatenate([hand.pixels for hand in first.hands])
        low, high = points.min(axis=0), points.max(axis=0)
        side = _MARGIN * max(float((high - low).max()), 2.0 * max(hand.size for hand in first.hands))
        if side > _CLOSER * max(width, height):
            return first
        closer = self.look(image, square_part((low + high) / 2, side, CLOSE_PIXELS), CLOSE_PIXELS)
        if len(closer.hands) < len(first.hands):
            return first
        return PictureReading(closer.hands, first.others, closer.pairs + first.pairs, closer.hand_map)

    def look(self, image: np.ndarray, affine: np.ndarray, side: int) -> PictureReading:
        """Read the hands in one input of the network.

        Parameters
        ----------
        image : (H, W, 3) uint8
            RGB picture.
        affine : (2, 3) float64
            Upright similarity from pixels of the picture to pixels of the network's input.
        side : int
            Side of the network's input in pixels, a multiple of 32.

        Returns
        -------
        PictureReading
            The readings, pixels of the picture.
        """
        pairs, values = self._pairs(warp(image, affine, side))
        back = inverse(affine)
        scale = float(back[0, 0])
        pairs = [
            [(weight, _moved(hand, back, scale)) for weight, hand in pair] for pair in pairs
        ]  # fmt: skip
        step = side / len(values)
        to_map = np.column_stack([affine[:, :2] / step, (affine[:, 2] - (step - 1) / 2) / step])
        made = merge_readings(pairs)
        readings = tuple(tuple(hand for _, hand in pair) for pair in pairs)
        return PictureReading(made.hands, made.others, readings, HandMap(values, to_map))

    def _pairs(self, picture: np.ndarray) -> tuple[list[list[tuple[float, HandReading]]], np.ndarray]:
        """Run the network on an input (S, S, 3) and on its mirror image.

        Returns two things. First the readings of each peak and image: the hand there and, if any, the other hand, with
        weights. Second the hand map (S/4, S/4).
        """
        import torch

        model, device = self._model, self.device
        both = np.stack([picture, picture[:, ::-1]])
        with torch.inference_mode():
            images = torch.from_numpy(np.ascontiguousarray(both)).to(device).permute(0, 3, 1, 2).float()
            maps = model(images.contiguous(memory_format=torch.channels_last))
            heat = torch.sigmoid(maps.heat.float()).cpu().numpy()
            marked = torch.sigmoid(maps.masks.float()).amax(1).cpu().numpy()
            values = 0.5 * (marked[0] + marked[1][:, ::-1])
            heights, points = _peaks(0.5 * (heat[0] + heat[1][:, ::-1]))
            if not len(points):
                return [], values
            last = picture.shape[1] - 1
            mirrored = points * (-1, 1) + (last, 0)
            where = torch.from_numpy(np.stack([points, mirrored])).float().to(device)
            palms = model.palms(maps, where)
            count = len(points)
            role = torch.tensor([0, 1], device=device).repeat(count).expand(2, -1)
            embedding = palms.embedding.repeat_interleave(2, dim=1)
            centre, size, up = palms.centre.flatten(1, 2), palms.size.flatten(1, 2), palms.up.flatten(1, 2)
            for _ in range(_ROUNDS):
                hands = model.hands(maps, centre, size, up, embedding, role)
                frame = palm_frame(hands.pixels.cpu().numpy())
                centre, up = (torch.from_numpy(part).float().to(device) for part in frame)
                size = hands.size
        other = torch.sigmoid(palms.other).cpu().numpy()
        first_right = palms.right.float().cpu().numpy()
        arrays = {name: value.float().cpu().numpy() for name, value in hands._asdict().items()}
        pairs = []
        for k in range(count):
            for flip in (0, 1):
                pair = []
                for r in (0, 1):
                    here = {name: value[flip, 2 * k + r] for name, value in arrays.items()}
                    sure = heights[k] * (1.0 if r == 0 else float(other[flip, k]))
                    right = float(here["right"]) + (
                        float(first_right[flip, k]) if r == 0 else -float(first_right[flip, k])
                    )
                    if r == 1 and other[flip, k] < _OTHER:
                        continue
                    pair.append(_reading(here, sure, right / 2, bool(flip), last, hidden=r == 1))
                pairs.append(pair)
        return pairs, values


def _reading(
    here: dict[str, np.ndarray], sure: float, right: float, flip: bool, last: int, hidden: bool
) -> tuple[float, HandReading]:
    """Convert the network's outputs for one hand to a reading with its weight; ``flip``: read in the mirrored input."""
    pixels = here["pixels"].astype(np.float64)
    size = max(float(here["size"]), 1e-3)
    wrist_offset = here["wrist_offset"].astype(np.float64)
    if flip:
        pixels, wrist_offset, right = pixels * (-1, 1) + (last, 0), wrist_offset * (-1, 1, 1), -right
    shape = np.concatenate([(pixels - pixels[0]) / size, here["depth"][:, None]], axis=1)
    presence = float(np.sqrt(sure / (1 + np.exp(-float(here["hand"])))))
    reading = HandReading(
        pixels, shape, here["spread"].astype(np.float64), size, presence, right, wrist_offset,
        here["wrist_offset_spread"].astype(np.float64), hidden,
    )  # fmt: skip
    return presence, reading


def _moved(hand: HandReading, back: np.ndarray, scale: float) -> HandReading:
    """Map a reading to the pixels of the picture by ``back``, whose scale is ``scale``."""
    return HandReading(**{**vars(hand), "pixels": apply(back, hand.pixels), "size": hand.size * scale})


def _peaks(heat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the peaks of a heat map, highest first: heights (K,), places (K, 2) in pixels of the network's input."""
    from im2hands.networks.two_hand_network import HEAT_STRIDE

    top = (heat >= cv2.dilate(heat, np.ones((5, 5), np.uint8))) & (heat >= _LOWEST_PEAK)
    rows, columns = np.nonzero(top)
    order = np.argsort(-heat[rows, columns], kind="stable")[:_PEAKS]
    rows, columns = rows[order], columns[order]
    return heat[rows, columns], np.column_stack([columns, rows]) * float(HEAT_STRIDE) + (HEAT_STRIDE - 1) / 2


def merge_readings(pairs: list[list[tuple[float, HandReading]]]) -> PictureReading:
    """Merge the readings of all peaks into hands, and choose one person's two hands.

    Parameters
    ----------
    pairs : list[list[tuple[float, HandReading]]]
        The readings of each peak, with their weights: one hand, or one hand and the same person's other hand.

    Returns
    -------
    PictureReading
        ``hands`` and ``others``; the rest is left empty.
    """
    groups: list[_Group] = []
    links: dict[tuple[int, int], list[float]] = {}  # log odds that the first group is the right one of the two
    for pair in sorted(pairs, key=lambda pair: -pair[0][0]):
        rows = _assign(pair, groups)
        for (weight, hand), row in zip(pair, rows, strict=True):
            groups[row].members.append((weight, hand))
        if len(rows) == 2:
            a, b = rows
            right = (pair[0][1].right - pair[1][1].right) * pair[1][0]
            links.setdefault((min(a, b), max(a, b)), []).append(right if a < b else -right)
    if not groups:
        return PictureReading()
    alone = [float(np.average([h.right for _, h in g.members], weights=[w for w, _ in g.members])) for g in groups]
    best = int(np.argmax([group.weight for group in groups]))
    partners = [(groups[a + b - best].weight, a + b - best) for a, b in links if best in (a, b)]
    if partners:
        other = max(partners)[1]
        key = (min(best, other), max(best, other))
        right = float(np.mean(links[key])) * (1 if best < other else -1)
        chosen = [(best, right), (other, -right)]
    else:
        # Two hands that were not read as a pair from any peak are one person's only if their sides differ.
        rest = [k for k in range(len(groups)) if k != best and alone[k] * alone[best] < 0]
        second = max(rest, key=lambda k: groups[k].weight, default=None)
        chosen = [(best, alone[best])] + ([(second, alone[second])] if second is not None else [])
    hands = tuple(groups[k].merged(right) for k, right in chosen)
    taken = {k for k, _ in chosen}
    others = tuple(groups[k].merged(alone[k]) for k in range(len(groups)) if k not in taken)
    return PictureReading(hands, others)


def _assign(pair: list[tuple[float, HandReading]], groups: list[_Group]) -> list[int]:
    """Return the group of each hand of a pair, never the same for both. A hand far from all groups gets a new one."""
    far = [
        [float(np.linalg.norm(group.pixels() - hand.pixels, axis=1).mean()) / hand.size for group in groups]
        for _, hand in pair
    ]
    options: list[tuple[float, list[int]]] = []
    choices = [[k for k in range(len(groups)) if row[k] < _SAME] + [-1] for row in far]
    for first in choices[0]:
        for second in choices[1] if len(pair) == 2 else [-2]:
            if first == second and first >= 0:
                continue
            cost = sum(_SAME if k == -1 else far[r][k] for r, k in enumerate((first, second)[: len(pair)]))
            options.append((cost, [first, second][: len(pair)]))
    rows = min(options, key=lambda option: option[0])[1]
    for r, k in enumerate(rows):
        if k == -1:
            groups.append(_Group([]))
            rows[r] = len(groups) - 1
    return rows
