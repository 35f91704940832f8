"""The manual in the extension: pages of ``docs`` as HTML, which F1 in Blender opens without a network.

Only what these pages use of Markdown is read: headings, paragraphs, lists, tables, code, pictures, links, bold text.
"""

from __future__ import annotations

import html
import re
import shutil
from pathlib import Path

from dev_tools.processes import ROOT

DOCS = ROOT / "docs"
PAGES = ("blender", "options", "take", "animation", "keypoint-sources")
"""The pages of ``docs`` that a person in Blender needs; links to others are dropped."""

_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse}td,th{border:1px solid #bbb;padding:.3em .6em;text-align:left;vertical-align:top}"
    "code,pre{background:#eee}pre{padding:.6em;overflow:auto}img{max-width:100%}"
)
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")


def write_manual(folder: Path) -> None:
    """Write all pages and their pictures.

    Parameters
    ----------
    folder : Path
        The folder for them; made if it does not exist.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in PAGES:
        text = (DOCS / f"{name}.md").read_text("utf-8")
        (folder / f"{name}.html").write_text(page(text), "utf-8")
        for _, target in _LINK.findall(text):
            if target.startswith("images/"):
                (folder / "images").mkdir(exist_ok=True)
                shutil.copy2(DOCS / target, folder / target)


def page(text: str) -> str:
    """Return a page as HTML.

    Parameters
    ----------
    text : str
        The page in Markdown.
    """
    title = next((line[2:] for line in text.splitlines() if line.startswith("# ")), "Im2Hands")
    head = f'<!doctype html><meta charset="utf-8"><title>{html.escape(title)}</title><style>{_STYLE}</style>'
    pieces = re.split(r"^```.*$", text, flags=re.MULTILINE)
    body = []
    for number, piece in enumerate(pieces):
        if number % 2:
            body.append(f"<pre>{html.escape(piece.strip())}</pre>")
        else:
            body += [_block(block) for block in re.split(r"\n\s*\n|\n(?=#)|(?<=\S)\n(?=[*|] )", piece) if block.strip()]
    return "\n".join([head, *_joined(body)]) + "\n"


def _block(block: str) -> str:
    """One heading, paragraph, row of a table or entry of a list."""
    block = block.strip("\n")
    heading = re.match(r"(#+) (.*)", block)
    if heading:
        level, words = len(heading[1]), heading[2]
        name = re.sub(r"[^\w-]", "", words.lower().replace(" ", "-"))
        return f'<h{level} id="{name}">{_inline(words)}</h{level}>'
    if block.startswith("|"):
        cells = [one.strip() for one in re.split(r"(?<!\\)\|", block.strip())[1:-1]]
        if all(re.fullmatch(r":?-+:?", one) for one in cells):
            return ""
        return "<tr>" + "".join(f"<td>{_inline(one)}</td>" for one in cells) + "</tr>"
    entry = re.match(r"(?:\*|\d+\.) (.*)", block, re.DOTALL)
    return f"<li>{_inline(entry[1])}</li>" if entry else f"<p>{_inline(block)}</p>"


def _joined(blocks: list[str]) -> list[str]:
    """Put rows into tables and entries into lists."""
    lines, inside = [], ""
    for block in filter(None, blocks):
        kind = {"<tr>": "table", "<li>": "ul"}.get(block[:4], "")
        if kind != inside:
            lines += [f"</{inside}>"] * bool(inside) + [f"<{kind}>"] * bool(kind)
            inside = kind
        lines.append(block)
    return lines + [f"</{inside}>"] * bool(inside)


def _inline(text: str) -> str:
    """Text with code, bold words, pictures and links."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(f"<code>{html.escape(one[1:-1])}</code>" if one[:1] == "`" else _words(one) for one in parts)


def _words(text: str) -> str:
    text = html.escape(text.replace("\\|", "|"), quote=False)
    text = re.sub(r"!\[([^\]]*)\]\(([^)\s]+)\)", r'<img src="\2" alt="\1">', text)
    text = _LINK.sub(lambda found: _link(found[1], found[2]), text)
    return re.sub(r"\*([^*\s][^*]*)\*", r"<i>\1</i>", re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", text))


def _link(words: str, target: str) -> str:
    place, _, part = target.partition("#")
    if "://" in target or not place:
        return f'<a href="{target}">{words}</a>'
    if place.removesuffix(".md") in PAGES:
        return f'<a href="{place.removesuffix(".md")}.html{"#" + part if part else ""}">{words}</a>'
    return words
