"""What a person names: folders with all kinds of files, patterns as a shell expands them, odd names."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fakes import picture, write_clip, write_picture
from im2hands.core.errors import FrameError, InputError
from im2hands.media.source import Frame, Source, open_source

CASES = Path(__file__).parents[2] / "media_cases"

NAMES = (
    "a.jpg", "b.JPG", "c10.jpg", "c9.jpg", "d.jpeg", ".hidden.jpg", "shot_1.jpg", "shot_2.jpg", "shot_12.jpg",
    "ö 手.jpg", "-dash.jpg", "e[1].jpg",
)  # fmt: skip


def photo(path: Path, ending: str = ".jpg", number: int = 0) -> Path:
    """Write a picture in one format under any name."""
    written = write_picture(path.with_name(f"{path.name}.made{ending}"), picture(number=number))
    return written.rename(path)


def names(source: Source) -> list[str]:
    return [entry.path.name for entry in source.entries]


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """A folder with pictures of many names."""
    for number, name in enumerate(NAMES):
        photo(tmp_path / "shots" / name, number=number)
    return tmp_path / "shots"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize(
    "pattern",
    [
        "*.jpg",
        "shot_?.jpg",
        "shot_*.jpg",
        "c[0-9]*.jpg",
        "[!a-d]*.jpg",
        "shot_[[:digit:]].jpg",
        "*",
        "*/*.jpg",
        ".*.jpg",
    ],
)
def test_a_quoted_pattern_is_what_the_shell_makes_of_it(shots: Path, pattern: str) -> None:
    folder = shots.parent if "/" in pattern else shots
    (shots / "b.JPG").unlink()  # endings in capitals have their own test
    command = f"cd '{folder}'; for name in {pattern}; do printf '%s\\0' \"$name\"; done"
    shell = subprocess.run(["bash", "-c", command], capture_output=True, env={"LC_ALL": "C.UTF-8"}, check=True)
    expanded = [folder / os.fsdecode(name) for name in shell.stdout.split(b"\0") if name]
    assert len(expanded) > 0
    quoted, unquoted = open_source([folder / pattern]), open_source(expanded)
    assert [(one.index, one.path) for one in quoted.entries] == [(one.index, one.path) for one in unquoted.entries]
    assert quoted.is_sequence == unquoted.is_sequence
    assert quoted.inputs == [folder / pattern]


def test_endings_match_in_capitals(shots: Path) -> None:
    assert names(open_source([shots / "[ab].jpg"])) == ["a.jpg", "b.JPG"]
    assert names(open_source([shots / "?.JPG"])) == ["a.jpg", "b.JPG"]


@pytest.mark.parametrize(
    ("pattern", "found", "indices"),
    [
        ("s_####.png", ["s_0008.png", "s_0009.png", "s_0010.png"], [8, 9, 10]),
        ("s_%04d.png", ["s_0008.png", "s_0009.png", "s_0010.png"], [8, 9, 10]),
        ("s_#.png", ["s_1.png", "s_2.png", "s_11.png"], [1, 2, 11]),
        ("s_%d.png", ["s_1.png", "s_2.png", "s_11.png"], [1, 2, 11]),
        ("s_%02d.png", ["s_01.png", "s_02.png", "s_11.png"], [1, 2, 11]),
        ("s_##.PNG", ["s_01.png", "s_02.png", "s_11.png"], [1, 2, 11]),
        ("IMG_####.jpg", ["IMG_0001.jpg", "IMG_0090.jpg"], [1, 90]),  # the pattern says that they are numbered
        ("old_%02d.png", ["old_0001.png", "old_0002.png"], [1, 2]),  # other digits than written, for want of these
        ("*_####.jpg", ["IMG_0001.jpg", "IMG_0090.jpg"], [1, 90]),
    ],
)
def test_patterns_of_numbers(tmp_path: Path, pattern: str, found: list[str], indices: list[int]) -> None:
    numbers = ["s_0008", "s_0009", "s_0010", "s_1", "s_2", "s_01", "s_02", "s_11", "old_0001", "old_0002", "s_x"]
    for name in [f"{number}.png" for number in numbers] + ["IMG_0001.jpg", "IMG_0090.jpg"]:
        photo(tmp_path / name)
    source = open_source([tmp_path / pattern])
    assert names(source) == found
    assert [entry.index for entry in source.entries] == indices
    assert source.is_sequence


@pytest.mark.parametrize("name", ["a[1].png", "shot_####.png", "b%02d.png", "~nobody.png", "-shot.png", "x#.png"])
def test_names_that_look_like_patterns(tmp_path: Path, name: str) -> None:
    for other in ("a1.png", "shot_0001.png", "b01.png", "x1.png"):
        photo(tmp_path / other)
    photo(tmp_path / name)
    assert names(open_source([tmp_path / name])) == [name]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no such names")
def test_folders_that_look_like_patterns(tmp_path: Path) -> None:
    for folder in ("take[12]", "take1", "a*"):
        photo(tmp_path / folder / f"of {folder}.jpg")
    assert names(open_source([tmp_path / "take[12]" / "*.jpg"])) == ["of take[12].jpg"]
    assert names(open_source([tmp_path / "a*"])) == ["of a*.jpg"]
    (tmp_path / "take[12]").rename(tmp_path / "other")
    assert names(open_source([tmp_path / "take[12]" / "*.jpg"])) == ["of take1.jpg"]


def test_relative_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("-shot.png", "~nobody at all", "b.png"):
        photo(tmp_path / name)
        assert open_source([name]).entries[0].path == tmp_path / name
    assert names(open_source(["*.png"])) == ["-shot.png", "b.png"]


@pytest.mark.parametrize("name", ["*.jpg", "shot_##.png", "nowhere/*.jpg", "[z-a].jpg"])
def test_nothing_matches(tmp_path: Path, name: str) -> None:
    photo(tmp_path / "a.png")
    with pytest.raises(InputError, match="There is no file or folder"):
        open_source([tmp_path / name])
    with pytest.raises(InputError, match="There is no file or folder"):
        open_source([name])


@pytest.mark.parametrize(
    ("name", "words"), [("a\0b.jpg", "zero character"), ("x" * 5000, "too long"), ("~no/x", "no home folder")]
)
def test_what_no_path_can_be(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        open_source([name])


@pytest.mark.parametrize("ending", [".jfif", ".JFIF", ".jpe", ".JPG", ".pjpeg", ".jif", "", ".photo", ".jpg_large"])
def test_endings_of_pictures(tmp_path: Path, ending: str) -> None:
    alone = photo(tmp_path / "one" / f"a{ending}")
    assert isinstance(next(iter(open_source([alone])))[1], Frame)
    photo(tmp_path / "one" / f"b{ending}")
    source = open_source([tmp_path / "one"])
    assert names(source) == [f"a{ending}", f"b{ending}"]
    assert all(isinstance(frame, Frame) for _, frame in source)


def test_album(tmp_path: Path) -> None:
    album = tmp_path / "album"
    photo(album / "a.png", ".png")
    photo(album / "b.jfif")
    shutil.copy(CASES / "single.heic", album / "c.heic")
    write_clip(album / "d.mp4", 2)
    (album / "e.cr2").write_bytes(b"II*\0\x10\0\0\0CR" + bytes(200))
    (album / "f.svg").write_text("<svg/>")
    (album / "g.jpg").write_bytes(b"")  # meant as a picture: its frame fails
    for silent in (".hidden.png", "._a.png", ".DS_Store", "Thumbs.db", "desktop.ini", "notes.txt", "a.xmp"):
        (album / silent).write_bytes(b"whatever")
    photo(album / "more" / "z.png", ".png")
    (album / "folder.jpg").mkdir()
    source = open_source([album])
    assert names(source) == ["a.png", "b.jfif", "c.heic", "g.jpg"]
    assert [isinstance(frame, FrameError) for _, frame in source] == [False, False, False, True]
    assert not source.is_sequence
    assert [note.message for note in source.notes] == [
        f"2 files of the folder {album} left out (no picture that can be read): e.cr2, f.svg.",
        f"1 file of the folder {album} left out (a video): d.mp4.",
    ]
    assert all("by itself" in note.hint for note in source.notes)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_folder_with_things_that_are_no_files(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "device.png").symlink_to("/dev/zero")
    (tmp_path / "lost.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "round.png").symlink_to(tmp_path / "round.png")
    with socket.socket(socket.AF_UNIX) as listening:
        before = Path.cwd()
        os.chdir(tmp_path)  # the path of a socket is short
        try:
            listening.bind("socket.jpg")
        finally:
            os.chdir(before)
        source = open_source([tmp_path])
    assert names(source) == ["a.jpg"]
    said = " ".join(note.message for note in source.notes)
    assert "(not a regular file): device.png, pipe.jpg, socket.jpg" in said
    assert "(cannot be found): lost.png, round.png" in said


def test_folder_with_one_clip(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "only.mp4", 3)
    (tmp_path / "notes.txt").write_text("of that day")
    (tmp_path / "x.cr2").write_bytes(bytes(100))
    source = open_source([tmp_path])
    assert (source.kind, len(source), source.entries[0].path, source.inputs) == ("video", 3, clip, [tmp_path])
    assert "x.cr2" in source.notes[0].message
    write_clip(tmp_path / "second.avi", 2)
    with pytest.raises(InputError, match=r"has no pictures, but 2 clips \(only\.mp4, second\.avi\)"):
        open_source([tmp_path])


def test_folder_without_pictures_names_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "x.cr2").write_bytes(bytes(100))
    with pytest.raises(InputError, match=r"has no pictures\. Left out: x\.cr2: no picture that can be read"):
        open_source([tmp_path])


@pytest.mark.skipif(sys.platform == "win32" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="needs a user")
def test_folder_that_may_not_be_read(tmp_path: Path) -> None:
    tmp_path.chmod(0)
    try:
        with pytest.raises(InputError, match="Cannot read the folder"):
            open_source([tmp_path])
    finally:
        tmp_path.chmod(0o700)


def test_the_same_file_twice_is_one_frame(tmp_path: Path) -> None:
    one, two = photo(tmp_path / "me.jpg"), photo(tmp_path / "you.jpg")
    assert [entry.index for entry in open_source([one, two, one, tmp_path]).entries] == [1, 2]
