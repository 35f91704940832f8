"""Every command of the program that a page names can be given as it stands there."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest

from im2hands.app.cli.lab import TASKS, task_parser
from im2hands.app.cli.main import build_parser

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted([ROOT / "README.md", ROOT / "benchmarks" / "RESULTS.md", *(ROOT / "docs").glob("*.md")])
STANDS_FOR = {"HANDS": "auto", "OPTIONS": "", "NETWORK": "part-occupancy", "NAME": "auto"}
"""Words of the pages that stand for a value with few choices."""

_INLINE = re.compile(r"`(im2hands [^`]+)`")
_LINE = re.compile(r"^(im2hands .*)$", re.MULTILINE)


def commands_of(page: Path) -> list[str]:
    """The commands of a page, but those that leave something out."""
    text = page.read_text("utf-8").replace("\\\n", " ")
    found = [*_INLINE.findall(text), *_LINE.findall(text)]
    return sorted({command for command in found if "…" not in command})


COMMANDS = [pytest.param(command, id=f"{page.stem}: {command}") for page in PAGES for command in commands_of(page)]


class Refused(Exception):
    """What argparse would end the program with."""


def _lenient(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Let a parser take commands that give only some of their arguments, as a sentence does."""

    def refuse(message: str) -> None:
        raise Refused(message)

    parser.error = refuse  # type: ignore[assignment]
    for action in parser._actions:
        if action.option_strings:
            action.required = False
            action.nargs = "?" if action.nargs is None else action.nargs
        elif isinstance(action, argparse._SubParsersAction):
            action.required = False
            for own in action.choices.values():
                _lenient(own)
        else:
            action.nargs = "*" if action.nargs in ("+", "*") else "?"
            action.required = False
    return parser


@pytest.mark.parametrize("command", COMMANDS)
def test_a_documented_command_is_understood(command: str) -> None:
    words = [STANDS_FOR.get(word, word) for word in shlex.split(command, comments=True)[1:]]
    words = [word for word in words if word]
    if "--help" in words:
        words.remove("--help")
    parser, words = (task_parser(words[0]), words[1:]) if words[:1] and words[0] in TASKS else (build_parser(), words)
    _lenient(parser).parse_args(words)


def test_pages_have_commands() -> None:
    assert len(COMMANDS) > 100


@pytest.mark.parametrize("command", ["im2hands clean take --smothing 1", "im2hands train pair-judge --sets x y"])
def test_a_wrong_option_is_refused(command: str) -> None:
    with pytest.raises(Refused, match="unrecognized"):
        test_a_documented_command_is_understood(command)
