"""The table of options: the programs, the protocol and the documentation use every option that it declares."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from im2hands.app.cli.options import add_options
from im2hands.core import options
from im2hands.core.errors import InputError
from im2hands.core.options import OPTIONS, Option, check_options, options_dataclass, read_options
from im2hands.job.options import ReconstructOptions


class Settings:
    """A base class without checks."""


def test_an_option_is_one_edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of ``docs/contributing.md``: nine lines in the table, and every program knows the option."""
    table = tmp_path / "options.toml"
    added = """
[sharpness]
type = "float"
default = 0.2
min = 0.0
max = 1.0
label = "Sharpness"
text = "How much edges are kept"
commands = ["clean"]
"""
    table.write_text(options.TABLE_FILE.read_text("utf-8") + added, "utf-8")
    monkeypatch.setattr(options, "OPTIONS", read_options(table))
    made: Any = options_dataclass("Made", "clean", Settings)
    assert made().sharpness == 0.2 and made(sharpness=0.5).sharpness == 0.5
    for command in ("reconstruct", "clean"):
        parser = argparse.ArgumentParser()
        add_options(parser, command)
        assert parser.parse_args(["--sharpness", "0.7"]).sharpness == 0.7
        assert "How much edges are kept (0 to 1; default: 0.2)" in " ".join(parser.format_help().split())
    with pytest.raises(InputError, match="sharpness is 2, it must be 0 to 1"):
        check_options({"sharpness": 2.0})
    assert options.OPTIONS["sharpness"].typed(1) == 1.0


def test_the_table_is_sound() -> None:
    for option in OPTIONS.values():
        assert option.text and not option.text.endswith("."), option.name
        assert option.type.startswith("choice") == bool(option.choices), option.name
        assert not option.needs or OPTIONS[option.needs].type == "bool", option.name
        for value in option.by_quality.values():
            option.check(value)
            assert type(value) is option.python_type, option.name
        if option.default is not None:
            option.check(option.default)
            assert type(option.default) is option.python_type, option.name
    defaults = ReconstructOptions(("a",), "b")
    assert {name: getattr(defaults, name) for name in OPTIONS} == {name: one.default for name, one in OPTIONS.items()}


def test_a_misspelt_key_of_the_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "options.toml").write_text('[a]\ntype = "int"\ntext = "b"\nmaximum = 3\n')
    with pytest.raises(TypeError, match="maximum"):
        read_options(tmp_path / "options.toml")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"step": 0}, "step is 0, it must be 1 or more"),
        ({"voxel_mm": 0.3}, "voxel_mm is 0.3, it must be 0.4 to 10"),
        ({"fps": 0.05}, "fps is 0.05, it must be 0.1 to 1000"),
        ({"template_density": 3}, 'no template_density "3"'),
        ({"fov": 60.0, "focal_px": 900.0}, "focal_px and fov|fov and focal_px"),
        ({"gap": 1001}, "gap is 1001"),
    ],
)
def test_impossible_values(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_options(values)


def test_limits_of_one_side() -> None:
    assert Option("a", "int", "b", min=1).limits == "1 or more"
    assert Option("a", "float", "b").limits == ""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (None, 1.7, 1)),
        ({"quality": "draft"}, ("none", 1.7, 0)),
        ({"quality": "fine"}, (None, 1.2, 2)),
        ({"quality": "draft", "stage": "keypoints", "voxel_mm": 3.0}, ("keypoints", 3.0, 0)),
    ],
)
def test_quality_chooses_what_is_not_given(given: dict[str, Any], expected: tuple[Any, ...]) -> None:
    made = ReconstructOptions.from_request({"inputs": ["a"], "output": "b", "options": given})
    assert (made.stage, made.voxel_mm, made.template_density) == expected
    parser = argparse.ArgumentParser()
    add_options(parser, "reconstruct")
    arguments = [part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    parsed = ReconstructOptions(("a",), "b", **vars(parser.parse_args(arguments)))
    assert parsed == made
    with pytest.raises(InputError, match='There is no quality "best"'):
        ReconstructOptions(("a",), "b", quality="best")
