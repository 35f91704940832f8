"""The RGB2Hands benchmark: four sequences of two interacting hands, with marked points on the skin.

``color_intrinsics.txt`` has one line ``fx fy cx cy``, ``extrinsics.txt`` the place of the colour camera's origin in the
depth camera's frame, millimetres: ``X_color = X_depth - extrinsics``. An annotation has 28 lines ``x y z flag``: 14
points of the right hand, then of the left. Each hand has the MCP and IP of the thumb, then MCP, PIP and DIP of index,
middle, ring and little finger. There are no tips and no wrist. A point that nobody marked is 0 0 0. That rows 0 to 13
are the right hand is inferred from how the fingers bend. The marks lie on the visible skin, not in the joints.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.errors import InputError
from im2hands.core.files import read_regular
from im2hands.core.hands import KEYPOINT_COUNT, Side

from .marked_photo import MarkedPhoto

SEQUENCES = ("seq01_crossed", "seq02_occlusion", "seq03_shuffle", "seq04_scratch")
KEYPOINTS = (2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18, 19)
"""Keypoints in file order that the 14 points of a hand mark."""

LICENCE = "RGB2Hands: see handtracker.mpi-inf.mpg.de/projects/RGB2Hands; nothing of it is part of this program."

_ROWS: dict[Side, slice] = {"right": slice(0, 14), "left": slice(14, 28)}
_SIZE = (640, 480)  # of the colour pictures, if there is no picture to ask
_AGAIN = "Download the benchmark again."


class Rgb2Hands:
    """The benchmark on disk.

    Parameters
    ----------
    root : Path
        Folder with the calibration files, or the folder above it.

    Attributes
    ----------
    sequences : dict of str to Path
        Folders of the sequences that are there.
    offset : (3,) float64
        ``extrinsics.txt``, metres.

    Raises
    ------
    InputError
        A calibration file is missing or damaged, or there is no sequence.
    """

    def __init__(self, root: Path) -> None:
        base = next((p for p in (root, root / "RGB2HANDS_Benchmark") if (p / "color_intrinsics.txt").is_file()), None)
        if base is None:
            raise InputError(
                f"{root} has no color_intrinsics.txt.", "Give the folder RGB2HANDS_Benchmark of the benchmark."
            )
        self._intrinsics = _numbers(base / "color_intrinsics.txt", 1, 4)[0]
        if (self._intrinsics[:2] <= 0).any():
            raise InputError(f"{base / 'color_intrinsics.txt'}: a focal length is not positive.", _AGAIN)
        offsets = base / "extrinsics.txt"
        self.offset = _numbers(offsets, 1, 3)[0] / 1000 if offsets.exists() else np.zeros(3)
        places = [place / name for place in (base / "data", base) for name in SEQUENCES]
        self.sequences = {place.name: place for place in reversed(places) if place.is_dir()}
        if not self.sequences:
            raise InputError(f"{base} has none of the sequences {', '.join(SEQUENCES)}.", _AGAIN)
        self.sequences = dict(sorted(self.sequences.items()))

    def photos(self, sequence: str) -> Iterator[MarkedPhoto]:
        """Yield the annotated photos of a sequence.

        Parameters
        ----------
        sequence : str
            Its name.

        Yields
        ------
        MarkedPhoto
            A photo with keypoints.

        Raises
        ------
        InputError
            The sequence has no annotation, a picture is missing, or an annotation is damaged.
        """
        folder = self.sequences[sequence]
        marks = {path.name[:6]: path for path in sorted((folder / "annotation" / "annot2D_color").glob("*.txt"))}
        depths = {path.name[:6]: path for path in sorted((folder / "annotation" / "annot3D_depth").glob("*.txt"))}
        if not marks and not depths:
            raise InputError(f"{folder} has no annotations.", "Unpack the annotations beside the pictures.")
        for number in sorted({*marks, *depths}):
            picture = folder / "color" / f"{number}_color.png"
            if not picture.is_file():
                raise InputError(f"The picture {picture} of an annotation is missing.", _AGAIN)
            camera = self.camera(picture)
            pixels = self._from_colour(marks[number]) if number in marks else self._from_depth(depths[number], camera)
            keypoints: dict[Side, np.ndarray] = {}
            for side, rows in _ROWS.items():
                keypoints[side] = np.full((KEYPOINT_COUNT, 2), np.nan)
                keypoints[side][list(KEYPOINTS)] = pixels[rows]
            yield MarkedPhoto(sequence, number, picture, camera, keypoints)

    def camera(self, picture: Path) -> Camera:
        """Return the colour camera for the size of a picture."""
        image = cv2.imread(str(picture), cv2.IMREAD_COLOR)
        width, height = _SIZE if image is None else (image.shape[1], image.shape[0])
        fx, fy, cx, cy = (float(value) for value in self._intrinsics)
        return Camera(fx, fy, cx, cy, width, height, "file")

    def depth(self, sequence: str, number: str) -> np.ndarray | None:
        """Read a depth picture (H, W) float64, metres, 0 where nothing was measured; None if there is none."""
        found = sorted((self.sequences[sequence] / "depth").glob(f"{number}*.png"))
        image = cv2.imread(str(found[0]), cv2.IMREAD_UNCHANGED) if found else None
        return None if image is None or image.ndim != 2 else image.astype(np.float64) / 1000

    def _from_colour(self, path: Path) -> np.ndarray:
        """Pixels (28, 2) of a 2D annotation."""
        rows = _numbers(path, 28, 4)
        return np.where(_marked(rows), rows[:, :2], np.nan)

    def _from_depth(self, path: Path, camera: Camera) -> np.ndarray:
        """Pixels (28, 2) of a 3D annotation in the depth camera's frame."""
        rows = _numbers(path, 28, 4)
        with np.errstate(divide="ignore", invalid="ignore"):
            pixels = camera.project(rows[:, :3] / 1000 - self.offset)
        return np.where(_marked(rows), pixels, np.nan)


def _marked(rows: np.ndarray) -> np.ndarray:
    return (rows[:, :3] != 0).any(axis=1, keepdims=True)


def _numbers(path: Path, rows: int, columns: int) -> np.ndarray:
    """The numbers of a text file, (rows, columns) float64."""
    try:
        lines = [line.split() for line in read_regular(path, 10**6).decode("ascii").splitlines() if line.strip()]
        array = np.array(lines, np.float64)
        if array.shape != (rows, columns):
            raise ValueError(f"it has the shape {array.shape}, not {(rows, columns)}")
        if not np.isfinite(array).all():
            raise ValueError("a number is not finite")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.", _AGAIN) from error
    except ValueError as error:
        raise InputError(f"{path} is damaged or half-written: {error}.", _AGAIN) from error
    return array
