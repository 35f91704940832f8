"""Training samples of the two-hand network: scenes rotated, zoomed, mirrored and augmented, with their targets."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from im2hands.core.hands import MIDDLE_MCP, WRIST
from im2hands.keypoints.proposing.two_hand_pictures import PALM, apply, letterbox, palm_frame, warp
from im2hands.lab.datasets.scene import LEFT, RIGHT, Scene
from im2hands.networks.two_hand_network import HEAT_STRIDE, TRAINED_PIXELS

HEAT_RADIUS = 0.35
"""Standard deviation of a palm's spot on the heat map, palm lengths; limited to 3.5 to 8 pixels."""

_SPOT = (3.5, 8.0)  # limits of that standard deviation, pixels
# Share of the samples that zoom in on the hands. In whole pictures few hands are large enough to show their side.
_ZOOMED = 0.8
# A palm centre farther outside the picture than this share of its side counts as absent.
_OUTSIDE = 0.35


@dataclass(frozen=True)
class HandTargets:
    """Targets of the two hands (left, right) of a picture; NaN for an absent hand.

    Parameters
    ----------
    present : (2,) bool
        Which hands are present.
    pixels : (2, 21, 2) float64
        Keypoints, pixels of the network's picture.
    depth : (2, 21) float64
        Depth of the keypoints from the wrist, palm lengths.
    size : (2,) float64
        Palm length at the palm's depth, pixels.
    centre : (2, 2) float64
        Palm centre, pixels.
    up : (2, 2) float64
        Vector from the wrist to the knuckles in the picture, palm lengths.
    distance : (2,) float64
        Depth of the palm from the camera, metres.
    wrist_offset : (2, 3) float64
        Vector from the hand's wrist to the other hand's wrist, in palm lengths of the hand.
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
    """Make the targets of a scene for a picture that an affine map makes of the scene's picture.

    Parameters
    ----------
    keypoints : (2, 21, 3) float64
        True keypoints, camera frame, metres; NaN for an absent hand.
    intrinsics : (3, 3) float64
        Intrinsic matrix of the scene's picture.
    affine : (2, 3) float64
        Map from pixels of the scene's picture to pixels of the network's picture: a similarity, with a reflection if
        ``flip``.
    flip : bool
        Whether the picture is mirrored; the left and the right hand then change places.

    Returns
    -------
    HandTargets
        The targets.
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
    """Draw a random similarity from a picture to the network's picture.

    Parameters
    ----------
    size : (int, int)
        Width and height of the picture, pixels.
    boxes : (2, 2) float64, optional
        Lower and upper corner of the box around all hands, pixels; most maps zoom in on it. None maps about the whole
        picture.
    rng : numpy.random.Generator
        Source of all random numbers.

    Returns
    -------
    affine : (2, 3) float64
        The map between pixels.
    flip : bool
        Whether it mirrors.
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
    """Augment a square picture: light, colours, blur, noise, a covering patch and JPEG compression.

    Parameters
    ----------
    image : (H, H, 3) uint8
        The picture, RGB.
    rng : numpy.random.Generator
        Source of all random numbers.

    Returns
    -------
    (H, H, 3) uint8
        The augmented picture.
    """
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
    """The network's picture under an affine map; outside the scene's picture black, a colour or the edge pixels.

    A reconstruction fills with black.
    """
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
    """Make one training sample of a scene.

    Parameters
    ----------
    scene : Scene
        The scene.
    rng : numpy.random.Generator
        Source of all random numbers.
    plain : bool
        Whether to only fit the whole picture into the network's picture, without augmentation, for validation.

    Returns
    -------
    picture : (160, 160, 3) uint8
        The network's picture, RGB.
    labels : (40, 40) uint8
        Label image at the cells of the heat map; see ``datasets.scene``.
    targets : HandTargets
        The targets.
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
    """Make the target heat map (40, 40) float32: 1 at palm centres, Gaussian around them."""
    count = TRAINED_PIXELS // HEAT_STRIDE
    places = np.arange(count) * HEAT_STRIDE + (HEAT_STRIDE - 1) / 2
    heat = np.zeros((count, count), np.float32)
    for k in np.flatnonzero(made.present):
        radius = float(np.clip(HEAT_RADIUS * made.size[k], *_SPOT))
        x, y = (np.exp(-((places - made.centre[k, axis]) ** 2) / (2 * radius**2)) for axis in (0, 1))
        spot = np.outer(y, x).astype(np.float32)
        if spot.max() > 0.3:
            spot /= spot.max()  # the nearest cell gets 1, wherever between cells the centre lies
        heat = np.maximum(heat, spot)
    return heat


def own_hand(made: HandTargets, points: np.ndarray, meant: np.ndarray) -> np.ndarray:
    """Assign a hand to each point.

    It is the hand on whose palm the point lies, the front one if there are two. A point on no palm keeps the hand for
    which it was drawn.

    Parameters
    ----------
    made : HandTargets
        The hands of the picture.
    points : (K, 2) float64
        The points, pixels.
    meant : (K,) int
        The hand for which each point was drawn: 0 left, 1 right, -1 none.

    Returns
    -------
    (K,) int
        The hand of each point: 0 left, 1 right, -1 none.
    """
    chosen = meant.copy()
    near = np.linalg.norm(points[:, None] - made.centre[None], axis=-1) < 0.6 * made.size
    near &= made.present
    for k, row in enumerate(near):
        if row.any():
            hands = np.flatnonzero(row)
            chosen[k] = hands[np.argmin(made.distance[hands])]
    return chosen
