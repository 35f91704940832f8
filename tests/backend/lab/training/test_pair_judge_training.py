"""Tests of the pair judge's training: worths, loss, missing features, choice of scenes, card, interruptions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from im2hands.app.cli.main import main
from im2hands.core.errors import InputError
from im2hands.core.files import sha256_of
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.lab.training import pair_judge
from im2hands.lab.training.pair_judge import measure, train, worths
from im2hands.lab.training.pair_judge_samples import JudgedScene, thinned
from im2hands.lab.training.sample_files import chosen_rows
from im2hands.networks.pair_judge import (
    MEASURED_BY,
    PAIR_FEATURES,
    SINGLE_FEATURES,
    Judgement,
    PairJudgeNetwork,
    judge_loss,
)
from im2hands.weights.folder import BUNDLED
from im2hands.weights.keypoint_networks import PAIR_JUDGE
from scene_pictures import make_set


def invented(rng: np.random.Generator, hands: int) -> JudgedScene:
    """A synthetic scene with three hypotheses for each of two places, one of them wrong; noisy features identify them.

    With one hand only the first place shows one, with none neither.
    """
    hand = np.repeat([0, 1], 3)
    good = np.tile([True, True, False], 2) & (hand < hands)
    error = np.full((6, 2), 9.0)
    error[np.arange(6), hand] = np.where(good, 0.1, np.where(hand < hands, 0.9, 9.0))
    single = rng.normal(0, 0.3, (6, 2, len(SINGLE_FEATURES)))
    single[..., 0] += good[:, None]
    single[np.arange(6), hand, 1] += 1
    pairs = rng.normal(0, 0.3, (6, 6, len(PAIR_FEATURES)))
    pairs = 0.5 * (pairs + pairs.swapaxes(0, 1))
    pairs[..., 0] += hand[:, None] != hand[None]
    place = 3.0 * hand + np.tile([0.0, 0.1, 0.9], 2)
    pairs[..., PAIR_FEATURES.index("keypoints_apart")] = abs(place[:, None] - place)
    return JudgedScene(single, pairs, error, hands)


def blind(scene: JudgedScene) -> JudgedScene:
    """The scene without the features of the networks that are not always run."""
    single, pairs = scene.single.copy(), scene.pairs.copy()
    for names in MEASURED_BY.values():
        single[..., [SINGLE_FEATURES.index(name) for name in names if name in SINGLE_FEATURES]] = np.nan
        pairs[..., [PAIR_FEATURES.index(name) for name in names if name in PAIR_FEATURES]] = np.nan
    return replace(scene, single=single, pairs=pairs)


def test_it_learns_which_hypotheses_are_the_hands() -> None:
    rng = np.random.default_rng(0)
    scenes = [invented(rng, (2, 2, 1, 2, 0)[k % 5]) for k in range(460)]
    network = train(scenes[:400], 300, seed=1)
    figures = measure(network, scenes[400:])
    assert figures["possible"] == 1 and figures["both"] > 0.9 and figures["auto"] > 0.8 and figures["invented"] < 0.2
    assert figures["error"] == pytest.approx(0.1, abs=0.01)
    # Features that were not measured are means: what is left of the evidence still decides.
    without = measure(network, [blind(scene) for scene in scenes[400:]])
    assert without["both"] > 0.85 and without["invented"] < 0.4
    short = [train(scenes[:100], 3, seed=1).state_dict() for _ in range(2)]
    assert all((short[0][name] == short[1][name]).all() for name in short[0])
    with pytest.raises(InputError, match="Too few"):
        train(scenes[:3], 10, seed=1)
    # A trained judge goes on from what it knows, with the normalisation that its weights were learned with.
    means = network.state_dict()["single_mean"].clone()
    further = train(scenes[:100], 3, seed=2, start=network)
    assert torch.equal(further.state_dict()["single_mean"], means) and not further.training
    assert measure(further, scenes[400:])["both"] > 0.9


def test_of_two_the_first_is_the_left_hand() -> None:
    single, pairs = np.zeros((3, 2, len(SINGLE_FEATURES))), np.zeros((3, 3, len(PAIR_FEATURES)))
    error = JudgedScene(single, pairs, np.array([[0.1, 0.8], [0.7, 0.2], [0.3, 0.9]]), 2).pair_error()
    assert error[0, 1] == 0.2 and error[1, 0] == 0.8 and error[0, 2] == 0.9 and error[0, 0] > 5


def test_worths_are_those_of_the_true_number_of_hands() -> None:
    error = torch.tensor([[[0.0, 9.0], [0.25, 0.4], [9.0, 0.5]]]).repeat(3, 1, 1)
    worth, nothing = worths(error, torch.tensor([2, 1, 0]))
    sure, near, far = 1.0, float(np.exp(-1.0)), float(np.exp(-(1.6**2)))
    pair = worth.pair[0]
    # The pair is worth what its worse hand is; from half a palm on a hand is worth nothing.
    assert pair[0].tolist() == pytest.approx([0.0, far, 0.0]) and pair[1].tolist() == pytest.approx([0.0, far, 0.0])
    assert not pair[2].any()
    assert worth.single[1].tolist() == [pytest.approx([sure, 0]), pytest.approx([near, far]), pytest.approx([0, 0])]
    assert not worth.single[[0, 2]].any() and not worth.pair[1:].any()
    assert nothing.tolist() == [0.0, 0.0, 1.0]


def judged(single: float, pair: float, count: int = 3) -> Judgement:
    """Scores that are the same for all hypotheses of one picture."""
    return Judgement(torch.full((1, count, 2), single), torch.full((1, count, count), pair))


def one_worth(value: float, left: int = 0, right: int = 1, count: int = 3) -> Judgement:
    """Only the pair of two hypotheses is worth something."""
    worth = judged(0.0, 0.0, count)
    worth.pair[0, left, right] = value
    return worth


ALL, NONE = torch.ones(1, 3, dtype=torch.bool), torch.zeros(1)


def test_the_loss_is_the_logarithm_of_the_expected_worth() -> None:
    made = judged(0.0, 0.0)
    # 1 + 6 + 6 answers are equally probable, and one of them is right.
    assert float(judge_loss(made, one_worth(1.0), NONE, ALL)) == pytest.approx(np.log(13))
    # What counts is the worth beside that of the best answer: coarse hypotheses cost nothing.
    assert float(judge_loss(made, one_worth(0.2), NONE, ALL)) == pytest.approx(np.log(13))
    two = one_worth(1.0)
    two.pair[0, 1, 0] = 0.5
    assert float(judge_loss(made, two, NONE, ALL)) == pytest.approx(np.log(13 / 1.5))
    made.pair[0, 0, 1] = 50.0
    assert float(judge_loss(made, one_worth(1.0), NONE, ALL)) == pytest.approx(0.0, abs=1e-6)
    # "No hand" has the score 0.
    assert float(judge_loss(judged(-50.0, -50.0), judged(0.0, 0.0), NONE + 1, ALL)) == pytest.approx(0.0, abs=1e-6)


def test_padding_and_scenes_without_a_right_answer_teach_nothing() -> None:
    there = torch.tensor([[True, True, False]])
    made = judged(0.0, 0.0)
    made.single[0, 2], made.pair[0, 2], made.pair[0, :, 2] = 99.0, 99.0, 99.0
    made.pair[0, 0, 0] = 99.0  # a hypothesis with itself is no answer
    assert float(judge_loss(made, one_worth(1.0), NONE, there)) == pytest.approx(np.log(7))
    assert float(judge_loss(made, one_worth(1.0, 0, 2), NONE, there)) == 0.0
    both = [torch.cat([a, b]) for a, b in zip(judged(0.0, 0.0), made, strict=True)]
    worth = [torch.cat([a, b]) for a, b in zip(one_worth(1.0), one_worth(1.0, 0, 2), strict=True)]
    loss = judge_loss(Judgement(*both), Judgement(*worth), torch.zeros(2), torch.cat([ALL, there]))
    assert float(loss) == pytest.approx(np.log(13))
    scores = judged(0.0, 0.0)
    for part in scores:
        part.requires_grad_()
    judge_loss(scores, one_worth(1.0), NONE, ALL).backward()
    assert scores.pair.grad is not None and torch.isfinite(scores.pair.grad).all()
    assert scores.pair.grad[0, 0, 1] < 0 < scores.pair.grad[0, 1, 0] and scores.pair.grad[0, 1, 1] == 0


def test_networks_are_left_out_whole_scenes_at_a_time() -> None:
    single, pairs = torch.zeros(400, 3, 2, len(SINGLE_FEATURES)), torch.zeros(400, 3, 3, len(PAIR_FEATURES))
    torch.manual_seed(0)
    seen, between = pair_judge._with_missing(single, pairs)
    assert not single.isnan().any() and not pairs.isnan().any()
    measured = {name for names in MEASURED_BY.values() for name in names}
    assert measured <= {*SINGLE_FEATURES, *PAIR_FEATURES}
    for features, names in ((seen, SINGLE_FEATURES), (between, PAIR_FEATURES)):
        missing = features.isnan()
        whole = missing.flatten(1, -2)
        assert (whole.all(dim=1) == whole.any(dim=1)).all()
        share = whole[:, 0].float().mean(dim=0)
        for column, name in enumerate(names):
            assert (0.05 < share[column] < 0.35) == (name in measured), name
    together = [seen[..., SINGLE_FEATURES.index(name)].isnan().any() for name in ("gap", "palm_hidden")]
    assert all(together)
    rows = seen[:, 0, 0, SINGLE_FEATURES.index("gap")].isnan()
    assert (rows == between[:, 0, 0, PAIR_FEATURES.index("covered")].isnan()).all()


def test_what_was_not_measured_counts_as_the_mean() -> None:
    torch.manual_seed(0)
    network = PairJudgeNetwork().eval()
    network.single_mean.uniform_(-1, 1)
    network.pairs_mean.uniform_(-1, 1)
    single, pairs = torch.rand(2, 4, 2, len(SINGLE_FEATURES)), torch.rand(2, 4, 4, len(PAIR_FEATURES))
    column, other = SINGLE_FEATURES.index("task"), PAIR_FEATURES.index("covered")
    mean, unknown = [single.clone(), pairs.clone()], [single.clone(), pairs.clone()]
    mean[0][..., column], mean[1][..., other] = network.single_mean[column], network.pairs_mean[other]
    unknown[0][..., column] = unknown[1][..., other] = torch.nan
    for a, b in zip(network(*mean), network(*unknown), strict=True):
        assert torch.isfinite(b).all() and torch.allclose(a, b)


def test_scenes_are_the_last_ones_or_a_range() -> None:
    assert chosen_rows(["30"], [100, 20]) == [range(70, 100), range(20)]
    assert chosen_rows(["10:40", "5"], [100, 20]) == [range(10, 40), range(15, 20)]
    for words in (["10:140"], ["x"], ["4:4"], ["-3:9"], ["1", "2", "3"]):
        with pytest.raises(InputError, match="--scenes"):
            chosen_rows(words, [100, 20])


def test_some_scenes_with_two_hands_are_left_out_and_no_others(tmp_path: Path) -> None:
    data = SceneSet(make_set(tmp_path / "set", 12, 0, single=True))
    two = [row for row in range(12) if data.scene(row).present.all()]
    others = [row for row in range(12) if row not in two]
    assert len(two) >= 4 and others
    assert thinned(data, range(12), 1.0) == list(range(12))
    assert thinned(data, range(12), 0.0) == others
    kept = thinned(data, range(12), 0.5)
    assert kept == sorted(kept) and set(others) <= set(kept) and len(kept) == len(others) + len(two) // 2
    command = ["train", "pair-judge", "--data", str(tmp_path / "set"), "--output", str(tmp_path / "run")]
    assert main([*command, "--two-hand-share", "1.5"]) == main([*command, "--two-hand-share", "1", "1"]) == 2


def test_the_command_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from im2hands.lab.training import pair_judge_samples

    monkeypatch.setattr(pair_judge_samples, "_SHARD", 4)
    monkeypatch.setattr(pair_judge, "train", lambda scenes, steps, seed, start: start or PairJudgeNetwork())
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
    assert [path.name for path in (tmp_path / "run" / "read").iterdir()] == ["set_000000_000003_4.npz"]
    assert main(command) == 0 and len(asked) == 8  # only the two scenes of the unfinished file are read again
    card = json.loads((tmp_path / "run" / "pair_judge.json").read_text())
    recipe = card["recipe"]
    assert (recipe["scenes"], recipe["rows"], recipe["steps"]) == (4, ["0:6"], 1500) and "missing" in recipe
    assert recipe["worth"] == {"width": 0.25, "none_from": 0.5} and recipe["two_hand_share"] == 0.5
    assert set(card["figures"]) == {"scenes", "both", "auto", "possible", "error", "invented"}
    assert card["data"]["set"]["scenes"] == 6 and len(card["sha256"]) == 64
    judge = PAIR_JUDGE.load(PAIR_JUDGE.beside(tmp_path / "run" / "two_hand_network.safetensors"))
    assert recipe["started_from"] is None
    assert main([*command, "--start-from", str(BUNDLED)]) == 0
    card = json.loads((tmp_path / "run" / "pair_judge.json").read_text())
    assert card["recipe"]["started_from"] == sha256_of(BUNDLED / PAIR_JUDGE.file)
    after = PAIR_JUDGE.load(tmp_path / "run" / PAIR_JUDGE.file)
    assert not torch.equal(after.state_dict()["single_mean"], judge.state_dict()["single_mean"])
    assert main([*command[:-1], "9"]) == 2
