"""The file of a person's corrections: what it may say, and what is refused, each with a clear error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from im2hands.core.errors import InputError, TakeError
from im2hands.take.edits import EDITS_FILE, Edits

DRAG = {"id": "a", "kind": "keypoints", "frame": 4, "side": "left", "points": {"index_tip": [50, 40, 0.01]}}


def document(*edits: Any, **others: Any) -> dict[str, Any]:
    return {"format": "im2hands-edits", "version": 1, "edits": list(edits), **others}


def test_a_document_comes_back_as_it_was() -> None:
    edits = [
        DRAG | {"points": {"index_tip": [50.0, 40.0, 0.01]}},
        {"id": "b", "kind": "box", "frame": 5, "side": "right", "box": [1.0, 2.0, 30.0, 40.0]},
        {"id": "c", "kind": "absent", "frames": [6, 9], "side": "right"},
        {"id": "d", "kind": "swap", "frames": [1, 3]},
        {"id": "e", "kind": "pin", "frame": 4, "side": "left"},
    ]
    read = Edits.from_dict(document(*edits))
    assert read.to_dict() == document(*edits)
    assert [edit.id for edit in read.of_frame(4)] == ["a", "e"]
    assert read.changes_hands(2)
    assert not Edits.from_dict(document(edits[-1])).changes_hands(4)
    unnamed = Edits.from_dict(document({k: v for k, v in DRAG.items() if k != "id"}))
    assert [edit.id for edit in unnamed] == ["edit-1"]


def test_marks_follow_the_order() -> None:
    swap, pin = {"id": "s", "kind": "swap", "frames": [3, 5]}, {"id": "p", "kind": "pin", "frame": 4, "side": "left"}
    assert Edits.from_dict(document(pin, swap)).marks(4).pinned == {"right"}
    assert Edits.from_dict(document(swap, pin)).marks(4).pinned == {"left"}
    gone = {"id": "g", "kind": "absent", "frame": 4, "side": "left"}
    marks = Edits.from_dict(document(pin, gone)).marks(4)
    assert (marks.absent, marks.pinned, marks.trusted) == ({"left"}, set(), set())
    box = {"id": "x", "kind": "box", "frame": 4, "side": "left", "box": [1, 1, 9, 9]}
    assert Edits.from_dict(document(gone, box, DRAG)).marks(4).trusted == {"left"}
    assert not Edits.from_dict(document(DRAG)).marks(5)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "no edits of Im2Hands"),
        ({"edits": []}, "no edits of Im2Hands"),
        (document() | {"version": 2}, "version 2"),
        (document() | {"version": True}, "version True"),
        (document() | {"edits": {}}, "no list of edits"),
        (document(7), "Edit 1 of file.json is no object"),
        (document(DRAG, DRAG), 'two edits named "a"'),
        (document(DRAG | {"id": ""}), "no short text"),
        (document(DRAG | {"id": "x\n"}), "no short text"),
        (document(DRAG | {"kind": "drag"}), "kind 'drag'"),
        (document(DRAG | {"kind": ["pin"]}), "kind"),
        (document(DRAG | {"side": "both"}), "side 'both'"),
        (document(DRAG | {"frame": -1}), "no frame number"),
        (document(DRAG | {"frame": 4.5}), "no frame number"),
        (document(DRAG | {"frame": 10**9}), "no frame number"),
        (document({"id": "a", "kind": "swap"}), "no frame number"),
        (document({"id": "a", "kind": "swap", "frames": [5, 3]}), "run backwards"),
        (document({"id": "a", "kind": "swap", "frames": [3, 5], "side": "left"}), "names a side"),
        (document({**DRAG, "frames": [4, 5]}), "several frames"),
        (document(DRAG | {"points": {}}), "no points"),
        (document(DRAG | {"points": {"8": [1, 2]}}), "keypoint '8'"),
        (document(DRAG | {"points": {"index_tip": [1]}}), "no place"),
        (document(DRAG | {"points": {"index_tip": ["1", 2]}}), "no place"),
        (document(DRAG | {"points": {"index_tip": [1e7, 2]}}), "no place"),
        (document(DRAG | {"points": {"index_tip": [1, 2, 5.0]}}), "5 m away"),
        (document({"id": "a", "kind": "box", "frame": 4, "side": "left"}), "no box"),
        (document({"id": "a", "kind": "box", "frame": 4, "side": "left", "box": [9, 9, 1, 1]}), "no area"),
        (document({"id": "g", "kind": "absent", "frames": [1, 9], "side": "left"}, DRAG), "takes away"),
        (document({"id": "g", "kind": "absent", "frames": [1, 9], "side": "right"},
                  {"id": "s", "kind": "swap", "frames": [4, 6]}, DRAG), "takes away"),
        (document({"id": "g", "kind": "absent", "frame": 9, "side": "left"},
                  {"id": "p", "kind": "pin", "frames": [1, 20], "side": "left"}), "left hand of frame 9"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_told(content: Any, said: str, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"[Ee]dit|version") as caught:
        Edits.read(path)
    assert said in caught.value.message
    assert caught.value.hint


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        Edits.read(tmp_path / "none.json")
    (tmp_path / EDITS_FILE).write_text('{"edits": [NaN')
    with pytest.raises(InputError, match="not JSON"):
        Edits.read(tmp_path / EDITS_FILE)
    with pytest.raises(TakeError, match="Cannot read") as caught:
        Edits.of_take(tmp_path)
    assert "delete that file" in caught.value.hint
    (tmp_path / EDITS_FILE).write_text(json.dumps(document(DRAG | {"side": 1})))
    with pytest.raises(TakeError, match="has the side"):
        Edits.of_take(tmp_path)
    Edits().write(tmp_path)
    assert not (tmp_path / EDITS_FILE).exists()
    assert len(Edits.of_take(tmp_path)) == 0
