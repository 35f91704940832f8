"""Tests of the refined occupancy training: anchors, frozen parts, penetration loss, both configurations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import rows, small_config

from im2hands.app.cli.main import main
from im2hands.core.hands import SIDES
from im2hands.lab.datasets.scene import Scene
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.lab.training import initial_occupancy
from im2hands.lab.training.anchors import CONVERGED, surface_anchors
from im2hands.lab.training.initial_occupancy import InitialTask
from im2hands.lab.training.recipe import load_recipe
from im2hands.lab.training.refined_occupancy import RECIPES, RefinedTask
from im2hands.lab.training.scene_batches import make_batch
from im2hands.networks.refined_occupancy import RefinedOccupancy
from im2hands.weights.published import load_network
from scene_pictures import make_set

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_set(tmp_path_factory.mktemp("refined") / "set", 6, 900, single=True)


@pytest.fixture(scope="module")
def initial(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an untrained initial network with the bundled part decoders and the ImageNet trunk."""
    folder = tmp_path_factory.mktemp("initial")
    sizes, recipe = load_recipe(str(small_config(folder)), "initial-occupancy", initial_occupancy.RECIPES)
    torch.manual_seed(1)
    InitialTask(sizes, recipe, SceneSet(data), None, CPU).save(folder, {"data": "none"})
    return folder


@pytest.fixture
def task(data: Path, initial: Path) -> RefinedTask:
    sizes, recipe = load_recipe(str(initial / "small.toml"), "refined-occupancy", RECIPES)
    torch.manual_seed(1)
    return RefinedTask(sizes, recipe, SceneSet(data), initial, CPU)


def test_anchors_lie_on_the_initial_surface(task: RefinedTask) -> None:
    batch = task.prepare(0)
    features = task._encoded(batch.image)
    for side in SIDES:
        samples = batch.hands[side]
        hand = task.model.init_occ.hand(side, features.initial, samples.bones, intrinsics=batch.intrinsics)
        anchors = surface_anchors(hand, samples.surface)
        assert anchors.shape == samples.surface.shape == (2, 256, 3)
        before, after = (hand.part_logits(points).amax(-1).abs() for points in (samples.surface, anchors))
        assert after.max() < CONVERGED and after.median() < 0.1 < before.median()
        moved = torch.linalg.vector_norm(anchors - samples.surface, dim=-1) * 0.4
        assert moved.median() < 0.006


def test_only_scenes_with_both_hands_are_used(task: RefinedTask, data: Path) -> None:
    present = SceneSet(data).present()
    assert present.all(1).sum() == 3 and not present.all()
    assert sorted([*task.train_scenes, *task.held_out]) == np.flatnonzero(present.all(1)).tolist()


def test_the_initial_network_and_the_encoder_are_frozen(task: RefinedTask) -> None:
    loss, terms = task.loss(task.prepare(0), 0)
    loss.backward()
    assert set(terms) == set(task.terms) and terms["penetration"] >= 0
    trained = {name for name, p in task.model.named_parameters() if p.grad is not None}
    assert not any(name.startswith(("init_occ.", "image_encoder.")) for name in trained)
    assert any(name.startswith("trans_dec.fc_out") for name in trained)
    named = {name for name, p in task.model.named_parameters() if p.requires_grad}
    assert sum(p.numel() for _, group in task.groups() for p in group) == sum(
        p.numel() for name, p in task.model.named_parameters() if name in named
    )


def test_nothing_is_asked_for_behind_the_cut(task: RefinedTask) -> None:
    samples = task.prepare(0).hands["left"]
    place = {}
    for name, x in (("before", 0.019), ("behind", 0.021)):
        points = samples.points.clone()
        points[..., 0] = x / 0.4
        place[name] = replace(samples, points=points, distance=torch.full_like(samples.distance, 0.0003))
    never = torch.full_like(samples.distance, -14.0)  # the initial network's logit out of reach
    loss = {name: float(task._occupancy_loss(never, of_place)) for name, of_place in place.items()}
    assert loss["behind"] < 1e-5 and loss["before"] == pytest.approx(14 / (1 + np.exp(0.3)), rel=1e-3)


def test_penetration_counts_points_in_both_hands(task: RefinedTask) -> None:
    batch = task.prepare(0)
    with torch.no_grad():
        both = task.hands(batch)
        inside = {side: torch.full((2, 64), 20.0) for side in SIDES}
        outside = {side: torch.full((2, 64), -20.0) for side in SIDES}
        apart = float(task._penetration(both, batch, inside))
        assert task._penetration(both, batch, outside) < 1e-6
        own = dict(batch.hands)
        for side, other in zip(SIDES, reversed(SIDES), strict=True):  # move each hand's points to the other hand's
            seen = own[other].bones.from_query_space(own[other].points)
            batch.hands[side] = replace(own[side], points=own[side].bones.to_query_space(seen).float())
        expected = sum(float(both.occupancy(side, own[side].points).sum()) for side in SIDES)
        assert expected > 20 + apart  # in these scenes the hands lie side by side
        assert float(task._penetration(both, batch, inside)) == pytest.approx(expected, rel=1e-3)


def test_the_run_leaves_a_folder_that_reconstructs(data: Path, initial: Path, tmp_path: Path) -> None:
    config = initial / "small.toml"
    arguments = ["train", "refined-occupancy", "--data", str(data), "--output", str(tmp_path), "--config", str(config)]
    more = ["--start-from", str(initial), "--steps", "2", "--threads", "1", "--device", "cpu"]
    assert main([*arguments, *more]) == 0
    assert len(rows(tmp_path)) == 2 and rows(tmp_path)[0].startswith("step,loss,learning_rate,gradient,occupancy")
    assert {p.name for p in tmp_path.glob("*.safetensors")} == {
        "image_encoder.safetensors", "initial_occupancy.safetensors", "refined_occupancy.safetensors",
    }  # fmt: skip
    for name in ("image_encoder", "initial_occupancy"):
        assert (tmp_path / f"{name}.safetensors").read_bytes() == (initial / f"{name}.safetensors").read_bytes()
    network = load_network("refined_occupancy", tmp_path)
    assert isinstance(network, RefinedOccupancy) and not network.compatibility
    card = json.loads((tmp_path / "refined_occupancy.json").read_text())
    assert card["recipe"]["command"] == "im2hands train refined-occupancy" and 0 < card["figures"]["iou"] <= 1


def test_what_it_builds_on_must_be_there(data: Path, initial: Path, tmp_path: Path, capfd) -> None:
    def said(*more: str) -> str:
        arguments = ["train", "refined-occupancy", "--data", str(data), "--output", str(tmp_path / "run")]
        assert main([*arguments, "--device", "cpu", *more]) in (2, 3)
        return str(capfd.readouterr().err)

    small = str(initial / "small.toml")
    assert "Add --start-from" in said("--config", small)
    assert "initial_occupancy are missing" in said("--config", small, "--start-from", str(data))
    assert "other sizes" in said("--config", "compact", "--start-from", str(initial))
    assert "not published ones" in said("--config", "published", "--start-from", str(initial))


def test_single_hands_only_are_told(initial: Path, tmp_path: Path) -> None:
    from im2hands.core.errors import InputError
    from im2hands.lab.datasets.scene import SetInfo
    from im2hands.lab.datasets.scenes import SceneWriter
    from scene_pictures import make_scene

    with SceneWriter(tmp_path, SetInfo(1, 4, 256, 60, ("one",), {})) as writer:
        writer.append(make_scene(1, 60, (True, False)))
    sizes, recipe = load_recipe(str(initial / "small.toml"), "refined-occupancy", RECIPES)
    with pytest.raises(InputError, match="No scene"):
        RefinedTask(sizes, recipe, SceneSet(tmp_path), initial, CPU)


def test_the_published_recipe(data: Path) -> None:
    sizes, recipe = load_recipe("published", "refined-occupancy", RECIPES)
    assert (recipe.batch, recipe.points, recipe.learning_rate, recipe.weight_decay) == (2, 2048, 1e-4, 1e-5)
    assert (recipe.schedule, recipe.decay, recipe.decay_every, recipe.penetration) == ("step", 0.2, 5000, 0.001)
    assert sizes.name == "published" and not recipe.compatibility


def test_batches(data: Path, task: RefinedTask) -> None:
    scenes = SceneSet(data)
    one, two = (make_batch(scenes, [0, 1], task._batches, 3, 9) for _ in range(2))
    for side in SIDES:
        assert torch.equal(one.hands[side].points, two.hands[side].points)
        assert torch.isfinite(one.hands[side].points).all() and torch.isfinite(one.hands[side].distance).all()
    assert torch.equal(one.image, two.image) and not torch.equal(
        one.image, make_batch(scenes, [0, 1], task._batches, 3, 10).image
    )
    assert one.present.tolist() == [[True, True], [True, False]]
    plain = replace(task._batches, noise=0.0, definition=0.0, detected=0.0, uniform=0.5, points=400, cut=False)
    batch = make_batch(scenes, [0], plain, 3, 9)
    points = batch.hands["left"].points[0] * 0.4
    assert points.abs().max() <= 0.2201 and (points.abs().amax(1) > 0.15).sum() > 30  # spread over the whole query cube
    assert torch.allclose(batch.keypoints, batch.exact)


def test_points_follow_the_picture_where_keypoints_are_detected(data: Path, task: RefinedTask) -> None:
    scenes = SceneSet(data)
    scene = scenes.scene(0)
    shift = np.array([0.003, 0.0, 0.01], np.float32)
    found = replace(scene, detected=scene.keypoints + shift, visible=np.ones_like(scene.visible))

    class Found:
        def scene(self, index: int) -> Scene:
            return found

    plain = replace(task._batches, noise=0.0, definition=0.0, exact=1.0, cut=False, points=200)
    seen: list[np.ndarray] = []
    inside = torch.zeros(0)
    for given, data_set in ((0.0, scenes), (1.0, Found())):
        batch = make_batch(data_set, [0], replace(plain, detected=given), 3, 9)  # type: ignore[arg-type]
        hand = batch.hands["left"]
        points = hand.bones.from_query_space(hand.points)[0]
        seen.append((points[:, :2] / points[:, 2:]).numpy())
        inside = hand.distance[0] < 0 if given == 0.0 else inside  # these stay in their rows
        assert np.allclose(batch.keypoints[0, 0], batch.exact[0, 0]) == (given == 0.0)
    assert np.abs(seen[0] - seen[1])[inside].max() < 0.0005 < 0.003 / 0.6
    wrong = make_batch(scenes, [0, 1], replace(plain, exact=0.0, simulated=1.0), 3, 9)
    assert 0.003 < (wrong.keypoints - wrong.exact)[0].norm(dim=-1).mean() < 0.06
    assert torch.isfinite(wrong.hands["left"].points).all()


def test_training_goes_on_from_a_refined_network(task: RefinedTask, initial: Path, data: Path, tmp_path: Path) -> None:
    with torch.no_grad():
        task.model.trans_dec.fc_out.bias.fill_(0.25)
    task.save(tmp_path, {"data": "none"})
    sizes, recipe = load_recipe(str(initial / "small.toml"), "refined-occupancy", RECIPES)
    again = RefinedTask(sizes, recipe, SceneSet(data), tmp_path, CPU)
    assert again.model.trans_dec.fc_out.bias[0].item() == 0.25
    assert {id(p) for _, group in again.groups() for p in group}.isdisjoint(
        id(p) for p in again.model.init_occ.parameters()
    )
    # The initial network within it is trained further where the folder has no other, and leaves its encoder alone.
    (tmp_path / "initial_occupancy.safetensors").unlink()
    sizes, first = load_recipe(str(initial / "small.toml"), "initial-occupancy", initial_occupancy.RECIPES)
    first = replace(first, train_encoder=False, heatmap=0.0, mask=0.0, dense=0.0)
    alone = InitialTask(sizes, first, SceneSet(data), tmp_path, CPU)
    trained = {id(p) for _, group in alone.groups() for p in group}
    assert trained and trained.isdisjoint(id(p) for p in alone.model.image_encoder.parameters())
    alone.save(tmp_path / "more", {"data": "none"})
    both = ((folder / "image_encoder.safetensors").read_bytes() for folder in (tmp_path, tmp_path / "more"))
    assert next(both) == next(both)
