"""Audit of a scene set against photos: frequencies, noise, compression, arms, objects that hide fingers, poses."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import cv2
import numpy as np

from im2hands.lab.datasets.scene import IN_FRONT, Scene

SIDE = 224
"""Side of the squares whose frequencies are compared, pixels."""
BANDS = (1 / 128, 1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)
"""Borders of the bands of frequency, cycles per pixel."""
_BLOCK = 8  # pixels of a JPEG block
_ARM_PLACES = (0.35, 0.5, 0.65)
"""Places beyond the wrist that must show the arm, in lengths from the middle knuckle to the wrist."""
FINGERS = ((1, 2, 3, 4), (5, 6, 7, 8), (9, 10, 11, 12), (13, 14, 15, 16), (17, 18, 19, 20))
"""Keypoints of each finger, in file order."""
_MIDDLE_KNUCKLE = 9


def picture_figures(image: np.ndarray) -> dict[str, float]:
    """Measure the signal of a picture.

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB picture.

    Returns
    -------
    dict of str to float
        ``band 1/64`` and so on: decimal logarithm of the share of the power in each band of frequency, named by its
        upper border; ``noise``: standard deviation of the noise by Immerkaer's method, values 0 to 255; ``blocks``:
        steps at borders of JPEG blocks divided by other steps; ``halo``: how far steps swing back, 0 to 1.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    figures = {f"band 1/{round(1 / top)}": value for top, value in zip(BANDS[1:], spectrum(grey), strict=True)}
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = np.abs(cv2.filter2D(grey, -1, kernel)[1:-1, 1:-1])
    figures["noise"] = float(np.sqrt(np.pi / 2) / 6 * np.median(response) / 0.845)
    figures["blocks"] = blockiness(grey)
    figures["halo"] = halo(grey)
    return figures


def spectrum(grey: np.ndarray) -> np.ndarray:
    """Compute the decimal logarithm (6,) of the share of a picture's power in each of ``BANDS``."""
    side = min(grey.shape)
    top, left = (grey.shape[0] - side) // 2, (grey.shape[1] - side) // 2
    square = grey[top : top + side, left : left + side].astype(np.float64)
    window = np.hanning(side)
    power = np.abs(np.fft.fft2((square - square.mean()) * window * window[:, None])) ** 2
    frequency = np.fft.fftfreq(side)
    radius = np.hypot(frequency, frequency[:, None])
    each = np.array([power[(radius >= low) & (radius < high)].sum() for low, high in pairwise(BANDS)])
    result: np.ndarray = np.log10(np.maximum(each / max(float(each.sum()), 1e-12), 1e-9))
    return result


def blockiness(grey: np.ndarray) -> float:
    """Measure the steps at the borders of 8-pixel blocks, divided by the other steps; 1 is a picture without blocks."""
    ratios = []
    for picture in (grey, grey.T):
        steps = np.abs(np.diff(picture, axis=1)).mean(axis=0)
        by_phase = np.array([steps[phase::_BLOCK].mean() for phase in range(_BLOCK)])
        top = int(by_phase.argmax())
        ratios.append(by_phase[top] / max(float(np.delete(by_phase, top).mean()), 1e-6))
    return float(np.mean(ratios))


def halo(grey: np.ndarray) -> float:
    """Measure how far steps swing back within four pixels, as sharpening makes them: least correlation, negated."""
    smooth = cv2.GaussianBlur(grey, (0, 0), 0.7)
    steps = np.diff(smooth, axis=1)
    strong = np.abs(steps) > np.quantile(np.abs(steps), 0.95)
    square = float((steps[strong] ** 2).mean())
    swings = []
    for lag in (2, 3, 4):
        pairs = (steps[:, lag:] * steps[:, :-lag])[strong[:, lag:]]
        swings.append(-float(pairs.mean()) / max(square, 1e-6))
    return max(0.0, *swings)


def hand_figures(scene: Scene) -> list[dict[str, float]]:
    """Measure the hands of a scene.

    Parameters
    ----------
    scene : Scene
        The scene.

    Returns
    -------
    list of dict of str to float
        For each hand: ``bare arm``, ``sleeve``: whether it is seen beyond the wrist (0 or 1); ``by objects``,
        ``by hands``, ``outside``: shares of its keypoints that are hidden so; ``flexion finger joint``: angles in
        degrees, finger 0 to 4 and joint 0 to 1.
    """
    labels, found = scene.label_image(), []
    height, width = labels.shape
    for hand in np.flatnonzero(scene.present):
        points = scene.keypoints[hand].astype(np.float64)
        seen = points @ scene.intrinsics.T
        pixels = np.round(seen[:, :2] / seen[:, 2:]).astype(int)
        inside = (pixels >= 0).all(axis=1) & (pixels < (width, height)).all(axis=1)
        hidden = inside & (scene.visible[hand] == 0)
        column, row = np.where(inside[:, None], pixels, 0).T
        objects = hidden & (labels[row, column] == IN_FRONT)
        figures = {
            "by objects": float(objects.mean()),
            "by hands": float((hidden & ~objects).mean()),
            "outside": float((~inside).mean()),
        }
        figures |= _arm(points, scene, labels, int(hand))
        for finger, chain in enumerate(FINGERS):
            places = points[[0, *chain]]
            bones = np.diff(places, axis=0)
            bones /= np.linalg.norm(bones, axis=1, keepdims=True)
            bends = np.degrees(np.arccos(np.clip((bones[1:] * bones[:-1]).sum(axis=1), -1, 1)))
            figures |= {f"flexion {finger} {joint}": float(bends[joint]) for joint in (0, 1)}
        found.append(figures)
    return found


def _arm(points: np.ndarray, scene: Scene, labels: np.ndarray, hand: int) -> dict[str, float]:
    """Whether the arm beyond the wrist is seen, bare or in a sleeve."""
    beyond = points[0] + np.array(_ARM_PLACES)[:, None] * (points[0] - points[_MIDDLE_KNUCKLE])
    seen = beyond @ scene.intrinsics.T.astype(np.float64)
    pixels = np.round(seen[:, :2] / np.maximum(seen[:, 2:], 1e-6)).astype(int)
    inside = (pixels >= 0).all(axis=1) & (pixels < labels.shape[::-1]).all(axis=1) & (seen[:, 2] > 0)
    there = labels[pixels[inside, 1], pixels[inside, 0]]
    return {
        "bare arm": float((there == hand + 1).any()),
        "sleeve": float((there == IN_FRONT).any() and not (there == hand + 1).any()),
    }


def means(figures: Iterable[dict[str, float]]) -> dict[str, tuple[float, float, float]]:
    """Compute mean, and 5th and 95th percentile, of each figure."""
    every = list(figures)
    names = dict.fromkeys(name for each in every for name in each)
    out = {}
    for name in names:
        values = np.array([each[name] for each in every if name in each])
        low, high = np.quantile(values, (0.05, 0.95))
        out[name] = (float(values.mean()), float(low), float(high))
    return out
