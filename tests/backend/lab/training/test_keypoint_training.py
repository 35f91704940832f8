"""Tests of the keypoint refinement training: overfitting two scenes, exact resume, both recipes, missing inputs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import rows, small_config, untrained_initial
from safetensors.torch import load_file

from im2hands.app.cli.main import main
from im2hands.core.camera import Camera
from im2hands.core.errors import InputError
from im2hands.core.hands import SIDES, HandKeypoints, TwoHands
from im2hands.lab.bench import weights as bench_weights
from im2hands.lab.datasets.scene import SetInfo
from im2hands.lab.datasets.scenes import SceneSet, SceneWriter
from im2hands.lab.training.keypoint_errors import KeypointErrors, simulate_errors
from im2hands.lab.training.keypoint_pairs import aligned
from im2hands.lab.training.keypoint_refinement import COMPACT, PUBLISHED, KeypointRecipe, KeypointTask
from im2hands.lab.training.runner import Runner
from im2hands.media.source import Frame
from im2hands.networks.configuration import PUBLISHED as PUBLISHED_SIZES
from im2hands.networks.configuration import compact
from im2hands.networks.image_encoder import ImageEncoder
from im2hands.surfaces.keypoint_refiner import load_keypoint_refiner
from scene_pictures import make_scene, make_set

CPU = torch.device("cpu")
SIZES = compact(side=64, channels=16)
SIZES = replace(SIZES, keypoints=replace(SIZES.keypoints, tokens=(16, 16, 16, 16), image=16))
SMALL = replace(COMPACT, batch=2, steps=6, log_every=2, checkpoint_every=3, validate_every=6, held_out=1, warmup=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of six scenes, three of them with both hands."""
    return make_set(tmp_path_factory.mktemp("scenes") / "set", 6, 0, single=True)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an untrained initial network and its encoder."""
    return untrained_initial(tmp_path_factory.mktemp("start"), SIZES)


@pytest.fixture(autouse=True)
def threads() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # faster for small tensors
    yield
    torch.set_num_threads(before)


def _task(data: Path, start: Path | None, recipe: KeypointRecipe) -> KeypointTask:
    torch.manual_seed(recipe.seed)
    return KeypointTask(SIZES, recipe, SceneSet(data), start, CPU)


def test_two_scenes_are_learned_by_heart(start: Path, tmp_path: Path) -> None:
    """The error of the detected keypoints falls, in the figures and in a reconstruction."""
    scenes = []
    for number in range(2):
        scene = make_scene(number, 0)
        truth = torch.from_numpy(scene.keypoints.astype(np.float64))
        found = simulate_errors(truth, torch.Generator().manual_seed(number), KeypointErrors())
        scenes.append(replace(scene, detected=found.numpy().astype(np.float32)))
    with SceneWriter(tmp_path / "set", SetInfo(1, 4, 256, 0, ("beside",), {})) as writer:
        for scene in scenes:
            writer.append(scene)
    recipe = replace(
        SMALL, steps=60, log_every=60, checkpoint_every=60, validate_every=60, held_out=0, learning_rate=3e-3,
        warmup=10, ema=0.9, augment=0.0, detected=1.0,
    )  # fmt: skip
    figures = Runner(_task(tmp_path / "set", start, recipe), recipe, tmp_path / "run", CPU).run()
    assert figures["in_jpe"] > 6
    assert figures["jpe"] < 0.5 * figures["in_jpe"]
    refiner = load_keypoint_refiner(tmp_path / "run", device=CPU)
    assert refiner is not None
    scene = scenes[0]
    fx, fy, cx, cy = scene.intrinsics[[0, 1, 0, 1], [0, 1, 2, 2]].tolist()
    camera, frame = Camera(fx, fy, cx, cy, 256, 256), Frame(1, 0.0, scene.image(), "scene")
    assert scene.detected is not None
    given = [aligned(scene.detected[k].astype(np.float64), scene.keypoints[k]) for k in range(2)]
    pixels, sure = np.zeros((21, 2)), np.ones(21)
    hands = [HandKeypoints(side, given[k], pixels, sure, 1.0, "test") for k, side in enumerate(SIDES)]
    found = refiner.refine(frame, camera, TwoHands(*hands))
    assert found.refined == SIDES
    for k, hand in enumerate(found.hands.present()):
        before, after = (_shape_error(keypoints, scene.keypoints[k]) for keypoints in (given[k], hand.positions))
        assert after < 0.7 * before


def _shape_error(keypoints: np.ndarray, truth: np.ndarray) -> float:
    """Mean keypoint error relative to the middle knuckle, metres."""
    return float(np.linalg.norm(keypoints - keypoints[9] - (truth - truth[9]), axis=1).mean())


def test_a_run_that_was_cut_goes_on_to_the_same_end(data: Path, start: Path, tmp_path: Path) -> None:
    Runner(_task(data, start, SMALL), SMALL, tmp_path / "straight", CPU).run()
    cut = Runner(_task(data, start, SMALL), SMALL, tmp_path / "cut", CPU)
    assert cut.run(cancelled=lambda: cut.step == 4) == {}
    assert not (tmp_path / "cut" / "keypoint_refinement.safetensors").exists()
    with pytest.raises(InputError, match="holds a training run already"):
        Runner(_task(data, start, SMALL), SMALL, tmp_path / "cut", CPU).run()
    again = Runner(_task(data, start, SMALL), SMALL, tmp_path / "cut", CPU)
    again.run(resume=True)
    assert rows(tmp_path / "cut") == rows(tmp_path / "straight")
    for name in ("keypoint_refinement", "image_encoder"):
        one, two = (load_file(tmp_path / run / f"{name}.safetensors") for run in ("cut", "straight"))
        assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)
    assert [row.split(",")[0] for row in rows(tmp_path / "cut")[1:]] == ["2", "3", "4", "6"]


def test_the_shared_encoder_stays_as_it_is(data: Path, start: Path) -> None:
    task = _task(data, start, SMALL)
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    runner = Runner(task, SMALL, Path("nowhere"), CPU)
    runner.train_step(task.prepare(0))
    changed = {name for name, value in task.model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and not any(name.startswith("image_encoder.") for name in changed)
    free = replace(SMALL, frozen=False)
    task = _task(data, start, free)
    Runner(task, free, Path("nowhere"), CPU).train_step(task.prepare(0))
    assert any(
        not torch.equal(value, before[name])
        for name, value in task.model.image_encoder.state_dict(prefix="image_encoder.").items()
    )


def test_batches_depend_on_seed_and_step_alone(data: Path, start: Path) -> None:
    task = _task(data, start, SMALL)
    assert task._rows.tolist() == [0, 2] and task._held_out.tolist() == [4]
    one, two, other = task.prepare(1), task.prepare(1), task.prepare(2)
    assert torch.equal(one.relative, two.relative) and torch.equal(one.image, two.image)
    assert not torch.equal(one.relative, other.relative)
    # The figures give the error of the input: about a centimetre.
    task.model.eval()
    with torch.no_grad():
        figures = task.validate()
        assert task.validate() == figures
    assert 3 < figures["in_jpe"] < 30


def test_the_command_line(data: Path, start: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "keypoint-refinement", "--data", str(data), "--device", "cpu", "--threads", "1"]
    arguments += ["--config", str(small_config(tmp_path)), "--output", str(tmp_path / "run"), "--steps", "2"]
    assert main(arguments) == 2
    assert "builds on a trained initial occupancy network" in capfd.readouterr().err
    assert main([*arguments, "--start-from", str(start)]) == 0
    card = json.loads((tmp_path / "run" / "keypoint_refinement.json").read_text(encoding="utf-8"))
    assert card["recipe"]["command"] == "im2hands train keypoint-refinement" and card["recipe"]["loss"] == "distance"
    assert set(card["figures"]) == {"jpe", "in_jpe"} and card["data"]["scenes"] == 6
    assert (tmp_path / "run" / "image_encoder.safetensors").read_bytes() == (
        start / "image_encoder.safetensors"
    ).read_bytes()
    assert load_keypoint_refiner(tmp_path / "run", device=CPU) is not None
    # A second training begins with the weights of the first.
    more = ["--output", str(tmp_path / "more"), "--start-from", str(tmp_path / "run")]
    assert main([*arguments, *more]) == 0


def test_the_published_recipe(data: Path, tmp_path: Path) -> None:
    """Adam at 1e-4, 32 scenes, squared millimetres, nothing frozen; Xavier weights, encoder weights of the folder."""
    assert (PUBLISHED.optimiser, PUBLISHED.learning_rate, PUBLISHED.batch) == ("adam", 1e-4, 32)
    assert (PUBLISHED.schedule, PUBLISHED.weight_decay, PUBLISHED.ema, PUBLISHED.clip) == ("constant", 0, 0, 0)
    assert (PUBLISHED.loss, PUBLISHED.frozen, PUBLISHED.betas) == ("squared", False, (0.9, 0.999))
    encoder = ImageEncoder().state_dict()
    bench_weights.save("intaghand_encoder", encoder, tmp_path)
    recipe = replace(PUBLISHED, batch=1)
    torch.manual_seed(1)
    task = KeypointTask(PUBLISHED_SIZES, recipe, SceneSet(data), tmp_path, CPU)
    model = task.model
    assert all(torch.equal(value, encoder[name]) for name, value in model.image_encoder.state_dict().items())
    linear = model.gcn_layers[0].get_submodule("graph_left").GCN_blocks[0].fc1
    assert (linear.bias == 0.01).all()
    assert float(linear.weight.detach().std()) == pytest.approx((2 / sum(linear.weight.shape)) ** 0.5, rel=0.1)
    before = model.image_encoder.resnet.conv1.weight.clone()
    runner = Runner(task, recipe, tmp_path / "run", CPU)
    batch = task.prepare(0)
    loss = runner.train_step(batch)
    assert not torch.equal(model.image_encoder.resnet.conv1.weight, before)
    # The loss is in squared millimetres, root-aligned, summed over both hands. The output of an
    # untrained network is about one point, so the loss is that of the true shape.
    rooted = batch.target - batch.target[:, :, 4:5]
    assert loss == pytest.approx(float(rooted.square().mean((0, 2, 3)).sum()), rel=0.3)
