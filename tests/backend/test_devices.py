"""Devices: the choice, and refusals in plain words."""

from __future__ import annotations

import pytest
import torch
from im2hands.devices import choose_device, list_devices, usable_cores
from im2hands.errors import EnvironmentError_, InputError


def test_the_processor_is_always_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto") == torch.device("cpu")
    last = list_devices()[-1]
    assert last.name == "cpu"
    assert f"{usable_cores()} core" in last.description


def test_devices_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for name in ("cuda", "cuda:1", "mps"):
        with pytest.raises(EnvironmentError_, match=f"The device {name} is not there") as caught:
            choose_device(name)
        assert caught.value.exit_code == 3
        assert "--device cpu" in caught.value.hint


def test_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto") == torch.device("cuda")
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(EnvironmentError_, match="counted from 0 to 1"):
        choose_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cpu:1", "", "cuda:-1"])
def test_names_that_mean_nothing(name: str) -> None:
    with pytest.raises(InputError, match="There is no device called"):
        choose_device(name)
