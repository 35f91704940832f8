"""A person's corrections: `reconstruct --edits`, frames made again, re-runs, kills, and edits taken back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes import Client, FakeParts, FakeProvider, FakeReconstructor, bytes_of
from im2hands.core.camera import Camera
from im2hands.core.errors import InputError
from im2hands.job.components import Components
from im2hands.job.events import Event, FrameDone, Warned
from im2hands.job.rebuild import RebuildJob
from im2hands.job.reconstruct import ReconstructJob
from im2hands.take.edits import EDITS_FILE, Edits, edits_sha256
from im2hands.take.join import join_takes
from im2hands.take.take import Take

RunJob = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("fixed_date")


def document(*edits: dict[str, Any]) -> dict[str, Any]:
    return {"format": "im2hands-edits", "version": 1, "edits": [{"id": f"e{k}"} | one for k, one in enumerate(edits)]}


def drag(frame: int, points: dict[str, list[float]], side: str = "left") -> dict[str, Any]:
    return {"kind": "keypoints", "frame": frame, "side": side, "points": points}


def written(folder: Path, *edits: dict[str, Any]) -> str:
    path = folder / "mine.json"
    path.write_text(json.dumps(document(*edits)))
    return str(path)


def rebuild(
    take: Path, edits: list[dict[str, Any]] | None, frames: str | None = None, parts: Components | None = None
) -> tuple[Any, list[Event]]:  # fmt: skip
    events: list[Event] = []
    given = None if edits is None else Edits.from_dict(document(*edits))
    return RebuildJob(take, given, frames, events.append, lambda: False, parts or FakeParts()).run(), events


def shown(take: Path, index: int, side: str = "left") -> np.ndarray:
    """The hand's keypoints (21, 2) in the picture, as the take has them in space."""
    opened = Take.open(take)
    camera = opened.header["camera"]
    points = opened.read_frame(index)[side]["keypoints"].astype(float)  # type: ignore[index]
    return Camera(*(camera[name] for name in ("fx", "fy", "cx", "cy", "width", "height"))).project(points)


def changed(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


@pytest.fixture
def take(pictures: Path, tmp_path: Path, run_job: RunJob) -> Path:
    """A take of the frames 3 to 6, both hands in each."""
    run_job(pictures)
    return tmp_path / "take"


def test_a_dragged_keypoint_moves_only_its_frame(take: Path) -> None:
    before, was = bytes_of(take), shown(take, 4)
    wanted = was[8] + (3.0, -2.0)
    finished, events = rebuild(take, [drag(4, {"index_tip": wanted.tolist()})])
    assert changed(before, bytes_of(take)) == {"frames/000004.npz", "take.json", EDITS_FILE}
    assert (finished.summary.total, finished.summary.ok) == (1, 1)
    assert [event.index for event in events if isinstance(event, FrameDone)] == [4]
    now = shown(take, 4)
    assert np.linalg.norm(now[8] - wanted) < 0.2
    others = [k for k in range(21) if k not in (5, 6, 7, 8)]
    assert np.linalg.norm(now[others] - was[others], axis=1).max() < 1.0
    record = Take.open(take).records[4]
    assert record.extra["edited"] is True
    assert record.hands["left"]["confidence"] == 1.0
    hands = Take.open(take).read_frame(4)
    assert hands["left"]["confidence"][8] == 1.0
    assert np.allclose(hands["left"]["keypoints_2d"][8], wanted, atol=1e-3)


def test_a_shift_in_depth(take: Path) -> None:
    was = Take.open(take).read_frame(4)["left"]["keypoints"]
    places = shown(take, 4)
    rebuild(take, [drag(4, {"index_tip": [*places[8].tolist(), 0.012]})])
    now = Take.open(take).read_frame(4)["left"]["keypoints"]
    assert np.linalg.norm(shown(take, 4)[8] - places[8]) < 0.3
    assert 0.004 < now[8, 2] - was[8, 2] < 0.016  # a straight finger cannot follow all the way


def test_an_edit_taken_back_restores_the_bytes(take: Path) -> None:
    before = bytes_of(take)
    one, other = drag(4, {"index_tip": [60, 50]}), {"kind": "absent", "frames": [5, 6], "side": "right"}
    rebuild(take, [one, other])
    assert changed(before, bytes_of(take)) == {f"frames/00000{k}.npz" for k in (4, 5, 6)} | {"take.json", EDITS_FILE}
    rebuild(take, [other])
    assert changed(before, bytes_of(take)) == {f"frames/00000{k}.npz" for k in (5, 6)} | {"take.json", EDITS_FILE}
    rebuild(take, [])
    assert bytes_of(take) == before


def test_absent_swap_and_box(take: Path) -> None:
    first = {index: Take.open(take).read_frame(index) for index in (3, 4, 5, 6)}
    rebuild(
        take,
        [
            {"kind": "absent", "frame": 3, "side": "left"},
            {"kind": "swap", "frames": [4, 5]},
            {"kind": "absent", "frame": 6, "side": "right"},
            {"kind": "box", "frame": 6, "side": "right", "box": [10, 10, 90, 90]},
        ],
    )
    opened = Take.open(take)
    assert list(opened.records[3].hands) == ["right"]
    assert opened.records[3].status == "partial"
    for index in (4, 5):
        hands = opened.read_frame(index)
        for side, other in (("left", "right"), ("right", "left")):
            assert np.abs(hands[side]["keypoints_2d"] - first[index][other]["keypoints_2d"]).max() < 0.5
    assert list(opened.records[6].hands) == ["left", "right"]


def test_reconstruct_with_edits_keeps_them_over_runs(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    mine = written(tmp_path, drag(4, {"index_tip": [60, 50]}), {"kind": "absent", "frame": 5, "side": "left"})
    run_job(pictures, edits=mine)
    after = bytes_of(tmp_path / "take")
    assert np.linalg.norm(shown(tmp_path / "take", 4)[8] - (60, 50)) < 0.5
    assert "edits" not in Take.open(tmp_path / "take").header["settings"]
    finished, _ = run_job(pictures)
    assert finished.summary.reused == 4
    assert bytes_of(tmp_path / "take") == after
    run_job(pictures, voxel_mm=3.0)
    assert list(Take.open(tmp_path / "take").records[5].hands) == ["right"]
    run_job(pictures, overwrite=True)
    assert bytes_of(tmp_path / "take") == after
    empty = tmp_path / "empty.json"
    empty.write_text(json.dumps(document()))
    run_job(pictures, edits=str(empty))
    run_job(pictures, output=tmp_path / "plain")
    plain, now = bytes_of(tmp_path / "plain"), bytes_of(tmp_path / "take")
    assert changed(plain, now) == set()


def test_edits_of_other_pictures_are_set_aside(take: Path, pictures: Path, run_job: RunJob) -> None:
    rebuild(take, [drag(4, {"index_tip": [60, 50]})])
    kept = (take / EDITS_FILE).read_bytes()
    run_job(pictures / "shot_0003.png", overwrite=True)
    assert not (take / EDITS_FILE).exists()
    assert (take / "edits.other.json").read_bytes() == kept


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (drag(9, {"wrist": [1, 1]}), "frame 9, which is not there"),
        ({"kind": "swap", "frames": [7, 12]}, "frames 7 to 12, which are not there"),
        (drag(4, {"wrist": [5000, 1]}), "beyond the picture"),
        ({"kind": "box", "frame": 4, "side": "left", "box": [500, 1, 600, 90]}, "beyond the picture"),
        (drag(4, {"wrist": [60, 50], "index_mcp": [60, 50], "middle_mcp": [60, 50]}, "right"), "right hand was found"),
    ],
)  # fmt: skip
def test_edits_that_do_not_fit_change_nothing(
    edit: dict[str, Any], said: str, pictures: Path, tmp_path: Path, run_job: RunJob
) -> None:
    parts = FakeParts(FakeProvider(sides=lambda index: ("left",)))
    run_job(pictures, parts=parts)
    take = tmp_path / "take"
    before = bytes_of(take)
    with pytest.raises(InputError, match=said) as caught:
        rebuild(take, [edit])
    assert caught.value.hint
    assert bytes_of(take) == before
    if "was found" in said:  # only the search can tell: the job goes on, and says so
        _, events = run_job(pictures, edits=written(tmp_path, edit), parts=parts)
        assert any(said in event.message for event in events if isinstance(event, Warned))
        return
    with pytest.raises(InputError, match=said):
        run_job(pictures, edits=written(tmp_path, edit), overwrite=True)
    assert bytes_of(take) == before


def test_edits_of_frames_that_another_machine_makes(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    mine = written(tmp_path, drag(6, {"index_tip": [60, 50]}))
    finished, _ = run_job(pictures, frames="3-4", edits=mine)
    assert finished.summary.ok == 2


def test_frames_that_are_named(take: Path, run_job: RunJob, pictures: Path) -> None:
    before = bytes_of(take)
    edits = [drag(4, {"index_tip": [60, 50]}), drag(5, {"index_tip": [60, 50]})]
    rebuild(take, edits, "5")
    assert "frames/000004.npz" not in changed(before, bytes_of(take))
    rebuild(take, None)  # what is left
    assert "frames/000004.npz" in changed(before, bytes_of(take))
    with pytest.raises(InputError, match="No frame of the take"):
        rebuild(take, None, "90-99")
    with pytest.raises(InputError, match="cannot be understood"):
        rebuild(take, None, "five")
    with pytest.raises(InputError, match="There is no take"):
        rebuild(take.parent / "none", None)
    run_job(pictures, frames="6")
    with pytest.raises(InputError, match="not made by the last run"):
        rebuild(take, None, "5")


def test_killed_in_the_middle_and_continued(take: Path) -> None:
    before = bytes_of(take)
    edits = [drag(4, {"index_tip": [60, 50]}), drag(5, {"index_tip": [60, 50]})]
    events: list[Event] = []

    def stop() -> bool:
        return any(isinstance(event, FrameDone) for event in events)

    job = RebuildJob(take, Edits.from_dict(document(*edits)), None, events.append, stop, FakeParts())
    assert job.run().cancelled
    half = bytes_of(take)
    assert "frames/000005.npz" not in changed(before, half)
    parts = FakeParts()
    finished, _ = rebuild(take, None, parts=parts)
    assert parts.reconstructor_made.calls == [5]
    assert finished.summary.reused == 1
    whole = bytes_of(take)
    rebuild(take, [])
    assert bytes_of(take) == before
    rebuild(take, edits)
    assert bytes_of(take) == whole


def test_an_edit_taken_back_before_its_frame_was_made_anew(take: Path) -> None:
    """The frame still has the edit although no edit names it: killed between the file of edits and the frame."""
    before = bytes_of(take)
    rebuild(take, [drag(4, {"index_tip": [60, 50]})])
    Edits().write(take)
    rebuild(take, None)
    assert bytes_of(take) == before


def test_a_frame_that_fails_keeps_what_it_has(take: Path) -> None:
    before = bytes_of(take)
    parts = FakeParts(reconstructor=FakeReconstructor(fail_sides=frozenset({"left", "right"})))
    finished, events = rebuild(take, [drag(4, {"index_tip": [60, 50]})], parts=parts)
    assert finished.summary.failed == 1
    assert changed(before, bytes_of(take)) == {EDITS_FILE}
    assert any("Frame 4 stays as it was" in event.message for event in events if isinstance(event, Warned))
    knuckles = ("wrist", "index_mcp", "middle_mcp", "ring_mcp", "little_mcp")
    finished, _ = rebuild(take, [drag(4, {name: [60, 50] for name in knuckles})])
    assert finished.summary.total == 1


def test_a_damaged_file_of_edits_is_told(take: Path, pictures: Path, run_job: RunJob) -> None:
    (take / EDITS_FILE).write_text("{")
    for run in (lambda: run_job(pictures), lambda: rebuild(take, None)):
        with pytest.raises(InputError, match=r"edits\.json"):
            run()


def test_a_pin_alone_makes_no_frame_again(take: Path) -> None:
    before = bytes_of(take)
    shutil.rmtree(take / "cache")
    parts = FakeParts()
    finished, _ = rebuild(take, [{"kind": "pin", "frame": 4, "side": "left"}], parts=parts)
    assert finished.summary.total == 0
    assert changed(before, bytes_of(take)) == {EDITS_FILE}
    assert parts.provider_made.seen == []


def test_without_its_cache_the_hands_are_found_again(take: Path) -> None:
    before = bytes_of(take)
    shutil.rmtree(take / "cache")
    parts = FakeParts()
    rebuild(take, [drag(4, {"index_tip": [60, 50]})], parts=parts)
    assert parts.provider_made.seen == [3, 4, 5, 6]
    assert parts.reconstructor_made.calls == [4]
    rebuild(take, [])
    assert bytes_of(take) == before


def test_mirrored_pictures(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    """Edits are for the picture on disk, as the detected keypoints of the take are."""
    run_job(pictures, mirrored=True)
    take = tmp_path / "take"
    wanted = Take.open(take).read_frame(4)["left"]["keypoints_2d"][8] + (3.0, -2.0)
    rebuild(take, [drag(4, {"index_tip": wanted.tolist()})])
    assert np.allclose(Take.open(take).read_frame(4)["left"]["keypoints_2d"][8], wanted, atol=1e-3)
    width = Take.open(take).header["camera"]["width"]
    assert np.linalg.norm(shown(take, 4)[8] - (width - 1 - wanted[0], wanted[1])) < 0.3


def test_parts_with_the_same_edits_are_joined(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    mine = written(tmp_path, drag(4, {"index_tip": [60, 50]}))
    parts = [tmp_path / "a", tmp_path / "b"]
    for part, frames in zip(parts, ("3-4", "5-6"), strict=True):
        run_job(pictures, output=part, frames=frames, edits=mine)
    joined = join_takes(parts, tmp_path / "joined")
    assert joined.records[4].extra["edited"] is True
    assert Edits.of_take(tmp_path / "joined").to_dict() == json.loads(Path(mine).read_text())
    Edits().write(parts[1])
    with pytest.raises(InputError, match="differ in their corrections"):
        join_takes(parts, tmp_path / "other")


def test_another_programs_edits_are_not_replaced(take: Path) -> None:
    known = edits_sha256(take)
    rebuild(take, [drag(4, {"index_tip": [60, 50]})])
    client = Client(FakeParts())
    client.send("rebuild", take=str(take), edits=document(), known=known)
    assert "changed by another program" in client.until("finished", "error")[-1]["message"]
    client.send("rebuild", "2", take=str(take), edits=document(), known=edits_sha256(take))
    assert client.until("finished", "error")[-1]["type"] == "finished"
    assert known == edits_sha256(take) == ""
    client.end_requests()


def test_the_request(take: Path) -> None:
    client = Client(FakeParts())
    edits = document(drag(4, {"index_tip": [60, 50]}))
    client.send("rebuild", take=str(take), edits=edits)
    events = client.until("finished", "error")
    assert [event["index"] for event in events if event["type"] == "frame"] == [4]
    assert json.loads((take / EDITS_FILE).read_text())["edits"][0]["id"] == "e0"
    for fields, said in (
        ({}, "take must be"),
        ({"take": 7}, "take must be"),
        ({"take": str(take), "frames": 4}, "frames must be"),
        ({"take": str(take), "edits": [1]}, "The request has no edits"),
        ({"take": str(take / "none")}, "There is no take"),
        ({"take": str(take), "edits": document(drag(9, {"wrist": [1, 1]}))}, "not there"),
    ):
        client.send("rebuild", "2", **fields)
        event = client.until("finished", "error")[-1]
        assert (event["type"], said in event.get("message", "")) == ("error", True), event
    client.end_requests()


@pytest.fixture
def clean_take(keypoint_job: dict[str, Any]) -> Path:
    """A take of five frames with surfaces of the real networks, and clean hands."""
    keypoint_job["options"] |= {"clean": True, "template_density": 0}
    ReconstructJob.from_request(keypoint_job, lambda event: None, lambda: False).run()
    return Path(keypoint_job["output"])


def test_clean_hands_follow(clean_take: Path) -> None:
    take = clean_take
    before = bytes_of(take)
    opened = Take.open(take)
    was = opened.read_frame(3)["left"]["keypoints"][8].astype(float)
    places = shown(take, 3)
    turn = np.radians(25.0)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    turned = places[5] + (places[5:9] - places[5]) @ rotation
    names = ("index_pip", "index_dip", "index_tip")
    edits = [
        drag(3, {name: place.tolist() for name, place in zip(names, turned[1:], strict=True)}),
        {"kind": "pin", "frame": 3, "side": "left"},
    ]
    motions = {}
    for name, given in (("before", None), ("dragged", edits[:1]), ("pinned", edits)):
        if given is not None:
            rebuild(take, given, parts=Components())
            known = {"frames/000003.npz", "take.json", "motion.npz", EDITS_FILE}
            assert changed(before, bytes_of(take)) == known
        with np.load(take / "motion.npz") as data:
            motions[name] = data["left_keypoints"][:, 8].astype(float)
            if given is not None:
                assert data["left_status"].tolist() == [1, 1, 1, 1, 1]
    now = Take.open(take).read_frame(3)["left"]["keypoints"][8].astype(float)
    assert np.linalg.norm(now - was) > 0.02
    missed = {name: np.linalg.norm(points[2] - now) for name, points in motions.items()}
    assert missed["pinned"] < 0.5 * missed["dragged"] < missed["before"]
    moved = {name: points[[1, 3]] - motions["before"][[1, 3]] for name, points in motions.items()}
    beside = {name: np.linalg.norm(away, axis=1).min() for name, away in moved.items()}
    assert beside["pinned"] > beside["dragged"]
    header = Take.open(take).header["clean"]
    again = bytes_of(take)
    rebuild(take, None, parts=Components())
    assert bytes_of(take) == again
    assert header["template_for"] != header["template"]
    rebuild(take, [], parts=Components())
    assert bytes_of(take) == before


def test_an_absent_hand_is_not_filled_in(clean_take: Path) -> None:
    rebuild(clean_take, [{"kind": "absent", "frame": 3, "side": "left"}], parts=Components())
    with np.load(clean_take / "motion.npz") as data:
        assert data["left_status"].tolist() == [1, 1, 0, 1, 1]
        assert data["right_status"].tolist() == [1, 1, 1, 1, 1]
