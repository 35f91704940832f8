"""EgoHands: pictures of head-mounted cameras with outlines of the hands of two people.

``_LABELLED_SAMPLES`` has a folder for each video, with 100 pictures and ``polygons.mat``: a struct array with the
fields ``myleft``, ``myright``, ``yourleft`` and ``yourright``, whose rows belong to the pictures in the order of their
names. ``metadata.mat`` holds the same outlines for all videos; it is read where a ``polygons.mat`` is missing. Outlines
are x, y of the whole picture, counted from 1; a hand that is not there is empty.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from im2hands.core.errors import InputError, SetupError
from im2hands.core.files import read_regular
from im2hands.core.hands import Side

from .marked_photo import MarkedPhoto

OWN: dict[Side, str] = {"left": "myleft", "right": "myright"}
"""Fields of the hands of the person who wears the camera."""

LICENCE = "EgoHands: no licence text; cite Bambach et al., ICCV 2015. Nothing of it is part of this program."

_FIELDS = ("myleft", "myright", "yourleft", "yourright")
_SAMPLES = "_LABELLED_SAMPLES"
_MOST_BYTES = 512 * 2**20
_LEAST_CORNERS = 3
_AGAIN = "Download EgoHands again."


class EgoHands:
    """The set on disk.

    Parameters
    ----------
    root : Path
        Folder ``egohands_data``, or the folder above it.

    Attributes
    ----------
    sequences : dict of str to Path
        Folders of the videos by name, for example CARDS_COURTYARD_B_T.

    Raises
    ------
    InputError
        There is no labelled video.
    """

    def __init__(self, root: Path) -> None:
        base = next((p for p in (root, root / "egohands_data") if (p / _SAMPLES).is_dir()), None)
        if base is None:
            raise InputError(f"{root} has no folder {_SAMPLES}.", "Give the folder egohands_data.")
        self.base = base
        self.sequences = {path.name: path for path in sorted((base / _SAMPLES).iterdir()) if path.is_dir()}
        if not self.sequences:
            raise InputError(f"{base / _SAMPLES} has no videos.", _AGAIN)

    def photos(self, sequence: str) -> Iterator[MarkedPhoto]:
        """Yield the photos of a video that show an own hand of the person with the camera.

        Parameters
        ----------
        sequence : str
            Its name.

        Yields
        ------
        MarkedPhoto
            A photo with the outlines of the own hands that are there.

        Raises
        ------
        InputError
            The outlines are missing or damaged, or do not fit the pictures.
        SetupError
            SciPy is not installed.
        """
        folder = self.sequences[sequence]
        pictures = sorted(folder.glob("frame_*.jpg"))
        path = folder / "polygons.mat"
        if path.is_file():
            rows = read_polygons(load_mat(path), str(path))
        else:
            metadata = self.base / "metadata.mat"
            rows = read_metadata(load_mat(metadata), sequence, str(metadata))
        if len(rows) != len(pictures):
            raise InputError(f"{folder} has {len(pictures)} pictures, but outlines for {len(rows)}.", _AGAIN)
        for picture, row in zip(pictures, rows, strict=True):
            own = {side: row[name] for side, name in OWN.items() if len(row[name])}
            if own:
                yield MarkedPhoto(sequence, picture.stem, picture, None, {}, own)


def load_mat(path: Path, *, squeeze: bool = False) -> dict[str, Any]:
    """Read a MATLAB file.

    Parameters
    ----------
    path : Path
        The file.
    squeeze : bool
        Whether axes of length 1 are left out; both forms can be read by the functions below.

    Returns
    -------
    dict of str to Any
        Its variables.

    Raises
    ------
    InputError
        The file is missing or damaged.
    SetupError
        SciPy is not installed.
    """
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise SetupError("EgoHands' outlines need SciPy.", "pip install scipy") from error
    try:
        data = read_regular(path, _MOST_BYTES)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.", _AGAIN) from error
    try:
        content: dict[str, Any] = loadmat(io.BytesIO(data), squeeze_me=squeeze)
    except Exception as error:  # damage makes the reader raise nearly everything
        raise InputError(f"{path} is damaged: {str(error)[:200]}.", _AGAIN) from error
    return content


def read_polygons(content: Mapping[str, Any], name: str) -> list[dict[str, np.ndarray]]:
    """Read the outlines of a video.

    Parameters
    ----------
    content : mapping of str to Any
        Content of ``polygons.mat``, squeezed or not.
    name : str
        The file's name, for messages.

    Returns
    -------
    list of dict of str to (N, 2) float64
        For each picture, the outline of each hand, pixels counted from 0; empty for a hand that is not there.

    Raises
    ------
    InputError
        The content has another form.
    """
    return _rows(content.get("polygons"), name)


def read_metadata(content: Mapping[str, Any], video: str, name: str) -> list[dict[str, np.ndarray]]:
    """Read the outlines of a video from ``metadata.mat``; see :func:`read_polygons`."""
    table: Any = np.atleast_1d(np.asarray(content.get("video"))).reshape(-1)
    for row in table:
        if _has(row, "video_id") and str(_inner(row["video_id"])) == video:
            return _rows(row["labelled_frames"], name)
    raise InputError(f"{name} has no video {video}.", _AGAIN)


def _rows(table: Any, name: str) -> list[dict[str, np.ndarray]]:
    rows: Any = np.atleast_1d(_inner(table)).reshape(-1) if table is not None else np.zeros(0)
    if not len(rows) or not all(_has(row, field) for row in rows for field in _FIELDS):
        raise InputError(f"{name} has no outlines {', '.join(_FIELDS)}.", _AGAIN)
    return [{field: _outline(row[field], name) for field in _FIELDS} for row in rows]


def _has(row: Any, field: str) -> bool:
    names = getattr(getattr(row, "dtype", None), "names", None)
    return names is not None and field in names


def _inner(value: Any) -> Any:
    """The value without the arrays of one object that SciPy wraps around it."""
    while isinstance(value, np.ndarray) and value.size == 1 and (value.dtype == object or value.dtype.kind == "U"):
        value = value.reshape(-1)[0]
    return value


def _outline(value: Any, name: str) -> np.ndarray:
    value = np.asarray(_inner(value))
    if value.size == 0:
        return np.zeros((0, 2))
    if value.dtype.kind not in "iuf" or value.size % 2 or value.shape[-1] != 2 or not np.isfinite(value).all():
        raise InputError(f"{name} has an outline that is no list of x, y.", _AGAIN)
    points = value.reshape(-1, 2).astype(np.float64) - 1.0
    return points if len(points) >= _LEAST_CORNERS else np.zeros((0, 2))
