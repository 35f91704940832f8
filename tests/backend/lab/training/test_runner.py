"""Tests of the training loop: exact resume of killed runs, logs, cards, recipes, errors in the input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import rows, small_config
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from im2hands.app.cli.main import main
from im2hands.core.errors import InputError
from im2hands.lab.datasets.scene_shards import shard_path
from im2hands.lab.training.initial_occupancy import RECIPES, InitialTask
from im2hands.lab.training.recipe import load_recipe
from im2hands.lab.training.run_log import summary_writer
from im2hands.lab.training.runner import Averaged, Runner, scenes_of_step
from im2hands.lab.training.scene_batches import training_set
from im2hands.weights.published import load_network
from scene_pictures import make_set

NETWORK = "initial-occupancy"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_set(tmp_path_factory.mktemp("scenes") / "set", 6, 120, single=True)


def _arguments(data: Path, output: Path, config: Path, *more: str) -> list[str]:
    fixed = ["--config", str(config), "--threads", "1", "--device", "cpu"]
    return ["train", NETWORK, "--data", str(data), "--output", str(output), *fixed, *more]


@pytest.fixture(autouse=True)
def threads() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def straight(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("straight")
    assert main(_arguments(data, folder / "run", small_config(folder))) == 0
    torch.set_num_threads(2)
    return folder / "run"


def test_a_killed_run_goes_on_to_the_same_end(data: Path, straight: Path, tmp_path: Path) -> None:
    config, output = small_config(tmp_path), tmp_path / "run"
    command = [sys.executable, "-m", "im2hands", *_arguments(data, output, config)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not (output / "checkpoint.pt").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
        process.wait()
    assert not (output / "initial_occupancy.safetensors").exists()  # the run was killed before its end
    with open(output / "log.csv", "a") as handle:
        handle.write("1")  # a row that was cut off
    assert main(_arguments(data, output, config)) == 2  # without --resume the run is not overwritten
    assert main(_arguments(data, output, config, "--resume")) == 0
    assert rows(output) == rows(straight)
    for name in ("initial_occupancy", "image_encoder"):
        one, two = (load_file(folder / f"{name}.safetensors") for folder in (output, straight))
        assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def test_the_log_and_the_board_tell_the_curve(straight: Path) -> None:
    log = np.genfromtxt(straight / "log.csv", delimiter=",", names=True)
    assert log["step"].tolist() == [2, 4, 6, 8, 10, 12]
    assert np.isfinite(log["loss"]).all() and np.isfinite(log["heatmap"]).all()
    assert np.isfinite(log["iou"]).tolist() == [False, False, True, False, False, True]
    board = EventAccumulator(str(straight / "tensorboard"))
    board.Reload()
    assert [event.step for event in board.Scalars("loss")] == [2, 4, 6, 8, 10, 12]
    assert [event.value for event in board.Scalars("iou")] == pytest.approx(log["iou"][[2, 5]].tolist(), abs=1e-5)
    assert min(event.value for event in board.Scalars("scenes_per_second")) > 0


def test_the_weights_come_with_their_card(straight: Path) -> None:
    card = json.loads((straight / "initial_occupancy.json").read_text())
    assert card["recipe"]["command"] == "im2hands train initial-occupancy" and card["recipe"]["points"] == 64
    assert card["data"]["scenes"] == 6 and 0 < card["figures"]["iou"] <= 1 and card["date"].startswith("20")
    assert load_network("initial_occupancy", straight).sizes.reach
    assert main(["weights", "list", "--folder", str(straight)]) == 0


def test_training_changes_what_it_should(straight: Path, data: Path, tmp_path: Path) -> None:
    configuration, recipe = load_recipe(str(small_config(tmp_path)), NETWORK, RECIPES)
    torch.manual_seed(recipe.seed)
    first = InitialTask(configuration, recipe, training_set(data), None, torch.device("cpu")).model
    last = load_network("initial_occupancy", straight)
    before, after = dict(first.named_parameters()), dict(last.named_parameters())
    change = {name: float((before[name] - after[name]).detach().abs().max()) for name in before}
    frozen = [name for name in change if "trunk._conv_stem" in name or "trunk._blocks.0." in name]
    assert frozen and max(change[name] for name in frozen) < 1e-3  # rounding of the weights in the file
    for part in ("trunk._blocks.15", "hms_decoder.mix.2", "left_decoder.weights.2", "img_ex_right.attn"):
        assert max(value for name, value in change.items() if part in name) > 1e-4, part


def test_a_finished_run_is_written_again_on_resume(data: Path, straight: Path, tmp_path: Path) -> None:
    assert rows(straight)[-1].startswith("12,")
    before = (straight / "initial_occupancy.safetensors").read_bytes()
    (straight / "initial_occupancy.safetensors").unlink()
    assert main(_arguments(data, straight, small_config(tmp_path), "--resume")) == 0
    assert (straight / "initial_occupancy.safetensors").read_bytes() == before


def test_a_run_goes_on_with_the_same_recipe_and_data_only(data: Path, straight: Path, tmp_path: Path, capfd) -> None:
    config = small_config(tmp_path)
    assert main(_arguments(data, straight, config, "--resume", "--steps", "20", "--seed", "5")) == 2
    assert "other settings: seed, steps" in capfd.readouterr().err
    other = make_set(tmp_path / "set", 4, 120, seed=2)
    assert main(_arguments(other, straight, config, "--resume")) == 2
    assert "other settings: data" in capfd.readouterr().err


def test_bad_data_is_told(tmp_path: Path, capfd) -> None:
    config = small_config(tmp_path)

    def said(data: Path) -> str:
        assert main(_arguments(data, tmp_path / "run", config)) == 2
        return str(capfd.readouterr().err)

    assert "holds no scene set" in said(tmp_path)
    broken = make_set(tmp_path / "broken", 6, 30)
    path = shard_path(broken, 1)
    path.write_bytes(path.read_bytes()[:4000])
    assert "shard_00001.npz is cut off" in said(broken)
    assert "no labelled points" in said(make_set(tmp_path / "none", 2, 0))
    info = json.loads((broken / "set.json").read_text())
    small = make_set(tmp_path / "small", 2, 30)
    (small / "set.json").write_text(json.dumps(json.loads((small / "set.json").read_text()) | {"picture": 128}))
    assert "128 pixels a side" in said(small) and info["picture"] == 256
    (small / "set.json").write_text(json.dumps(info | {"version": 9}))
    assert "is a scene set of version 9; this program reads version 1" in said(small)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('base = "large"', 'not "published" or "compact"'),
        ('base = "compact"\n[network]\nside = 100', "multiple of 32"),
        ('base = "published"\n[network]\nside = 64', 'entries that base = "published" does not take'),
        ('base = "compact"\n[recipe]\nspeed = 3', "has no speed"),
        ('base = "compact"\n[recipe]\nbatch = "two"', "batch is 'two', not a int"),
        ('base = "compact"\n[recipe]\nsteps = -1', "steps 0 or more"),
        ('base = "compact"\nlearn = 3', "learn is not known"),
        ("base = compact", "must be a TOML file"),
    ],
)
def test_wrong_configurations_are_told(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_recipe(str(path), NETWORK, RECIPES)
    assert message in str(caught.value)


def test_recipes_and_what_changes_them(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no configuration"):
        load_recipe("nothing.toml", NETWORK, RECIPES)
    sizes, recipe = load_recipe("published", NETWORK, RECIPES, steps=5, seed=None)
    assert sizes.name == "published" and recipe.steps == 5 and recipe.seed == 1
    assert (recipe.optimiser, recipe.learning_rate, recipe.batch, recipe.points) == ("adam", 1e-5, 8, 4096)
    sizes, recipe = load_recipe(str(small_config(tmp_path, "\nsoftness = 1\n")), "refined-occupancy", RECIPES)
    assert (sizes.side, recipe.batch, recipe.points, recipe.softness) == (64, 2, 64, 1.0)


def test_every_epoch_has_every_scene_once() -> None:
    order = [scene for step in range(6) for scene in scenes_of_step(8, 4, 3, step)]
    epochs = [order[k : k + 8] for k in (0, 8, 16)]
    assert all(sorted(epoch) == list(range(8)) for epoch in epochs)
    assert epochs[0] != epochs[1] and order == [s for step in range(6) for s in scenes_of_step(8, 4, 3, step)]
    assert scenes_of_step(8, 4, 4, 0) != order[:4]


def test_averaged_weights() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    averaged = Averaged(model, 0.5)
    start = float(model.weight.detach())
    with torch.no_grad():
        model.weight += 1
    averaged.update(1000)
    with averaged.in_model():
        assert float(model.weight.detach()) == pytest.approx(start + 0.5)
    assert float(model.weight.detach()) == pytest.approx(start + 1)


def test_a_loss_that_is_no_number_stops_the_run(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configuration, recipe = load_recipe(str(small_config(tmp_path)), NETWORK, RECIPES)
    task = InitialTask(configuration, recipe, training_set(data), None, torch.device("cpu"))
    runner = Runner(task, recipe, tmp_path / "run", torch.device("cpu"))
    monkeypatch.setattr(task, "loss", lambda *_: (task.groups()[0][1][0].sum() * float("nan"), {}))
    with pytest.raises(InputError, match="The loss of step 0 is nan"):
        runner.run()
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_schedules(data: Path, tmp_path: Path) -> None:
    configuration, recipe = load_recipe(str(small_config(tmp_path)), NETWORK, RECIPES)
    task = InitialTask(configuration, recipe, training_set(data), None, torch.device("cpu"))

    def rate(step: int, **changes: object) -> float:
        changed = replace(recipe, learning_rate=1.0, **changes)  # type: ignore[arg-type]
        return Runner(task, changed, tmp_path, torch.device("cpu")).learning_rate(step)

    assert rate(0, schedule="cosine", warmup=4, steps=100) == pytest.approx(0.25)
    assert rate(100, schedule="cosine", warmup=4, steps=100) == pytest.approx(0.01)
    steps = {"schedule": "step", "warmup": 0, "decay": 0.2, "decay_every": 5000}
    assert [rate(s, **steps) for s in (4999, 5000, 10000)] == pytest.approx([1, 0.2, 0.04])
    assert rate(10**6, schedule="constant", warmup=0) == 1


def test_without_tensorboard_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from im2hands.core.errors import SetupError

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(SetupError, match="TensorBoard") as caught:
        summary_writer(tmp_path, 0)
    assert "im2hands[train]" in caught.value.hint
