"""Tests of the pair judge training: learning, the choice of scenes, continuing after an interruption."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from im2hands.app.cli.main import main
from im2hands.core.errors import InputError
from im2hands.lab.training.pair_judge import chosen_rows, measure, train
from im2hands.lab.training.pair_judge_samples import JudgedScene
from im2hands.networks.pair_judge import PAIR_FEATURES, SINGLE_FEATURES, PairJudgeNetwork
from im2hands.weights.keypoint_networks import PAIR_JUDGE
from scene_pictures import make_set


def invented(rng: np.random.Generator, two: bool) -> JudgedScene:
    """A synthetic scene with three hypotheses for each hand, one of them wrong; noisy features identify them."""
    hand = np.repeat([0, 1], 3)
    good = np.tile([True, True, False], 2)
    if not two:
        hand[:] = 0
    error = np.full((6, 2), 9.0)
    error[np.arange(6), hand] = np.where(good, 0.1, 0.9)
    single = rng.normal(0, 0.3, (6, 2, len(SINGLE_FEATURES)))
    single[..., 0] += good[:, None]
    single[np.arange(6), hand, 1] += 1
    pairs = rng.normal(0, 0.3, (6, 6, len(PAIR_FEATURES)))
    pairs = 0.5 * (pairs + pairs.swapaxes(0, 1))
    pairs[..., 0] += hand[:, None] != hand[None]
    return JudgedScene(single, pairs, error, two)


def test_it_learns_which_two_are_two_hands() -> None:
    rng = np.random.default_rng(0)
    scenes = [invented(rng, k % 5 != 0) for k in range(150)]
    network = train(scenes[:100], 300, seed=1)
    figures = measure(network, scenes[100:])
    assert figures["possible"] == 1 and figures["both"] > 0.9 and figures["taken"] > 0.8 and figures["invented"] < 0.3
    assert figures["error"] == pytest.approx(0.1, abs=0.01) and figures["right"] > 0.9
    short = [train(scenes[:100], 3, seed=1).state_dict() for _ in range(2)]
    assert all((short[0][name] == short[1][name]).all() for name in short[0])
    with pytest.raises(InputError, match="Too few"):
        train(scenes[:3], 10, seed=1)


def test_of_two_the_first_is_the_left_hand() -> None:
    single, pairs = np.zeros((3, 2, len(SINGLE_FEATURES))), np.zeros((3, 3, len(PAIR_FEATURES)))
    error = JudgedScene(single, pairs, np.array([[0.1, 0.8], [0.7, 0.2], [0.3, 0.9]]), True).pair_error()
    assert error[0, 1] == 0.2 and error[1, 0] == 0.8 and error[0, 2] == 0.9 and error[0, 0] > 5


def test_scenes_are_the_last_ones_or_a_range() -> None:
    assert chosen_rows(["30"], [100, 20]) == [range(70, 100), range(20)]
    assert chosen_rows(["10:40", "5"], [100, 20]) == [range(10, 40), range(15, 20)]
    for words in (["10:140"], ["x"], ["4:4"], ["-3:9"], ["1", "2", "3"]):
        with pytest.raises(InputError, match="--scenes"):
            chosen_rows(words, [100, 20])


def test_the_command_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from im2hands.lab.training import pair_judge, pair_judge_samples

    monkeypatch.setattr(pair_judge_samples, "_SHARD", 4)
    monkeypatch.setattr(pair_judge, "train", lambda scenes, steps, seed: PairJudgeNetwork())
    scenes = make_set(tmp_path / "set", 6, 0, single=True)
    asked: list[int] = []
    first = pair_judge_samples.judged_scene

    def failing(*arguments: object) -> JudgedScene:
        asked.append(1)
        if len(asked) == 6:
            raise KeyboardInterrupt
        return first(*arguments)  # type: ignore[arg-type]

    command = ["train", "pair-judge", "--data", str(scenes), "--output", str(tmp_path / "run"), "--held-out", "2"]
    monkeypatch.setattr(pair_judge_samples, "judged_scene", failing)
    assert main(command) == 130
    assert [path.name for path in (tmp_path / "run" / "read").iterdir()] == ["set_000000_4.npz"]
    assert main(command) == 0 and len(asked) == 8  # only the two scenes of the unfinished file are read again
    card = json.loads((tmp_path / "run" / "pair_judge.json").read_text())
    assert card["recipe"]["scenes"] == 4
    figures = {"scenes", "both", "possible", "error", "taken", "right", "invented"}
    assert set(card["figures"]) == figures
    PAIR_JUDGE.load(PAIR_JUDGE.beside(tmp_path / "run" / "two_hand_network.safetensors"))
    assert main([*command[:-1], "9"]) == 2
