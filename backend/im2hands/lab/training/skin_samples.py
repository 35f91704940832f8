"""Training samples of the reading network's head for the skin: features of crops along hands, with their points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from im2hands.core.files import pack_arrays, write_atomically
from im2hands.keypoints.reading.crops import CROP_PIXELS, pyramid, to_crop, warp_crop
from im2hands.keypoints.reading.network import LandmarkNetwork
from im2hands.lab.datasets.scene import Scene, decode_picture, encode_picture
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.lab.datasets.skin_labels import SkinLabeller
from im2hands.lab.evaluation.keypoints import camera_of

from .reading_samples import coarse, hands_in_picture
from .sample_files import gather_files
from .two_hand_samples import spoil

# Errors of the crops, standard deviations: shift (crop sizes), logarithm of the size, turn (radians). Those of crops
# along keypoints that were read, and a little more.
_SHIFT, _SIZE, _TURN = 0.04, 0.10, 0.15
_QUALITY = 98  # of the crops in the files, JPEG
_LABELS = ("pixels", "visible", "palm", "keypoints")
_FEWEST = 8
"""Visible points of a hand that a sample needs."""


@dataclass(frozen=True)
class SkinSamples:
    """N hands as right hands: left hands are mirrored.

    Parameters
    ----------
    close : (N, 1152) float16
        Features of the crop.
    pixels : (N, 128, 2) float32
        Points on the skin, pixels of the crop; NaN for points behind the camera.
    visible : (N, 128) bool
        Whether the picture shows them.
    palm : (N,) float32
        Palm length, pixels of the crop.
    keypoints : (N, 21, 2) float32
        True keypoints in the reading network's joint definitions, pixels of the crop.
    """

    close: np.ndarray
    pixels: np.ndarray
    visible: np.ndarray
    palm: np.ndarray
    keypoints: np.ndarray

    def __len__(self) -> int:
        return len(self.palm)

    def take(self, rows: np.ndarray) -> SkinSamples:
        """Return the hands of some rows."""
        return SkinSamples(*(value[rows] for value in vars(self).values()))


def scene_crops(
    labeller: SkinLabeller, scene: Scene, rng: np.random.Generator, plain: bool = False
) -> list[tuple[np.ndarray, ...]]:
    """Cut out the hands of a scene that can be seen.

    Parameters
    ----------
    labeller : SkinLabeller
        Labels the points.
    scene : Scene
        The scene.
    rng : numpy.random.Generator
        Draws the crops.
    plain : bool
        Whether to leave out augmentation.

    Returns
    -------
    list of tuple of ndarray
        For each hand the crop (224, 224, 3) uint8, and the fields of :class:`SkinSamples` after the first.
    """
    image, hands = scene.image(), hands_in_picture(scene)
    labels = labeller.label(scene, camera_of(scene))
    made: list[tuple[np.ndarray, ...]] = []
    for row, k in enumerate(np.flatnonzero(scene.present)):
        crop = hands.crops[row].copy()
        crop[:2] += rng.normal(0, _SHIFT, 2) * crop[2]
        crop[2] *= np.exp(rng.normal(0, _SIZE))
        crop[3] += rng.normal(0, _TURN)
        if labels.visible[k].sum() < _FEWEST:
            continue
        picture = warp_crop(pyramid(image, float(crop[2])), crop)
        pixels, keypoints = (to_crop(points, crop) for points in (labels.pixels[k], hands.pixels[row]))
        if not hands.right[row]:
            picture = picture[:, ::-1]
            pixels, keypoints = (points * (-1, 1) + (CROP_PIXELS, 0) for points in (pixels, keypoints))
        if not plain:
            picture = spoil(coarse(np.ascontiguousarray(picture), rng), rng)
        palm = np.asarray(hands.palm[row] * CROP_PIXELS / crop[2], np.float32)
        made.append((picture, pixels.astype(np.float32), labels.visible[k], palm, keypoints.astype(np.float32)))
    return made


def gather(data: SceneSet, rows: range, labeller: SkinLabeller, folder: Path, seed: int, plain: bool) -> list[Path]:
    """Cut out the hands of some scenes of a set and store crops and points in files; see ``gather_files``.

    They depend on no network.

    Parameters
    ----------
    data : SceneSet
        The scene set.
    rows : range
        Its scenes.
    labeller : SkinLabeller
        Labels the points.
    folder : Path
        Folder of the files; made if it does not exist.
    seed : int
        Seed of the crops. Another seed sees the same scenes in other crops.
    plain : bool
        Whether to leave out augmentation.

    Returns
    -------
    list of Path
        The files, in the order of the scenes.
    """

    def cut(part: range) -> dict[str, np.ndarray]:
        found = [
            hand
            for row in part
            for hand in scene_crops(labeller, data.scene(row), np.random.default_rng((seed, row)), plain)
        ]
        pictures = [encode_picture(np.ascontiguousarray(hand[0]), _QUALITY) for hand in found]
        arrays: dict[str, np.ndarray] = {
            "picture": np.frombuffer(b"".join(pictures), np.uint8),
            "picture_end": np.cumsum([len(picture) for picture in pictures], dtype=np.int64),
        }
        if found:
            arrays |= {name: np.stack([hand[k] for hand in found]) for k, name in enumerate(_LABELS, 1)}
        return arrays

    return gather_files(data, rows, folder, seed, cut)


def see(network: LandmarkNetwork, paths: Sequence[Path], folder: Path) -> SkinSamples:
    """Compute the features of crops, store them in files, and join all samples.

    Parameters
    ----------
    network : LandmarkNetwork
        The reading network.
    paths : sequence of Path
        The files that :func:`gather` wrote.
    folder : Path
        Folder of the features of this network; made if it does not exist. Files that exist already are kept.

    Returns
    -------
    SkinSamples
        The samples of all files, in order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts: dict[str, list[np.ndarray]] = {field.name: [] for field in fields(SkinSamples)}
    for path in paths:
        with np.load(path, allow_pickle=False) as data:
            end = data["picture_end"]
            if not len(end):
                continue
            if not (folder / path.name).is_file():
                pictures = np.stack([decode_picture(file.tobytes()) for file in np.split(data["picture"], end[:-1])])
                close = network.features(pictures).astype(np.float16)
                write_atomically(folder / path.name, pack_arrays({"close": close}))
            with np.load(folder / path.name, allow_pickle=False) as seen:
                parts["close"].append(seen["close"])
            for name in _LABELS:
                parts[name].append(data[name])
    return SkinSamples(**{name: np.concatenate(values) if values else np.empty(0) for name, values in parts.items()})
