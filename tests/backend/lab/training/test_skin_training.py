"""Tests of the points on the skin: labels on scenes, learning, the saved file, and files without the head."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from im2hands.app.cli.main import main
from im2hands.core.errors import InputError
from im2hands.core.hands import SIDES, SKIN_POINT_COUNT
from im2hands.keypoints.reading.crops import crops_around, from_crop, to_crop
from im2hands.keypoints.reading.network import LandmarkNetwork
from im2hands.keypoints.reading.skin import read_skin
from im2hands.lab.datasets.scene import IN_FRONT, Scene, encode_labels
from im2hands.lab.datasets.skin_labels import SkinLabeller
from im2hands.lab.evaluation.keypoints import camera_of
from im2hands.lab.training.skin_points import RECIPE, SkinTask, linear_map, skin_figures, skin_losses
from im2hands.lab.training.skin_samples import SkinSamples, scene_crops
from im2hands.networks.reading_network import FEATURES, SkinReadings
from im2hands.weights.keypoint_networks import READING
from im2hands.weights.mediapipe_landmarks import mediapipe_start
from scene_pictures import make_scene, make_set

PHOTO = Path(__file__).resolve().parents[4] / "demo" / "fingerpose" / "nocurl.jpg"


@pytest.fixture(scope="module")
def labeller() -> SkinLabeller:
    return SkinLabeller()


def _samples(count: int, seed: int = 0) -> SkinSamples:
    rng = np.random.default_rng(seed)
    keypoints = rng.normal(112, 30, (count, 21, 2)).astype(np.float32)
    pixels = np.repeat(keypoints, 7, axis=1)[:, :SKIN_POINT_COUNT] + rng.normal(0, 4, (SKIN_POINT_COUNT, 2))
    visible = rng.random((count, SKIN_POINT_COUNT)) < 0.5
    close = rng.random((count, FEATURES)).astype(np.float16)
    return SkinSamples(close, pixels.astype(np.float32), visible, np.full(count, 60, np.float32), keypoints)


def test_points_lie_around_the_keypoints_and_visible_ones_on_their_own_hand(labeller: SkinLabeller) -> None:
    for seed in range(3):
        scene = make_scene(seed)
        labels, camera = labeller.label(scene, camera_of(scene)), camera_of(scene)
        image = scene.label_image()
        for k in range(len(SIDES)):
            tips = labeller.points.rows("tip")
            gaps = np.linalg.norm(labels.places[k, tips] - scene.keypoints[k, 4::4], axis=1)
            assert gaps.max() < 0.012  # metres
            np.testing.assert_allclose(camera.project(labels.places[k]), labels.pixels[k])
            seen = labels.pixels[k][labels.visible[k]].round().astype(int)
            near = [(image[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] == k + 1).any() for x, y in seen]
            assert all(near)
            # From any one side at most the nearer half of a finger shows.
            rows = [labeller.points.names.index(f"middle middle {side}") for side in ("palmar", "dorsal")]
            assert not labels.visible[k, rows].all()


def test_an_object_in_front_hides_the_points_and_an_absent_hand_has_none(labeller: SkinLabeller) -> None:
    scene = make_scene(1)
    shown = labeller.label(scene, camera_of(scene))
    assert shown.visible.any(axis=1).all()
    covered = replace(scene, labels=encode_labels(np.full_like(scene.label_image(), IN_FRONT)))
    hidden = labeller.label(covered, camera_of(scene))
    assert not hidden.visible.any()
    np.testing.assert_allclose(hidden.pixels, shown.pixels)
    keypoints = scene.keypoints.copy()
    keypoints[0] = np.nan
    alone = labeller.label(replace(scene, keypoints=keypoints), camera_of(scene))
    assert np.isnan(alone.places[0]).all() and not alone.visible[0].any() and alone.visible[1].any()
    nobody = labeller.label(replace(scene, keypoints=np.full_like(keypoints, np.nan)), camera_of(scene))
    assert np.isnan(nobody.pixels).all() and not nobody.visible.any()
    with pytest.raises(InputError, match="no parameters of its hands"):  # as in a prepared split
        labeller.label(replace(scene, components=scene.components * np.nan), camera_of(scene))


def test_points_behind_the_camera_are_unknown(labeller: SkinLabeller) -> None:
    scene = make_scene(2)
    shift = scene.shift.copy()
    shift[0, 2] = 0.0
    labels = labeller.label(replace(scene, shift=shift), camera_of(scene))
    behind = labels.places[0, :, 2] <= 0
    assert behind.any() and np.isnan(labels.pixels[0][behind]).all() and not labels.visible[0][behind].any()


def test_left_hands_are_taught_as_mirrored_right_hands(labeller: SkinLabeller) -> None:
    """In the crops of both hands the points lie on the skin, and the tips at the keypoints of their fingers."""

    def crops(scene: Scene) -> list[tuple[np.ndarray, ...]]:
        return scene_crops(labeller, scene, np.random.default_rng(3), plain=True)

    for picture, pixels, visible, palm, keypoints in crops(make_scene(4)):
        assert picture.shape == (224, 224, 3) and pixels.shape == (SKIN_POINT_COUNT, 2) and visible.any() and palm > 5
        # Right hand, mirrored or not: the tips of the skin lie at the keypoints' tips, in the fingers' order.
        tips = labeller.points.rows("tip")
        assert np.linalg.norm(pixels[tips] - keypoints[4::4], axis=1).max() < 0.35 * palm
        x, y = pixels[visible].round().astype(int).T
        inside = (x >= 0) & (y >= 0) & (x < 224) & (y < 224)
        assert picture[y[inside], x[inside]].mean() > picture.mean()  # the skin is painted lighter


def test_the_map_from_the_keypoints_and_the_loss() -> None:
    samples = _samples(80)
    keypoints, pixels = torch.from_numpy(samples.keypoints), torch.from_numpy(samples.pixels)
    weights = linear_map(keypoints, pixels)
    made = 112 + 112 * ((keypoints.flatten(1).double() / 112 - 1) @ weights[:-1] + weights[-1])
    assert float((made.unflatten(1, (SKIN_POINT_COUNT, 2)) - pixels).abs().mean()) < 1.0

    visible, palm = torch.from_numpy(samples.visible), torch.from_numpy(samples.palm)
    spread, told = torch.full(visible.shape, 0.02), torch.where(visible, 4.0, -4.0)
    holes = pixels.clone()
    holes[0, :40] = torch.nan
    exact, off = SkinReadings(pixels, spread, told), SkinReadings(pixels + 6, spread, -told)
    for targets in (pixels, holes):
        right, wrong = (skin_losses(made, targets, visible) for made in (exact, off))
        assert all(torch.isfinite(value) and wrong[name] > value for name, value in right.items())
        figures = skin_figures(off, targets, visible, palm)
        assert figures["error"] == pytest.approx(6 * 2**0.5 / 60, rel=1e-4) and figures["visible_told"] == 0.0


def test_training_lowers_the_error_and_the_file_holds_both(tmp_path: Path) -> None:
    recipe = replace(RECIPE, steps=40, batch=16, ema=0.0, warmup=0, seed=3)
    plain = mediapipe_start()
    READING.save(plain, tmp_path / "start", {"licence": "Apache-2.0"})
    assert READING.load(tmp_path / "start" / READING.file).skin is None
    samples = _samples(64)
    with pytest.raises(InputError, match="Too few hands"):
        SkinTask(recipe, samples, samples.take(np.arange(0)), {}, tmp_path / "start", torch.device("cpu"))
    torch.manual_seed(3)
    task = SkinTask(recipe, samples, samples.take(np.arange(16)), {}, tmp_path / "start", torch.device("cpu"))
    optimiser = torch.optim.AdamW(task.groups()[0][1], 1e-3)
    values = []
    for step in range(30):
        loss, terms = task.loss(task.prepare(0), step)
        assert set(terms) == set(task.terms)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        values.append(float(loss.detach()))
    assert values[-1] < values[0] - 0.3
    task.model.eval()
    assert set(task.validate()) == set(task.figures)
    task.save(tmp_path / "made", {"figures": {}})
    card = json.loads((tmp_path / "made" / "reading_network.json").read_text())
    assert card["licence"] == "Apache-2.0" and "skin_points" in card
    back = READING.load(tmp_path / "made" / READING.file)
    assert back.skin is not None
    torch.testing.assert_close(back.last.weight, plain.last.weight, rtol=1e-3, atol=1e-3)


def test_a_reading_of_the_mirrored_crop_is_the_mirror_image_in_the_frame() -> None:
    model = mediapipe_start()
    torch.manual_seed(1)
    model.add_skin()
    network = LandmarkNetwork(workers=1, reading=model.eval())
    try:
        width = 300
        rng = np.random.default_rng(0)
        seen, read = rng.random((1, FEATURES)).astype(np.float32), rng.uniform(60, 200, (1, 21, 2))
        crops = crops_around(read)
        assert np.allclose(from_crop(to_crop(read[0], crops[0]), crops[0]), read[0])
        right = read_skin(network, seen, read, crops, [False])[0]
        mirrored = read * (-1, 1) + (width, 0)
        left = read_skin(network, seen, mirrored, crops * (-1, 1, 1, -1) + (width, 0, 0, 0), [True])[0]
        np.testing.assert_allclose(left.pixels, right.pixels * (-1, 1) + (width, 0), atol=1e-2)
        np.testing.assert_allclose(left.spread, right.spread, rtol=1e-4)
        assert right.pixels.shape == (SKIN_POINT_COUNT, 2) and ((right.visible >= 0) & (right.visible <= 1)).all()
        without = LandmarkNetwork(workers=1, reading=mediapipe_start())
        assert read_skin(without, seen, read, crops, [False]) == []
        without.close()
    finally:
        network.close()


def test_the_commands_teach_measure_and_refuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenes = make_set(tmp_path / "set", 6, 0, single=True)
    out = tmp_path / "run"
    arguments = ["train", "skin-points", "--data", str(scenes), "--output", str(out), "--steps", "2", "--batch", "4"]
    arguments += ["--held-out", "2", "--device", "cpu", "--threads", "1"]
    assert main(arguments) == 0
    card = json.loads((out / "reading_network.json").read_text())
    assert card["skin_points"]["data"]["hands"] > 0 and "surer_error" in card["skin_points"]["figures"]
    assert main([*arguments, "--resume"]) == 0
    capsys.readouterr()
    measure = ["evaluate", "skin-points", "--data", str(scenes), "--weights", str(out / READING.file), "--threads", "1"]
    assert main([*measure, "--linear-from", str(scenes)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["hands"] > 0 and report["head_ms_a_crop"] > 0 and "error" in report["linear_from_keypoints"]
    assert main(["evaluate", "skin-points"]) == 2
    # The points on photos are those of --weights, also where no other network lies beside it.
    photos = ["--photos", str(PHOTO), "--output", str(tmp_path / "drawn"), "--threads", "1"]
    drawn = []
    for more in (["--weights", str(out / READING.file)], []):
        assert main(["evaluate", "skin-points", *photos, *more]) == 0
        drawn.append((tmp_path / "drawn" / f"{PHOTO.stem}.jpg").read_bytes())
    assert drawn[0] != drawn[1]
    READING.save(mediapipe_start(), tmp_path / "plain", {})
    capsys.readouterr()
    assert main(["evaluate", "skin-points", *photos, "--weights", str(tmp_path / "plain" / READING.file)]) == 2
    assert "reads no points on the skin" in capsys.readouterr().err
    few = [*arguments[:5], str(tmp_path / "few"), *arguments[6:], "--held-out", "6"]
    assert main(few) == 2 and "no more scenes than are held out" in capsys.readouterr().err
