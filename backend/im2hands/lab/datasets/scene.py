"""A two-hand scene in memory, and the description ``set.json`` of a scene set; ``scenes`` describes all arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from im2hands.core.errors import InputError
from im2hands.core.files import read_regular
from im2hands.core.unpacking import JSON_BYTES, parse_json

FORMAT = "im2hands-scenes"
VERSION = 1
BACKGROUND, LEFT, RIGHT, IN_FRONT = 0, 1, 2, 3
"""Values of the label image: background and the person's body, left hand, right hand, other objects, which may hide
hands."""

SET_FILE = "set.json"
_LEAST = {"shard_size": 1, "picture": 0, "points": 0, "scenes": 0}
_MOST = 2**31 - 1
AGAIN = "Make the set again, or rerun the command that made it: it rewrites broken and missing shards."
"""Hint of errors about broken sets."""


@dataclass(frozen=True)
class Scene:
    """One scene. The first axis of 2 is the left and the right hand; absent hands are NaN (0 for integers).

    Parameters
    ----------
    picture : bytes
        The picture as a JPEG file, RGB.
    labels : bytes
        The label image as a PNG file, with the values :data:`BACKGROUND`, :data:`LEFT`, :data:`RIGHT` and
        :data:`IN_FRONT` (other objects, which may hide hands).
    keypoints : (2, 21, 3) float32
        True keypoints, camera frame, file order, metres.
    visible : (2, 21) uint8
        1 for a visible keypoint, 0 for a hidden one.
    intrinsics : (3, 3) float32
        Intrinsic matrix of the picture, pixels.
    size : (2,) int32
        Width and height of the picture, pixels.
    mode : () int8
        Index into ``SetInfo.modes``.
    components : (2, 20) float32
        Shape components; see ``geometry.hand_model.HandShape``.
    length : (2, 22) float32
        Length factors of the rig bones; see ``geometry.hand_model.HandShape``.
    thickness : (2, 22) float32
        Thickness factors of the rig bones; see ``geometry.hand_model.HandShape``.
    rotations : (2, 22, 3, 3) float32
        Rotations of the rig bones; see ``geometry.hand_model.HandModel.pose``.
    turn : (2, 3, 3) float32
        Rotation from the model's frame to the camera frame. The x of a left hand is mirrored before.
    shift : (2, 3) float32
        Translation from the model's frame to the camera frame, metres.
    points : (2, P, 3) float16
        Labelled points, canonical frame of the true keypoints, metres; see ``scene_points.label_points``.
    distance : (2, P) float16
        Signed distance of the points to the hand's uncut mesh, metres, negative inside.
    part : (2, P) int8
        Bone (0 to 15) of the nearest surface.
    other : (2, P) float16
        Signed distance of the points to the other hand, metres; NaN without one.
    detected : (2, 21, 3) float32, optional
        Detected keypoints, camera frame, metres. None if the set has none.
    """

    picture: bytes
    labels: bytes
    keypoints: np.ndarray
    visible: np.ndarray
    intrinsics: np.ndarray
    size: np.ndarray
    mode: np.ndarray
    components: np.ndarray
    length: np.ndarray
    thickness: np.ndarray
    rotations: np.ndarray
    turn: np.ndarray
    shift: np.ndarray
    points: np.ndarray
    distance: np.ndarray
    part: np.ndarray
    other: np.ndarray
    detected: np.ndarray | None = None

    def image(self) -> np.ndarray:
        """Decode the picture, (H, W, 3) uint8 RGB.

        Raises
        ------
        InputError
            The picture is damaged.
        """
        return decode_picture(self.picture)

    def label_image(self) -> np.ndarray:
        """Decode the label image, (H, W) uint8.

        Raises
        ------
        InputError
            The label image is damaged.
        """
        return _decode(self.labels, cv2.IMREAD_GRAYSCALE)

    @property
    def present(self) -> np.ndarray:
        """Which hands are present, (2,) bool."""
        return np.isfinite(self.keypoints).all(axis=(-1, -2))


def encode_picture(image: np.ndarray, quality: int = 92) -> bytes:
    """Encode an image (H, W, 3) uint8 RGB as a JPEG file of this quality (0 to 100)."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return data.tobytes()


def decode_picture(data: bytes) -> np.ndarray:
    """Decode what ``encode_picture`` wrote, (H, W, 3) uint8 RGB; InputError for a damaged file."""
    return cv2.cvtColor(_decode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def encode_labels(labels: np.ndarray) -> bytes:
    """Encode a label image (H, W) uint8 as a PNG file."""
    done, data = cv2.imencode(".png", labels)
    assert done
    return data.tobytes()


def _decode(data: bytes, kind: int) -> np.ndarray:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), kind) if data else None
    except cv2.error:  # its header names a size beyond OpenCV's limits
        image = None
    if image is None:
        raise InputError("A picture of the scene set is damaged.", AGAIN)
    return image


@dataclass(frozen=True)
class SetInfo:
    """The content of ``set.json``.

    Parameters
    ----------
    seed : int
        Seed of the synthesis.
    shard_size : int
        Scenes in a full shard.
    picture : int
        Side of the pictures, pixels.
    points : int
        Labelled points of each hand; may be 0.
    modes : tuple of str
        Names of the scene modes.
    generator : dict
        Record of how the scenes were made.
    scenes : int
        Number of scenes in the set.
    """

    seed: int
    shard_size: int
    picture: int
    points: int
    modes: tuple[str, ...]
    generator: dict[str, Any]
    scenes: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the content of the file as a JSON object."""
        return {"format": FORMAT, "version": VERSION, **vars(self), "modes": list(self.modes)}


def read_info(folder: Path) -> SetInfo:
    """Read the ``set.json`` of a scene set.

    Parameters
    ----------
    folder : Path
        Folder of the set.

    Returns
    -------
    SetInfo
        Its content.

    Raises
    ------
    InputError
        The folder holds no set, a damaged one, or one of another version.
    """
    path = folder / SET_FILE
    try:
        data = parse_json(read_regular(path, JSON_BYTES))
    except FileNotFoundError as error:
        raise InputError(
            f"{folder} holds no scene set: there is no {SET_FILE}.", "Give a folder that `im2hands synthesize` wrote."
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(f"Cannot read {path}: {error}.", AGAIN) from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError(f"{path} does not describe a scene set.", f'Its format must be "{FORMAT}".')
    if data.get("version") != VERSION:
        raise InputError(
            f"{folder} is a scene set of version {data.get('version')}; this program reads version {VERSION}.",
            "Make the set again with this program.",
        )
    try:
        info = SetInfo(
            int(data["seed"]), int(data["shard_size"]), int(data["picture"]), int(data["points"]),
            tuple(map(str, data["modes"])), dict(data["generator"]), int(data["scenes"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is incomplete: {error}.", AGAIN) from error
    for name, least in _LEAST.items():
        if not least <= getattr(info, name) <= _MOST:
            raise InputError(f"{path} is damaged: its {name} is {getattr(info, name)}.", AGAIN)
    return info
