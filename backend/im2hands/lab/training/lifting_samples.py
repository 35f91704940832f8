"""Training samples of the lifting network: readings of rendered hands with the true keypoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from im2hands.core.hands import MIDDLE_MCP, SIDES, WRIST
from im2hands.keypoints.hand_geometry import palm_length
from im2hands.keypoints.hypothesis import HandDetection
from im2hands.keypoints.placing.lifting_features import between, lifting_features, turn_to_ray
from im2hands.keypoints.reading.consensus import read_repeatedly
from im2hands.keypoints.reading.crops import crops_around
from im2hands.keypoints.reading.network import LandmarkNetwork
from im2hands.lab.datasets.scene import Scene
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.lab.evaluation.keypoints import FOUND, camera_of, palm_pixels
from im2hands.networks.two_hand_network import TwoHandNetwork

from .sample_files import gather_files

_LOOKS = 3  # crops in which each hand is read; fewer than in a reconstruction, to save time
# Errors of the first crop of a hand, standard deviations: shift (crop sizes), logarithm of the size, turn (radians).
_SHIFT, _SIZE, _TURN = 0.06, 0.12, 0.25
# Probability that a hand takes the reading of MediaPipe's network, where that is steady. A reconstruction takes it
# wherever it is steady (``keypoints.reading.final``), which is the rule on photographs and the exception on renderings:
# the lifting network must know both readings of clearly visible hands.
_THEIRS = 0.6


@dataclass(frozen=True)
class LiftingSamples:
    """Input of the lifting network for N hands, with their targets.

    All hands are stored as right hands: left hands are mirrored. Lengths in the picture are in the hand's unit, the
    root mean square distance of its keypoints from their mean; see ``keypoints.placing.lifting_features``.

    Parameters
    ----------
    points : (N, 21, 11) float
        Features of each keypoint; see ``networks.lifting_network.POINT_FEATURES``.
    hand : (N, 9) float
        Features of the hand; see ``networks.lifting_network.HAND_FEATURES``.
    vector : (N, 256) float
        Embedding of the two-hand network along the palm.
    seen : (N, 21, 192) float
        Feature maps of the two-hand network at the keypoints.
    close : (N, 1152) float
        Features of the reading network in a crop along the hand.
    partner : (N,) int64
        Row of the person's other hand, -1 without one.
    between : (N, 3) float
        Offset to the partner in the picture (2, in the hand's unit), and the logarithm of the ratio of the partner's
        unit to the hand's.
    shape : (N, 21, 3) float
        True shape from the wrist, palm lengths; the third axis is the viewing ray of the hand.
    places : (N, 21, 2) float
        True keypoints in the picture, in the hand's unit, relative to the mean of the keypoints that were read.
    depth : (N,) float
        True depth from the wrist to the partner's wrist, palm lengths; NaN without a partner.
    scene : (N,) int64
        Number of the scene.
    """

    points: np.ndarray
    hand: np.ndarray
    vector: np.ndarray
    seen: np.ndarray
    close: np.ndarray
    partner: np.ndarray
    between: np.ndarray
    shape: np.ndarray
    places: np.ndarray
    depth: np.ndarray
    scene: np.ndarray

    def __len__(self) -> int:
        return len(self.partner)


def read_hands(network: LandmarkNetwork, scene: Scene, rng: np.random.Generator) -> list[HandDetection]:
    """Read a scene's hands in crops near the true ones.

    The network gets the side of each hand. In ``_THEIRS`` of the cases MediaPipe's network is read first, and its
    reading is taken if it is steady, as for the chosen hands of a photo in a reconstruction.

    Parameters
    ----------
    network : LandmarkNetwork
        Reads the crops.
    scene : Scene
        The scene.
    rng : numpy.random.Generator
        Draws the crops.

    Returns
    -------
    list of HandDetection
        Readings of the present hands in the order left, right; hands whose keypoints are wrong by half a palm length or
        more on average are left out.
    """
    image, camera = scene.image(), camera_of(scene)
    present = [k for k in range(2) if scene.present[k]]
    if not present:
        return []
    true = np.stack([camera.project(scene.keypoints[k].astype(np.float64)) for k in present])
    crops = crops_around(true)
    crops[:, :2] += rng.normal(0, _SHIFT, (len(crops), 2)) * crops[:, 2:3]
    crops[:, 2] *= np.exp(rng.normal(0, _SIZE, len(crops)))
    crops[:, 3] += rng.normal(0, _TURN, len(crops))
    looks = []
    for k, crop in zip(present, crops, strict=True):
        side = 1 if SIDES[k] == "right" else -1
        theirs = rng.random() < _THEIRS
        if theirs:
            plain = network.mediapipe()
            look = read_repeatedly(plain, image, plain.read(image, crop).pixels, _LOOKS)[0]
        if theirs and look.steady:
            looks.append((look, plain.source))
        else:
            look = read_repeatedly(network, image, network.read(image, crop).pixels, _LOOKS, side)[0]
            looks.append((look, network.source))
    made = []
    for k, seen, (look, source) in zip(present, true, looks, strict=True):
        palm = palm_pixels(scene.keypoints[k].astype(np.float64), camera)
        gap = float(np.linalg.norm(look.pixels - seen, axis=1).mean()) / palm
        if gap < FOUND and np.ptp(look.pixels, axis=0).max() > 4 and palm_length(look.pixels) > 0:
            made.append(replace(look.detection(source), side=SIDES[k], score=1.0))
    return made


def scene_samples(
    model: TwoHandNetwork,
    network: LandmarkNetwork,
    scene: Scene,
    number: int,
    rng: np.random.Generator,
) -> list[dict[str, np.ndarray]]:
    """Make the samples of one scene.

    Parameters
    ----------
    model : TwoHandNetwork
        The two-hand network.
    network : LandmarkNetwork
        Reads the crops, and is a source of features.
    scene : Scene
        The scene.
    number : int
        Its number in the set.
    rng : numpy.random.Generator
        Draws the crops.

    Returns
    -------
    list of dict of str to ndarray
        One entry for each hand that was read: the fields of :class:`LiftingSamples` without their first axis.
        ``partner`` is an index into this list.
    """
    hands, camera = read_hands(network, scene, rng), camera_of(scene)
    all_features = lifting_features(model, network, scene.image(), hands)
    made = []
    for k, (hand, features) in enumerate(zip(hands, all_features, strict=True)):
        true = scene.keypoints[SIDES.index(hand.side)].astype(np.float64)
        palm = float(np.linalg.norm(true[MIDDLE_MCP] - true[WRIST]))
        flip = np.array([-1.0 if features.mirrored else 1.0, 1.0, 1.0])
        pixels = camera.project(true)
        shape = (true - true[WRIST]) @ turn_to_ray(camera.unproject(pixels, 1.0).mean(axis=0)) / palm * flip
        other = all_features[1 - k] if len(all_features) == 2 else None
        wrists = scene.keypoints[:, WRIST, 2].astype(np.float64)
        here = SIDES.index(hand.side)
        made.append(
            {
                "points": features.points.astype(np.float16), "hand": features.hand.astype(np.float16),
                "vector": features.vector.astype(np.float16), "seen": features.seen.astype(np.float16),
                "close": features.close.astype(np.float16),
                "partner": np.int64(1 - k if other is not None else -1),
                "between": between(features, other).astype(np.float32), "shape": shape.astype(np.float32),
                "places": ((pixels - features.centre) / features.unit * flip[:2]).astype(np.float32),
                "depth": np.float32((wrists[1 - here] - wrists[here]) / palm if other is not None else np.nan),
                "scene": np.int64(number),
            }
        )  # fmt: skip
    return made


def gather(
    data: SceneSet,
    rows: range,
    model: TwoHandNetwork,
    network: LandmarkNetwork,
    output: Path,
    seed: int,
) -> list[Path]:
    """Make the samples of some scenes of a set and store them in files; see ``gather_files``.

    Parameters
    ----------
    data : SceneSet
        The scene set.
    rows : range
        Scenes to read.
    model : TwoHandNetwork
        The two-hand network.
    network : LandmarkNetwork
        Reads the crops.
    output : Path
        Folder of the files; made if it does not exist.
    seed : int
        Seed of the crops, part of the file names. Another seed reads the same scenes in other crops.

    Returns
    -------
    list of Path
        The files, in the order of the scenes.
    """

    def read(part: range) -> dict[str, np.ndarray]:
        samples: list[dict[str, np.ndarray]] = []
        for row in part:
            rng = np.random.default_rng((seed, row))
            found = scene_samples(model, network, data.scene(row), row, rng)
            for sample in found:
                if sample["partner"] >= 0:
                    sample["partner"] = sample["partner"] + len(samples)
            samples += found
        return {f.name: np.stack([s[f.name] for s in samples]) for f in fields(LiftingSamples)} if samples else {}

    return gather_files(data, rows, output, seed, read)


def load_samples(paths: Sequence[Path]) -> LiftingSamples:
    """Load and join the samples of files that :func:`gather` wrote."""
    parts: dict[str, list[np.ndarray]] = {f.name: [] for f in fields(LiftingSamples)}
    count = 0
    for path in paths:
        with np.load(path, allow_pickle=False) as data:
            if not data.files:
                continue
            for name, values in parts.items():
                value = data[name]
                if name == "partner":
                    value = np.where(value >= 0, value + count, -1)
                values.append(value)
            count += len(data["partner"])
    return LiftingSamples(**{name: np.concatenate(values) for name, values in parts.items()})
