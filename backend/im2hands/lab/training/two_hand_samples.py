"""Training samples of the two-hand network: scenes turned, zoomed, mirrored and spoilt, and what to say of them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from im2hands.core.hands import MIDDLE_MCP, WRIST
from im2hands.keypoints.proposing.two_hand_pictures import PALM, apply, letterbox, palm_frame, warp
from im2hands.lab.datasets.scene import LEFT, RIGHT, Scene
from im2hands.networks.two_hand_network import HEAT_STRIDE, TRAINED_PIXELS

HEAT_RADIUS = 0.35
"""Standard deviation of a palm's spot on the heat map, palm lengths; 3.5 to 8 pixels."""

_SPOT = (3.5, 8.0)
# Share of the samples that are zooms on the hands: in whole pictures few hands are large enough to show their side.
_ZOOMED = 0.8
# A palm further than this outside the picture (shares of its side) is no palm any more.
_OUTSIDE = 0.35


@dataclass(frozen=True)
class HandTargets:
    """What there is to say of the two hands (left, right) of a scene; NaN for an absent one.

    Args:
        present: (2,) bool. pixels: (2, 21, 2). depth: (2, 21) from the wrist, palm lengths. size: (2,) pixels of a palm
            length at the palm's depth. centre, up: (2, 2) pixels and palm lengths. distance: (2,) metres to the palm.
        wrist_offset: (2, 3) from the hand's wrist to the other hand's, in palm lengths of the hand.
    """

    present: np.ndarray
    pixels: np.ndarray
    depth: np.ndarray
    size: np.ndarray
    centre: np.ndarray
    up: np.ndarray
    distance: np.ndarray
    wrist_offset: np.ndarray


def targets(keypoints: np.ndarray, intrinsics: np.ndarray, affine: np.ndarray, flip: bool) -> HandTargets:
    """The targets of a scene in a picture made from its own by an affine map.

    Args:
        keypoints: (2, 21, 3) camera frame, metres, NaN for an absent hand. intrinsics: (3, 3). affine: (2, 3) pixels
            of the scene's picture to those of the network's, a similarity, with a reflection where ``flip``.
        flip: the picture is mirrored: left and right change places.
    """
    present = np.isfinite(keypoints).all(axis=(-1, -2))
    seen = keypoints @ intrinsics.T
    pixels = apply(affine, seen[..., :2] / seen[..., 2:])
    scale = float(np.sqrt(abs(np.linalg.det(affine[:, :2]))))
    length = np.linalg.norm(keypoints[:, MIDDLE_MCP] - keypoints[:, WRIST], axis=-1)
    distance = keypoints[:, PALM, 2].mean(axis=-1)
    size = scale * intrinsics[0, 0] * length / distance
    centre, up = palm_frame(pixels)
    depth = (keypoints[..., 2] - keypoints[:, WRIST, None, 2]) / length[:, None]
    turned = np.eye(3)
    turned[:2, :2] = affine[:, :2] / scale
    wrist_offset = (keypoints[::-1, WRIST] - keypoints[:, WRIST]) @ turned.T / length[:, None]
    made = HandTargets(present, pixels, depth, size, centre, up / size[:, None], distance, wrist_offset)
    return HandTargets(**{name: value[::-1].copy() for name, value in vars(made).items()}) if flip else made


def random_affine(size: tuple[int, int], boxes: np.ndarray | None, rng: np.random.Generator) -> tuple[np.ndarray, bool]:
    """A random similarity from a picture (width, height) to the network's, and whether it mirrors.

    Now and then the whole picture, else a zoom on the hands whose corners are ``boxes`` (2, 2), low and high.
    """
    width, height = size
    low, high = np.zeros(2), np.array([width, height], dtype=np.float64)
    zoom = float(TRAINED_PIXELS / max(width, height)) * float(np.exp(rng.uniform(-0.25, 0.3)))
    centre = (low + high) / 2 - 0.5
    if boxes is not None and rng.random() < _ZOOMED:
        extent = max(float((boxes[1] - boxes[0]).max()), 8.0)
        zoom = TRAINED_PIXELS / extent * float(rng.uniform(0.35, 0.85))
        centre = boxes.mean(axis=0) + rng.uniform(-0.2, 0.2, 2) * extent
    elif rng.random() < 0.7:
        centre = centre + rng.uniform(-0.12, 0.12, 2) * max(width, height)
    angle = rng.uniform(-np.pi, np.pi) if rng.random() < 0.25 else rng.normal(0, 0.25)
    flip = bool(rng.random() < 0.5)
    c, s = np.cos(angle), np.sin(angle)
    linear = zoom * np.array([[c, -s], [s, c]]) @ np.diag([-1.0 if flip else 1.0, 1.0])
    return np.column_stack([linear, (TRAINED_PIXELS - 1) / 2 - linear @ centre]), flip


def spoil(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The square picture (H, H, 3) uint8 with other light, colours, blur, noise and compression."""
    gain = np.exp(rng.normal(0, 0.18)) * np.exp(rng.normal(0, 0.06, 3))
    table = np.arange(256, dtype=np.float32) / 255
    table = table ** float(np.exp(rng.normal(0, 0.2)))
    table = (table[:, None] - 0.5) * float(np.exp(rng.normal(0, 0.15))) + 0.5
    table = np.clip(table * gain * 255 + rng.normal(0, 8), 0, 255).astype(np.uint8)
    image = cv2.LUT(image, np.ascontiguousarray(table[None]))
    if rng.random() < 0.08:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.6)))
    if rng.random() < 0.35:
        noise = rng.normal(0, rng.uniform(2, 10), image.shape).astype(np.float32)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        patch = rng.uniform((0, 0, 8, 8), (150, 150, 45, 45)) * (len(image) / TRAINED_PIXELS)
        x, y, w, h = (int(v) for v in patch)
        image[y : y + h, x : x + w] = rng.integers(0, 256, 3)
    if rng.random() < 0.3:
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))])
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert decoded is not None
        return decoded
    return image


def _bordered(image: np.ndarray, affine: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture under an affine map; beyond its edges black as in use, another colour, or its edges continued."""
    kind = rng.random()
    if kind < 0.2:
        return warp(image, affine, TRAINED_PIXELS, cv2.BORDER_REPLICATE)
    picture = warp(image, affine, TRAINED_PIXELS)
    if kind < 0.4:
        inside = warp(np.full(image.shape[:2], 255, np.uint8), affine, TRAINED_PIXELS, nearest=True)
        picture[inside == 0] = rng.integers(0, 256, 3)
    return picture


def make_sample(
    scene: Scene, rng: np.random.Generator, plain: bool = False
) -> tuple[np.ndarray, np.ndarray, HandTargets]:
    """One training sample.

    Args:
        plain: only fitted into the network's picture, for validation.

    Returns:
        Picture (160, 160, 3) uint8, labels (40, 40) uint8, targets.
    """
    image, labels = scene.image(), scene.label_image()
    keypoints, intrinsics = scene.keypoints.astype(np.float64), scene.intrinsics.astype(np.float64)
    present = scene.present
    size = (image.shape[1], image.shape[0])
    if plain:
        affine, flip = letterbox(size, TRAINED_PIXELS), False
    else:
        boxes = None
        if present.any():
            seen = keypoints[present] @ intrinsics.T
            pixels = (seen[..., :2] / seen[..., 2:]).reshape(-1, 2)
            boxes = np.stack([pixels.min(axis=0), pixels.max(axis=0)])
        affine, flip = random_affine(size, boxes, rng)
    picture = warp(image, affine, TRAINED_PIXELS) if plain else _bordered(image, affine, rng)
    marked = warp(labels, affine, TRAINED_PIXELS, nearest=True)[
        HEAT_STRIDE // 2 :: HEAT_STRIDE, HEAT_STRIDE // 2 :: HEAT_STRIDE
    ]
    if flip:
        swapped = np.arange(256, dtype=np.uint8)
        swapped[[LEFT, RIGHT]] = RIGHT, LEFT
        marked = swapped[marked]
    made = targets(keypoints, intrinsics, affine, flip)
    inside = ((made.centre > -_OUTSIDE * TRAINED_PIXELS) & (made.centre < (1 + _OUTSIDE) * TRAINED_PIXELS)).all(axis=-1)
    made = HandTargets(**{**vars(made), "present": made.present & inside})
    return (picture if plain else spoil(picture, rng)), marked, made


def heat_target(made: HandTargets) -> np.ndarray:
    """(40, 40) float32: 1 at palm centres, fading around them."""
    count = TRAINED_PIXELS // HEAT_STRIDE
    places = np.arange(count) * HEAT_STRIDE + (HEAT_STRIDE - 1) / 2
    heat = np.zeros((count, count), np.float32)
    for k in np.flatnonzero(made.present):
        radius = float(np.clip(HEAT_RADIUS * made.size[k], *_SPOT))
        x, y = (np.exp(-((places - made.centre[k, axis]) ** 2) / (2 * radius**2)) for axis in (0, 1))
        spot = np.outer(y, x).astype(np.float32)
        if spot.max() > 0.3:
            spot /= spot.max()  # one place is the palm's, wherever between places the centre lies
        heat = np.maximum(heat, spot)
    return heat


def own_hand(made: HandTargets, points: np.ndarray, meant: np.ndarray) -> np.ndarray:
    """Which hand a point tells of: of those whose palm it lies on the one in front, else the one that is meant.

    Args:
        points: (K, 2) pixels. meant: (K,) index of the hand whose point it was to be, -1 for none.

    Returns:
        (K,) 0 left, 1 right, -1 none.
    """
    chosen = meant.copy()
    near = np.linalg.norm(points[:, None] - made.centre[None], axis=-1) < 0.6 * made.size
    near &= made.present
    for k, row in enumerate(near):
        if row.any():
            hands = np.flatnonzero(row)
            chosen[k] = hands[np.argmin(made.distance[hands])]
    return chosen
