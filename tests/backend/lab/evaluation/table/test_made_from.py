"""Results of the table are never mixed with those of another set, other weights or another program version."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from im2hands.app.cli.main import main
from im2hands.core.errors import InputError
from im2hands.core.hands import TwoHands
from im2hands.lab.evaluation.table import made_from as table_made_from
from im2hands.lab.evaluation.table import tools as table_tools
from im2hands.lab.evaluation.table.made_from import keep_made_from, keypoint_files, method_files, two_hand_weights
from im2hands.lab.evaluation.table.scene import ExactKeypoints
from im2hands.weights.folder import BUNDLED
from im2hands.weights.keypoint_networks import TWO_HAND
from scene_pictures import make_set


@pytest.fixture
def halo(tmp_path: Path) -> Path:
    """A weights folder with only the HALO baseline."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for path in BUNDLED.glob("part_occupancy.*"):
        shutil.copy(path, folder)
    return folder


def test_a_run_goes_on_only_with_what_it_was_begun_with(
    tmp_path: Path, halo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, other = make_set(tmp_path / "world", 1, 0), make_set(tmp_path / "other", 1, 0, seed=2)
    output = tmp_path / "out"
    base = ["evaluate", "table", "--output", str(output), "--sources", "exact", "--methods", "halo", "--device", "cpu"]
    arguments = [*base, "--data", str(data), "--weights", str(halo), "--voxel-mm", "6", "--json"]
    assert main(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["files"]["method halo"] == {"part_occupancy": str(halo / "part_occupancy.safetensors")}
    results = (output / "results-1-of-1.jsonl").read_bytes()

    def refused(given: list[str], *words: str) -> None:
        assert main(given) == 2
        said = capsys.readouterr().err
        assert all(word in said for word in ("have other inputs", "--restart", "another --output", *words)), said
        assert (output / "results-1-of-1.jsonl").read_bytes() == results

    refused([*arguments, "--voxel-mm", "5"], "options: voxel mm was 6.0, is 5.0")
    refused([*arguments, "--data", str(other)], "scenes: seed was 1, is 2", "scenes: content was")
    with monkeypatch.context() as patch:
        patch.setattr(table_made_from, "__version__", "9.9")
        refused(arguments, "program: version was", "is 9.9")
    # One changed bit of one weight is detected.
    weights = halo / "part_occupancy.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    refused(arguments, "method halo: part_occupancy was")
    weights.write_bytes(before)
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == report["rows"]

    assert main([*arguments, "--data", str(other), "--restart"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] != report["rows"]
    assert len((output / "results-1-of-1.jsonl").read_text().splitlines()) == 1
    assert main([*arguments, "--restart", "--part", "1/2"]) == 2
    assert "other parts" in capsys.readouterr().err

    (output / "made_from.json").unlink()
    assert main(arguments) == 2
    assert "not what they were made from" in capsys.readouterr().err


def test_rows_that_come_later_are_added_and_held_to_from_then_on(tmp_path: Path) -> None:
    keep_made_from(tmp_path, {"method halo": {"part_occupancy": "a" * 64}})
    keep_made_from(tmp_path, {"method initial": {"initial_occupancy": "b" * 64}})
    keep_made_from(tmp_path, {"method halo": {"part_occupancy": "a" * 64}})
    with pytest.raises(InputError, match="method initial: initial_occupancy was bbbbbbbbbbbb, is cccccccccccc"):
        keep_made_from(tmp_path, {"method initial": {"initial_occupancy": "c" * 64}})
    with pytest.raises(InputError, match="image_encoder was missing, is dddddddddddd"):
        keep_made_from(tmp_path, {"method initial": {"initial_occupancy": "b" * 64, "image_encoder": "d" * 64}})
    (tmp_path / "made_from.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        keep_made_from(tmp_path, {})


def test_keypoints_come_from_the_folder_s_two_hand_network(
    halo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bundled network is used if the folder has none; the pair judge and the lifting network lie beside it."""
    assert two_hand_weights(halo) is None
    assert keypoint_files("auto", halo)["two_hand_network"] == BUNDLED / TWO_HAND.file
    for name in ("two_hand_network", "lifting_network"):
        (halo / f"{name}.safetensors").write_bytes(name.encode())
    files = keypoint_files("network", halo)
    assert two_hand_weights(halo) == files["two_hand_network"] == halo / TWO_HAND.file
    assert files["lifting_network"].parent == halo and files["pair_judge"].parent == BUNDLED
    names = {"hand_landmarker.task", "keypoint_confidence.json", "pair_judge"}
    assert names == set(keypoint_files("mediapipe", halo))
    assert keypoint_files("exact", halo) == {} and method_files("refined", halo) == {}

    asked: list[Path | None] = []

    class Empty(ExactKeypoints):
        def __init__(self, name: str, hands: str, two_hand_weights: Path | None) -> None:
            asked.append(two_hand_weights)

        def hands(self, scene: object) -> TwoHands:
            return TwoHands()

    monkeypatch.setattr(table_tools, "FoundKeypoints", Empty)
    arguments = ["evaluate", "table", "--data", str(make_set(tmp_path / "world", 1, 0)), "--output"]
    arguments += [str(tmp_path / "out"), "--sources", "auto", "--methods", "halo", "--weights", str(halo)]
    assert main([*arguments, "--device", "cpu", "--voxel-mm", "6"]) == 0
    assert asked == [halo / TWO_HAND.file]
    assert f"two-hand network: {halo / TWO_HAND.file}" in capsys.readouterr().out
