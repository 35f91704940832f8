"""The page ``docs/options.md``, written from the table of options (standard library only)."""

from __future__ import annotations

import tomllib
from typing import Any

from dev_tools.extension import OPTIONS_TABLE
from dev_tools.processes import ROOT

OPTIONS_PAGE = ROOT / "docs" / "options.md"

_HEAD = """# Options of a reconstruction

The same options, defaults and limits hold everywhere: in the protocol (`options` of `reconstruct`), in
`im2hands reconstruct`, in `blender --command im2hands reconstruct`, in the Python API, and in the sidebar. On a command
line an option `voxel_mm` is `--voxel-mm`, and an option that is on or off is `--clean` or `--no-clean`.

Where a default names a quality, the option `quality` chooses that value unless the option itself is given.

This page is written from `backend/im2hands/core/options.toml` by `python dev.py docs`.

| option | value | default | what it does | in the sidebar |
| --- | --- | --- | --- | --- |
"""


def options_page() -> str:
    """Return the text of the page."""
    table = tomllib.loads(OPTIONS_TABLE.read_text("utf-8"))
    return _HEAD + "".join(f"{_row(name, option)}\n" for name, option in table.items())


def _row(name: str, option: dict[str, Any]) -> str:
    default = option.get("default")
    shown = "" if default is None else ("on" if default else "off") if option["type"] == "bool" else f"`{default}`"
    chosen = [f"{quality}: `{value}`" for quality, value in option.get("by_quality", {}).items()]
    shown = "<br>".join(filter(None, [shown, *chosen]))
    return f"| `{name}` | {_value(option)} | {shown} | {option['text']} | {option.get('label', '')} |"


def _value(option: dict[str, Any]) -> str:
    """The allowed values of an option, with limits and unit."""
    if option["type"] == "bool":
        return "on, off"
    choices = [f"`{value}`: {text}" for value, _, text in option.get("choices", [])]
    if choices:
        return "<br>".join([*choices, "a file"] if option["type"] == "choice_or_file" else choices)
    words = {"int": "whole number", "float": "number"}.get(option["type"], option["type"])
    limits = {(True, True): "{min:g} to {max:g}", (True, False): "{min:g} or more"}
    facts = [limits.get(("min" in option, "max" in option), "").format(**option), option.get("unit", "")]
    known = " ".join(fact for fact in facts if fact)
    return f"{words}, {known}" if known else words
