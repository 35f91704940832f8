"""The journal of a growing take: constant cost per frame, complete at any moment, gone at the end."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from im2hands.core import files
from im2hands.core.errors import TakeError
from im2hands.take import journal as take_journal
from im2hands.take import take
from im2hands.take.journal import JOURNAL_FILE, TakeJournal
from im2hands.take.record import FrameRecord
from im2hands.take.take import Take

CAMERA = {"fx": 9.0, "fy": 9.0, "cx": 3.5, "cy": 3.5, "width": 8, "height": 8, "origin": "user"}
HEADER = {"source": {}, "fps": 25.0, "image_size": [8, 8], "camera": CAMERA, "settings": {}, "provenance": {}}


def record(index: int, message: str = "No hand was found.") -> FrameRecord:
    return FrameRecord(index, "empty", message=message, key="0123456789abcdef" * 2, extra={"time": index / 25})


def begin(folder: Path, count: int) -> Take:
    """Make a take of ``count`` frames, the last of which are in its journal."""
    taken = Take.create(folder, HEADER)
    for index in range(1, count + 1):
        taken.write_frame(record(index), None)
    return taken


def test_every_frame_is_there_at_once_for_both_readers(tmp_path: Path, addon_reader: types.ModuleType) -> None:
    taken = Take.create(tmp_path, HEADER)
    rewritten = set()
    for index in (2, 1, *range(3, 40)):
        taken.write_frame(record(index), None)
        rewritten.add((tmp_path / "take.json").read_bytes())
        assert Take.open(tmp_path).records.keys() == taken.records.keys()
        assert addon_reader.read_take(tmp_path).records.keys() == taken.records.keys()
    assert len(rewritten) < 10
    taken.write_frame(record(3, "Seen again."), None)
    assert Take.open(tmp_path).records[3].message == "Seen again."
    assert addon_reader.read_take(tmp_path).records[3].message == "Seen again."


def test_a_finished_take_has_no_journal_and_the_same_bytes(tmp_path: Path) -> None:
    begin(tmp_path / "grown", 30).finish()
    whole = Take.create(tmp_path / "whole", HEADER)
    whole.records = {index: record(index) for index in range(1, 31)}
    whole.save()
    assert (tmp_path / "grown/take.json").read_bytes() == (tmp_path / "whole/take.json").read_bytes()
    assert not (tmp_path / "grown" / JOURNAL_FILE).exists()


def test_a_frame_late_in_a_take_costs_what_an_early_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    write = files._write_synced

    def counted(handle: Any, data: bytes) -> None:
        written.append(len(data))
        write(handle, data)

    monkeypatch.setattr(files, "_write_synced", counted)
    monkeypatch.setattr(files.os, "fsync", lambda handle: None)
    taken = Take.create(tmp_path, HEADER)
    total = [0]
    for index in range(1, 5001):
        written.clear()
        taken.write_frame(record(index), None)
        total.append(total[-1] + sum(written))
    early = (total[100] - total[0]) / 100
    late = (total[5000] - total[2500]) / 2500
    assert late < 2 * early
    assert total[5000] < 5 * (tmp_path / "take.json").stat().st_size + 5 * taken._journal.size


def test_killed_in_the_middle_of_a_line(tmp_path: Path, addon_reader: types.ModuleType) -> None:
    begin(tmp_path / "whole", 12).finish()
    taken = begin(tmp_path / "cut", 11)
    journal = tmp_path / "cut" / JOURNAL_FILE
    content = journal.read_bytes()
    kept = taken.records.keys() - {entry["index"] for entry in TakeJournal(tmp_path / "cut").follow(
        (tmp_path / "cut/take.json").read_bytes(), content)}  # fmt: skip
    assert 0 < len(kept) < 9
    for size in range(len(content) + 1):
        journal.write_bytes(content[:size])
        lines = content[:size].count(b"\n")
        expected = [*sorted(kept), *range(len(kept) + 1, len(kept) + max(lines, 1))]
        again = Take.open(tmp_path / "cut")
        assert list(again.records) == expected
        assert list(addon_reader.read_take(tmp_path / "cut").records) == expected
    journal.write_bytes(content[:-20])
    again = Take.open(tmp_path / "cut")
    for index in (11, 12):
        again.write_frame(record(index), None)
    assert len(Take.open(tmp_path / "cut").records) == 12
    again.finish()
    assert (tmp_path / "cut/take.json").read_bytes() == (tmp_path / "whole/take.json").read_bytes()


def test_a_failed_append_leaves_the_lines_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = begin(tmp_path, 3)

    def half(handle: Any, data: bytes) -> None:
        handle.write(data[:10])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "_write_synced", half)
        with pytest.raises(TakeError, match=r"frames\.jsonl: No space left"):
            taken.write_frame(record(4), None)
    assert list(Take.open(tmp_path).records) == [1, 2, 3]
    taken.write_frame(record(5), None)
    assert 5 in Take.open(tmp_path).records


def test_a_journal_that_is_left_over_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, addon_reader: types.ModuleType
) -> None:
    taken = begin(tmp_path, 12)
    content = (tmp_path / JOURNAL_FILE).read_bytes()
    taken.records[12].message = "Cleaned."
    with monkeypatch.context() as patch:  # killed after take.json was written
        patch.setattr(TakeJournal, "delete", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            taken.save()
    assert (tmp_path / JOURNAL_FILE).read_bytes() == content
    assert Take.open(tmp_path).records[12].message == "Cleaned."
    assert addon_reader.read_take(tmp_path).records[12].message == "Cleaned."
    again = Take.open(tmp_path)
    again.write_frame(record(13), None)
    assert Take.open(tmp_path).records[12].message == "Cleaned."
    assert 13 in Take.open(tmp_path).records
    again.finish()
    (tmp_path / JOURNAL_FILE).write_bytes(content)
    Take.open(tmp_path).finish()
    assert not (tmp_path / JOURNAL_FILE).exists()


def test_a_take_that_is_begun_anew_forgets_the_old_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, addon_reader: types.ModuleType
) -> None:
    taken = Take.create(tmp_path, HEADER)
    taken.write_frame(record(1), None)
    with monkeypatch.context() as patch:  # killed before take.json is written anew, with the same bytes
        patch.setattr(Take, "save", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            Take.create(tmp_path, HEADER)
    assert Take.open(tmp_path).records == {}
    assert addon_reader.read_take(tmp_path).records == {}


def test_no_frame_is_missed_while_the_journal_goes_into_take_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, addon_reader: types.ModuleType
) -> None:
    for name, module in (("backend", take), ("add-on", sys.modules["im2hands_addon.take.files"])):
        taken = begin(tmp_path / name, 12)
        original = module.read_shared

        seen: list[str] = []

        def read(
            path: Path, taken: Take = taken, original: Any = original, seen: list[str] = seen, **more: Any
        ) -> bytes:
            if seen:  # between the reading of the journal and of take.json
                taken.save()
                taken.write_frame(record(13), None)
            seen.append(path.name)
            return original(path, **more)

        monkeypatch.setattr(module, "read_shared", read)
        if name == "backend":
            monkeypatch.setattr(take_journal, "read_shared", read)
        found = (Take.open if name == "backend" else addon_reader.read_take)(tmp_path / name)
        assert sorted(seen) == ["frames.jsonl", "take.json"]
        assert set(range(1, 13)) <= found.records.keys()


def test_a_damaged_line_is_told_of(tmp_path: Path, addon_reader: types.ModuleType) -> None:
    begin(tmp_path, 12)
    path = tmp_path / JOURNAL_FILE
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"{nonsense\n", *lines[1:]]))
    with pytest.raises(TakeError, match=r"line 2 of frames\.jsonl"):
        Take.open(tmp_path)
    with pytest.raises(sys.modules["im2hands_addon.errors"].TakeError, match=r"line 2 of frames\.jsonl"):
        addon_reader.read_take(tmp_path)


def test_takes_without_a_journal_stay_readable(tmp_path: Path) -> None:
    Take.create(tmp_path, HEADER).finish()
    (tmp_path / JOURNAL_FILE).write_text("something else\n")
    assert Take.open(tmp_path).records == {}
