"""Crops around both hands of photos, with the camera of the crop: the work of one worker on a few photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from im2hands.core.files import read_regular
from im2hands.core.hands import SIDES, Side
from im2hands.surfaces.hand_crop import CROP_SIZE, crop_affine

from .annotation import CropAnnotation
from .layout import write_ply
from .mano import load_mano
from .posed import Fit, PosedHand, annotation_fits, fit_error, pose_hands
from .raw import Sample, ViewCamera

DARKEST = 10.0
"""Smallest mean value of a photo that is kept."""

NO_PHOTO = "the photo is missing or damaged"
OTHER_SIZE = "the photo has another size than its annotation says"
DARK = f"the photo is dark: its mean is below {DARKEST:g}"
BAD_FIT = "the MANO parameters of a hand are damaged or not finite"
OUTSIDE = "a hand lies outside the photo or behind the camera"
BAD_JOINTS = "not all annotated keypoints are valid"
FAR = "the MANO fit is too far from the annotated keypoints"

_MOST_BYTES = 256 * 2**20  # of a photo


@dataclass(frozen=True)
class CropJob:
    """A photo to crop.

    Parameters
    ----------
    sample : Sample
        Its entries in the data file.
    photo : Path
        The picture file.
    camera : ViewCamera
        Its camera.
    fits : mapping of Side to Fit
        MANO parameters of both hands.
    annotated : mapping of Side to ((21, 3) float64, (21,) bool)
        Annotated keypoints, file order, world frame, metres, with their validity; may be empty.
    """

    sample: Sample
    photo: Path
    camera: ViewCamera
    fits: Mapping[Side, Fit]
    annotated: Mapping[Side, tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class CropSettings:
    """What decides which photos are kept, and which keypoints are true.

    Parameters
    ----------
    mano : Path
        Folder of MANO's files.
    joints : str
        "mano" or "annotated".
    max_fit_error_mm : float, optional
        Largest mean distance between MANO's and the annotated keypoints of a hand, millimetres; None for no limit.
    """

    mano: Path
    joints: str = "mano"
    max_fit_error_mm: float | None = None


@dataclass(frozen=True)
class Cropped:
    """What became of a photo.

    Parameters
    ----------
    reason : str
        Why it is left out; empty if it is kept.
    picture : bytes
        The crop as a JPEG file.
    annotation : CropAnnotation, optional
        Its annotation.
    keypoints : dict of Side to bytes
        The true keypoints of each hand as a ``.ply`` file.
    fit_mm : dict of Side to float
        Mean distance of MANO's keypoints to the valid annotated ones, millimetres, where there are any.
    """

    reason: str = ""
    picture: bytes = b""
    annotation: CropAnnotation | None = None
    keypoints: dict[Side, bytes] = field(default_factory=dict)
    fit_mm: dict[Side, float] = field(default_factory=dict)


def two_hand_crop(posed: Mapping[Side, PosedHand], camera: ViewCamera) -> tuple[np.ndarray, ViewCamera] | None:
    """Find the square crop around both hands' meshes, as IntagHand crops.

    Parameters
    ----------
    posed : mapping of Side to PosedHand
        Both hands.
    camera : ViewCamera
        Camera of the photo.

    Returns
    -------
    affine : (2, 3) float64
        Maps pixels of the photo to pixels of the crop.
    camera : ViewCamera
        Camera of the crop.
    Or None if a vertex lies behind the camera.
    """
    vertices = np.concatenate([posed[side].vertices for side in SIDES])
    if (camera.to_camera(vertices)[:, 2] <= 0).any():
        return None
    pixels = camera.project(vertices)
    affine = crop_affine(pixels.min(0), pixels.max(0))
    matrix = camera.matrix.copy()
    matrix[0, 0] *= affine[0, 0]
    matrix[1, 1] *= affine[1, 1]
    matrix[:2, 2] = affine[:, :2] @ camera.matrix[:2, 2] + affine[:, 2]
    return affine, ViewCamera(camera.rotation, camera.translation, matrix)


def crop_photos(settings: CropSettings, jobs: Sequence[CropJob]) -> list[Cropped]:
    """Crop photos, or say why they are left out; runs in a worker.

    Parameters
    ----------
    settings : CropSettings
        Limits, and the source of the true keypoints.
    jobs : sequence of CropJob
        The photos.

    Returns
    -------
    list of Cropped
        The result for each photo, in order.

    Raises
    ------
    InputError
        MANO's files cannot be used.
    """
    return [_crop(settings, job) for job in jobs]


def _crop(settings: CropSettings, job: CropJob) -> Cropped:
    image = read_photo(job.photo)
    if image is None:
        return Cropped(NO_PHOTO)
    height, width = image.shape[:2]
    wanted = tuple(job.sample.image.get(name, size) for name, size in (("width", width), ("height", height)))
    if wanted != (width, height):
        return Cropped(OTHER_SIZE)
    if image.mean() < DARKEST:
        return Cropped(DARK)
    mano = load_mano(settings.mano)
    try:
        posed = pose_hands(mano, job.fits)
    except ValueError:
        return Cropped(BAD_FIT)
    errors = {side: fit_error(posed[side], *found) for side, found in job.annotated.items()}
    fit_mm: dict[Side, float] = {side: error for side, error in errors.items() if error is not None}
    if settings.max_fit_error_mm is not None and max(fit_mm.values(), default=0.0) > settings.max_fit_error_mm:
        return Cropped(FAR)
    truth = {side: hand.keypoints for side, hand in posed.items()}
    if settings.joints == "annotated":
        if not all(side in job.annotated and job.annotated[side][1].all() for side in SIDES):
            return Cropped(BAD_JOINTS)
        truth = {side: found[0] for side, found in job.annotated.items()}
    found = two_hand_crop(posed, job.camera)
    if found is None or not all(_is_seen(job.camera.project(posed[s].vertices), width, height) for s in SIDES):
        return Cropped(OUTSIDE)
    affine, camera = found
    picture = cv2.warpAffine(image, affine, (CROP_SIZE, CROP_SIZE), flags=cv2.INTER_LINEAR)
    done, data = cv2.imencode(".jpg", picture)
    assert done
    return Cropped(
        "", data.tobytes(), CropAnnotation(job.sample, annotation_fits(mano, job.fits), camera),
        {side: write_ply(points) for side, points in truth.items()}, fit_mm,
    )  # fmt: skip


def read_photo(path: Path) -> np.ndarray | None:
    """Read a photo (H, W, 3) uint8, BGR; None if it is missing or damaged."""
    try:
        data = read_regular(path, _MOST_BYTES)
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except (OSError, cv2.error):
        return None


def _is_seen(pixels: np.ndarray, width: int, height: int) -> bool:
    """Whether any of the pixels (N, 2) lies in the photo."""
    return bool(((pixels > -0.5) & (pixels < (width - 0.5, height - 0.5))).all(1).any())
