"""Skin textures packed for drawing: the islands of hand and forearm, maps of the rest pose, and parts such as nails."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy import ndimage

from im2hands.core.errors import InputError

from .hand_mesh import HandMesh

# MakeHuman's skin files are squares of this size. The boxes of the two islands that the hand model uses are in pixels:
# left, top, right, bottom.
FILE_SIZE = 2048
_HAND_BOX = (728, 1632, 1148, 2040)
_ARM_BOX = (4, 244, 252, 500)
_SCALE = 2  # enlargement of the hand's island: nails need more pixels than the files have
_HAND_AT = (0, 0)
_ARM_AT = ((_HAND_BOX[2] - _HAND_BOX[0]) * _SCALE, 0)
ATLAS_WIDTH = _ARM_AT[0] + (_ARM_BOX[2] - _ARM_BOX[0])
ATLAS_HEIGHT = (_HAND_BOX[3] - _HAND_BOX[1]) * _SCALE
MEAN_DETAIL = 0.35  # stored value (before the square root) of the skin's mean tone


@dataclass(frozen=True)
class SkinMap:
    """One skin, ready to upload.

    Parameters
    ----------
    pixels : (H, W, 4) uint8
        Channels 0 to 2: square root of 0.35 times the colour relative to ``tone``. Channel 3: height.
    tone : (3,) float
        Mean albedo, linear RGB.
    """

    pixels: np.ndarray
    tone: np.ndarray


class SkinAtlas:
    """Layout of the packed texture, and maps of the hand in it.

    Parameters
    ----------
    mesh : HandMesh
        The hand's surface.

    Attributes
    ----------
    uv : (U, 2) float32
        Texture coordinates of the drawn vertices, v down.
    """

    def __init__(self, mesh: HandMesh) -> None:
        self._mesh = mesh
        self.uv = atlas_uv(mesh.drawn_uv).astype(np.float32)

    @cached_property
    def _rest_maps(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rest position (H, W, 3), unit normal (H, W, 3), and whether a texel is covered (H, W)."""
        mesh = self._mesh
        size = np.array([ATLAS_WIDTH, ATLAS_HEIGHT])
        places = atlas_uv(mesh.uv) * size - 0.5
        position = np.zeros((ATLAS_HEIGHT, ATLAS_WIDTH, 3), np.float32)
        normal = np.zeros_like(position)
        covered = np.zeros(position.shape[:2], bool)
        for face, face_uv in zip(mesh.skin_faces, mesh.skin_faces_uv, strict=True):
            corners = places[face_uv]
            low = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
            high = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, size)
            x, y = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
            (ax, ay), (bx, by), (cx, cy) = corners
            area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
            if abs(area) < 1e-9:
                continue
            u = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / area
            v = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / area
            inside = (u >= -1e-3) & (v >= -1e-3) & (u + v <= 1.001)
            share = np.stack([1 - u - v, u, v], axis=-1)[inside]
            rows, columns = y[inside], x[inside]
            position[rows, columns] = share @ mesh.template[face]
            normal[rows, columns] = share @ mesh.normals[face]
            covered[rows, columns] = True
        _, nearest = ndimage.distance_transform_edt(~covered, return_indices=True)
        position, normal = position[tuple(nearest)], normal[tuple(nearest)]
        normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
        self._nearest = tuple(nearest.astype(np.int32))
        return position, normal, covered

    @property
    def positions(self) -> np.ndarray:
        """Position of each texel at rest (H, W, 3), metres; texels off the islands copy the nearest covered one."""
        return self._rest_maps[0]

    @property
    def normals(self) -> np.ndarray:
        """Unit normal of each texel at rest (H, W, 3)."""
        return self._rest_maps[1]

    @property
    def covered(self) -> np.ndarray:
        """Texels on the islands, (H, W) bool."""
        return self._rest_maps[2]

    def spread(self, image: np.ndarray) -> np.ndarray:
        """Extend the covered texels of ``image`` (H, W, ...) to the others, so that no seam shows a wrong colour."""
        _ = self._rest_maps
        return image[self._nearest]

    @cached_property
    def nail_coordinates(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Per finger, coordinates (H, W) across and along its nail: 1 at the plate's edge, 9 far away."""
        position, normal = self.positions, self.normals
        out = []
        for nail in self._mesh.nails:
            local = (position - nail.centre) @ nail.axes.T
            across, along = local[..., 0] / nail.half_width, local[..., 1] / nail.half_length
            away = (normal @ nail.axes[2] < 0.05) | (np.abs(local[..., 2]) > 0.006)
            out.append((np.where(away, 9.0, across), np.where(away, 9.0, along)))
        return out

    @cached_property
    def parts(self) -> np.ndarray:
        """Strength (H, W, 4) uint8 of nail, palm side, blood (knuckles, finger tips, palm) and the nail's free edge."""
        mesh, position, normal = self._mesh, self.positions, self.normals
        nail = np.zeros(position.shape[:2])
        edge = np.zeros_like(nail)
        for across, along in self.nail_coordinates:
            # The exponents give straight sides and a round root.
            radius = (np.abs(across) ** 3 + np.abs(along) ** 2.6) ** (1 / 2.8)
            nail = np.maximum(nail, smooth_step(1.06, 0.90, radius))
            edge = np.maximum(edge, smooth_step(0.70, 0.82, along + 0.10 * across**2) * (radius < 1.3))
        palm = smooth_step(0.15, -0.45, normal @ mesh.dorsal)
        arm = position @ (mesh.joints[0] / np.linalg.norm(mesh.joints[0]))
        palm *= smooth_step(0.05, -0.005, arm)
        blood = 0.45 * palm
        for finger in range(5):
            tip = mesh.template[mesh.tips[finger]]
            blood = np.maximum(blood, np.exp(-((np.linalg.norm(position - tip, axis=-1) / 0.014) ** 2)))
        for joint in (4, 7, 8, 11, 12, 15, 16, 19, 20):
            near = np.exp(-((np.linalg.norm(position - mesh.joints[joint], axis=-1) / 0.013) ** 2))
            blood = np.maximum(blood, 0.8 * near)
        layers = np.stack([nail, palm, blood, edge], axis=-1)
        return np.round(255 * np.clip(layers, 0, 1)).astype(np.uint8)

    def pack(self, colour: np.ndarray, height: np.ndarray) -> SkinMap:
        """Pack a skin.

        Parameters
        ----------
        colour : (H, W, 3) float
            Linear albedo.
        height : (H, W) float
            Height of the relief, about 0 with unit deviation.

        Returns
        -------
        SkinMap
            The skin.
        """
        covered = self.covered & (self.parts[..., 0] < 20)
        tone = colour[covered].mean(axis=0)
        relative = np.sqrt(np.clip(colour / tone * MEAN_DETAIL, 0, 1))
        pixels = np.concatenate([relative, np.clip(0.5 + 0.18 * height, 0, 1)[..., None]], axis=-1)
        return SkinMap(np.round(255 * self.spread(pixels)).astype(np.uint8), tone)

    def from_file(self, path: Path) -> SkinMap:
        """Read a skin texture of MakeHuman.

        Parameters
        ----------
        path : Path
            A square picture with the texture layout of MakeHuman's model.

        Returns
        -------
        SkinMap
            The skin.

        Raises
        ------
        InputError
            The file is not a readable picture.
        """
        import cv2

        data = np.fromfile(path, np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
        if image is None:
            raise InputError(f"Skin {path} is not a picture that can be read.", "Give JPEG or PNG skin textures.")
        if image.shape[:2] != (FILE_SIZE, FILE_SIZE):
            image = cv2.resize(image, (FILE_SIZE, FILE_SIZE), interpolation=cv2.INTER_AREA)
        image = np.ascontiguousarray(image[..., ::-1])
        atlas = np.zeros((ATLAS_HEIGHT, ATLAS_WIDTH, 3), np.float32)
        for box, at, scale in ((_HAND_BOX, _HAND_AT, _SCALE), (_ARM_BOX, _ARM_AT, 1)):
            box_part = image[box[1] : box[3], box[0] : box[2]].astype(np.float32)
            part = cv2.resize(box_part, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
            atlas[at[1] : at[1] + part.shape[0], at[0] : at[0] + part.shape[1]] = part
        atlas = self.spread(np.clip(atlas / 255, 0, 1))
        grey = atlas @ np.array([0.3, 0.5, 0.2], np.float32)
        height = ndimage.gaussian_filter(grey, 1.0) - ndimage.gaussian_filter(grey, 9.0)
        covered = self.covered & (self.parts[..., 0] < 20)
        return self.pack(atlas**2.2, np.clip(height / max(float(height[covered].std()), 1e-6), -2.7, 2.7))


def atlas_uv(uv: np.ndarray) -> np.ndarray:
    """Convert texture coordinates (N, 2) of a skin file (v up) to those of the packed texture (v down)."""
    pixel = np.stack([uv[:, 0], 1 - uv[:, 1]], axis=1) * FILE_SIZE
    on_arm = pixel[:, 0] < _ARM_BOX[2]
    hand = (pixel - _HAND_BOX[:2]) * _SCALE + _HAND_AT
    arm = (pixel - _ARM_BOX[:2]) + _ARM_AT
    return np.where(on_arm[:, None], arm, hand) / (ATLAS_WIDTH, ATLAS_HEIGHT)


def smooth_step(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """Return 0 up to ``low``, 1 from ``high`` on, and a smooth step between; ``low`` may be the larger of the two."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
