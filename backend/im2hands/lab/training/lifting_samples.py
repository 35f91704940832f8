"""Samples for the lifting network: what the reading network reads of rendered hands, beside the truth."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from im2hands.core.files import pack_arrays, write_atomically
from im2hands.core.hands import MIDDLE_MCP, SIDES, WRIST
from im2hands.keypoints.choosing.sides import palm_length
from im2hands.keypoints.hypothesis import HandDetection
from im2hands.keypoints.placing.lifting_features import between, lifting_features, turn_to_ray
from im2hands.keypoints.reading.consensus import read_repeatedly
from im2hands.keypoints.reading.network import LandmarkNetwork, crops_around
from im2hands.lab.datasets.scene import Scene
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.lab.evaluation.keypoints import FOUND, camera_of, palm_pixels
from im2hands.networks.reading_network import ReadingNetwork
from im2hands.networks.two_hand_network import TwoHandNetwork

_log = logging.getLogger(__name__)
_SHARD = 256
_LOOKS = 3  # of each hand; in use there are 5
# How far the crop from which a hand is read first lies beside the true one: shift (crop sizes), size, turn (radians).
_SHIFT, _SIZE, _TURN = 0.06, 0.12, 0.25
# How often a hand that MediaPipe's network reads steadily is taken so; in use: where MediaPipe finds it.
_THEIRS = 0.6


@dataclass(frozen=True)
class LiftingSamples:
    """What is told of N hands of scenes, and the truth; as right hands (see :mod:`..keypoints.lifting_features`).

    Args:
        points: (N, 21, 11). hand: (N, 9). vector: (N, 256). seen: (N, 21, 192). close: (N, 1152).
        partner: (N,) row of the other hand, -1 without one. between: (N, 3) to it: in the picture, own units; logarithm
            of its unit in own units.
        shape: (N, 21, 3) true shape from the wrist, palm lengths, as seen along the hand's own ray. places: (N, 21, 2)
            true places, as those of ``points``. depth: (N,) palm lengths from the wrist to the other hand's; NaN
            without one. scene: (N,) number of the scene.
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
    """The scene's hands as they are read near the true crops, missed ones left out.

    The network, told their sides, reads them, or MediaPipe's where that reads them steadily.
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
            looks.append(look)
        else:
            looks += read_repeatedly(network, image, network.read(image, crop).pixels, _LOOKS, side)
    made = []
    for k, seen, look in zip(present, true, looks, strict=True):
        palm = palm_pixels(scene.keypoints[k].astype(np.float64), camera)
        gap = float(np.linalg.norm(look.pixels - seen, axis=1).mean()) / palm
        if gap < FOUND and np.ptp(look.pixels, axis=0).max() > 4 and palm_length(look.pixels) > 0:
            hand = look.detection("palm_seed")
            made.append(HandDetection(SIDES[k], hand.pixels, hand.shape, hand.confidence, 1.0, "palm_seed"))
    return made


def scene_samples(
    model: TwoHandNetwork,
    reader: ReadingNetwork,
    network: LandmarkNetwork,
    scene: Scene,
    number: int,
    rng: np.random.Generator,
) -> list[dict[str, np.ndarray]]:
    """The samples of one scene, as entries of :class:`LiftingSamples`; ``partner`` counts from the first of them."""
    hands, camera = read_hands(network, scene, rng), camera_of(scene)
    told = lifting_features(model, reader, scene.image(), hands)
    made = []
    for k, (hand, features) in enumerate(zip(hands, told, strict=True)):
        true = scene.keypoints[SIDES.index(hand.side)].astype(np.float64)
        palm = float(np.linalg.norm(true[MIDDLE_MCP] - true[WRIST]))
        flip = np.array([-1.0 if features.mirrored else 1.0, 1.0, 1.0])
        pixels = camera.project(true)
        shape = (true - true[WRIST]) @ turn_to_ray(camera.unproject(pixels, 1.0).mean(axis=0)) / palm * flip
        other = told[1 - k] if len(told) == 2 else None
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
    reader: ReadingNetwork,
    network: LandmarkNetwork,
    output: Path,
    seed: int,
) -> list[Path]:
    """Read scenes of a set; shards of what is done stay in ``output``, so that an interrupted run goes on."""
    output.mkdir(parents=True, exist_ok=True)
    made, started, done = [], time.monotonic(), 0
    for first in range(rows.start, rows.stop, _SHARD):
        part = range(first, min(first + _SHARD, rows.stop))
        path = output / f"{data.folder.name}_{seed}_{first:06d}_{len(part)}.npz"
        made.append(path)
        if path.is_file():
            continue
        samples: list[dict[str, np.ndarray]] = []
        for row in part:
            rng = np.random.default_rng((seed, row))
            found = scene_samples(model, reader, network, data.scene(row), row, rng)
            for sample in found:
                if sample["partner"] >= 0:
                    sample["partner"] = sample["partner"] + len(samples)
            samples += found
        arrays = {f.name: np.stack([s[f.name] for s in samples]) for f in fields(LiftingSamples)} if samples else {}
        write_atomically(path, pack_arrays(arrays))
        done += len(part)
        rate = done / (time.monotonic() - started)
        _log.warning("%s: %d of %d scenes read, %.1f a second", data.folder.name, part.stop, rows.stop, rate)
    return made


def load_samples(paths: Sequence[Path]) -> LiftingSamples:
    """The samples of shards, one after the other."""
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
