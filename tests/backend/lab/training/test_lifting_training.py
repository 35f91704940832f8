"""Tests of the lifting network training: samples, learning, exact resume."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from im2hands.app.cli.main import main
from im2hands.core.errors import InputError
from im2hands.core.hands import MIDDLE_MCP, SIDES, WRIST
from im2hands.keypoints.placing.lifting_features import turn_to_ray
from im2hands.keypoints.reading.network import LandmarkNetwork
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.lab.evaluation.keypoints import camera_of
from im2hands.lab.training.lifting_network import RECIPE, LiftingTask, turned
from im2hands.lab.training.lifting_network import _batch as make_batch
from im2hands.lab.training.lifting_samples import LiftingSamples, gather, load_samples, scene_samples
from im2hands.lab.training.runner import Runner
from im2hands.networks.lifting_network import HAND_FEATURES, POINT_FEATURES, LiftingNetwork
from im2hands.networks.reading_network import FEATURES
from im2hands.networks.two_hand_network import EMBEDDING, PYRAMID_CHANNELS, TwoHandNetwork
from im2hands.weights.keypoint_networks import LIFTING
from scene_pictures import make_set

TINY = replace(
    RECIPE,
    steps=250,
    learning_rate=3e-3,
    turn=0.0,
    batch=32,
    held_out=2,
    warmup=5,
    log_every=50,
    checkpoint_every=50,
    validate_every=1000,
)


def invented(count: int, seed: int) -> LiftingSamples:
    """Synthetic samples whose read shape is inverted in depth and too flat; the two-hand network's depth is true."""
    rng = np.random.default_rng(seed)
    few = np.random.default_rng(9).normal(0, 1, (4, 21, 3))  # shapes with few degrees of freedom
    shape = (few[0] + np.einsum("nk,kjc->njc", rng.normal(0, 0.5, (count, 3)), few[1:])).astype(np.float32)
    shape -= shape[:, :1]
    shape /= np.linalg.norm(shape[:, MIDDLE_MCP], axis=1)[:, None, None]
    points = np.zeros((count, 21, POINT_FEATURES), np.float32)
    points[..., 0:2] = shape[..., :2]
    points[..., 2:5] = shape * (1, 1, -0.5)
    points[..., 8] = shape[..., 2]
    hand = rng.normal(0, 1, (count, HAND_FEATURES)).astype(np.float32)
    partner = np.arange(count) ^ 1
    depth = hand[:, 0] * 0.5
    return LiftingSamples(
        points, hand, rng.normal(0, 1, (count, EMBEDDING)).astype(np.float32),
        rng.normal(0, 1, (count, 21, 3 * PYRAMID_CHANNELS)).astype(np.float32),
        rng.normal(0, 1, (count, FEATURES)).astype(np.float32), partner,
        rng.normal(0, 1, (count, 3)).astype(np.float32), shape, shape[..., :2] * 1.1, depth, np.arange(count),
    )  # fmt: skip


@pytest.fixture(scope="module")
def network() -> LandmarkNetwork:
    return LandmarkNetwork(workers=1)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_set(tmp_path_factory.mktemp("lifting") / "set", 5, 0, single=True)


def test_samples_say_what_is_true_of_the_scene(scenes: Path, network: LandmarkNetwork) -> None:
    """The true keypoints of the scene can be computed back from a sample's shape."""
    torch.manual_seed(0)
    model, data = TwoHandNetwork().eval(), SceneSet(scenes)
    met = 0
    for number in range(len(data)):
        scene = data.scene(number)
        camera = camera_of(scene)
        for seed in range(6):  # drawn hands do not look real, so the landmark network reads only some of them
            samples = scene_samples(model, network, scene, number, np.random.default_rng(seed))
            for sample in samples:
                met += 1
                assert np.isfinite(sample["points"]).all() and sample["scene"] == number
                assert (sample["partner"] >= 0) == (len(samples) == 2) == bool(np.isfinite(sample["depth"]))
                shown = []
                for k, _ in enumerate(SIDES):
                    if not scene.present[k]:
                        continue
                    true = scene.keypoints[k].astype(float)
                    palm = np.linalg.norm(true[MIDDLE_MCP] - true[WRIST])
                    turn = turn_to_ray(camera.unproject(camera.project(true), 1.0).mean(axis=0))
                    flip = np.array([-1.0 if k == 0 else 1.0, 1.0, 1.0])
                    back = (sample["shape"].astype(float) * flip * palm) @ turn.T + true[WRIST]
                    shown.append(np.abs(back - true).max())
                assert min(shown) < 1e-5
    assert met >= 1


def test_reading_goes_on_where_it_was_interrupted(
    scenes: Path, network: LandmarkNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = TwoHandNetwork().eval(), SceneSet(scenes)
    paths = gather(data, range(5), model, network, tmp_path, 0)
    first = load_samples(paths)
    monkeypatch.setattr("im2hands.lab.training.lifting_samples.scene_samples", None)  # nothing is read again
    second = load_samples(gather(data, range(5), model, network, tmp_path, 0))
    for field in fields(LiftingSamples):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name))
    twice = load_samples([*paths, *paths])
    assert len(twice) == 2 * len(first)
    pairs = twice.partner >= 0
    np.testing.assert_array_equal(twice.scene[pairs], twice.scene[twice.partner[pairs]])


def test_it_learns_depth_and_shape(tmp_path: Path) -> None:
    task = LiftingTask(TINY, invented(600, 0), invented(60, 1), {}, None, torch.device("cpu"))
    before = task.validate()
    Runner(task, TINY, tmp_path, torch.device("cpu")).run(resume=False)
    task.model.eval()
    after = task.validate()
    assert before["read_shape_error"] == after["read_shape_error"]
    assert after["shape_error"] < 0.75 * after["read_shape_error"]
    assert after["place_error"] < 0.85 * after["read_place_error"]
    assert (tmp_path / "lifting_network.safetensors").is_file()
    assert json.loads((tmp_path / "lifting_network.json").read_text())["licence"] == "Apache-2.0"


def test_a_killed_run_comes_to_the_same_weights(tmp_path: Path) -> None:
    short = replace(TINY, steps=6, checkpoint_every=3, log_every=3)

    def task() -> LiftingTask:
        torch.manual_seed(short.seed)
        return LiftingTask(short, invented(80, 0), invented(20, 1), {}, None, torch.device("cpu"))

    Runner(task(), short, tmp_path / "whole", torch.device("cpu")).run(resume=False)
    killed = task()
    loss = killed.loss

    def fails(batch, step):
        if step == 4:
            raise KeyboardInterrupt
        return loss(batch, step)

    killed.loss = fails  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        Runner(killed, short, tmp_path / "parts", torch.device("cpu")).run(resume=False)
    Runner(task(), short, tmp_path / "parts", torch.device("cpu")).run(resume=True)
    one, other = (tmp_path / name / "lifting_network.safetensors" for name in ("whole", "parts"))
    assert one.read_bytes() == other.read_bytes()


def test_a_turned_picture_shows_turned_hands() -> None:
    batch = make_batch(invented(8, 2), np.arange(8))
    quarter = turned(batch, torch.full((8,), np.pi / 2))
    torch.testing.assert_close(quarter.places[..., 0], -batch.places[..., 1])
    torch.testing.assert_close(quarter.shape[..., 1], batch.shape[..., 0])
    torch.testing.assert_close(quarter.given.partner_points[..., 0], batch.given.partner_points[..., 1])
    torch.testing.assert_close(quarter.given.points[..., 8:], batch.given.points[..., 8:])
    back = turned(quarter, torch.full((8,), -np.pi / 2))
    for a, b in zip(back.given, batch.given, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_too_few_scenes_are_told_of(scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "lifting-network", "--data", str(scenes), "--output", str(tmp_path), "--held-out", "9"]) != 0
    assert "held out" in capsys.readouterr().err
    with pytest.raises(InputError, match="Too few"):
        LiftingTask(TINY, invented(0, 0), invented(4, 0), {}, None, torch.device("cpu"))


def test_a_set_gets_the_keypoints_that_are_found(scenes: Path, tmp_path: Path) -> None:
    torch.manual_seed(3)
    LIFTING.save(LiftingNetwork(), tmp_path, {})
    made = tmp_path / "made"
    command = ["train", "detected-keypoints", "--data", str(scenes), "--output", str(made), "--threads", "1"]
    command += ["--lifting-network", str(tmp_path / "lifting_network.safetensors")]
    assert main(command) == 0
    before, after = SceneSet(scenes), SceneSet(made)
    assert len(after) == len(before)
    for number in range(len(before)):
        was, now = before.scene(number), after.scene(number)
        assert was.picture == now.picture and now.detected is not None
        np.testing.assert_array_equal(was.keypoints, now.keypoints)
        found = np.isfinite(now.detected).all(axis=(1, 2))
        assert not (found & ~was.present).any()
    first = SceneSet(made).scene(0).detected
    assert main([*command, "--scenes", "1"]) == 0  # continuing keeps the scenes that are there
    np.testing.assert_array_equal(SceneSet(made).scene(0).detected, first)
    assert main([*command[:-6], "--data", str(made), "--output", str(made)]) != 0
