"""The pages name files that exist, and speak of nothing outside the repository."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "benchmarks" / "RESULTS.md", *(ROOT / "docs").glob("*.md")])
PLACES = (ROOT, ROOT / "backend" / "im2hands", ROOT / "backend" / "im2hands" / "keypoints", ROOT / "im2hands_addon")
"""A path of a page is seen from one of these folders."""

_PATH = re.compile(r"`([\w./-]+/[\w.-]+\.(?:py|toml|md|json|safetensors|svg|glsl|sh))`")
_LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
_OWN_FILES = ("take.json", "frames/")
_MADE_BY_A_RUN = ("runs/", "sets/", "build/", "takes/", "tables/", "cache/")
SOURCES = sorted(
    path
    for folder in ("backend", "im2hands_addon", "benchmarks", "demo", "dev_tools")
    for path in (ROOT / folder).rglob("*.py")
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    missing = [
        name
        for name in _PATH.findall(text)
        if not name.startswith(_MADE_BY_A_RUN) and not any((place / name).exists() for place in PLACES)
        and not re.search(r"\b(NAME|X\.Y|NNNNNN|\d{6})\b", name)
    ]  # fmt: skip
    missing += [link for link in _LINK.findall(text) if not (page.parent / link).exists()]
    assert not missing


def test_named_tests_exist() -> None:
    """A page that names a test as ``file::name`` names one that is there."""
    found = [one for page in PAGES for one in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text("utf-8"))]
    assert found
    missing = [
        f"{file}::{name}"
        for file, name in found
        if not (ROOT / file).is_file() or f"def {name}(" not in (ROOT / file).read_text("utf-8")
    ]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_nothing_outside_is_cited(page: Path) -> None:
    text = page.read_text("utf-8")
    assert not re.findall(r"specification \d|\bspec(?:ification)? section|\.\./shared", text)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_docstrings_are_numpy_style(path: Path) -> None:
    """No section in Google style, and no citation of what is not here."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node) or ""
            found = re.findall(r"^(?:Args|Arguments|Returns|Raises|Yields|Attributes):", text, re.MULTILINE)
            assert not found, f"{path}: {getattr(node, 'name', 'module')}"
            assert "specification section" not in text and not re.search(r"\(specification [\d.]", text)
    assert ast.get_docstring(ast.parse(path.read_text("utf-8"))) or not path.read_text("utf-8").strip()
