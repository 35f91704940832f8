"""Rows of tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def table_row(cells: Sequence[str]) -> str:
    """Write a row of a table; a vertical line in a cell, as names of methods may have, does not end the cell."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
