"""The log file: in a folder of the user's own, and through no link that somebody planted."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path

import pytest

from im2hands.app import logs
from im2hands.app.terminal import native_noise_to


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder that everybody can write to, and no state folder that can be made."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("IM2HANDS_STATE", str(tmp_path / "file" / "state"))
    return folder


def log_something() -> Path:
    path = logs.set_up_logging(stderr=False)
    logging.getLogger("test").info("something")
    logs_of_ours = [handler for handler in logging.getLogger().handlers if getattr(handler, "im2hands", False)]
    assert len(logs_of_ours) == 1
    return path


def test_fallback_is_a_private_folder_and_stays_the_same(shared: Path) -> None:
    path = log_something()
    assert path == shared / f"im2hands-{os.getuid()}" / logs.LOG_NAME
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600
    assert "something" in path.read_text()
    assert log_something() == path


@pytest.mark.parametrize("kind", ["link", "file", "open to all"])
def test_a_planted_folder_is_not_used(shared: Path, tmp_path: Path, kind: str) -> None:
    planted, victim = shared / f"im2hands-{os.getuid()}", tmp_path / "victim"
    victim.mkdir()
    if kind == "link":
        planted.symlink_to(victim, target_is_directory=True)
    elif kind == "file":
        planted.write_text("keep")
    else:
        planted.mkdir()
        planted.chmod(0o777)
    path = log_something()
    assert path.parent != planted
    assert path.parent.parent == shared
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert "something" in path.read_text()
    assert list(victim.iterdir()) == []


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_a_planted_log_file_is_not_followed(
    tmp_path: Path, shared: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IM2HANDS_STATE", str(tmp_path / "state"))
    (tmp_path / "state").mkdir()
    planted, victim = tmp_path / "state" / logs.LOG_NAME, tmp_path / "victim.txt"
    victim.write_text("keep")
    {"link": lambda: planted.symlink_to(victim), "fifo": lambda: os.mkfifo(planted), "folder": planted.mkdir}[kind]()
    path = log_something()
    assert path.parent.parent == shared
    with native_noise_to(planted):
        os.write(2, b"noise\n")
    assert victim.read_text() == "keep"


def test_no_place_for_a_log(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(shared / "none")])
    assert log_something() == Path(os.devnull)
