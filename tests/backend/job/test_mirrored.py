"""Mirror images: hands belong to the picture flipped back, their stored pixels to the picture on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fakes import FakeParts, FakeProvider, picture, write_clip, write_picture
from im2hands.animation.motion.tracks import OBSERVED, judge, read_raw
from im2hands.core.camera import Camera
from im2hands.core.errors import InputError
from im2hands.core.hands import SIDES
from im2hands.keypoints.hypothesis import HandDetection
from im2hands.keypoints.proposing.box_file import HandBoxes
from im2hands.lab.bench.simulated_clips import Noise
from im2hands.media.camera_choice import CameraChoice
from im2hands.media.images import PictureInfo
from im2hands.media.source import Frame, open_source
from im2hands.take.record import convert_keypoints_2d
from im2hands.take.take import Take
from simulated_takes import simulate, write_take


class Looking(FakeProvider):
    """Keeps the last picture that it was given."""

    shown: np.ndarray

    def detect(self, frame: Frame) -> list[HandDetection]:
        self.shown = frame.image
        return super().detect(frame)


def test_a_mirrored_job_turns_the_picture_back_and_tells_pixels_of_the_original(
    tmp_path: Path, run_job: Callable
) -> None:
    image = picture(320, 240)
    path = write_picture(tmp_path / "selfie.png", image)
    takes = {}
    for mirrored in (False, True):
        parts = FakeParts(Looking())
        finished, _ = run_job(path, tmp_path / f"take_{mirrored}", parts, mirrored=mirrored)
        assert finished.summary.ok == 1
        expected = image[:, ::-1] if mirrored else image
        np.testing.assert_array_equal(parts.provider_made.shown, expected)  # type: ignore[attr-defined]
        with np.load(tmp_path / f"take_{mirrored}" / "frames" / "000001.npz") as arrays:
            takes[mirrored] = {name: arrays[name] for name in arrays.files}
        header = json.loads((tmp_path / f"take_{mirrored}" / "take.json").read_text())
        assert header["settings"]["mirrored"] is mirrored
    for side in ("left", "right"):
        seen, turned = (takes[m][f"{side}_keypoints_2d"] for m in (False, True))
        np.testing.assert_allclose(turned[:, 0], 319 - seen[:, 0], atol=1e-3)
        np.testing.assert_array_equal(turned[:, 1], seen[:, 1])
        np.testing.assert_array_equal(takes[True][f"{side}_vertices"], takes[False][f"{side}_vertices"])


def test_pixels_are_converted_back_and_forth() -> None:
    pixels = np.array([[0.0, 5.0], [319.0, 7.0], [100.5, -3.0]])
    turned = convert_keypoints_2d(pixels, 320, mirrored=True)
    assert turned.tolist() == [[319.0, 5.0], [0.0, 7.0], [218.5, -3.0]]
    np.testing.assert_array_equal(convert_keypoints_2d(turned, 320, mirrored=True), pixels)
    np.testing.assert_array_equal(convert_keypoints_2d(pixels, 320, mirrored=False), pixels)


@pytest.mark.parametrize("mirrored", [False, True])
def test_no_frame_of_a_cleaned_job_is_doubtful(
    pictures: Path, tmp_path: Path, run_job: Callable, mirrored: bool
) -> None:
    run_job(pictures, clean=True, template_density=0, mirrored=mirrored)
    take = Take.open(tmp_path / "take")
    assert take.mirrored is mirrored
    words = [record.hands[side]["status"] for record in take.frames() for side in SIDES]
    assert words == ["observed"] * 8


@pytest.mark.parametrize("mirrored", [False, True])
def test_keypoints_lie_where_they_were_seen(tmp_path: Path, mirrored: bool) -> None:
    """Cameras are off centre, and the picture of the second frame is wider than that of the take."""
    clip = simulate(3, seed=4, noise=Noise(0, 0, 0, 0))
    clip = replace(clip, camera=replace(clip.camera, cx=clip.camera.cx + 30))
    wide = replace(clip.camera, cx=clip.camera.cx - 50, width=clip.camera.width + 80)
    take = write_take(tmp_path / "take", clip)
    take.header["settings"]["mirrored"] = mirrored
    take.records[2].extra["camera"] = wide.to_dict()
    for index in take.records:
        camera = wide if index == 2 else clip.camera
        take.add_arrays(
            index, {f"{s}_keypoints_2d": seen_on_disk(clip.seen[s][index - 1], camera, mirrored) for s in SIDES}
        )
    raw = read_raw(take, [1, 2, 3])
    for side, track in judge(raw, over_time=True).items():
        assert raw.reprojection[side].max() < 1e-4
        assert (track.status == OBSERVED).all()


def seen_on_disk(points: np.ndarray, camera: Camera, mirrored: bool) -> np.ndarray:
    """Project points to pixels of the picture on disk, as docs/take.md specifies."""
    x, y = camera.project(points).T
    return np.stack([camera.width - 1 - x if mirrored else x, y], axis=-1).astype(np.float32)


def test_going_on_with_the_other_choice_looks_again(tmp_path: Path, run_job: Callable) -> None:
    path = write_picture(tmp_path / "selfie.png", picture(320, 240))
    for mirrored, looked in ((False, [1]), (False, []), (True, [1])):
        parts = FakeParts()
        run_job(path, tmp_path / "take", parts, mirrored=mirrored, overwrite=mirrored)
        assert parts.provider_made.seen == looked


@pytest.mark.parametrize("mirrored", [False, True])
def test_going_on_with_the_other_choice_is_refused(
    pictures: Path, tmp_path: Path, run_job: Callable, mirrored: bool
) -> None:
    run_job(pictures, frames="3-4", mirrored=mirrored)
    before = {path: path.read_bytes() for path in (tmp_path / "take").rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=f"made {'with' if mirrored else 'without'} --mirrored") as caught:
        run_job(pictures, frames="5-6", mirrored=not mirrored)
    assert all(word in caught.value.hint for word in ("same choice", "another output folder", "--overwrite"))
    assert {path: path.read_bytes() for path in (tmp_path / "take").rglob("*") if path.is_file()} == before
    run_job(pictures, frames="5-6", mirrored=mirrored)
    assert len(Take.open(tmp_path / "take").records) == 4
    run_job(pictures, mirrored=not mirrored, overwrite=True)
    assert Take.open(tmp_path / "take").mirrored is not mirrored


def test_a_take_without_frames_goes_on_with_either_choice(tmp_path: Path, run_job: Callable) -> None:
    path = write_picture(tmp_path / "selfie.png", picture(320, 240))
    run_job(path, cancelled=(tmp_path / "take" / "take.json").exists)
    assert Take.open(tmp_path / "take").records == {}
    run_job(path, mirrored=True)
    assert Take.open(tmp_path / "take").mirrored


def test_frames_of_a_mirrored_clip_come_turned_back(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.avi", 3)
    plain, turned = (list(open_source([clip], mirrored=mirrored)) for mirrored in (False, True))
    for (_, a), (_, b) in zip(plain, turned, strict=True):
        assert isinstance(a, Frame) and isinstance(b, Frame)
        np.testing.assert_array_equal(a.image[:, ::-1], b.image)
        assert b.image.flags.c_contiguous and (a.index, a.time) == (b.index, b.time)


def test_a_camera_file_boxes_and_keypoints_follow(tmp_path: Path, run_job: Callable) -> None:
    path = tmp_path / "camera.json"
    path.write_text(json.dumps({"fx": 500, "fy": 500, "cx": 100, "cy": 120, "width": 320, "height": 240}))
    assert CameraChoice.from_options(path, None, None, mirrored=True).for_picture(PictureInfo(320, 240)).cx == 219
    boxes = HandBoxes.from_dict({"frames": {"1": {"left": [10, 20, 50, 80], "right": [200, 30]}}})
    turned = HandBoxes(boxes.frames, mirrored=True).get(1, 320)
    assert turned["left"].tolist() == [269, 20, 309, 80] and turned["right"].tolist() == [119, 30]
    assert boxes.get(1)["left"].tolist() == [10, 20, 50, 80]
    keypoints = tmp_path / "keypoints.json"
    keypoints.write_text("{}")
    image = write_picture(tmp_path / "selfie.png", picture())
    with pytest.raises(InputError, match="cannot be flipped"):
        run_job(image, mirrored=True, keypoints=str(keypoints))


def test_a_note_of_the_provider_reaches_the_take(tmp_path: Path, run_job: Callable) -> None:
    class Crowd(FakeProvider):
        def detect(self, frame: Frame) -> list[HandDetection]:
            left, right = super().detect(frame)
            return [left, replace(right, note="There are more hands.")]

    path = write_picture(tmp_path / "crowd.png", picture())
    for _ in range(2):  # the second time from the cache of detections
        run_job(path, tmp_path / "take", FakeParts(Crowd()))
        header = json.loads((tmp_path / "take" / "take.json").read_text())
        assert header["frames"][0]["message"] == "There are more hands."
        (tmp_path / "take" / "frames" / "000001.npz").unlink()
