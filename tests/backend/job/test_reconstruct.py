"""The job with fake networks and providers: phases, statuses, cameras, keypoint files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from fakes import FakeParts, FakeProvider, FakeReconstructor, keypoint_rows, picture, write_clip, write_picture
from im2hands.core.errors import InputError, SetupError, TakeError
from im2hands.job import picture_hashes
from im2hands.job.components import Components
from im2hands.job.events import Event, FrameDone, Progress, Warned
from im2hands.job.reconstruct import ReconstructJob, ReconstructOptions
from im2hands.media import source as frames
from im2hands.take.sequence import is_sequence
from im2hands.take.take import Take
from pretended_device import pretended_device

RunJob = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("fixed_date")


def test_pictures_become_a_take(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    finished, events = run_job(pictures)
    assert not finished.cancelled
    assert (finished.summary.total, finished.summary.ok) == (4, 4)
    take = Take.open(tmp_path / "take")
    assert [record.index for record in take.frames()] == [3, 4, 5, 6]
    assert take.header["source"] == {
        "kind": "images", "inputs": [str(pictures)], "files": [str(path) for path in sorted(pictures.iterdir())],
        "first": 3, "step": 1, "sequence": True,
    }  # fmt: skip
    assert take.header["image_size"] == [160, 120]
    assert take.header["camera"]["origin"] == "assumed"
    assert take.header["provenance"]["weights"] == {"fake": "0" * 64}
    assert take.header["provenance"]["device"] == "cpu"
    assert take.header["provenance"]["date"] == "2023-11-14T22:13:20+00:00"
    record = take.records[4]
    assert record.status == "ok"
    assert record.message == ""
    assert record.hands["left"] == {"confidence": 1.0, "source": "crops"}
    apart = {"penetration_ml": 0.0, "deepest_mm": 0.0}
    assert record.extra == {"time": 0.04, "image": str(pictures / "shot_0004.png"), "contact": apart}
    hands = take.read_frame(4)
    assert set(hands) == {"left", "right"}
    assert hands["left"]["vertices"][:, 2].min() > 0
    assert [event.message for event in events if isinstance(event, Warned)] == [
        "The focal length is not known; a field of view of 60 degrees is assumed."
    ]
    phases = list(dict.fromkeys(event.phase for event in events if isinstance(event, Progress)))
    assert phases == ["open", "weights", "keypoints", "surfaces"]
    assert [event.index for event in events if isinstance(event, FrameDone)] == [3, 4, 5, 6]
    last = [event for event in events if isinstance(event, Progress)][-1]
    assert (last.done, last.total, last.seconds_left) == (4, 4, 0.0)


def test_numbered_sequence_is_a_clip_to_the_provider(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    parts = FakeParts()
    run_job(pictures, parts=parts)
    assert parts.provider_made.known == {3: 0, 4: 1, 5: 2, 6: 3}
    assert is_sequence(Take.open(tmp_path / "take").header)
    (pictures / "shot_0006.png").rename(pictures / "another.png")
    parts = FakeParts()
    run_job(pictures, tmp_path / "photos", parts=parts)
    assert parts.provider_made.known == {} and parts.provider_made.seen == [1, 2, 3, 4]
    assert not is_sequence(Take.open(tmp_path / "photos").header)


@pytest.mark.parametrize("kind", ["photo", "photos", "sequence"])
def test_every_picture_is_hashed_once_and_decoded_as_often_as_it_comes_by(
    tmp_path: Path, run_job: RunJob, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    names = {"photo": ["one"], "photos": ["garden", "kitchen"], "sequence": ["s1", "s2", "s3"]}[kind]
    inputs = [write_picture(tmp_path / f"{name}.png", picture(number=len(name))) for name in names]
    calls: Counter[tuple[str, Path]] = Counter()

    def count(module: ModuleType, name: str) -> None:
        function = getattr(module, name)

        def counted(path: Path) -> object:
            calls[name, path] += 1
            return function(path)

        monkeypatch.setattr(module, name, counted)

    count(picture_hashes, "fingerprint")
    count(frames, "read_with_info")
    count(frames, "probe_picture")
    finished, _ = run_job(inputs)
    assert finished.summary.ok == len(names)
    times = 2 if kind == "sequence" else 1  # a sequence's hands are lifted when those of all frames are chosen
    for name, expected in (("fingerprint", 1), ("read_with_info", times)):
        assert {path: calls[name, path] for path in inputs} == dict.fromkeys(inputs, expected)
    assert all(calls["probe_picture", path] <= 1 for path in inputs)


def test_take_says_which_stage_made_the_surfaces(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    class RealSurfaces(FakeParts):
        def reconstructor(self, options: ReconstructOptions, device_name: str) -> Any:
            return Components.reconstructor(self, options, device_name)

    asked = {"stage": "keypoints", "voxel_mm": 10.0, "frames": "3", "keypoint_refinement": False}
    finished, _ = run_job(pictures, parts=RealSurfaces(), **asked)
    assert finished.summary.ok == 1
    header = Take.open(tmp_path / "take").header
    assert header["provenance"]["stage"] == header["settings"]["stage"] == "keypoints"


class OldCard(FakeParts):
    """Components on a machine with a graphics card that computes nothing."""

    def device_name(self, options: ReconstructOptions, refused: Callable[[SetupError], None] | None = None) -> str:
        with pretended_device("cuda:0", capability=(6, 1), fails="no kernel image is available for execution"):
            return Components.device_name(self, options, refused)


def test_a_card_that_cannot_compute_is_told_of_and_the_processor_used(pictures: Path, run_job: RunJob) -> None:
    finished, events = run_job(pictures, parts=OldCard())
    assert finished.summary.ok == 4
    assert Take.open(finished.take).header["provenance"]["device"] == "cpu"
    (warning,) = [event for event in events if isinstance(event, Warned) and "card" in event.message]
    assert "cannot be used by this PyTorch: it is too old" in warning.message
    assert warning.message.endswith("The processor is used.") and warning.hint
    assert events.index(warning) < next(k for k, event in enumerate(events) if isinstance(event, FrameDone))


def test_a_card_that_is_asked_for_and_cannot_compute_ends_the_job_before_it_starts(
    pictures: Path, tmp_path: Path, run_job: RunJob
) -> None:
    parts = OldCard()
    with pytest.raises(SetupError, match=r"NVIDIA card Pretended 1 \(compute capability 6\.1.*too old"):
        run_job(pictures, parts=parts, device="cuda")
    assert parts.needs is None  # no keypoint was looked for
    assert not (tmp_path / "take").exists()


def test_frames_are_on_disk_before_they_are_told(pictures: Path, tmp_path: Path) -> None:
    seen: list[int] = []

    def look(event: Event) -> None:
        if isinstance(event, FrameDone):
            assert Take.open(event.take).records[event.index].file == event.file
            seen.append(event.index)

    options = ReconstructOptions((str(pictures),), str(tmp_path / "take"))
    ReconstructJob(options, look, lambda: False, FakeParts()).run()
    assert seen == [3, 4, 5, 6]


def test_one_hand_no_hand_bad_frame(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    sides = {3: ("left", "right"), 4: ("right",), 5: ()}
    (pictures / "shot_0006.png").write_bytes(b"")
    finished, events = run_job(pictures, parts=FakeParts(FakeProvider(sides=lambda index: sides[index])))
    summary = finished.summary
    assert (summary.ok, summary.partial, summary.empty, summary.failed) == (1, 1, 1, 1)
    records = Take.open(tmp_path / "take").records
    assert records[4].status == "partial"
    assert records[4].message == "Only the right hand was found."
    assert list(records[4].hands) == ["right"]
    assert list(Take.open(tmp_path / "take").read_frame(4)) == ["right"]
    assert (records[5].status, records[5].file, records[5].message) == ("empty", "", "No hand was found.")
    assert (records[6].status, records[6].file) == ("failed", "")
    assert "is empty (0 bytes)" in records[6].message
    assert {event.index: event.status for event in events if isinstance(event, FrameDone)} == {
        3: "ok", 4: "partial", 5: "empty", 6: "failed",
    }  # fmt: skip


def test_one_bad_hand_does_not_cost_the_other(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    run_job(pictures, parts=FakeParts(reconstructor=FakeReconstructor(fail_sides=frozenset({"left"}))))
    record = Take.open(tmp_path / "take").records[3]
    assert record.status == "partial"
    assert list(record.hands) == ["right"]
    assert record.message == "The left hand has no surface."


def test_both_hands_bad_is_a_failed_frame(pictures: Path, run_job: RunJob) -> None:
    parts = FakeParts(reconstructor=FakeReconstructor(fail_sides=frozenset({"left", "right"})))
    finished, _ = run_job(pictures, parts=parts)
    assert finished.summary.failed == 4


def test_too_little_memory_is_a_failed_frame(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    class Hungry(FakeReconstructor):
        def reconstruct(self, *arguments: object) -> dict:  # type: ignore[override,type-arg]
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")

    finished, _ = run_job(pictures, parts=FakeParts(reconstructor=Hungry()))
    assert finished.summary.failed == 4
    assert "--voxel-mm" in Take.open(tmp_path / "take").records[3].message


def test_photos_of_different_sizes_keep_their_cameras(tmp_path: Path, run_job: RunJob) -> None:
    first = write_picture(tmp_path / "a.png", picture(160, 120))
    second = write_picture(tmp_path / "b.png", picture(120, 200))
    run_job([first, second], fov=70.0)
    take = Take.open(tmp_path / "take")
    assert "camera" not in take.records[1].extra
    assert take.records[2].extra["image_size"] == [120, 200]
    assert take.records[2].extra["camera"]["height"] == 200
    assert take.records[2].extra["camera"]["fx"] == pytest.approx(100 / np.tan(np.radians(35)))


def test_camera_file_of_another_shape_fails_the_frames_it_does_not_fit(tmp_path: Path, run_job: RunJob) -> None:
    camera = tmp_path / "camera.json"
    camera.write_text('{"fx": 150, "fy": 150, "cx": 79.5, "cy": 59.5, "width": 160, "height": 120}')
    fits = write_picture(tmp_path / "a.png", picture(160, 120))
    other = write_picture(tmp_path / "b.png", picture(120, 160))
    finished, _ = run_job([fits, other], camera=str(camera))
    assert (finished.summary.ok, finished.summary.failed) == (1, 1)
    with pytest.raises(InputError, match="is for pictures of 160 x 120"):
        run_job([other, fits], tmp_path / "other", camera=str(camera))


def test_keypoint_file(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    rows = keypoint_rows([3, 4, 5])
    rows["frames"]["000004"]["left"][7][1] = float("nan")
    rows["frames"]["000005"] = {"right": rows["frames"]["000005"]["right"]}
    path = tmp_path / "keypoints.json"
    path.write_text(json.dumps(rows))
    parts = FakeParts()
    finished, _ = run_job(pictures, keypoints=str(path), parts=parts)
    records = Take.open(tmp_path / "take").records
    assert [records[index].status for index in (3, 4, 5, 6)] == ["ok", "failed", "partial", "empty"]
    assert "index_dip of the left hand of frame 000004 in keypoints.json is not a finite number" in records[4].message
    assert finished.summary.failed == 1
    assert parts.provider_made.seen == []
    assert records[3].hands["left"]["source"] == "file"


def test_keypoints_on_one_line(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    rows = keypoint_rows([3])
    rows["frames"]["000003"]["left"] = [[0, 0.02 * number, 0.5] for number in range(21)]
    (tmp_path / "k.json").write_text(json.dumps(rows))
    run_job(pictures, keypoints=str(tmp_path / "k.json"), frames="3")
    record = Take.open(tmp_path / "take").records[3]
    assert record.status == "failed"
    assert "lie on one line" in record.message


def test_a_bone_without_length_costs_its_frame_only(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    rows = keypoint_rows([3, 4, 5, 6])
    rows["frames"]["000004"]["right"][8] = rows["frames"]["000004"]["right"][7]
    (tmp_path / "k.json").write_text(json.dumps(rows))
    run_job(pictures, keypoints=str(tmp_path / "k.json"))
    records = Take.open(tmp_path / "take").records
    assert [records[index].status for index in (3, 4, 5, 6)] == ["ok", "failed", "ok", "ok"]
    assert "The bone to index_tip of the right hand of frame 000004 in k.json is 0.000 mm long" in records[4].message


def test_keypoints_of_other_frames(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    (tmp_path / "k.json").write_text(json.dumps(keypoint_rows([90])))
    with pytest.raises(InputError, match="has keypoints of frames 90"):
        run_job(pictures, keypoints=str(tmp_path / "k.json"))
    with pytest.raises(InputError, match=r"none\.json"):
        run_job(pictures, keypoints=str(tmp_path / "none.json"))


def test_clip_that_ends_early(tmp_path: Path, run_job: RunJob) -> None:
    whole = write_clip(tmp_path / "clip.avi", 30)
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    finished, _ = run_job(whole)
    assert finished.summary.failed == 1
    assert finished.summary.ok > 5
    records = list(Take.open(tmp_path / "take").frames())
    assert "ends early" in records[-1].message
    assert all(record.status == "ok" for record in records[:-1])


def test_provider_that_gives_up_on_a_frame(tmp_path: Path, run_job: RunJob) -> None:
    clip = write_clip(tmp_path / "clip.avi", 5)
    finished, _ = run_job(clip, parts=FakeParts(FakeProvider(fail_at=frozenset({3}))))
    assert (finished.summary.ok, finished.summary.failed) == (4, 1)


def test_nothing_that_can_be_read_is_an_input_error(tmp_path: Path, run_job: RunJob) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="is empty"):
        run_job(tmp_path / "a.jpg")
    assert not (tmp_path / "take").exists()


def test_output_that_cannot_be_written(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TakeError, match="Cannot make the take folder"):
        run_job(pictures, tmp_path / "file" / "take")


@pytest.mark.parametrize("moved", [(0.0, 0.0, 1e7), (5e6, 0.0, 0.0)])
def test_a_frame_that_no_reader_takes_fails_and_is_not_written(
    pictures: Path, tmp_path: Path, run_job: RunJob, moved: tuple[float, float, float]
) -> None:
    """The limits of the readers hold for the writer, too: otherwise the job would end with a take that is damaged."""
    rows = keypoint_rows(range(3, 7))
    rows["frames"]["000004"]["left"] = (np.array(rows["frames"]["000004"]["left"]) + moved).tolist()
    (tmp_path / "keypoints.json").write_text(json.dumps(rows), "utf-8")
    finished, events = run_job(pictures, keypoints=str(tmp_path / "keypoints.json"))
    assert (finished.summary.ok, finished.summary.failed) == (3, 1)
    (failed,) = [event for event in events if isinstance(event, FrameDone) and event.status == "failed"]
    assert failed.index == 4
    assert "left_vertices has numbers past" in failed.message  # the first one of the description
    take = Take.open(tmp_path / "take")
    for record in take.frames():
        if record.file:
            take.read_frame(record.index)
