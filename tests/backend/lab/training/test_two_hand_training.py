"""Tests of the two-hand network training: targets agree with plain and mirrored pictures, learning, exact resume."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from im2hands.app.cli.main import main
from im2hands.keypoints.hand_geometry import chirality
from im2hands.keypoints.proposing.two_hand_pictures import apply, inverse, letterbox, square_part, warp
from im2hands.lab.datasets.scene import LEFT, RIGHT
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.lab.training.networks import first_trunk, public_trunk
from im2hands.lab.training.runner import Runner
from im2hands.lab.training.two_hand_loss import make_batch
from im2hands.lab.training.two_hand_network import RECIPE, TwoHandTask
from im2hands.lab.training.two_hand_samples import heat_target, make_sample, own_hand, random_affine, targets
from im2hands.networks.compact_encoder import EfficientNetLite0
from im2hands.networks.two_hand_network import TRAINED_PIXELS
from im2hands.weights.keypoint_networks import TWO_HAND
from scene_pictures import make_set

TINY = replace(
    RECIPE,
    steps=4,
    batch=2,
    held_out=2,
    frozen_blocks=15,
    easy_steps=2,
    seed=5,
    warmup=0,
    log_every=2,
    checkpoint_every=2,
)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_set(tmp_path_factory.mktemp("palms") / "set", 8, 0, single=True)


def test_keypoints_of_a_sample_lie_on_its_own_label_image(scenes: Path) -> None:
    data, rng = SceneSet(scenes), np.random.default_rng(4)
    hits = mirrored = 0
    for number in (0, 2, 4):
        scene = data.scene(number)
        for _ in range(6):
            picture, labels, made = make_sample(scene, rng)
            assert picture.shape == (TRAINED_PIXELS, TRAINED_PIXELS, 3) and labels.shape == (40, 40)
            for k, label in enumerate((LEFT, RIGHT)):
                places = np.rint((made.pixels[k] - 1.5) / 4).astype(int)
                inside = ((places >= 1) & (places < 39)).all(axis=1) & made.present[k]
                for x, y in places[inside]:
                    near = labels[y - 1 : y + 2, x - 1 : x + 2]
                    hits += label in near or (near == 3 - label).any()  # or on the other hand in front
                    mirrored += 1
    assert mirrored > 300 and hits > 0.97 * mirrored


def test_a_mirrored_sample_shows_a_hand_of_the_other_side(scenes: Path) -> None:
    scene = SceneSet(scenes).scene(0)
    keypoints, intrinsics = scene.keypoints.astype(np.float64), scene.intrinsics.astype(np.float64)
    affine = letterbox((256, 256), TRAINED_PIXELS)
    plain = targets(keypoints, intrinsics, affine, False)
    last = TRAINED_PIXELS - 1
    mirror = affine * [[-1.0], [1.0]] + [[0, 0, last], [0, 0, 0]]
    turned = targets(keypoints, intrinsics, mirror, True)
    np.testing.assert_allclose(turned.pixels[1], plain.pixels[0] * (-1, 1) + (last, 0))
    np.testing.assert_allclose(turned.wrist_offset[1], plain.wrist_offset[0] * (-1, 1, 1))
    for made in (plain, turned):
        seen = (made.pixels - made.pixels[:, :1]) / made.size[:, None, None]
        shapes = np.concatenate([seen, made.depth[..., None]], axis=-1)
        assert chirality(shapes[0]) < 0 < chirality(shapes[1])
        # The wrist offset in space agrees with the wrists in the picture.
        flat = (made.pixels[1, 0] - made.pixels[0, 0]) / made.size[0]
        np.testing.assert_allclose(made.wrist_offset[0, :2], flat, atol=0.35)
        np.testing.assert_allclose(
            made.wrist_offset[0] * made.size[0], -made.wrist_offset[1] * made.size[1], rtol=0.4, atol=20
        )


def test_a_random_affine_is_a_similarity_and_warps_where_it_maps() -> None:
    rng = np.random.default_rng(0)
    image = np.zeros((300, 400), np.uint8)
    cv2.circle(image, (250, 120), 24, 255, -1)
    seen = 0
    for _ in range(30):
        affine, flip = random_affine((400, 300), np.array([[200.0, 80], [300, 160]]), rng)
        linear = affine[:, :2]
        scale = np.sqrt(abs(np.linalg.det(linear)))
        np.testing.assert_allclose(linear @ linear.T, scale**2 * np.eye(2), atol=1e-9)
        assert (np.linalg.det(linear) < 0) == flip
        x, y = apply(affine, np.array([250.0, 120.0]))
        if 20 * scale < min(x, y) and max(x, y) < 159 - 20 * scale:
            rows, columns = np.nonzero(warp(image, affine, TRAINED_PIXELS) > 127)
            np.testing.assert_allclose((columns.mean(), rows.mean()), (x, y), atol=0.35)
            seen += 1
    assert seen > 10


def test_a_large_picture_shrinks_without_a_shift() -> None:
    image = np.zeros((1501, 2000, 3), np.uint8)
    cv2.circle(image, (1200, 700), 80, (255, 255, 255), -1)
    for affine in (letterbox((2000, 1501), 224), square_part(np.array([1250.0, 720.0]), 900.0, 224)):
        rows, columns = np.nonzero(warp(image, affine, 224)[..., 0] > 127)
        np.testing.assert_allclose(apply(affine, np.array([1200.0, 700.0])), (columns.mean(), rows.mean()), atol=0.3)
        np.testing.assert_allclose(apply(inverse(affine), apply(affine, np.array([3.0, 4.0]))), (3.0, 4.0))


def test_a_point_where_two_palms_lie_tells_of_the_hand_in_front(scenes: Path) -> None:
    scene = SceneSet(scenes).scene(0)
    keypoints = scene.keypoints.astype(np.float64)
    keypoints[0] += keypoints[1, 9] - keypoints[0, 9] + (0.004, 0, 0.06)  # the left hand behind the right one
    made = targets(keypoints, scene.intrinsics.astype(np.float64), letterbox((256, 256), TRAINED_PIXELS), False)
    points = made.centre.copy()
    assert own_hand(made, points, np.array([0, 1])).tolist() == [1, 1]
    away = np.array([[0.0, 0.0]])
    assert own_hand(made, away, np.array([0])).tolist() == [0] and own_hand(made, away, np.array([-1])).tolist() == [-1]
    heat = heat_target(made)
    row, column = (round((value - 1.5) / 4) for value in made.centre[1][::-1])
    assert heat[row, column] > 0.95 and heat.max() == 1 and heat[0, 0] < 0.01


def _task(scenes: Path, steps: int = 4) -> TwoHandTask:
    torch.manual_seed(5)
    return TwoHandTask(replace(TINY, steps=steps), [SceneSet(scenes)], None, torch.device("cpu"))


def test_pictures_without_hands_give_a_finite_loss(scenes: Path) -> None:
    rng = np.random.default_rng(1)
    picture, labels, made = make_sample(SceneSet(scenes).scene(1), rng, plain=True)
    gone = replace(made, present=np.zeros(2, bool))
    batch = make_batch([(picture, labels, gone), (picture, labels, gone)], rng)
    assert not batch.there.any() and batch.heat.max() == 0
    loss, terms = _task(scenes).loss(batch, 0)
    assert torch.isfinite(loss) and terms["keypoints"] == 0 and set(terms) == set(TwoHandTask.terms)


def test_training_lowers_the_loss_and_leaves_the_first_blocks_alone(scenes: Path, tmp_path: Path) -> None:
    task = _task(scenes, 100)
    runner = Runner(task, task.recipe, tmp_path, torch.device("cpu"))
    batch = task.prepare(0)
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    losses = [runner.train_step(batch) for _ in range(6)]
    assert losses[-1] < 0.9 * losses[0]
    changed = {name for name, value in task.model.state_dict().items() if not torch.equal(value, before[name])}
    assert "trunk._blocks.15._project_conv.weight" in changed and "hand.weight" in changed
    assert not [name for name in changed if "running" in name or name.startswith("trunk._blocks.3.")]


def test_a_run_that_was_cut_off_goes_on_to_the_same_weights(scenes: Path, tmp_path: Path) -> None:
    def runner(folder: str) -> Runner:
        task = _task(scenes)
        return Runner(task, task.recipe, tmp_path / folder, torch.device("cpu"))

    through = runner("a")
    figures = through.run()
    assert set(figures) == set(TwoHandTask.figures) and 0 <= figures["right_side"] <= 1
    stop_after = iter([False, True])
    assert runner("b").run(cancelled=lambda: next(stop_after)) == {}
    second = runner("b")
    second.run(resume=True)
    for name, value in through.task.model.state_dict().items():
        assert torch.equal(value, second.task.model.state_dict()[name]), name


def test_the_command_writes_weights_with_a_card_and_refuses_a_folder_in_use(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "two-hand-network", "--data", str(scenes), "--output", str(tmp_path / "run"), "--steps", "1"]
    arguments += ["--batch", "2", "--held-out", "2", "--frozen", "15", "--device", "cpu"]
    assert main(arguments) == 0
    card = json.loads((tmp_path / "run" / "two_hand_network.json").read_text())
    assert card["licence"] == "Apache-2.0" and card["recipe"]["seed"] == 1 and "right_side" in card["figures"]
    assert main(arguments) == 2
    assert "holds a training run already" in capsys.readouterr().err
    again = [*arguments[:5], str(tmp_path / "more"), *arguments[6:], "--start-from", str(tmp_path / "run")]
    assert main(again) == 0
    few = [*arguments[:5], str(tmp_path / "few"), *arguments[6:], "--held-out", "8"]
    assert main(few) == 2 and "no more scenes than are held out" in capsys.readouterr().err


def test_an_image_encoder_may_begin_with_the_trunk_of_a_two_hand_network(tmp_path: Path) -> None:
    torch.manual_seed(3)
    seen = EfficientNetLite0()
    model = TWO_HAND.load()
    with torch.no_grad():
        model.trunk.load_state_dict({name: value.half().float() for name, value in seen.state_dict().items()})
    TWO_HAND.save(model, tmp_path, {})
    trunk = EfficientNetLite0()
    first_trunk(trunk, tmp_path)
    for name, value in seen.state_dict().items():
        torch.testing.assert_close(
            trunk.state_dict()[name], value.half().float() if value.is_floating_point() else value
        )
    first_trunk(trunk, None)
    public = EfficientNetLite0()
    public_trunk(public)
    assert all((trunk.state_dict()[name] == value).all() for name, value in public.state_dict().items())
