"""Visualisation of results: keypoints and shaded meshes drawn over a photo, and side views of the meshes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.hands import KEYPOINT_PARENTS, SIDES, Side, TwoHands

from .measures import Mesh

COLOURS: dict[Side, tuple[int, int, int]] = {"left": (86, 180, 233), "right": (230, 159, 0)}
"""RGB colour of each hand."""

_BACKGROUND = 245  # grey level of side views
_LIGHT = np.array([0.3, -0.5, -0.8]) / np.linalg.norm([0.3, -0.5, -0.8])  # direction to the light, camera frame


def draw_keypoints(image: np.ndarray, hands: TwoHands, camera: Camera) -> np.ndarray:
    """Draw the keypoints of both hands over a photo.

    Lines are the projected skeleton of the 3D keypoints. Dots are the detected 2D keypoints.

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB photo; it is not changed.
    hands : TwoHands
        Camera frame, metres; 2D keypoints in pixels.
    camera : Camera
        Camera of the photo.

    Returns
    -------
    (H, W, 3) uint8
        RGB.
    """
    drawn = image.copy()
    width = max(1, round(max(image.shape[:2]) / 300))
    for hand in hands.present():
        placed = np.rint(camera.project(hand.positions)).astype(int)
        for child, parent in enumerate(KEYPOINT_PARENTS):
            if parent >= 0:
                start, end = (tuple(map(int, placed[k])) for k in (parent, child))
                cv2.line(drawn, start, end, COLOURS[hand.side], width, cv2.LINE_AA)
        for x, y in np.rint(hand.pixels).astype(int):
            cv2.circle(drawn, (int(x), int(y)), width + 1, (255, 255, 255), -1, cv2.LINE_AA)
    return drawn


def draw_meshes(
    image: np.ndarray, meshes: Mapping[Side, Mesh], camera: Camera, opacity: float = 0.8,
    tints: Mapping[Side, np.ndarray] | None = None,
) -> np.ndarray:  # fmt: skip
    """Draw shaded meshes over a photo, far faces first (painter's algorithm).

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB photo; it is not changed.
    meshes : Mapping of Side to Mesh
        Camera frame, metres.
    camera : Camera
        Camera of the photo.
    opacity : float
        Opacity of the meshes, 0 to 1.
    tints : Mapping of Side to (F, 3), optional
        RGB colour of each face, 0 to 255. A hand without tints has its colour of ``COLOURS``.

    Returns
    -------
    (H, W, 3) uint8
        RGB.
    """
    drawn = image.copy()
    polygons, depths, colours = [], [], []
    for side in SIDES:
        if side not in meshes:
            continue
        mesh = meshes[side]
        corners = np.asarray(mesh.vertices, np.float64)[mesh.faces]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        towards = (normals * corners.mean(1)).sum(1) < 0
        towards &= corners[..., 2].min(1) > 1e-3
        shade = 0.35 + 0.65 * np.clip(normals @ _LIGHT, 0, 1)
        polygons.append(camera.project(corners[towards]))
        depths.append(corners[towards, :, 2].mean(1))
        tint = np.asarray(COLOURS[side], np.float64) if tints is None or side not in tints else tints[side][towards]
        colours.append(shade[towards, None] * tint)
    if polygons:
        # Coordinates in sixteenths of a pixel: whole pixels would leave gaps between small faces.
        shape = np.clip(np.rint(np.concatenate(polygons) * 16), -(2**20), 2**20).astype(np.int32)
        colour = np.concatenate(colours)
        for k in np.argsort(-np.concatenate(depths)):
            cv2.fillConvexPoly(drawn, shape[k], colour[k].tolist(), cv2.LINE_8, 4)
    return cv2.addWeighted(drawn, opacity, image, 1 - opacity, 0)


def side_view(
    meshes: Mapping[Side, Mesh], size: int, angle: float = 90.0, around: Iterable[Mesh] | None = None,
    tints: Mapping[Side, np.ndarray] | None = None,
) -> np.ndarray:  # fmt: skip
    """Draw the meshes alone, seen from the side.

    Parameters
    ----------
    meshes : Mapping of Side to Mesh
        Camera frame, metres.
    size : int
        Width and height of the picture, pixels.
    angle : float
        Rotation about the vertical axis, degrees. At 90 the view is from the photo's right side to its left side.
    around : iterable of Mesh or None
        Meshes that the picture is framed around, so that several views have one scale. None frames ``meshes``.
    tints : Mapping of Side to (F, 3), optional
        See ``draw_meshes``.

    Returns
    -------
    (size, size, 3) uint8
        RGB.
    """
    blank = np.full((size, size, 3), _BACKGROUND, np.uint8)
    if not meshes:
        return blank
    everything = np.concatenate([np.asarray(mesh.vertices, np.float64) for mesh in around or meshes.values()])
    centre = (everything.min(0) + everything.max(0)) / 2
    reach = float(np.linalg.norm(everything - centre, axis=1).max())
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turn = np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
    away = 5 * reach
    turned = {
        side: replace(mesh, vertices=(np.asarray(mesh.vertices) - centre) @ turn.T + (0, 0, away))
        for side, mesh in meshes.items()
    }
    camera = Camera.from_focal(0.45 * size * away / reach, size, size)
    return draw_meshes(blank, turned, camera, 1.0, tints)


def draw_skeletons(
    methods: Sequence[tuple[str, Mapping[int, Mapping[Side, np.ndarray]]]],
    truth: Mapping[int, Mapping[Side, np.ndarray]], size: int = 256, shown: int = 3,
) -> bytes:  # fmt: skip
    """Draw the hands of some frames as skeletons: the truth in grey, a method's hands in their colours.

    Parameters
    ----------
    methods : sequence of (str, frames)
        Name and hands of each method: frame -> side -> keypoints (21, 3), metres.
    truth : frames
        True hands, same frame of reference.
    size : int
        Side of each picture, pixels.
    shown : int
        Pictures a method: first, middle and last of the frames by error, so the best, the median and the worst.

    Returns
    -------
    bytes
        A JPEG file.
    """
    strips = []
    for name, frames in methods:
        errors = {}
        for index, true in truth.items():
            both = [side for side in true if side in frames.get(index, {})]
            if both:
                errors[index] = float(np.mean([np.linalg.norm(frames[index][s] - true[s], axis=1) for s in both]))
        ranked = sorted(errors, key=lambda index: (errors[index], index))
        places = np.linspace(0, max(len(ranked) - 1, 0), shown).round().astype(int)
        cells = [_skeletons(truth[ranked[k]], frames[ranked[k]], size) for k in places if ranked]
        cells = cells or [np.full((size, size, 3), _BACKGROUND, np.uint8)]
        strip = np.concatenate([*cells, *[np.full_like(cells[0], 255)] * (shown - len(cells))], axis=1)
        words = f"{name}: " + ", ".join(
            f"frame {ranked[k]} {errors[ranked[k]] * 1000:.1f} mm" for k in places if ranked
        )
        cv2.putText(strip, words, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (20, 20, 20), 1, cv2.LINE_AA)
        strips.append(strip)
    done, data = cv2.imencode(".jpg", cv2.cvtColor(np.concatenate(strips), cv2.COLOR_RGB2BGR))
    assert done
    return data.tobytes()


def _skeletons(true: Mapping[Side, np.ndarray], found: Mapping[Side, np.ndarray], size: int) -> np.ndarray:
    """True and found hands of one frame seen along z, at one scale."""
    picture = np.full((size, size, 3), _BACKGROUND, np.uint8)
    everything = np.concatenate([*true.values(), *found.values()])[:, :2]
    centre = (everything.min(0) + everything.max(0)) / 2
    reach = max(float(np.abs(everything - centre).max()), 1e-9)
    rows = [(joints, (150, 150, 150)) for joints in true.values()]
    rows += [(joints, COLOURS[side]) for side, joints in found.items()]
    for joints, colour in rows:
        placed = np.rint(((joints[:, :2] - centre) / reach * 0.44 + 0.5) * size).astype(int)
        for child, parent in enumerate(KEYPOINT_PARENTS):
            if parent >= 0:
                start, end = (tuple(map(int, placed[k])) for k in (parent, child))
                cv2.line(picture, start, end, colour, 2, cv2.LINE_AA)
    return picture


def tile(pictures: Sequence[np.ndarray], height: int) -> np.ndarray:
    """Scale pictures to one height and join them in a row.

    Parameters
    ----------
    pictures : sequence of (H, W, 3) uint8
        Sizes may differ.
    height : int
        Height of the row, pixels.

    Returns
    -------
    (height, W, 3) uint8
    """
    scaled = [
        cv2.resize(p, (max(1, round(p.shape[1] * height / p.shape[0])), height), interpolation=cv2.INTER_AREA)
        for p in pictures
    ]
    return np.concatenate(scaled, axis=1)
