"""The start of a job: opening is cancelled, what is left out is told, and the numbers of the frames are chosen."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes import Client, FakeParts, picture, write_clip, write_picture
from im2hands.app.cli import main as cli
from im2hands.core.errors import InputError
from im2hands.job import reconstruct
from im2hands.job.events import Warned
from im2hands.take.sequence import is_sequence
from im2hands.take.take import Take

RunJob = Callable[..., Any]


@pytest.fixture
def blocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """An event that is set once a source is being opened; opening then lasts until the test has ended."""
    begun, release = threading.Event(), threading.Event()

    def open_slowly(*_: object) -> None:
        begun.set()
        release.wait(60)
        raise InputError("The disk is gone.")

    monkeypatch.setattr(reconstruct, "open_source", open_slowly)
    yield begun
    release.set()


def test_a_job_is_cancelled_while_its_source_opens(blocked: threading.Event, pictures: Path, run_job: RunJob) -> None:
    finished, _ = run_job(pictures, cancelled=blocked.is_set)
    assert finished.cancelled
    assert finished.summary.total == 0


def test_the_server_cancels_while_a_source_opens(blocked: threading.Event, pictures: Path, tmp_path: Path) -> None:
    client = Client(FakeParts())
    client.send("reconstruct", "j", inputs=[str(pictures)], output=str(tmp_path / "take"))
    assert blocked.wait(20)
    client.send("cancel", "c", job="j")
    assert client.until("finished", "error")[-1]["cancelled"] is True
    client.send("status", "s")
    assert client.event()["busy"] is False
    client.end_requests()
    client.thread.join(20)


def test_what_is_left_out_is_told(tmp_path: Path, run_job: RunJob) -> None:
    write_picture(tmp_path / "album" / "a.png", picture())
    write_clip(tmp_path / "album" / "d.mp4", 2)
    finished, events = run_job(tmp_path / "album")
    assert (finished.summary.ok, finished.summary.failed) == (1, 0)
    assert any("d.mp4" in event.message for event in events if isinstance(event, Warned))


def test_phone_photos_are_frames_one_and_two(tmp_path: Path, run_job: RunJob) -> None:
    for name in ("IMG_20240501_101530.jpg", "IMG_20240501_101812.jpg"):
        write_picture(tmp_path / "phone" / name, picture())
    run_job(tmp_path / "phone")
    take = Take.open(tmp_path / "take")
    assert sorted(take.records) == [1, 2]
    assert not is_sequence(take.header)
    with pytest.raises(InputError, match="had other frame numbers"):
        run_job(tmp_path / "phone", sequence="yes")
    run_job(tmp_path / "phone", sequence="yes", overwrite=True)
    take = Take.open(tmp_path / "take")
    assert sorted(take.records) == [101530, 101812]
    assert is_sequence(take.header)


def test_chosen_frames_of_a_sequence_stay_its_frames(tmp_path: Path, run_job: RunJob) -> None:
    for number in range(1, 41):
        write_picture(tmp_path / "shots" / f"s_{number:03}.png", picture(number=number))
    run_job(tmp_path / "shots", frames="1,2,40")  # by their names alone, these three would be photos
    assert is_sequence(Take.open(tmp_path / "take").header)
    run_job(tmp_path / "shots", tmp_path / "photos", frames="1-3", sequence="no")
    assert not is_sequence(Take.open(tmp_path / "photos").header)


def test_names_with_a_dash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keypoint_job: dict[str, Any]) -> None:
    monkeypatch.chdir(tmp_path)
    shot = write_picture(tmp_path / "-shot.png", picture(320, 240))
    options = ["--keypoints", keypoint_job["options"]["keypoints"], "--stage", "keypoints", "--voxel-mm", "8"]
    options += ["--no-clean", "--device", "cpu"]
    assert cli.main(["reconstruct", *options, "-o", "-take", "--", "-shot.png"]) == 2  # "-take" is no value of -o
    assert cli.main(["reconstruct", *options, "--output=-take", "--", "-shot.png"]) == 0
    assert Take.open(tmp_path / "-take").records[1].extra["image"] == str(shot)
    assert cli.main(["export", "--to", "ply", "--", "-take"]) == 0
    client = Client(FakeParts())
    client.send("reconstruct", "j", inputs=["-shot.png"], output="-other")
    assert client.until("finished", "error")[-1]["summary"]["ok"] == 1
    assert json.loads((tmp_path / "-other" / "take.json").read_text())["source"]["inputs"] == [str(shot)]
    client.end_requests()
    client.thread.join(20)
