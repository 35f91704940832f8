"""One two-hand scene and what is said of a set of them; :mod:`.scenes` has the table of a scene's arrays."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from im2hands.core.errors import InputError

FORMAT = "im2hands-scenes"
VERSION = 1
BACKGROUND, LEFT, RIGHT, IN_FRONT = 0, 1, 2, 3
"""Values of the label image."""

SET_FILE = "set.json"
AGAIN = "Make the set again, or go on with the command that made it: it writes broken and missing shards anew."


@dataclass(frozen=True)
class Scene:
    """One scene; arrays as in the module's table without the axis S.

    Args:
        picture: a JPEG file, RGB (see :func:`encode_picture`). labels: a PNG file (see :func:`encode_labels`).
        keypoints: (2, 21, 3). visible: (2, 21). intrinsics: (3, 3). size: (2,) width, height. mode: ().
        components, length, thickness: (2, 20), (2, 22), (2, 22), the shape
            (:class:`~im2hands.geometry.hand_model.HandShape`).
        rotations: (2, 22, 3, 3) for :meth:`~im2hands.geometry.hand_model.HandModel.pose`. turn, shift: (2, 3, 3) and
            (2, 3) metres, from the model's frame (for the left hand after x is mirrored) to the camera frame.
        points, distance, part, other: (2, P, 3), (2, P), (2, P), (2, P), see :func:`.scene_points.label_points`.
        detected: (2, 21, 3) or None.
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
        """The picture, (H, W, 3) uint8 RGB.

        Raises:
            InputError: it is damaged.
        """
        return cv2.cvtColor(_decode(self.picture, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)

    def label_image(self) -> np.ndarray:
        """The label image, (H, W) uint8.

        Raises:
            InputError: it is damaged.
        """
        return _decode(self.labels, cv2.IMREAD_GRAYSCALE)

    @property
    def present(self) -> np.ndarray:
        """(2,) bool: which hands are there."""
        return np.isfinite(self.keypoints).all(axis=(-1, -2))


def encode_picture(image: np.ndarray, quality: int = 92) -> bytes:
    """An image (H, W, 3) uint8 RGB as JPEG."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return data.tobytes()


def encode_labels(labels: np.ndarray) -> bytes:
    """A label image (H, W) uint8 as PNG."""
    done, data = cv2.imencode(".png", labels)
    assert done
    return data.tobytes()


def _decode(data: bytes, kind: int) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), kind) if data else None
    if image is None:
        raise InputError("A picture of the scene set is damaged.", AGAIN)
    return image


@dataclass(frozen=True)
class SetInfo:
    """What ``set.json`` says.

    Args:
        seed: of the generator. shard_size: scenes of a whole shard. picture: pixels a side of the pictures. points: P.
        modes: names of the scene modes. generator: how the scenes were made, for the record. scenes: in the set.
    """

    seed: int
    shard_size: int
    picture: int
    points: int
    modes: tuple[str, ...]
    generator: dict[str, Any]
    scenes: int = 0

    def to_json(self) -> dict[str, Any]:
        """As it stands in the file."""
        return {"format": FORMAT, "version": VERSION, **vars(self), "modes": list(self.modes)}


def read_info(folder: Path) -> SetInfo:
    """The set's ``set.json``.

    Raises:
        InputError: the folder holds no set, a damaged one, or one of another version.
    """
    path = folder / SET_FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
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
        return SetInfo(
            int(data["seed"]), int(data["shard_size"]), int(data["picture"]), int(data["points"]),
            tuple(map(str, data["modes"])), dict(data["generator"]), int(data["scenes"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is incomplete: {error}.", AGAIN) from error
