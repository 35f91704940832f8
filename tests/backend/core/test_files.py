"""Files that other programs have open, and several writers of one file."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from im2hands.core import files
from im2hands.core.errors import TakeError
from im2hands.core.files import read_shared, write_atomically


def in_use(times: int, original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``original`` so that its first ``times`` calls fail, as on Windows while a file is open elsewhere."""
    left = [times]

    def call(*arguments: Any) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise PermissionError(13, "Access is denied")
        return original(*arguments)

    return call


def test_replacing_waits_for_a_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "take.json"
    path.write_bytes(b"old")
    monkeypatch.setattr(Path, "replace", in_use(4, Path.replace))
    write_atomically(path, b"new")
    assert [one.name for one in tmp_path.iterdir()] == ["take.json"]
    assert path.read_bytes() == b"new"


def test_a_file_that_stays_in_use_is_told_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "take.json"
    path.write_bytes(b"old")
    monkeypatch.setattr(files, "WRITE_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(Path, "replace", in_use(10**9, Path.replace))
    with pytest.raises(TakeError, match=r"Cannot write .*take\.json: Access is denied") as caught:
        write_atomically(path, b"new")
    assert "have it open" in caught.value.hint
    assert [one.name for one in tmp_path.iterdir()] == ["take.json"]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("error", [PermissionError, FileNotFoundError])
def test_reading_waits_for_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[OSError]) -> None:
    path = tmp_path / "take.json"
    path.write_bytes(b"whole")
    left = [3]

    def read(self: Path, original: Callable[[Path], bytes] = Path.read_bytes) -> bytes:
        left[0] -= 1
        if left[0] >= 0:
            raise error(13, "busy")
        return original(self)

    monkeypatch.setattr(Path, "read_bytes", read)
    assert read_shared(path) == b"whole"
    left[0] = 10**9
    with pytest.raises(error):
        read_shared(path)


def test_two_threads_write_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "take.json"
    contents = [bytes([65 + number]) * 20000 * (number + 1) for number in range(2)]
    both_wrote = threading.Barrier(2, timeout=10)
    problems: list[BaseException] = []
    original = files.os.fsync

    def fsync(handle: int) -> None:
        original(handle)
        both_wrote.wait()  # neither renames before both have written

    def write(data: bytes) -> None:
        try:
            write_atomically(path, data)
        except BaseException as error:
            problems.append(error)

    monkeypatch.setattr(files.os, "fsync", fsync)
    threads = [threading.Thread(target=write, args=(data,)) for data in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert path.read_bytes() in contents
    assert [one.name for one in tmp_path.iterdir()] == ["take.json"]
