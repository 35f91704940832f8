"""The command line in this process: exit codes and messages."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fakes import FakeParts, FakeProvider, keypoint_rows, picture, write_picture
from im2hands.app.cli import main as cli
from im2hands.app.cli.main import NO_NETWORK, main
from im2hands.app.terminal import clock, summary_words
from im2hands.job.events import Summary
from im2hands.take.take import Take


@pytest.fixture
def fake_parts(monkeypatch: pytest.MonkeyPatch) -> FakeParts:
    parts = FakeParts()
    monkeypatch.setattr("im2hands.job.reconstruct.Components", lambda: parts)
    return parts


@pytest.mark.parametrize(
    "arguments", [[], ["dance"], ["reconstruct"], ["reconstruct", "a.jpg"], ["train"], ["export", "t"]]
)
def test_wrong_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "usage: im2hands" in capsys.readouterr().err


def bad_inputs(folder: Path) -> dict[str, tuple[list[str], str]]:
    """Return arguments and expected message by name."""
    good = str(write_picture(folder / "good.png", picture()))
    (folder / "text.jpg").write_text("text")
    (folder / "zero.jpg").write_bytes(b"")
    (folder / "empty").mkdir()
    Image.new("RGB", (4, 4)).save(folder / "small.png")
    (folder / "camera.json").write_text('{"fx": 0, "fy": 1, "cx": 1, "cy": 1, "width": 160, "height": 120}')
    (folder / "file").write_text("in the way")
    (folder / "future").mkdir()
    (folder / "future" / "take.json").write_text('{"format": "im2hands-take", "version": 2, "frames": []}')
    out = ["-o", str(folder / "take")]
    return {
        "no such file": ([str(folder / "none.jpg"), *out], "There is no file or folder"),
        "not an image": ([str(folder / "text.jpg"), *out], "is not a picture that can be read"),
        "zero bytes": ([str(folder / "zero.jpg"), *out], "is empty (0 bytes)"),
        "no pictures": ([str(folder / "empty"), *out], "has no pictures"),
        "4 x 4": ([str(folder / "small.png"), *out], "has 4 x 4 pixels, too few"),
        "fx = 0": ([good, *out, "--camera", str(folder / "camera.json")], "camera.json: Camera: fx is 0"),
        "two cameras": ([good, *out, "--fov", "60", "--focal-px", "900"], "not allowed with argument"),
        "output": ([good, "-o", str(folder / "file" / "take")], "Cannot make the take folder"),
        "future take": ([good, "-o", str(folder / "future"), "--resume"], "is a take of version 2"),
        "frames": ([good, *out, "--frames", "x"], 'Frames "x" cannot be understood'),
        "no keypoints": ([good, *out, "--keypoints", str(folder / "none.json")], "none.json"),
    }


@pytest.mark.parametrize(
    "name",
    ["no such file", "not an image", "zero bytes", "no pictures", "4 x 4", "fx = 0", "two cameras", "output",
     "future take", "frames", "no keypoints"],
)  # fmt: skip
def test_bad_input(name: str, tmp_path: Path, fake_parts: FakeParts, capfd: pytest.CaptureFixture[str]) -> None:
    arguments, message = bad_inputs(tmp_path)[name]
    assert main(["reconstruct", *arguments]) == 2
    printed = capfd.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""


def test_truncated_jpeg_fails_its_frame(
    tmp_path: Path, fake_parts: FakeParts, capfd: pytest.CaptureFixture[str]
) -> None:
    photo = tmp_path / "photos" / "a.jpg"
    write_picture(photo, picture(640, 480))
    whole = photo.read_bytes()
    shutil.copy(photo, photo.with_name("b.jpg"))
    photo.write_bytes(whole[: len(whole) // 2])
    assert main(["reconstruct", str(photo.parent), "-o", str(tmp_path / "take")]) == 1
    printed = capfd.readouterr().err
    assert "Frame 1 failed" in printed
    assert "is cut off: its data ends early" in printed
    assert "2 frames: 1 with both hands, 1 failed" in printed


def test_summary_for_a_person(tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    sides = {3: ("left", "right"), 4: ("left",), 5: (), 6: ()}
    parts = FakeParts(FakeProvider(sides=lambda index: sides[index]))
    monkeypatch.setattr("im2hands.job.reconstruct.Components", lambda: parts)
    assert main(["reconstruct", str(pictures), "-o", str(tmp_path / "täke 手")]) == 0
    printed = capfd.readouterr().err
    assert "4 frames: 1 with both hands, 1 with one hand, 2 without a hand" in printed
    assert "The take is" in printed
    assert "täke 手" in printed
    assert "field of view of 60 degrees is assumed" in printed
    assert main(["reconstruct", str(pictures), "-o", str(tmp_path / "täke 手"), "--no-resume"]) == 2
    assert "--resume" in capfd.readouterr().err
    assert main(["reconstruct", str(pictures), "-o", str(tmp_path / "täke 手")]) == 0
    assert "(4 from before)" in capfd.readouterr().err


def test_words() -> None:
    assert [clock(seconds) for seconds in (0.4, 75, 3700)] == ["0:00", "1:15", "1:01:40"]
    assert summary_words(Summary(), True, Path("t")).startswith("Stopped. 0 frames: none finished")


def test_mistakes_of_ours_name_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("im2hands.job.reconstruct.open_source", broken)
    arguments = ["reconstruct", "a.jpg", "-o", str(tmp_path / "take")]
    assert main(arguments) == 1
    printed = capfd.readouterr().err
    assert "ZeroDivisionError: oh" in printed
    assert "im2hands.log" in printed
    assert "Traceback" not in printed
    with pytest.raises(ZeroDivisionError):
        main([*arguments, "--debug"])


def test_broken_package_is_the_environments_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*arguments: object) -> None:
        raise ImportError("libcudart.so.12: cannot open shared object file")

    monkeypatch.setattr("im2hands.job.reconstruct.open_source", broken)
    assert main(["reconstruct", "a.jpg", "-o", str(tmp_path / "take")]) == 3
    printed = capfd.readouterr().err
    assert "cannot be loaded: libcudart.so.12" in printed
    assert "im2hands check" in printed


def test_missing_weights_and_device(pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["reconstruct", str(pictures), "-o", str(tmp_path / "take")]
    (tmp_path / "weights").mkdir()
    assert main([*arguments, "--weights", str(tmp_path / "none")]) == 3
    assert main([*arguments, "--weights", str(tmp_path / "weights")]) == 3
    assert "part_occupancy" in capfd.readouterr().err
    assert main([*arguments, "--device", "cuda:99"]) == 3
    assert "cuda:99 is not there" in capfd.readouterr().err
    assert main([*arguments, "--device", "abacus"]) == 2
    assert not (tmp_path / "take").exists()


def test_weights_with_a_wrong_hash(pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from im2hands.weights.folder import BUNDLED

    shutil.copytree(BUNDLED, tmp_path / "weights")
    path = tmp_path / "weights" / "part_occupancy.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert main(["reconstruct", str(pictures), "-o", str(tmp_path / "t"), "--weights", str(path.parent)]) == 3
    assert "is damaged or changed" in capfd.readouterr().err
    assert main(["weights", "list", "--folder", str(path.parent)]) == 3
    assert "PROBLEM  part_occupancy" in capfd.readouterr().out
    assert main(["weights", "list", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)[0]["found"] is True


def test_export_and_benchmark_commands(
    tmp_path: Path, pictures: Path, fake_parts: FakeParts, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.setattr("im2hands.app.selftest.Components", lambda: fake_parts)
    assert main(["reconstruct", str(pictures), "-o", str(tmp_path / "take")]) == 0
    capfd.readouterr()
    assert main(["export", str(tmp_path / "take"), "--to", "glb"]) == 0
    assert capfd.readouterr().out.strip() == str(tmp_path / "take.glb")
    assert main(["export", str(tmp_path / "take"), "--to", "ply"]) == 0
    assert "8 files in" in capfd.readouterr().out
    assert main(["export", str(tmp_path / "take"), "--to", "abc"]) == 2
    assert "comes from Blender" in capfd.readouterr().err
    assert main(["benchmark", "--repeat", "1", "--json"]) == 0
    assert "surfaces" in json.loads(capfd.readouterr().out)["seconds"]
    assert main(["benchmark", "--repeat", "2"]) == 0
    assert "left hand:" in capfd.readouterr().out
    assert main(["benchmark", "--repeat", "0"]) == 2


def test_tasks_are_wired(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("train", "evaluate"):
        assert main([name, "--help"]) == 0
        assert "part-occupancy" in capsys.readouterr().out
        assert main([name, "part-occupancy", "--help"]) == 0
        assert "--debug" in capsys.readouterr().out
    assert set(cli.TASKS) == {"train", "evaluate"}


def test_one_side_missing_for_some_frames(tmp_path: Path, pictures: Path, fake_parts: FakeParts, capfd: Any) -> None:
    rows = keypoint_rows([3, 4, 5, 6])
    del rows["frames"]["000004"]["left"]
    del rows["frames"]["000005"]
    (tmp_path / "k.json").write_text(json.dumps(rows))
    arguments = ["reconstruct", str(pictures), "-o", str(tmp_path / "take"), "--keypoints", str(tmp_path / "k.json")]
    assert main(arguments) == 0
    statuses = [record.status for record in Take.open(tmp_path / "take").frames()]
    assert statuses == ["ok", "partial", "empty", "ok"]


def test_the_program_keeps_libraries_from_calling_home(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NO_NETWORK:
        monkeypatch.setenv(name, "http://proxy.example:3128")
    main(["weights", "list"])
    assert os.environ["https_proxy"] == os.environ["HTTPS_PROXY"] == "http://127.0.0.1:9"
    assert os.environ["no_proxy"] == ""
