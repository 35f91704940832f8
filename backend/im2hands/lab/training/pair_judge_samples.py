"""Training samples of the pair judge: hypotheses of rendered scenes, their features and errors."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from im2hands.core.files import pack_arrays, write_atomically
from im2hands.core.hands import SIDES
from im2hands.keypoints.choosing.features import features
from im2hands.keypoints.choosing.judge import PairJudge
from im2hands.keypoints.looking import Readers
from im2hands.keypoints.proposing.mediapipe import MediaPipeProvider
from im2hands.keypoints.proposing.palms import PalmDetector
from im2hands.keypoints.proposing.two_hand_network import TwoHandReader
from im2hands.keypoints.reading.network import LandmarkNetwork
from im2hands.lab.datasets.scene import Scene
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.lab.evaluation.keypoints import camera_of, palm_pixels
from im2hands.media.source import Frame
from im2hands.networks.pair_judge import PairJudgeNetwork
from im2hands.weights.keypoint_networks import TWO_HAND

_log = logging.getLogger(__name__)

FAR = 9.0
"""Error of a hypothesis for a hand that is absent, and the largest error, palm lengths."""

_SHARD = 50  # scenes in each file of hypotheses


@dataclass(frozen=True)
class JudgedScene:
    """The N hypotheses of one scene, with their errors.

    Parameters
    ----------
    single : (N, 2, F) float
        Features of each hypothesis, taken for a left and for a right hand; see ``keypoints.choosing.features``.
    pairs : (N, N, G) float
        Features of each two hypotheses.
    error : (N, 2) float64
        Mean distance in the picture between the keypoints of a hypothesis and those of the true left and right hand,
        palm lengths, at most 9; 9 where that hand is absent.
    hands : int
        Number of hands in the scene.
    """

    single: np.ndarray
    pairs: np.ndarray
    error: np.ndarray
    hands: int

    def pair_error(self) -> np.ndarray:
        """Compute the error of every pair of hypotheses.

        Returns
        -------
        (N, N) float64
            The larger of two errors: of the first hypothesis as the left hand and the second as the right hand. The
            diagonal is 9.
        """
        made = np.maximum(self.error[:, 0, None], self.error[None, :, 1])
        np.fill_diagonal(made, FAR)
        return made


def judged_scene(scene: Scene, readers: Readers) -> JudgedScene:
    """Find the hypotheses of a scene and measure their errors.

    Parameters
    ----------
    scene : Scene
        The scene.
    readers : Readers
        The networks.

    Returns
    -------
    JudgedScene
        The hypotheses, their features and errors.
    """
    image, camera = scene.image(), camera_of(scene)
    seen = readers.see(Frame(1, 0.0, image, "scene"))
    single, pairs = features(seen.hypotheses, seen.picture, (image.shape[1], image.shape[0]))
    error = np.full((len(seen.hypotheses), 2), FAR)
    for k in range(len(SIDES)):
        if scene.present[k]:
            true = scene.keypoints[k].astype(np.float64)
            shown, palm = camera.project(true), palm_pixels(true, camera)
            for row, hand in enumerate(seen.hypotheses):
                gap = float(np.linalg.norm(hand.pixels - shown, axis=1).mean()) / palm
                error[row, k] = min(gap, FAR)
    return JudgedScene(single, pairs, error, int(scene.present.sum()))


def thinned(data: SceneSet, rows: Sequence[int], share: float) -> list[int]:
    """Leave out scenes with two hands, which are most of every set; the judge learns as much from the others.

    Parameters
    ----------
    data : SceneSet
        The scene set.
    rows : sequence of int
        Scenes of the set.
    share : float
        Share of the scenes with two hands that are kept, evenly spread, in [0, 1].

    Returns
    -------
    list of int
        The scenes that are kept, in order.
    """
    kept, passed = [], 0.0
    for row in rows:
        if data.scene(row).present.all():
            passed += share
            if passed < 1:
                continue
            passed -= 1
        kept.append(row)
    return kept


def gather(
    sets: Sequence[SceneSet], rows: Sequence[Sequence[int]], weights: Path, output: Path, workers: int | None = None
) -> list[JudgedScene]:
    """Find the hypotheses of many scenes and keep them in files, each of 50 scenes.

    Files that exist already are loaded, so an interrupted run continues where it stopped.

    Parameters
    ----------
    sets : sequence of SceneSet
        The scene sets.
    rows : sequence of sequence of int
        Scenes to read, in order, for each set.
    weights : Path
        Weights file of the two-hand network; the reading network is taken from beside it, else the bundled one.
    output : Path
        Folder of the files; made if it does not exist.
    workers : int, optional
        Threads of the reading network. None means one for each core.

    Returns
    -------
    list of JudgedScene
        One entry for each scene, in order.
    """
    output.mkdir(parents=True, exist_ok=True)
    readers = Readers(
        LandmarkNetwork.bundled(workers, weights),
        PairJudge(PairJudgeNetwork()),  # not asked
        tasks=MediaPipeProvider(),
        palms=TwoHandReader(TWO_HAND.load(weights)),
        detector=PalmDetector(),
    )
    made: list[JudgedScene] = []
    started, done = time.monotonic(), 0
    places = [(data, row) for data, chosen in zip(sets, rows, strict=True) for row in chosen]
    try:
        for first in range(0, len(places), _SHARD):
            part = places[first : first + _SHARD]
            name = f"{part[0][0].folder.name}_{part[0][1]:06d}_{part[-1][1]:06d}_{len(part)}.npz"
            if not (output / name).is_file():
                found = [judged_scene(data.scene(row), readers) for data, row in part]
                _write(output / name, found)
                done += len(part)
                rate = done / (time.monotonic() - started)
                left = (len(places) - first - len(part)) / rate / 60
                _log.warning("%d of %d scenes read, %.0f min left", first + len(part), len(places), left)
            made += _read(output / name)
    finally:
        readers.close()
    return made


def _write(path: Path, scenes: Sequence[JudgedScene]) -> None:
    parts = {f"{k}_{name}": np.asarray(value) for k, scene in enumerate(scenes) for name, value in vars(scene).items()}
    write_atomically(path, pack_arrays({"count": np.array(len(scenes)), **parts}))


def _read(path: Path) -> list[JudgedScene]:
    with np.load(path, allow_pickle=False) as data:
        return [
            JudgedScene(data[f"{k}_single"], data[f"{k}_pairs"], data[f"{k}_error"], int(data[f"{k}_hands"]))
            for k in range(int(data["count"]))
        ]
