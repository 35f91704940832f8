"""The cache of detected hands next to the take, and the hashes that identify the data of each result."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.errors import FrameError
from im2hands.core.files import open_regular, read_shared, write_atomically
from im2hands.core.hands import KEYPOINT_COUNT, SIDES, SKIN_POINT_COUNT, Side, TwoHands
from im2hands.core.unpacking import JSON_BYTES, parse_json
from im2hands.keypoints.hypothesis import HandDetection, HandMask, LiftedHand, SkinLandmarks, WristOffset
from im2hands.keypoints.look import Look
from im2hands.keypoints.look_file import pack_look, unpack_look

from .cached_arrays import NOT_CACHED, read_cached, write_cached

# Files up to this size are hashed completely. Of larger files (clips), evenly spaced blocks are hashed, to save time.
WHOLE_FILE_BYTES = 64 * 2**20
_BLOCK_BYTES, _BLOCKS = 2**20, 32


def digest(*parts: Any) -> str:
    """Hash JSON values, bytes and arrays; equal values give the same hash in every process.

    Parameters
    ----------
    *parts : Any
        Plain JSON types, bytes or arrays. Order, dtypes and shapes count.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    state = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            data = f"{part.dtype.str}{part.shape}".encode() + np.ascontiguousarray(part).tobytes()
        elif isinstance(part, bytes):
            data = part
        else:
            data = json.dumps(part, sort_keys=True, ensure_ascii=True).encode()
        state.update(len(data).to_bytes(8, "little") + data)
    return state.hexdigest()[:32]


def fingerprint(path: Path) -> str:
    """Hash the content of a file.

    A file larger than :data:`WHOLE_FILE_BYTES` is hashed by its size and by evenly spaced blocks.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    str
        32 hexadecimal digits.

    Raises
    ------
    FrameError
        The file cannot be read.
    """
    try:
        with open_regular(path) as handle:
            size = os.fstat(handle.fileno()).st_size
            if size <= WHOLE_FILE_BYTES:
                return digest(handle.read())
            state = hashlib.sha256(str(size).encode())
            for block in range(_BLOCKS):
                handle.seek((size - _BLOCK_BYTES) * block // (_BLOCKS - 1))
                state.update(handle.read(_BLOCK_BYTES))
            return state.hexdigest()[:32]
    except OSError as error:
        raise FrameError(f"Cannot read {path}: {error.strerror or error}.", "Check the path.") from error


def hands_digest(hands: TwoHands, camera: Camera) -> str:
    """Hash everything that the surfaces of a frame depend on, except the picture, the weights and the settings.

    Parameters
    ----------
    hands : TwoHands
        Hands of the frame.
    camera : Camera
        Camera of the frame.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    parts: list[Any] = [camera.to_dict(), camera.rotation, camera.translation]
    for hand in hands.present():
        parts += [hand.side, hand.source, hand.score, hand.positions, hand.pixels, hand.confidence]
        parts.append(hand.thickness)
    return digest(*parts)


class DetectionCache:
    """Detected hands of each frame, kept in ``TAKE/cache`` so that a resumed job has exactly the same hands.

    Parameters
    ----------
    folder : Path
        The cache folder. It is created when the first frame is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, index: int, key: str) -> list[HandDetection] | None:
        """Return the cached hands of a frame.

        Parameters
        ----------
        index : int
            Index of the frame.
        key : str
            Hash of everything that the detection depends on.

        Returns
        -------
        list of HandDetection or None
            None if there is no undamaged entry with this key.
        """
        try:
            arrays = read_cached(self._path(index), key)
            return [_detection(arrays, number) for number in range(int(arrays["count"][0]))]
        except NOT_CACHED:
            return None  # the hands are detected again

    def write(self, index: int, key: str, detections: Sequence[HandDetection]) -> None:
        """Store the hands of a frame.

        Parameters
        ----------
        index : int
            Index of the frame.
        key : str
            Hash of everything that the detection depends on.
        detections : sequence of HandDetection
            The hands.

        Raises
        ------
        TakeError
            The file cannot be written.
        """
        arrays = {"count": np.array([len(detections)])}
        for number, hand in enumerate(detections):
            arrays[f"{number}_words"] = np.array([hand.side, hand.source, hand.note])
            arrays[f"{number}_score"] = np.array([hand.score], np.float64)
            for name in ("pixels", "shape", "confidence"):
                arrays[f"{number}_{name}"] = np.asarray(getattr(hand, name), np.float64)
            if hand.lifted is not None:
                given = {name: value for name, value in vars(hand.lifted).items() if value is not None}
                arrays |= {f"{number}_lifted_{name}": np.asarray(value) for name, value in given.items()}
            if hand.skin is not None:
                arrays |= {f"{number}_skin_{name}": value for name, value in vars(hand.skin).items()}
            if hand.mask is not None:
                arrays |= {f"{number}_mask_{name}": value for name, value in vars(hand.mask).items()}
            if hand.wrist_offset is not None:
                arrays[f"{number}_way"] = np.asarray([hand.wrist_offset.vector, hand.wrist_offset.spread], np.float64)
        write_cached(self._path(index), key, arrays)

    def read_look(self, index: int, key: str, again: bool = False) -> Look | None:
        """Return the cached look at a frame of a clip.

        Parameters
        ----------
        index : int
            Index of the frame.
        key : str
            Hash of everything that it depends on.
        again : bool
            Whether the second look is meant, at the places of a hand in other frames.

        Returns
        -------
        Look or None
            None if there is no undamaged entry with this key.
        """
        try:
            return unpack_look(read_cached(self._look_path(index, again), key))
        except NOT_CACHED:
            return None  # the frame is looked at again

    def write_look(self, index: int, key: str, look: Look, again: bool = False) -> None:
        """Store the look at a frame of a clip.

        Parameters
        ----------
        index : int
            Index of the frame.
        key : str
            Hash of everything that it depends on.
        look : Look
            The look.
        again : bool
            Whether it is the second look. The first one stays, as the second ones follow from all first ones.

        Raises
        ------
        TakeError
            The file cannot be written.
        """
        write_cached(self._look_path(index, again), key, pack_look(look))

    def finished_clip(self, key: str) -> list[int] | None:
        """Return the frames of a clip or sequence whose hands are all cached.

        Parameters
        ----------
        key : str
            Hash of everything that the detections depend on.

        Returns
        -------
        list of int or None
            Indices of the frames; None if the clip was not processed to its end with this key.
        """
        try:
            path = self._folder / "clip.json"
            data = parse_json(read_shared(path, expected=False, most_bytes=JSON_BYTES))
            frames = data["frames"]
            # Nothing else would tell that a damaged list lacks a frame.
            return list(frames) if data["key"] == key and data["check"] == digest(key, frames) else None
        except NOT_CACHED:
            return None

    def finish_clip(self, key: str, frames: Sequence[int]) -> None:
        """Record that a clip or sequence was processed to its end.

        Parameters
        ----------
        key : str
            Hash of everything that the detections depend on.
        frames : sequence of int
            Indices of the frames that it has.

        Raises
        ------
        TakeError
            The file cannot be written.
        """
        text = json.dumps({"key": key, "frames": list(frames), "check": digest(key, list(frames))})
        write_atomically(self._folder / "clip.json", text.encode())

    def _look_path(self, index: int, again: bool) -> Path:
        return self._folder / "looks" / f"{index:06d}{'_again' if again else ''}.npz"

    def _path(self, index: int) -> Path:
        return self._folder / "hands" / f"{index:06d}.npz"


def _detection(arrays: dict[str, np.ndarray], number: int) -> HandDetection:
    """Rebuild detection ``number`` from the arrays of a cache file."""
    side, source, note = (str(word) for word in arrays[f"{number}_words"])
    pixels, shape, confidence = (arrays[f"{number}_{name}"] for name in ("pixels", "shape", "confidence"))
    if side not in SIDES or pixels.shape != (KEYPOINT_COUNT, 2) or shape.shape != (KEYPOINT_COUNT, 3):
        raise ValueError(f"detection {number} is no hand")
    score, numbers_of_offset = float(arrays[f"{number}_score"][0]), arrays.get(f"{number}_way")
    wrist_offset = None if numbers_of_offset is None else WristOffset(numbers_of_offset[0], numbers_of_offset[1])
    lifted = None
    if f"{number}_lifted_shape" in arrays:
        parts = {f.name: arrays.get(f"{number}_lifted_{f.name}") for f in fields(LiftedHand)}
        numbers = {name: float(value) for name, value in parts.items() if value is not None and value.ndim == 0}
        lifted = LiftedHand(**{**parts, **numbers})  # type: ignore[arg-type]
    skin = None
    if f"{number}_skin_pixels" in arrays:
        skin = SkinLandmarks(*(arrays[f"{number}_skin_{f.name}"] for f in fields(SkinLandmarks)))
        sizes = [value.shape for value in (skin.pixels, skin.spread, skin.visible)]
        if sizes != [(SKIN_POINT_COUNT, 2), (SKIN_POINT_COUNT,), (SKIN_POINT_COUNT,)]:
            raise ValueError(f"detection {number} has no skin")
    mask = None
    if f"{number}_mask_chance" in arrays:
        mask = HandMask(*(arrays[f"{number}_mask_{f.name}"] for f in fields(HandMask)))
        if mask.chance.ndim != 2 or mask.chance.shape[0] != mask.chance.shape[1] or mask.to_map.shape != (2, 3):
            raise ValueError(f"detection {number} has no mask")
    return HandDetection(
        cast(Side, side), pixels, shape, confidence, score, source, wrist_offset, note, lifted, skin, mask
    )  # fmt: skip
