"""The annotation of a prepared crop: ``anno/<index>.pkl`` in IntagHand's form, written and read without running it."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from im2hands.core.camera import is_rotation
from im2hands.core.errors import InputError
from im2hands.core.files import read_regular
from im2hands.core.hands import SIDES, Side
from im2hands.core.unpickling import plain_array, unpickle

from .raw import Sample, ViewCamera

_MOST_BYTES = 16 * 2**20
_PROTOCOL = 3  # older programs read it, and its names of functions end with a line feed
_FIT = {"R": (1, 3, 3), "pose": (1, 45), "shape": (1, 10), "trans": (1, 3)}


@dataclass(frozen=True)
class CropAnnotation:
    """What is known of a prepared crop.

    Parameters
    ----------
    sample : Sample
        Entries of the photo in the data file.
    fits : mapping of Side to dict of str to float32 arrays
        MANO parameters, world frame, metres: ``R`` (1, 3, 3) rotation matrix of the hand, ``pose`` (1, 45) principal
        components about the mean pose, ``shape`` (1, 10), ``trans`` (1, 3).
    camera : ViewCamera
        Camera of the crop of 256 x 256 pixels.
    """

    sample: Sample
    fits: Mapping[Side, Mapping[str, np.ndarray]]
    camera: ViewCamera

    def to_bytes(self, index: int) -> bytes:
        """Return the content of the file of crop ``index``."""
        camera = self.camera
        content = {
            "inter_idx": index,
            "image": self.sample.image,
            "annotation": self.sample.annotation,
            "mano_params": {
                side: {n: np.asarray(self.fits[side][n], np.float32).reshape(shape) for n, shape in _FIT.items()}
                for side in SIDES
            },
            "camera": {
                "R": camera.rotation.astype(np.float32),
                "t": camera.translation.astype(np.float32),
                "camera": camera.matrix.astype(np.float64),
            },
        }  # fmt: skip
        # NumPy 2 writes a module name that NumPy 1 does not know; both know the older one.
        return pickle.dumps(content, _PROTOCOL).replace(b"cnumpy._core.", b"cnumpy.core.")


def read_annotation(path: Path) -> CropAnnotation:
    """Read the annotation of a prepared crop, without running anything in it.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    CropAnnotation
        Its content.

    Raises
    ------
    InputError
        The file is missing, damaged, holds more than data, or is no annotation of a crop.
    """
    try:
        content = unpickle(read_regular(path, _MOST_BYTES))
        sample = Sample(dict(content["image"]), dict(content["annotation"]))
        for key in ("capture", "frame_idx"):
            sample.image[key]
        fits: dict[Side, dict[str, np.ndarray]] = {
            side: {name: _float32(content["mano_params"][side][name], shape) for name, shape in _FIT.items()}
            for side in SIDES
        }
        seen = content["camera"]
        camera = ViewCamera(
            plain_array(seen["R"], (3, 3)), plain_array(seen["t"], (3,)), plain_array(seen["camera"], (3, 3))
        )
        if not is_rotation(camera.rotation) or not (np.diag(camera.matrix) > 0).all():
            raise ValueError("its camera is damaged")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.", "Prepare the set again.") from error
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{path} is no annotation of a crop: {reason}.", "Prepare the set again.") from error
    return CropAnnotation(sample, fits, camera)


def _float32(value: Any, shape: tuple[int, ...]) -> np.ndarray:
    return plain_array(value, shape).astype(np.float32)
