"""The few dataclasses everything speaks: cameras, keypoints of a hand, the two hands of a frame; keypoint orders.

Units are metres, radians and pixels. The camera frame is OpenCV's: x right, y down, z forward. Keypoints are in *file
order* (wrist; thumb CMC, MCP, IP, tip; index MCP, PIP, DIP, tip; middle; ring; little).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from .errors import InputError

Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")
KEYPOINT_COUNT = 21
WRIST = 0
MIDDLE_MCP = 9

KEYPOINT_NAMES = (
    "wrist",
    "thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip",
    "index_mcp", "index_pip", "index_dip", "index_tip",
    "middle_mcp", "middle_pip", "middle_dip", "middle_tip",
    "ring_mcp", "ring_pip", "ring_dip", "ring_tip",
    "little_mcp", "little_pip", "little_dip", "little_tip",
)  # fmt: skip

# Parent of each keypoint in file order; the wrist has none.
KEYPOINT_PARENTS = (-1, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19)

# Gather tables, out[k] = in[table[k]] (specification 2.1; InterHand2.6M's order from DATASETS 1.2, one hand).
FILE_TO_HALO = (0, 5, 6, 7, 9, 10, 11, 17, 18, 19, 13, 14, 15, 1, 2, 3, 4, 8, 12, 16, 20)
HALO_TO_FILE = (0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20)
FILE_TO_BIOMECH = (0, 1, 5, 9, 13, 17, 2, 6, 10, 14, 18, 3, 7, 11, 15, 19, 4, 8, 12, 16, 20)
BIOMECH_TO_FILE = (0, 1, 6, 11, 16, 2, 7, 12, 17, 3, 8, 13, 18, 4, 9, 14, 19, 5, 10, 15, 20)
INTERHAND_TO_FILE = (20, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12, 19, 18, 17, 16)
FILE_TO_FILE = tuple(range(KEYPOINT_COUNT))

# MediaPipe's hand landmarks are listed in file order already.
TO_FILE_ORDER: dict[str, tuple[int, ...]] = {
    "file": FILE_TO_FILE,
    "mediapipe": FILE_TO_FILE,
    "halo": HALO_TO_FILE,
    "interhand": INTERHAND_TO_FILE,
}

CameraOrigin = Literal["file", "exif", "user", "assumed"]


@dataclass(frozen=True)
class Camera:
    """A pinhole camera without distortion.

    Args:
        fx, fy: focal lengths, pixels. cx, cy: principal point, pixels (pixel centres at whole numbers).
        width, height: the picture the intrinsics belong to, pixels.
        origin: where the intrinsics come from.
        rotation: (3, 3) world-to-camera rotation. translation: (3,) metres; ``X_cam = rotation @ X_world +
        translation``.

    Raises:
        InputError: focal lengths or sizes that are not finite and positive, or extrinsics that are not a rigid motion.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    origin: CameraOrigin = "user"
    rotation: np.ndarray = field(default_factory=lambda: np.eye(3), compare=False)
    translation: np.ndarray = field(default_factory=lambda: np.zeros(3), compare=False)

    def __post_init__(self) -> None:
        for name in ("fx", "fy", "width", "height"):
            value = getattr(self, name)
            if not np.isfinite(value) or value <= 0:
                raise InputError(
                    f"Camera: {name} is {value}, it must be a positive number.",
                    "Give focal lengths and picture size in pixels, for example fx=1200, width=1920.",
                )
        for name in ("cx", "cy"):
            if not np.isfinite(getattr(self, name)):
                raise InputError(f"Camera: {name} is {getattr(self, name)}, it must be a number.", "Give pixels.")
        rotation = np.asarray(self.rotation, dtype=np.float64)
        translation = np.asarray(self.translation, dtype=np.float64).reshape(-1)
        if rotation.shape != (3, 3) or translation.shape != (3,) or not np.isfinite(translation).all():
            raise InputError("Camera: R must be 3x3 and t must be 3 finite numbers.", "t is in metres.")
        if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3) or np.linalg.det(rotation) < 0:
            raise InputError("Camera: R is not a rotation.", "Give a world-to-camera rotation with determinant +1.")
        object.__setattr__(self, "rotation", rotation)
        object.__setattr__(self, "translation", translation)

    @property
    def matrix(self) -> np.ndarray:
        """(3, 3) float64 intrinsic matrix K, pixels."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    @classmethod
    def from_fov(cls, fov_degrees: float, width: int, height: int, origin: CameraOrigin = "user") -> Camera:
        """A centred camera whose longer picture side spans ``fov_degrees``.

        Raises:
            InputError: a field of view outside 1 to 170 degrees.
        """
        if not 1.0 <= fov_degrees <= 170.0:
            raise InputError(f"A field of view of {fov_degrees} degrees is not possible.", "Give 1 to 170 degrees.")
        focal = 0.5 * max(width, height) / np.tan(np.radians(fov_degrees) / 2)
        return cls.from_focal(float(focal), width, height, origin)

    @classmethod
    def from_focal(cls, focal_px: float, width: int, height: int, origin: CameraOrigin = "user") -> Camera:
        """A centred camera with square pixels and the focal length ``focal_px``, pixels."""
        return cls(focal_px, focal_px, (width - 1) / 2, (height - 1) / 2, width, height, origin)

    def resized(self, width: int, height: int) -> Camera:
        """The same camera for the same picture scaled to ``width`` x ``height`` pixels."""
        sx, sy = width / self.width, height / self.height
        cx, cy = (self.cx + 0.5) * sx - 0.5, (self.cy + 0.5) * sy - 0.5
        return replace(self, fx=self.fx * sx, fy=self.fy * sy, cx=cx, cy=cy, width=width, height=height)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Camera-frame points (..., 3) metres to pixels (..., 2) float64."""
        points = np.asarray(points, dtype=np.float64)
        depth = points[..., 2:3]
        return points[..., :2] / depth * (self.fx, self.fy) + (self.cx, self.cy)

    def unproject(self, pixels: np.ndarray, depth: np.ndarray | float) -> np.ndarray:
        """Pixels (..., 2) and depths (...) metres to camera-frame points (..., 3) metres, float64."""
        pixels = np.asarray(pixels, dtype=np.float64)
        depth = np.broadcast_to(np.asarray(depth, dtype=np.float64), pixels.shape[:-1])[..., None]
        xy = (pixels - (self.cx, self.cy)) / (self.fx, self.fy) * depth
        return np.concatenate([xy, depth], axis=-1)

    def world_to_camera(self, points: np.ndarray) -> np.ndarray:
        """World-frame points (..., 3) metres to the camera frame."""
        return np.asarray(points, dtype=np.float64) @ self.rotation.T + self.translation

    def to_dict(self) -> dict[str, Any]:
        """Intrinsics as they stand in ``take.json`` (plain numbers)."""
        return {
            "fx": float(self.fx), "fy": float(self.fy), "cx": float(self.cx), "cy": float(self.cy),
            "width": int(self.width), "height": int(self.height), "origin": self.origin,
        }  # fmt: skip


@dataclass(frozen=True)
class HandKeypoints:
    """The 21 keypoints of one hand in one frame, file order.

    Args:
        side: the person's own left or right.
        positions: (21, 3) float64, camera frame, metres.
        pixels: (21, 2) float64, where the keypoints were seen, pixels of the frame.
        confidence: (21,) float64 in [0, 1], one per keypoint.
        score: confidence in the hand as a whole, [0, 1].
        source: which provider found it ("mediapipe", "crop_search", "file", ...).
    """

    side: Side
    positions: np.ndarray
    pixels: np.ndarray
    confidence: np.ndarray
    score: float
    source: str


@dataclass(frozen=True)
class TwoHands:
    """What was found in one frame: the left hand, the right hand, both or neither."""

    left: HandKeypoints | None = None
    right: HandKeypoints | None = None

    def get(self, side: Side) -> HandKeypoints | None:
        """The hand of that side, or None."""
        return self.left if side == "left" else self.right

    def present(self) -> list[HandKeypoints]:
        """The hands that are there, left first."""
        return [hand for hand in (self.left, self.right) if hand is not None]


@dataclass(frozen=True)
class RefinedHands:
    """The hands of a frame after keypoint refinement.

    Args:
        hands: with the keypoints to go on with. refined: the sides whose keypoints are the network's. message: why a
            hand kept its keypoints although the network was asked, for a person; may be empty.
    """

    hands: TwoHands
    refined: tuple[Side, ...] = ()
    message: str = ""


def check_keypoints(positions: np.ndarray, what: str) -> np.ndarray:
    """Check that 21 keypoints can carry a hand's bones.

    Args:
        positions: (21, 3), any frame, metres.
        what: named in the error, for example ``"left hand of frame 000012 in keypoints.json"``.

    Returns:
        The same as float64.

    Raises:
        InputError: wrong shape, numbers that are not finite, bones of no length, a palm without a plane.
    """
    try:
        positions = np.asarray(positions, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"Keypoints of the {what} are not numbers.", "Give 21 rows of x, y, z.") from error
    if positions.shape != (KEYPOINT_COUNT, 3):
        raise InputError(f"Keypoints of the {what} have shape {positions.shape}.", "Give 21 rows of x, y, z.")
    if not np.isfinite(positions).all():
        bad = KEYPOINT_NAMES[int(np.argwhere(~np.isfinite(positions))[0][0])]
        raise InputError(f"Keypoint {bad} of the {what} is not a finite number.", "Leave the hand out of that frame.")
    parents = np.array(KEYPOINT_PARENTS[1:])
    lengths = np.linalg.norm(positions[1:] - positions[parents], axis=1)
    if (lengths < 1e-4).any():
        bad = KEYPOINT_NAMES[int(np.argmin(lengths)) + 1]
        raise InputError(
            f"The bone to {bad} of the {what} is {lengths.min() * 1000:.3f} mm long.",
            "Check the unit (metres or millimetres) and that the keypoints are all different.",
        )
    if (lengths > 0.5).any():
        raise InputError(
            f"A bone of the {what} is {lengths.max():.2f} m long.", 'Check the unit: say "unit": "mm" for millimetres.'
        )
    index, middle, little = (positions[k] - positions[WRIST] for k in (5, 9, 17))
    for a, b in ((index, middle), (middle, little)):
        if np.linalg.norm(np.cross(a, b)) < 1e-3 * np.linalg.norm(a) * np.linalg.norm(b):
            raise InputError(
                f"The palm keypoints of the {what} lie on one line.", "Leave the hand out of that frame or correct it."
            )
    return positions
