"""The reading network's weights: the start from MediaPipe's weights, and equal results of TFLite and PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from im2hands.core.errors import WeightsError
from im2hands.keypoints.reading.network import LandmarkNetwork
from im2hands.lab.training.revival import revived
from im2hands.networks.reading_network import CROP_PIXELS, ReadingNetwork
from im2hands.weights import tflite_layers
from im2hands.weights.keypoint_networks import READING
from im2hands.weights.mediapipe_bundle import read_bundle
from im2hands.weights.mediapipe_landmarks import as_tflite, mediapipe_start


@pytest.fixture(scope="module")
def changed() -> ReadingNetwork:
    """A network with MediaPipe's weights and random changes to all of them, as after a training."""
    torch.manual_seed(2)
    model = mediapipe_start().eval()
    with torch.no_grad():
        model.side.normal_(0, 0.5)
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.01 * weight.abs().mean())
        model.pixels.weight[2::3].normal_(0, 0.01)
    return model


def crops(count: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (count, CROP_PIXELS, CROP_PIXELS, 3), dtype=np.uint8)


def whole(picture: np.ndarray) -> np.ndarray:
    half = CROP_PIXELS / 2 - 0.5
    return np.array([[half, half, CROP_PIXELS, 0.0]])


def test_it_begins_as_mediapipes_network_and_reads_what_that_reads() -> None:
    model = mediapipe_start().eval()
    file = read_bundle(None).landmark_network
    back, there = (np.frombuffer(data, np.uint8) for data in (as_tflite(model), file))
    depths = 21 * (1152 + 1) * 2  # the third coordinate of each keypoint: a spread in this network
    assert len(back) == len(there) and 0 < (back != there).sum() <= depths
    theirs = LandmarkNetwork(workers=1)
    for picture in crops(2):
        read = theirs.read(picture, whole(picture))
        with torch.inference_mode():
            made = model(torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255)
        np.testing.assert_allclose(made.pixels[0].numpy() - 0.5, read.pixels[0], atol=0.02)
        np.testing.assert_allclose(made.shape[0].numpy(), read.shape[0], atol=1e-4)
        assert torch.sigmoid(made.hand[0]) == pytest.approx(read.presence[0], abs=1e-3)
        assert torch.sigmoid(made.right[0]) == pytest.approx(read.right[0], abs=1e-3)
        assert (read.spread == 0).all()
    theirs.close()


@pytest.mark.parametrize("side", [-1, 0, 1])
def test_the_tflite_model_reads_what_the_network_reads_for_each_side(changed: ReadingNetwork, side: int) -> None:
    network = LandmarkNetwork(workers=1, reading=changed)
    assert network.takes_sides
    for picture in crops(2):
        read = network.read(picture, whole(picture), side=side)
        with torch.inference_mode():
            made = changed(
                torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255, torch.tensor([float(side)])
            )  # fmt: skip
        np.testing.assert_allclose(made.pixels[0].numpy() - 0.5, read.pixels[0], atol=0.6)
        np.testing.assert_allclose(made.shape[0].numpy(), read.shape[0], atol=3e-3)
        np.testing.assert_allclose(made.spread[0].numpy(), read.spread[0], rtol=0.02)
        assert torch.sigmoid(made.hand[0]) == pytest.approx(read.presence[0], abs=0.01)
    network.close()


def test_which_side_is_looked_for_matters(changed: ReadingNetwork) -> None:
    picture = torch.from_numpy(crops(1)).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        left, any_, right = (changed(picture, torch.tensor([float(side)])).pixels for side in (-1, 0, 1))
        assert torch.equal(any_, changed(picture).pixels)
    assert (left - right).abs().max() > 0.1 and (left - any_).abs().max() > 0.05


def test_weights_come_back_from_their_file(changed: ReadingNetwork, tmp_path: Path) -> None:
    READING.save(changed, tmp_path, {"licence": "Apache-2.0"})
    back = READING.load(tmp_path / READING.file)
    for name, value in changed.state_dict().items():
        torch.testing.assert_close(back.state_dict()[name], value.half().float())
    with pytest.raises(WeightsError, match="missing"):
        READING.load(tmp_path / "other.safetensors")


@pytest.mark.parametrize("damage", ["empty", "cut", "another"])
def test_a_file_that_is_no_such_model_is_refused_in_words(damage: str) -> None:
    bundle = read_bundle(None)
    file = {
        "empty": b"", "cut": bundle.landmark_network[:20000], "another": bundle.palm_detector,
    }[damage]  # fmt: skip
    if damage == "another":
        assert len(tflite_layers.layers(file)) != len(tflite_layers.layers(bundle.landmark_network))
        return
    with pytest.raises(WeightsError, match="not as expected"):
        tflite_layers.layers(file)


def test_dead_channels_live_again_and_the_network_says_what_it_said() -> None:
    picture = torch.from_numpy(crops(2)).permute(0, 3, 1, 2).float() / 255
    before, after = mediapipe_start().eval(), revived(mediapipe_start(), 1).eval()
    with torch.inference_mode():
        was, now = before(picture), after(picture)
        dead = [(network.see(picture) == 0).all(dim=0).sum() for network in (before, after)]
    assert dead[0] > 300 and dead[1] < 50
    torch.testing.assert_close(now.pixels, was.pixels, atol=1.0, rtol=0)
    torch.testing.assert_close(now.hand, was.hand, atol=0.1, rtol=0)


def test_the_features_of_a_crop_are_those_of_a_right_hand(changed: ReadingNetwork) -> None:
    network, pictures = LandmarkNetwork(workers=2, reading=changed), crops(3)
    made = network.features(pictures)
    network.close()
    with torch.inference_mode():
        given = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
        right, either = changed.see(given, torch.ones(3)).numpy(), changed.see(given).numpy()
    assert made.shape == (3, 1152) and made.dtype == np.float32
    assert np.abs(made - right).max() < 0.05 < np.abs(made - either).max()


def test_a_model_with_other_last_layers_shows_no_features() -> None:
    with pytest.raises(WeightsError, match="landmark network is not as expected"):
        tflite_layers.show_input(bytearray(read_bundle(None).landmark_network), 9)
    with pytest.raises(WeightsError, match="landmark network is not as expected"):
        tflite_layers.show_input(bytearray(b"no model"), 0)
