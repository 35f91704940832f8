"""A cache of finished crop searches, keyed by the picture's content; in memory and, if given, in a folder."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from im2hands.core.errors import TakeError
from im2hands.core.files import read_shared, write_atomically
from im2hands.core.hands import KEYPOINT_COUNT, SIDES
from im2hands.core.unpacking import unpack_arrays
from im2hands.keypoints.hypothesis import HandDetection

# Part of every key. Change it whenever the search changes, so that old results are not used.
SEARCH_VERSION = "crop-search-1"
_IN_MEMORY = 512
_LARGEST_ENTRY = 16 * 2**20  # bytes


class SearchCache:
    """Keeps the hands that a search found in a picture.

    A folder that cannot be written, or an entry that cannot be read, is not an error: the search runs again.

    Parameters
    ----------
    folder : Path or None
        Folder for the entries, ``<key>.npz``; made when needed. None keeps them in memory only.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._entries: OrderedDict[str, list[HandDetection]] = OrderedDict()

    def get(self, key: str) -> list[HandDetection] | None:
        """Return the result of a search.

        Parameters
        ----------
        key : str
            The search's key, from ``search_key``.

        Returns
        -------
        list[HandDetection] or None
            The hands found. None if the search was not done yet.
        """
        if key not in self._entries and self._folder is not None:
            try:
                path = self._folder / f"{key}.npz"
                self._remember(key, _unpack(read_shared(path, expected=False, most_bytes=_LARGEST_ENTRY)))
            except (OSError, ValueError, KeyError, IndexError, TypeError):
                return None
        return self._entries.get(key)

    def put(self, key: str, detections: Sequence[HandDetection]) -> None:
        """Store the result of a search.

        Parameters
        ----------
        key : str
            The search's key, from ``search_key``.
        detections : Sequence[HandDetection]
            The hands found.
        """
        self._remember(key, list(detections))
        if self._folder is None:
            return
        with contextlib.suppress(TakeError):  # it costs the search again, no more
            write_atomically(self._folder / f"{key}.npz", _pack(detections))

    def _remember(self, key: str, detections: list[HandDetection]) -> None:
        """Keep an entry in memory; the oldest entries are dropped."""
        self._entries[key] = detections
        while len(self._entries) > _IN_MEMORY:
            self._entries.popitem(last=False)


def search_key(image: np.ndarray, found: Sequence[HandDetection]) -> str:
    """Return the key of a search: a hash of the picture's content and of the known hands.

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB picture.
    found : Sequence[HandDetection]
        The hands known before the search.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    digest = hashlib.sha256(f"{SEARCH_VERSION} {image.shape} {image.dtype}".encode())
    digest.update(np.ascontiguousarray(image).data)
    for hand in found:
        digest.update(hand.side.encode() + np.asarray(hand.pixels, dtype=np.float64).tobytes())
    return digest.hexdigest()


def _pack(detections: Sequence[HandDetection]) -> bytes:
    """Write detections as the bytes of an npz file."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        side=np.array([SIDES.index(hand.side) for hand in detections], dtype=np.int64),
        pixels=np.array([hand.pixels for hand in detections]).reshape(-1, KEYPOINT_COUNT, 2),
        shape=np.array([hand.shape for hand in detections]).reshape(-1, KEYPOINT_COUNT, 3),
        confidence=np.array([hand.confidence for hand in detections]).reshape(-1, KEYPOINT_COUNT),
        score=np.array([hand.score for hand in detections], dtype=np.float64),
        source=np.array([hand.source for hand in detections], dtype=np.str_),
    )
    return buffer.getvalue()


def _unpack(content: bytes) -> list[HandDetection]:
    """Read detections from the bytes of an npz file."""
    arrays = unpack_arrays(content, _LARGEST_ENTRY)
    rows = zip(*(arrays[k] for k in ("side", "pixels", "shape", "confidence", "score", "source")), strict=True)
    return [HandDetection(SIDES[a], b, c, d, float(e), str(f)) for a, b, c, d, e, f in rows]
