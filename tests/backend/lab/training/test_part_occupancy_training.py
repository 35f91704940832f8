"""Tests of the part occupancy training: learning, exact resume, checkpoints without code."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from im2hands.core.errors import InputError
from im2hands.geometry.bones import bones_from_keypoints
from im2hands.lab.datasets.part_occupancy import make_points
from im2hands.lab.training.part_occupancy import train
from im2hands.lab.training.part_occupancy_trainer import Trainer, TrainingSettings
from im2hands.surfaces.occupancy_field import PartField
from im2hands.weights.folder import require_weights
from im2hands.weights.part_occupancy import load_part_occupancy

SMALL = TrainingSettings(steps=192, pool=8, pool_points=600, hands=4, points=128, skeletons=0.3, wide=0.5)


@pytest.fixture(scope="module")
def data():
    return make_points(SMALL.pool, SMALL.pool_points, 1)


@pytest.fixture(autouse=True)
def one_thread():
    """One thread makes the order of all sums reproducible."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _trainer(folder, data):
    folder.mkdir(exist_ok=True)
    return Trainer(SMALL, folder, data, torch.device("cpu"))


def test_the_loss_falls(tmp_path, data):
    trainer = _trainer(tmp_path, data)
    losses = [trainer.run_block() for _ in range(3)]
    assert losses[-1] < 0.75 * losses[0]


def test_a_resumed_run_is_the_uninterrupted_run(tmp_path, data):
    straight = _trainer(tmp_path / "a", data)
    for _ in range(3):
        straight.run_block()
    first = _trainer(tmp_path / "b", data)
    first.run_block()
    first.save()
    second = _trainer(tmp_path / "b", data)
    second.load()
    second.run_block()
    second.run_block()
    assert second.step == straight.step == 192
    for name, value in straight.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name


def test_other_settings_do_not_take_up_a_run(tmp_path, data):
    trainer = _trainer(tmp_path, data)
    trainer.save()
    other = Trainer(TrainingSettings(steps=64, pool=8, pool_points=600), tmp_path, data, torch.device("cpu"))
    with pytest.raises(InputError, match="other settings"):
        other.load()


def test_a_run_is_not_overwritten_by_accident(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"")
    with pytest.raises(InputError, match="--resume"):
        train(SMALL, tmp_path, torch.device("cpu"))


def test_a_checkpoint_with_code_in_it_is_refused(tmp_path, data):
    class Bomb:
        def __reduce__(self):
            return (np.save, (str(tmp_path / "exploded"), np.zeros(1)))

    with open(tmp_path / "checkpoint.pt", "wb") as handle:
        pickle.dump(Bomb(), handle)
    with pytest.raises(InputError, match="Cannot read"):
        _trainer(tmp_path, data).load()
    assert not (tmp_path / "exploded.npy").exists()


def test_a_folder_without_weights_is_refused_before_anything_is_labelled(tmp_path, monkeypatch, capsys):
    from im2hands.app.cli.main import main
    from im2hands.lab.training import part_occupancy

    monkeypatch.setattr(part_occupancy, "make_points", lambda *_: pytest.fail("labelled"))
    run = tmp_path / "run"
    assert main(["train", "part-occupancy", "--output", str(run), "--start-from", str(tmp_path)]) != 0
    assert "The weights part_occupancy are missing" in capsys.readouterr().err
    assert not run.exists()


def test_a_run_begins_with_the_function_of_the_weights_it_starts_from(tmp_path, data):
    decoder, _ = load_part_occupancy(require_weights("part_occupancy").path)
    trainer = _trainer(tmp_path, data)
    trainer.start_from(decoder)
    again = trainer.model.plain()
    bones = bones_from_keypoints(data.keypoints, ["right"] * len(data.keypoints))
    hands = torch.arange(len(data.keypoints)).repeat_interleave(60)
    found = [
        PartField(network, bones, data.keypoints, trainer.reach).logits(hands, data.points[:, ::10].flatten(0, 1))
        for network in (decoder, again)
    ]
    assert torch.allclose(*found, atol=1e-2)
