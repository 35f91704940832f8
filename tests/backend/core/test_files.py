"""Files that other programs have open, several writers of one file, and what is not a regular file."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from im2hands.core import files
from im2hands.core.errors import Im2HandsError, InputError, TakeError, WeightsError
from im2hands.core.files import read_shared, write_atomically
from im2hands.job.detection_cache import fingerprint
from im2hands.keypoints.file import KeypointFile
from im2hands.keypoints.proposing.box_file import HandBoxes
from im2hands.lab.training.recipe import load_recipe
from im2hands.media.camera_choice import CameraChoice
from im2hands.media.source import open_source
from im2hands.weights.checkpoint_file import read_checkpoint
from im2hands.weights.folder import BUNDLED, list_weights, require_weights
from im2hands.weights.mediapipe_bundle import read_bundle


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

    original = files.read_regular

    def read(path: Path, limit: int) -> bytes:
        left[0] -= 1
        if left[0] >= 0:
            raise error(13, "busy")
        return original(path, limit)

    monkeypatch.setattr(files, "read_regular", read)
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


@pytest.fixture(params=["pipe", "socket", "device", "folder", "link to a pipe"])
def special(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Something that is not a regular file, and what it is called."""
    if sys.platform == "win32":
        pytest.skip("Windows has none of them among its files")
    path = tmp_path / "thing.json"
    if request.param == "device":
        yield Path("/dev/zero"), "a device"
    elif request.param == "folder":
        path.mkdir()
        yield path, "a folder"
    elif request.param == "socket":
        with socket.socket(socket.AF_UNIX) as listening, contextlib.chdir(tmp_path):  # long paths are refused
            listening.bind(path.name)
            yield path, "a socket"
    else:
        os.mkfifo(path)
        if request.param == "link to a pipe":
            (tmp_path / "link").symlink_to(path)
        yield (tmp_path / "link" if request.param == "link to a pipe" else path), "a named pipe"


READERS: dict[str, Callable[[Path], Any]] = {
    "whole": files.read_regular,
    "opened": files.open_regular,
    "shared": read_shared,
    "camera": lambda path: CameraChoice.from_options(path, None, None),
    "keypoints": KeypointFile.read,
    "hand boxes": HandBoxes.read,
    "recipe": lambda path: load_recipe(str(path), "part", {}),
    "checkpoint": lambda path: read_checkpoint(path, 10**9),
    "hand bundle": read_bundle,
    "fingerprint": fingerprint,
    "picture or clip": lambda path: open_source([path]),
}


@pytest.mark.parametrize("reader", READERS)
def test_only_regular_files_are_read(special: tuple[Path, str], reader: str) -> None:
    path, what = special
    if reader == "picture or clip" and what == "a folder":
        pytest.skip("a folder of pictures is a source")
    with pytest.raises((OSError, Im2HandsError)) as caught:
        READERS[reader](path)
    error = caught.value
    words = str(error.strerror) if isinstance(error, OSError) else error.message
    assert f"{what}, not a regular file" in words or (reader == "checkpoint" and "is a folder" in words)
    assert isinstance(error, OSError) or path.name in words


@pytest.mark.parametrize("name", ["part_occupancy.safetensors", "part_occupancy.json"])
def test_weights_that_are_a_pipe(tmp_path: Path, name: str) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has no pipes among its files")
    for file in ("part_occupancy.safetensors", "part_occupancy.json"):
        (tmp_path / file).write_bytes((BUNDLED / file).read_bytes())
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    [info] = list_weights(tmp_path)
    assert "a named pipe, not a regular file" in info.problem
    with pytest.raises(WeightsError, match="not a regular file"):
        require_weights("part_occupancy", tmp_path)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "camera.json"
    path.touch()
    os.truncate(path, 10 * 2**30)  # a sparse file, which uses no space on the disk
    with pytest.raises(InputError, match=r"camera\.json: it is larger than 1 MB"):
        CameraChoice.from_options(path, None, None)


def test_a_path_that_no_file_can_have(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no possible path"):
        files.read_regular(tmp_path / "a\0b")
