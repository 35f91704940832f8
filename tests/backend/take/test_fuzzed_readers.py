"""Every reader of files answers 500 mutants, of fixed seeds, or refuses them. More: tests/soak."""

from __future__ import annotations

from pathlib import Path

import pytest

from attacked_inputs import input_readers, prepare_inputs
from attacks import addon_readers, attack, backend_readers, prepare

MUTANTS = 500


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("attacked") / "take")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", backend_readers())
def test_backend(name: str, folder: Path) -> None:
    told = attack(backend_readers()[name], folder, 17, MUTANTS)
    assert sum(told.values()) == MUTANTS


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", addon_readers())
def test_addon(name: str, folder: Path) -> None:
    told = attack(addon_readers()[name], folder, 18, MUTANTS)
    assert told["refused"] > MUTANTS / 10


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_inputs(tmp_path_factory.mktemp("inputs") / "files")


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")
@pytest.mark.parametrize("name", input_readers())
def test_inputs(name: str, inputs: Path) -> None:
    told = attack(input_readers()[name], inputs, 19, MUTANTS)
    assert sum(told.values()) == MUTANTS
    assert name == "card" or told["refused"] > MUTANTS / 10
