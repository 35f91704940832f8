"""Keypoint refinement in a job: what it changes and keeps, hands it leaves unchanged, and its records in the take."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fakes import FakeParts, FakeReconstructor, hand_positions, keypoint_rows, picture, write_picture
from im2hands.app.cli.main import main
from im2hands.core.camera import Camera
from im2hands.core.errors import WeightsError
from im2hands.core.hands import FILE_TO_HALO, HandKeypoints, RefinedHands, Side, TwoHands
from im2hands.job.components import Components
from im2hands.job.options import ReconstructOptions
from im2hands.lab.bench import weights as bench_weights
from im2hands.media.source import Frame
from im2hands.networks.keypoint_refinement import place_keypoints, prepare_keypoints
from im2hands.surfaces.hand_crop import crop_hands
from im2hands.surfaces.keypoint_refiner import KeypointRefiner, load_keypoint_refiner
from im2hands.take.take import Take
from im2hands.weights.folder import BUNDLED

CPU = torch.device("cpu")
CAMERA = Camera.from_fov(50, 320, 240)
FRAME = Frame(1, 0.0, picture(320, 240), "shot.png")
THUMB_MCP, INDEX_TIP, LITTLE_TIP = 2, 8, 20  # file order
THUMB_BONE = tuple(1000 * (hand_positions("left")[THUMB_MCP + 1] - hand_positions("left")[THUMB_MCP]))
LIFTED = {("left", FILE_TO_HALO.index(INDEX_TIP)): (0.0, 0.0, -12.0)}


def _hand(side: Side) -> HandKeypoints:
    positions = hand_positions(side)
    return HandKeypoints(side, positions, CAMERA.project(positions) + 1.5, np.full(21, 0.7), 0.8, "test")


BOTH = TwoHands(_hand("left"), _hand("right"))


class Answer(torch.nn.Module):
    """A network that returns a function of the keypoints and records its inputs."""

    def __init__(self, answer: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.answer, self.shown = answer, []

    def forward(self, image: torch.Tensor, relative: torch.Tensor) -> torch.Tensor:
        self.shown.append((image, relative))
        return self.answer(relative)


def _refine(answer: Callable[[torch.Tensor], torch.Tensor], hands: TwoHands = BOTH) -> RefinedHands:
    return KeypointRefiner(Answer(answer), device=CPU).refine(FRAME, CAMERA, hands)


def _moved(offsets: dict[tuple[int, int], tuple[float, float, float]]) -> Callable[[torch.Tensor], torch.Tensor]:
    """A network that returns its input with some keypoints (hand, file order) moved, millimetres."""

    def answer(relative: torch.Tensor) -> torch.Tensor:
        moved = relative.clone()
        for (hand, keypoint), offset in offsets.items():
            moved[0, hand, FILE_TO_HALO.index(keypoint)] += torch.tensor(offset)
        return moved

    return answer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A weights folder with the bundled part occupancy network and a refiner that lifts the left index fingertip."""
    folder = tmp_path_factory.mktemp("weights")
    for suffix in (".json", ".safetensors"):
        shutil.copy(BUNDLED / f"part_occupancy{suffix}", folder)
    bench_weights.save("keypoint_refinement", bench_weights.shifting(LIFTED).state_dict(), folder)
    yield folder
    shutil.rmtree(folder)  # a hundred and sixty megabytes


def test_the_shape_is_the_networks_and_the_place_stays() -> None:
    nearer = _moved({(0, INDEX_TIP): (0.0, 0.0, -12.0), (1, LITTLE_TIP): (5.0, 0.0, 0.0)})
    # Whatever position the network predicts, a hand keeps the mean of its keypoints.
    found = _refine(lambda relative: nearer(relative) + torch.tensor([[[[900.0, 0, 0]], [[0, -70.0, 300.0]]]]))
    assert found.refined == ("left", "right") and found.message == ""
    for hand, keypoint, offset in ((BOTH.left, INDEX_TIP, (0, 0, -0.012)), (BOTH.right, LITTLE_TIP, (0.005, 0, 0))):
        assert hand is not None
        new = found.hands.get(hand.side)
        assert new is not None and new.positions.dtype == np.float64
        expected = np.zeros((21, 3))
        expected[keypoint] = offset
        assert np.abs(new.positions - hand.positions - (expected - expected.mean(0))).max() < 1e-6
        assert np.array_equal(new.pixels, hand.pixels) and np.array_equal(new.confidence, hand.confidence)
        assert (new.source, new.score) == (hand.source, hand.score)


def test_the_network_sees_the_crop_and_the_hands_in_its_own_frame() -> None:
    network = Answer(lambda relative: relative)
    KeypointRefiner(network, device=CPU).refine(FRAME, CAMERA, BOTH)
    [(image, relative)] = network.shown
    assert torch.equal(image[0], torch.from_numpy(crop_hands(FRAME, CAMERA, BOTH).network_input()))
    assert relative.shape == (1, 2, 21, 3) and relative.dtype == torch.float32
    for hand, side in enumerate(("left", "right")):
        expected = (hand_positions(side) - hand_positions("left")[9])[list(FILE_TO_HALO)] * 1000
        assert np.abs(relative[0, hand].numpy() - expected).max() < 1e-3


def test_it_is_the_network() -> None:
    """The refiner returns what a direct call of the network gives; these weights give plausible keypoints."""
    network = bench_weights.shifting({**LIFTED, ("right", 3): (2.0, -3.0, 1.0)})
    points = torch.from_numpy(np.stack([hand.positions for hand in BOTH.present()]))[None]
    camera = torch.eye(3)[None], torch.zeros(1, 3)
    prepared = prepare_keypoints(points, points[:, :, 0], *camera)
    image = torch.from_numpy(crop_hands(FRAME, CAMERA, BOTH).network_input())[None]
    with torch.no_grad():
        expected = place_keypoints(network(image, prepared.relative), prepared, *camera)[0].numpy()
    found = KeypointRefiner(network, device=CPU).refine(FRAME, CAMERA, BOTH)
    assert found.refined == ("left", "right")
    for positions, hand in zip(expected, found.hands.present(), strict=True):
        assert np.array_equal(hand.positions, positions)
    moved = expected[0] - hand_positions("left")
    assert moved[INDEX_TIP, 2] == pytest.approx(-0.012 * 20 / 21, abs=1e-6)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (_moved({(0, INDEX_TIP): (0, 0, 55.0)}), "the index tip would move by 52 mm"),
        (lambda relative: relative * float("nan"), "the network's output is not finite"),
        (_moved({(0, THUMB_MCP): THUMB_BONE}), "the bone to the thumb ip would be 0 mm long"),
    ],
)
def test_nonsense_leaves_a_hand_alone(answer, words, caplog) -> None:
    with caplog.at_level(logging.WARNING, "im2hands"):
        found = _refine(answer)
    assert found.hands.left is BOTH.left and "left" not in found.refined
    assert f"The keypoints of the left hand are not refined: {words}" in found.message
    assert "shot.png" in caplog.text
    assert found.refined == (() if "finite" in words else ("right",))


def test_a_palm_without_a_plane_is_nonsense() -> None:
    def flat(relative: torch.Tensor) -> torch.Tensor:
        folded = relative.clone()
        wrist, middle, index = (FILE_TO_HALO.index(keypoint) for keypoint in (0, 9, 5))
        folded[0, 1, index] = folded[0, 1, wrist] + 0.9 * (folded[0, 1, middle] - folded[0, 1, wrist])
        return folded

    assert "right hand are not refined: the palm would have no plane" in _refine(flat).message


def test_one_hand_keeps_its_keypoints(caplog) -> None:
    network = Answer(lambda relative: relative)
    refiner = KeypointRefiner(network, device=CPU)
    with caplog.at_level(logging.INFO, "im2hands"):
        found = refiner.refine(FRAME, CAMERA, TwoHands(right=BOTH.right))
    assert found == RefinedHands(TwoHands(right=BOTH.right)) and not network.shown
    assert "shot.png: only the right hand is there; its keypoints are not refined" in caplog.text
    assert caplog.records[0].levelno == logging.INFO
    assert refiner.refine(FRAME, CAMERA, TwoHands()) == RefinedHands(TwoHands())


def test_a_hand_outside_the_picture_is_said() -> None:
    assert BOTH.left is not None
    far = replace(BOTH.left, positions=BOTH.left.positions + np.array([3, 0, 0]))
    found = _refine(lambda relative: relative, TwoHands(far, BOTH.right))
    assert found.hands.left is far and found.refined == ()
    assert "not refined: shot.png: the left hand lies outside the picture" in found.message


def test_weights_decide(folder: Path, tmp_path: Path) -> None:
    assert load_keypoint_refiner("bundled", device=CPU) is None
    refiner = load_keypoint_refiner(folder, device=CPU)
    sha256 = json.loads((folder / "keypoint_refinement.json").read_text())["sha256"]
    assert refiner is not None and refiner.provenance == {"weights": {"keypoint_refinement": sha256}}
    for suffix in (".json", ".safetensors"):  # weights of another network under this name
        shutil.copy(BUNDLED / f"part_occupancy{suffix}", tmp_path / f"keypoint_refinement{suffix}")
    with pytest.raises(WeightsError, match=r"holds weights of .*, not of keypoint_refinement"):
        load_keypoint_refiner(tmp_path, device=CPU)
    (tmp_path / "keypoint_refinement.safetensors").write_bytes(b"cut off")
    with pytest.raises(WeightsError, match="damaged or changed"):
        load_keypoint_refiner(tmp_path, device=CPU)
    with pytest.raises(WeightsError, match="no weights folder"):
        load_keypoint_refiner(tmp_path / "nowhere", device=CPU)


def test_the_command_line_refines_and_can_be_told_not_to(folder: Path, tmp_path: Path) -> None:
    write_picture(tmp_path / "shot_0001.png", FRAME.image)
    write_picture(tmp_path / "shot_0002.png", FRAME.image)
    rows = keypoint_rows([1, 2])
    del rows["frames"]["000002"]["right"]
    (tmp_path / "keypoints.json").write_text(json.dumps(rows), encoding="utf-8")
    arguments = ["reconstruct", str(tmp_path / "shot_0001.png"), str(tmp_path / "shot_0002.png"), "--fov", "50"]
    arguments += ["--keypoints", str(tmp_path / "keypoints.json"), "--device", "cpu", "--voxel-mm", "6", "--no-clean"]
    arguments += ["--weights", str(folder), "--resume"]

    def take(name: str, *more: str) -> Take:
        assert main([*arguments, "-o", str(tmp_path / name), *more]) == 0
        return Take.open(tmp_path / name)

    on, off = take("on"), take("off", "--no-keypoint-refinement")
    sha256 = json.loads((folder / "keypoint_refinement.json").read_text())["sha256"]
    assert on.header["provenance"]["weights"]["keypoint_refinement"] == sha256
    assert on.header["provenance"]["keypoint_refinement"] is True
    assert on.header["settings"]["keypoint_refinement"] is True
    assert list(off.header["provenance"]["weights"]) == ["part_occupancy"]
    assert off.header["settings"]["keypoint_refinement"] is False
    assert {side: facts.get("keypoints") for side, facts in on.records[1].hands.items()} == dict.fromkeys(
        ("left", "right"), "refined"
    )
    assert "keypoints" not in on.records[2].hands["left"] and "keypoints" not in off.records[1].hands["left"]
    refined, found = on.read_frame(1)["left"], off.read_frame(1)["left"]
    given = np.array(rows["frames"]["000001"]["left"])
    assert np.abs(found["keypoints"] - given).max() < 1e-6
    expected = np.zeros((21, 3))
    expected[INDEX_TIP, 2] = -0.012
    assert np.abs(refined["keypoints"] - given - (expected - expected.mean(0))).max() < 1e-6
    assert np.array_equal(refined["keypoints_2d"], found["keypoints_2d"])
    # The surface follows the keypoints: the lifted fingertip is nearer to the camera.
    tip = given[INDEX_TIP]
    near = [
        hand["vertices"][np.linalg.norm(hand["vertices"][:, :2] - tip[:2], axis=1) < 0.005] for hand in (refined, found)
    ]
    assert near[0][:, 2].min() < near[1][:, 2].min() - 0.006
    assert np.array_equal(on.read_frame(2)["left"]["keypoints"], off.read_frame(2)["left"]["keypoints"])


class Parts(FakeParts):
    """Stand-in components whose refiner is given by the test and enabled by the options."""

    def __init__(self, refiner: KeypointRefiner) -> None:
        super().__init__()
        self.given = refiner

    def refiner(self, options: ReconstructOptions, device_name: str) -> KeypointRefiner | None:
        return self.given if options.keypoint_refinement else None


def _refiner(
    sha256: str, answer: Callable[[torch.Tensor], torch.Tensor] = lambda relative: relative
) -> KeypointRefiner:
    return KeypointRefiner(Answer(answer), device=CPU, provenance={"weights": {"keypoint_refinement": sha256}})


@pytest.mark.usefixtures("fixed_date")
def test_resume_knows_what_was_refined_with_what(pictures: Path, run_job: Callable[..., Any]) -> None:
    def made(parts: FakeParts, **options: Any) -> list[int]:
        parts.reconstructor_made = FakeReconstructor()
        run_job(pictures, parts=parts, **options)
        return parts.reconstructor_made.calls

    assert made(Parts(_refiner("1" * 64))) == [3, 4, 5, 6]
    assert made(Parts(_refiner("1" * 64))) == []
    assert made(Parts(_refiner("2" * 64))) == [3, 4, 5, 6]  # other weights
    assert made(Parts(_refiner("2" * 64)), keypoint_refinement=False) == [3, 4, 5, 6]
    # A weights folder without the network and the option that disables it give the same result.
    assert made(FakeParts()) == []
    assert Components().refiner(ReconstructOptions(("a",), "b"), "cpu") is None


def test_the_frame_says_what_was_not_refined(pictures: Path, tmp_path: Path, run_job: Callable[..., Any]) -> None:
    parts = Parts(_refiner("1" * 64, _moved({(0, INDEX_TIP): (0, 0, 55.0)})))
    finished, _ = run_job(pictures, parts=parts)
    assert finished.summary.ok == 4
    record = Take.open(tmp_path / "take").records[3]
    assert record.status == "ok" and record.message.startswith("The keypoints of the left hand are not refined: the")
    assert [side for side, facts in record.hands.items() if "keypoints" in facts] == ["right"]


def test_too_little_memory_costs_the_frame_only(pictures: Path, tmp_path: Path, run_job: Callable[..., Any]) -> None:
    def hungry(relative: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")

    finished, _ = run_job(pictures, parts=Parts(_refiner("1" * 64, hungry)))
    assert finished.summary.failed == 4
    assert "not enough memory" in Take.open(tmp_path / "take").records[3].message
