"""Tests of the part occupancy training: learning, exact resume, checkpoints without code."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from im2hands.core.errors import InputError
from im2hands.lab.datasets.part_occupancy import make_points
from im2hands.lab.training.part_occupancy import Trainer, TrainingSettings, train

SMALL = TrainingSettings(steps=192, pool=8, pool_points=600, hands=4, points=128)


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


def test_a_folder_without_a_training_is_refused_before_anything_is_labelled(tmp_path, monkeypatch):
    from im2hands.lab.training import part_occupancy

    monkeypatch.setattr(part_occupancy, "make_points", lambda *_: pytest.fail("labelled"))
    with pytest.raises(InputError, match=r"holds no checkpoint\.pt"):
        train(SMALL, tmp_path / "run", torch.device("cpu"), start_from=tmp_path)
    assert not (tmp_path / "run").exists()
